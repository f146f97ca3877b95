"""One model of K densities: every path between them across the simplex, chosen after training.

Letters: ``x_k ~ rho_k``; ``alpha`` on the simplex; ``x_alpha = sum_k alpha_k x_k + gamma(alpha) z``;
``g_k(alpha, x) = E[x_k | x_alpha = x]``; ``eta(alpha, x) = E[z | x_alpha = x]``; a dot is a rate along a route.

Source: Albergo, Boffi, Lindsey & Vanden-Eijnden (2023), arXiv:2310.03695; the latent term gamma z is ours.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Generator, Tensor, nn

from interpolants.couplings.paired import Paired
from interpolants.couplings.pairs import UnfittedCoupling
from interpolants.dynamics.sample import sample
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Check, Count, NonNegative, Share
from interpolants.foundations.ops import sum_event
from interpolants.foundations.randomness import generator as seeded
from interpolants.framework.capabilities import capability
from interpolants.framework.frames import Standard
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.generative.multimarginal.route_fields import RouteFields
from interpolants.generative.multimarginal.routes import check_simplex, choose_route
from interpolants.generative.multimarginal.simplex_learning import (
    SimplexBatches,
    SimplexLoss,
    SimplexNet,
    blend,
)
from interpolants.methods.parts.choices import choose_coupling
from interpolants.methods.parts.columns import warn_about_columns, warn_about_noise, warn_about_units
from interpolants.methods.parts.learning import in_one_precision
from interpolants.methods.parts.start_points import Pool
from interpolants.training.pairs import finished

_COST_ROWS = 2000


def _coupling(who: str, coupling: Any) -> Any:
    """A coupling without a fit, from its id, its table or itself."""
    found = choose_coupling(who, coupling)
    if isinstance(found, UnfittedCoupling):
        rule = "the coupling must need no fit: it pairs every density"
        raise invalid(who, rule, type(found).__name__, "For example, use 'minibatch_ot' or 'sinkhorn'.")
    return found


class Multimarginal(Trained):
    """Learn K densities at once; go from any to any, along any route across the simplex, after training.

    ::

        bridge = Multimarginal(densities=3, latent=0.5).fit(x0, x1, x2)
        y = bridge.transport(x0_new, source=0, target=2)                  # along the edge
        y = bridge.transport(x0_new, source=0, target=2, route="barycentre")
        y = bridge.transport(x0_new, source=0, target=2, eps=0.5, seed=1)  # SDE, with latent noise

    K squared maps cost one network with K heads. The distribution at a point inside the simplex mixes all K densities;
    at a vertex it is one of them, whatever route led there.

    Raises:
        InvalidInputError: If a setting is unknown or out of range.

    Source: Albergo, Boffi, Lindsey & Vanden-Eijnden (2023), arXiv:2310.03695.
    """

    noun: ClassVar[str] = "bridge"
    former: ClassVar[Mapping[str, str]] = {
        "summary": "Use cost(source, target) and the columns of history.",
        "size": "Use densities.",
    }

    densities: Annotated[int, Ge(2)] = 2
    """Number K of densities; ``fit`` takes ``x0`` to ``x{K-1}``."""
    latent: NonNegative = 0.0
    """Scale a of the latent noise ``gamma^2 = a (1 - |alpha|^2) / 2``, in data units squared. At zero the ODE is all
    there is, and one head less is learnt."""
    coupling: Annotated[Any, Check(_coupling)] = "independent"
    """How each density is paired with the next: ``"independent"``, ``"minibatch_ot"``, ``"paired"`` (rows belong
    together), a table or a coupling."""
    edge_share: Share = 0.5
    """Share of the training points that lie on an edge; the others fill the simplex."""
    net: Any = "auto"
    """``"auto"``, a card's id, a table, or an ``nn.Module`` called as ``net(x, alpha)``, giving ``(B, H, *D)``: K
    heads, and one more with latent noise."""
    standardize: bool = True
    """Give the network inputs and means of order one: counted from the mean of all densities and in their standard
    deviation, by column for tables, overall for images. All else, ``latent`` and ``eps`` too, stays in data units. A
    network of your own sees these."""

    def roles(self) -> tuple[Role, ...]:
        """Samples of every density."""
        axis = "row" if isinstance(self.coupling, Paired) else ""
        names = [f"x{k}" for k in range(self.densities)]
        return tuple(
            Role(name=n, axis=axis or n, like="x0" if n != "x0" else "", about="samples") for n in names
        )

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """All heads at once."""
        data = in_one_precision("Multimarginal.fit", data)
        sets = [data[role.name] for role in self.roles()]
        shape, heads, net = tuple(sets[0].shape[1:]), len(sets) + (self.latent > 0), self.net
        units = self._units(torch.cat(sets))
        if not isinstance(net, nn.Module):
            net = SimplexNet(net, shape, len(sets), heads, seed=self.seed, **units).to(sets[0].dtype)
        batches = SimplexBatches(sets, self.batch_size, self.coupling, self.edge_share)
        loss = SimplexLoss(self.latent, units.get("scale", (1.0,)))
        result = run.train("heads", net, loss, batches, self.training())
        kept = [
            Pool.of(x, None, self.seed).x for x in sets
        ]  # of one size the same rows, so that pairs stay pairs
        return {"net": finished(net, result, prefix=""), "rows": kept}

    def _units(self, rows: Tensor) -> dict[str, Any]:
        """Units of the network over all densities: one that hardly varies in one of them does in another."""
        columns = self.columns("x0")
        warn_about_columns("Multimarginal.fit", "the samples", rows, columns, density=False)
        if not self.standardize or isinstance(self.net, nn.Module):
            warn_about_units("Multimarginal.fit", "the samples", rows)
            return {}
        found = Standard().fit(rows)
        shift, scale = (torch.as_tensor(part).reshape(-1).tolist() for part in (found.shift, found.scale))
        noise = 0.5 * math.sqrt(self.latent)  # gamma in the middle of an edge
        warn_about_noise("Multimarginal.fit", "the samples", rows, noise, "latent", columns)
        return {"shift": shift, "scale": scale, "noise": noise}

    def fields(self, source: int = 0, target: int = -1, route: Any = "straight") -> RouteFields:
        """The fields along a route, for samplers and likelihoods.

        Args:
            source: Density at t = 0.
            target: Density at t = 1.
            route: See :func:`interpolants.generative.multimarginal.routes.choose_route`.
        """
        way = choose_route(route, source, target, self.densities)
        return RouteFields(self.fitted_state("fields")["net"], way, self.latent)

    # --- capabilities

    @capability(like="x0")
    def sample(
        self,
        n: Count,
        *,
        source: int = 0,
        target: int = -1,
        route: Any = "straight",
        eps: Any = 0.0,
        n_steps: int = 100,
        seed: int = 0,
        first_index: int = 0,
    ) -> Any:
        """Draw samples of a density: stored rows of another one, carried over.

        Args:
            n: Number of samples.
            source: Density that they start from.
            target: Density that they belong to.
            route: As in :meth:`transport`.
            eps: As in :meth:`transport`.
            n_steps: As in :meth:`transport`.
            seed: Seed of the starts and of the noise.
            first_index: Index of the first sample in a larger job, so that parts agree with the whole.
        """
        fields = self.fields(source, target, route)
        start = Pool(self.state["rows"][fields.route.source]).draw(n, seed, first_index)
        options = {"n_steps": n_steps, "first_index": first_index}
        return sample(fields, start, eps=eps, seed=seed, **options).x  # type: ignore[arg-type]

    @capability(reads={"x": "x0"}, like="x")
    def transport(
        self,
        x: Tensor,
        *,
        source: int = 0,
        target: int = -1,
        route: Any = "straight",
        reverse: bool = False,
        eps: Any = 0.0,
        seed: int = 0,
        n_steps: int = 100,
        method: str | None = None,
        time_grid: Any = "auto",
        start: float = 0.0,
        stop: float = 1.0,
    ) -> Tensor:
        """Carry points of one density to another.

        Args:
            x: Points ``(n, *D)`` of density ``source`` (of ``target`` when ``reverse``).
            source: Where the route begins.
            target: Where it ends.
            route: See :func:`interpolants.generative.multimarginal.routes.choose_route`.
            reverse: Run the route backwards.
            eps: Noise level; above zero it needs ``latent > 0``.
            seed: Seed of the noise.
            n_steps: Steps of the solver.
            method: The solver; see :func:`interpolants.dynamics.sample.sample`.
            time_grid: Its times.
            start: First time, to begin inside.
            stop: Last time, to end inside.
        """
        fields = self.fields(source, target, route)
        return sample(
            fields,
            x.to(self.state["rows"][0].dtype),
            eps=eps,
            reverse=reverse,
            seed=seed,
            n_steps=n_steps,
            method=method,
            time_grid=time_grid,
            start=start,
            stop=stop,
        ).x

    def transport_all(self, x: Tensor, source: int = 0, **options: Any) -> Tensor:
        """The correspondents of ``x (n, *D)`` in all densities, ``(n, K, *D)``; its own place holds ``x``.

        Args:
            x: Points of density ``source``.
            source: Their density.
            options: As in :meth:`transport`.
        """
        own = source % self.densities
        each = range(self.densities)
        parts = [x if k == own else self.transport(x, source=source, target=k, **options) for k in each]
        return torch.stack(parts, 1)

    # --- draws and numbers from the stored rows

    def ends(self, rows: int, source: Generator) -> Tensor:
        """Draw coupled rows of all densities from the stored ones, ``(rows, K, *D)``."""
        kept = self.fitted_state("ends")["rows"]
        return SimplexBatches(kept, rows, self.coupling, self.edge_share).ends(rows, source)

    def interpolate(self, alpha: Any, n: int, *, seed: int = 0) -> Tensor:
        """Draw ``n`` states ``x_alpha`` from the data themselves; nothing learnt is used.

        Args:
            alpha: A point of the simplex, ``(K,)``.
            n: Number of draws.
            seed: Seed of the rows and of the latent noise.
        """
        who, point = "Multimarginal.interpolate", torch.as_tensor(alpha, dtype=torch.float64)
        if point.shape != (self.densities,):
            raise invalid(who, f"alpha must have shape ({self.densities},)", tuple(point.shape))
        check_simplex(who, point)
        source = seeded(seed, "barycentre")
        ends = self.ends(n, source)
        return self._blended(point.expand(len(ends), -1), ends, source)

    @torch.no_grad()
    def cost(
        self,
        source: int = 0,
        target: int = -1,
        route: Any = "straight",
        *,
        n: int = _COST_ROWS,
        seed: int = 0,
    ) -> float:
        """Kinetic energy of the flow along a route, ``int E|b|^2 dt``, from draws of the data.

        Never below the squared W2 distance of the two densities, apart from errors of learning.
        """
        return float(self.energy(self.fields(source, target, route), n, seeded(seed, "route cost")))

    def energy(self, fields: RouteFields, n: int, source: Generator) -> Tensor:
        """``int E|b|^2 dt`` of fields along a route, from ``n`` draws of the data; differentiable in the route."""
        ends = self.ends(n, source)
        n = len(ends)
        t = (torch.randperm(n, generator=source) + torch.rand(n, generator=source)) / n
        x = self._blended(fields.route.alpha(t), ends, source)
        return sum_event(fields.evaluate(x, t, ("velocity",))["velocity"].square()).mean()

    def _blended(self, alpha: Tensor, ends: Tensor, source: Generator) -> Tensor:
        z = torch.randn(ends[:, 0].shape, dtype=ends.dtype, generator=source)
        return blend(alpha, ends, self.latent, z)
