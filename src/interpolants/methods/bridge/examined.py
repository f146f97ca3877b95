"""Rows, losses and checks of a fitted bridge: all by which its fields are judged."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from interpolants.fields.preconditioned import Preconditioned
from interpolants.foundations import trees
from interpolants.foundations.checks import whole
from interpolants.foundations.randomness import generator
from interpolants.framework.capabilities import capability
from interpolants.framework.self_checks import CheckReport
from interpolants.methods.bridge.bridge_fit import BridgeFit, encoded
from interpolants.methods.bridge.densities import FramedDensity
from interpolants.methods.bridge.held_out import Ends, Examples, examples_of
from interpolants.methods.bridge.held_out_checks import held_out_checks
from interpolants.methods.bridge.self_test import check_bridge
from interpolants.methods.parts.start_points import Pool
from interpolants.objectives.joint import joint_loss

# Rows at which code of a user's own is compared with that of the fit.
_PROBES = 8


class ExaminedBridge(BridgeFit):
    """What a fitted :class:`interpolants.Bridge` shows of its data, its losses and its faults."""

    def probe(self) -> Tensor | None:
        """The velocity at a few rows of the training; None where the network or the path was not passed again."""
        net, path, pool = (self.state[name] for name in ("net", "path", "pool1"))
        if trees.misses_code([net, path]):
            return None
        rows, cond = pool.x[:_PROBES], None if pool.cond is None else pool.cond[:_PROBES]
        t = torch.full((len(rows),), 0.5)
        return self.fields.evaluate(rows, t, ("velocity",), cond)["velocity"]

    def examples(self, n: int, *, seed: int = 0) -> Examples:
        """At most ``n`` rows of each end in data units: held-out ones where some were set aside, else training data.

        Args:
            n: Number of rows.
            seed: Seed of the draws from the base, on paths that have one.
        """
        self.fitted_state("examples")["net"]
        return examples_of(self, whole("Bridge.examples", "n", n, at_least=1), seed)

    def training_rows(self, n: int) -> tuple[Tensor, Tensor | None]:
        """At most ``n`` rows of rho1 that it was trained on, in data units, and their conditions."""
        pool: Pool = self.fitted_state("training_rows")["pool1"]
        return self.frame.decode(pool.x[:n]), None if pool.cond is None else pool.cond[:n]

    def loss_at(self, t: float, x0: Any, x1: Any, *, cond: Any = None, seed: int = 0) -> dict[str, Tensor]:
        """Loss of each learnt quantity at one time, per row, in the network's units.

        Args:
            t: The time, inside (0, 1).
            x0: Starts ``(n, *D)`` in data units, row by row with ``x1``; ignored on a path with a base.
            x1: Ends ``(n, *D)`` in data units.
            cond: Condition of each end.
            seed: Seed of the latent noise.

        Returns:
            ``(n,)`` for each name in ``heads``.
        """
        net, path = self.fitted_state("loss_at")["net"], self.state["path"]
        alone = path.base is not None or path.is_static
        rows = self.rows_like_fit("loss_at", {"x0": None if alone else x0, "x1": x1, "cond": cond})
        weight = net.weight if isinstance(net, Preconditioned) else None
        times = torch.full((len(rows.x1),), float(t))
        with torch.no_grad():
            return joint_loss(self.heads, path, weight)(
                net,
                x0=rows.x0,
                x1=rows.x1,
                t=times,
                cond=rows.cond,
                generator=generator(seed, "loss at a time"),
            )

    @capability()
    def check(self, *, n: int = 2000, seed: int = 0, eps: float = 0.5) -> CheckReport:
        """Test the trained bridge on rows that it has not seen, against itself, and against its data.

        Print the report: its first line is the worst finding. Held-out rows are scored beside training rows and a
        Gaussian fit of these, or their arrival beside not moving.

        Args:
            n: Draws per check.
            seed: Seed of all draws.
            eps: Noise level of the SDE checks.
        """
        pools = self.fitted_state("check")["pool0"], self.state["pool1"]
        known: dict[str, Any] = {"coupling": self.pairing, "batch_size": self.batch_size}
        if self.held_out_rows is not None:
            known["held"] = _pools(self.held_out_rows)
        found = check_bridge(self.fields, *pools, self.field_shape, n=n, seed=seed, eps=eps, **known)
        return CheckReport((*held_out_checks(self, seed), *found.checks))

    def rows_like_fit(self, what: str, values: Mapping[str, Any]) -> Ends:
        """Rows that are read like those of the fit, in the network's units."""
        data = self.read_like_fit(what, values)
        return encoded(Ends(data.get("x0"), data["x1"], data.get("cond"), data.get("cond0")), self.frame)

    def density0(self) -> Any:
        """The density of rho0 in the network's units; None where there is none yet."""
        if self.state["path"].base is not None:
            return self.state["path"].base
        found = self.state["density0"] if self.state["density0"] is not None else self.state["leg"]
        return None if found is None else FramedDensity(found, self.frame)


def _pools(rows: Ends) -> tuple[Pool | None, Pool]:
    """Rows of both ends, each with what is known of it."""
    return None if rows.x0 is None else Pool(rows.x0, rows.cond0), Pool(rows.x1, rows.cond)
