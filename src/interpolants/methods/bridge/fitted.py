"""What a fitted bridge has learnt: fields, path, units, pairs, and the rows that it keeps."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.couplings.paired import Paired
from interpolants.fields.learned import LearnedFields
from interpolants.foundations import trees
from interpolants.framework.frames import Frame, widened
from interpolants.framework.stages import Run
from interpolants.methods.bridge.densities import FramedDensity
from interpolants.methods.bridge.fitting import encoded, learn
from interpolants.methods.bridge.held_out import Ends
from interpolants.methods.bridge.settings import BridgeSettings
from interpolants.methods.parts.start_points import Pool
from interpolants.paths.path import Path

# Rows at which code of a user's own is compared with that of the fit.
_PROBES = 8


class FittedBridge(BridgeSettings):
    """What a bridge has learnt, in ``state``: network, path, units, rows of both ends, and what stands for rho0.

    ``net`` and ``path`` make the fields, in units of ``frame``. ``pool0`` and ``pool1`` are the rows that it learnt
    from, ``held`` those that it did not see; ``coupling`` how they were paired, where the data had it. ``density0`` is
    that which was given with x0, ``leg`` a bridge that learnt it. ``eps_choice`` is made later.
    """

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """See :mod:`interpolants.methods.bridge.fitting`."""
        return learn(self, data, run)

    @property
    def fields(self) -> LearnedFields:
        """The learnt fields, in the network's (standardised) units.

        Raises:
            InvalidInputError: If the bridge is not fitted.
        """
        net, path = self.fitted_state("fields")["net"], self.state["path"]
        if len(self.heads) > 1:
            return LearnedFields(path, joint=net, heads=self.heads)
        given: dict[str, Any] = {self.heads[0]: net}
        return LearnedFields(path, mean1=self.state["pool1"].x.mean(0), **given)

    @property
    def network(self) -> nn.Module:
        """The trained network, as the fields call it."""
        found: nn.Module = self.fitted_state("network")["net"]
        return found

    @property
    def fitted_path(self) -> Path:
        """The path, fitted to the data where it is one that is."""
        found: Path = self.fitted_state("fitted_path")["path"]
        return found

    @property
    def frame(self) -> Frame:
        """The map from data units to those of the network, which has no constant columns."""
        found: Frame = self.fitted_state("frame")["frame"]
        return found

    @property
    def pairing(self) -> Any:
        """How x0 and x1 were paired while training: as was asked for, or as the data had it."""
        found = self.state.get("coupling") if self.is_fitted else None
        return self.coupling if found is None else found

    @property
    def field_shape(self) -> tuple[int, ...]:
        """Event shape of the fields: that of the data, without constant columns."""
        pool: Pool = self.fitted_state("field_shape")["pool1"]
        return tuple(pool.x.shape[1:])

    @property
    def shape(self) -> tuple[int, ...]:
        """Event shape; empty before ``fit``."""
        return self.shapes.get("x1", ())

    def set_aside(self) -> dict[str, int]:
        """Rows of each end that were held out: the best weights are chosen by them."""
        held = self.held_out_rows
        ends = {} if held is None else {"x0": held.x0, "x1": held.x1}
        return {role: len(rows) for role, rows in ends.items() if rows is not None}

    @property
    def held_out_rows(self) -> Ends | None:
        """The rows that training did not see, in the network's units, if any were set aside."""
        found: Ends | None = self.fitted_state("held_out_rows")["held"]
        return found

    @property
    def classes(self) -> int:
        """Number of labels the bridge was conditioned on; 0 for none, or for conditions that are no labels."""
        given = self.given.get("cond")
        return len(given.columns) if given is not None and given.container == "labels" else 0

    @property
    def is_conditional(self) -> bool:
        """Whether it was fitted with a condition."""
        return "cond" in self.given

    def training_rows(self, n: int) -> tuple[Tensor, Tensor | None]:
        """At most ``n`` rows of rho1 that it was trained on, in data units, and their conditions."""
        pool: Pool = self.fitted_state("training_rows")["pool1"]
        return self.frame.decode(pool.x[:n]), None if pool.cond is None else pool.cond[:n]

    def rows_like_fit(self, what: str, values: Mapping[str, Any]) -> Ends:
        """Rows that are read like those of the fit, in the network's units; weighted rows become equally weighted."""
        endpoints = Ends.of(self.read_like_fit(what, values))
        return encoded(endpoints.evened(self.seed, paired=isinstance(self.pairing, Paired)), self.frame)

    def density0(self) -> Any:
        """The density of rho0 in the network's units; None where there is none yet."""
        if self.state["path"].base is not None:
            return self.state["path"].base
        found = self.state["density0"] if self.state["density0"] is not None else self.state["leg"]
        return None if found is None else FramedDensity(found, self.frame)

    def encoded(self, x: Tensor) -> Tensor:
        """States in data units as the network sees them, float32."""
        return self.frame.encode(x).float()

    def decoded(self, x: Tensor) -> Tensor:
        """States of the network in data units, in float64 where the data were."""
        return self.frame.decode(widened(x, self.given["x1"].torch_dtype))

    def probe(self) -> Tensor | None:
        """The velocity at a few rows of the training; None where the network or the path was not passed again."""
        net, path, pool = (self.state[name] for name in ("net", "path", "pool1"))
        if trees.misses_code([net, path]):
            return None
        rows, cond = pool.x[:_PROBES], None if pool.cond is None else pool.cond[:_PROBES]
        t = torch.full((len(rows),), 0.5)
        return self.fields.evaluate(rows, t, ("velocity",), cond)["velocity"]
