"""One model of K densities: every path between them across the simplex, chosen after training.

Letters: ``x_k ~ rho_k``; ``alpha`` on the simplex; ``x_alpha = sum_k alpha_k x_k + gamma(alpha) z``;
``g_k(alpha, x) = E[x_k | x_alpha = x]``; ``eta(alpha, x) = E[z | x_alpha = x]``; a dot is a rate along a route.

Source: Albergo, Boffi, Lindsey & Vanden-Eijnden (2023), arXiv:2310.03695; the latent term gamma z is ours.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Generator, Tensor, nn

from interpolants.couplings.paired import Paired
from interpolants.couplings.pairs import UnfittedCoupling
from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import QUANTITIES, Fields
from interpolants.foundations.errors import NotIdentifiableError, invalid, nearest
from interpolants.foundations.ops import expand_like, sum_event
from interpolants.foundations.randomness import generator as seeded
from interpolants.foundations.types import Condition
from interpolants.methods.flow_settings import check_samples, choose_coupling, train_settings
from interpolants.methods.simplex import Route, RoutePath, check_simplex, choose_route, latent_variance
from interpolants.nets.build import choose_net
from interpolants.nets.embeddings import FourierTime
from interpolants.training.engine import FitResult, fit
from interpolants.training.pairs import finished

_COST_ROWS = 2000
SimplexField = Callable[[Tensor, Tensor], Tensor]


class RouteFields(Fields):
    """The fields along a route, ``b = sum_k alpha_k' g_k + gamma' eta``, from heads that know the whole simplex.

    Args:
        function: ``(x (B, *D), alpha (B, K)) -> (B, H, *D)``: ``g_1 ... g_K``, and eta when ``scale > 0``.
        route: The route.
        scale: a of the latent noise, >= 0.
        margin: Times are clipped to ``[margin, 1 - margin]`` where gamma divides.
    """

    path: RoutePath

    def __init__(
        self, function: SimplexField, route: Route, scale: float = 0.0, margin: float = 1e-4
    ) -> None:
        self.function, self.route, self.scale, self.margin = function, route, scale, margin
        self.path = RoutePath(route, scale)

    @property
    def known(self) -> tuple[str, ...]:
        """What the heads give."""
        return ("mean_rate", "endpoint0", "denoised", *(("noise",) if self.scale else ()))

    @property
    def networks(self) -> list[nn.Module]:
        """The network, if there is one."""
        return [self.function] if isinstance(self.function, nn.Module) else []

    @property
    def bounded_quantity(self) -> str:
        """The noise, which stays finite at the vertices."""
        return "noise"

    def provides(self, quantity: str) -> bool:
        """All quantities with latent noise; without it neither score nor noise."""
        if quantity not in QUANTITIES:
            raise invalid(
                "Fields", "the quantity must be known", repr(quantity), nearest(quantity, QUANTITIES)
            )
        return self.scale > 0 or quantity not in ("score", "noise")

    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        """The wanted quantities at ``x (B, *D)`` and ``t`` 0-d or ``(B,)``; the heads are evaluated once."""
        heads = self.function(x, self.route.alpha(t).to(x.dtype).expand(len(x), -1))
        return {name: self._quantity(name, heads, x, t) for name in want}

    def _quantity(self, name: str, heads: Tensor, x: Tensor, t: Tensor) -> Tensor:
        if not self.provides(name):
            remedy = "Fit with latent > 0, or run the ODE (eps=0)."
            raise NotIdentifiableError(f"Multimarginal: {name} needs latent noise. {remedy}")
        if name in ("endpoint0", "denoised"):
            return heads[:, self.route.source if name == "endpoint0" else self.route.target]
        if name == "noise":
            return heads[:, -1]
        inside = t.clamp(self.margin, 1 - self.margin)
        if name == "score":
            return -heads[:, -1] / self._wide(self.path.envelope.gamma(inside), x)
        rate = self.route.alpha_dot(t).to(x.dtype).reshape(-1, self.route.size, *(1,) * (x.ndim - 1))
        # Not a matrix product: its last bits would depend on the batch, and so would a sample.
        mean_rate = (rate * heads[:, : self.route.size]).sum(1)
        if name == "mean_rate" or not self.scale:
            return mean_rate
        return mean_rate + self._wide(self.path.envelope.gamma_dot(inside), x) * heads[:, -1]

    @staticmethod
    def _wide(value: Tensor, x: Tensor) -> Tensor:
        return expand_like(value.to(x.dtype), x)


class SimplexNet(nn.Module):
    """A network of (x, t, condition) as one of (x, alpha): alpha and its Fourier features are the condition.

    Args:
        net: As in :func:`interpolants.nets.build.choose_net`, by name or table.
        shape: Event shape.
        size: K.
        heads: Number of outputs.
        features: Fourier features of each entry of alpha, even.
        seed: Seed of the weights.
    """

    def __init__(
        self, net: Any, shape: tuple[int, ...], size: int, heads: int, features: int = 8, seed: int = 0
    ) -> None:
        super().__init__()
        self.features = FourierTime(features, high=4.0)
        settings = {"kind": net} if isinstance(net, str) else dict(net)
        like = torch.zeros(1, size * (1 + features))
        self.net = choose_net({"time_features": 0, **settings}, shape, heads, like, seed, who="Multimarginal")

    def forward(self, x: Tensor, alpha: Tensor) -> Tensor:
        """``x (B, *D)``, ``alpha (B, K)`` -> ``(B, H, *D)``."""
        known = torch.cat([alpha, self.features(alpha).to(alpha.dtype).flatten(1)], 1)
        heads: Tensor = self.net(x, alpha.new_zeros(()), known)
        return heads


class SimplexBatches:
    """The batch of a step: one row of every density, coupled in a chain, and a point of the simplex.

    Args:
        densities: K sample sets ``(N_k, *D)``.
        size: Rows per step, over all processes.
        coupling: Pairs each density with the next one.
        edge_share: Share of the points that lie on a random edge.
    """

    def __init__(self, densities: Sequence[Tensor], size: int, coupling: Any, edge_share: float) -> None:
        self.densities, self.size = list(densities), size
        self.coupling, self.edge_share = coupling, edge_share

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> dict[str, Tensor]:
        """The share of this process: ``ends (B, K, *D)`` and ``alpha (B, K)``."""
        ends = self.ends(max(1, self.size // world), generator)
        alpha = simplex_points(len(ends), len(self.densities), self.edge_share, generator)
        return {"ends": ends, "alpha": alpha.to(ends)}

    def ends(self, rows: int, generator: Generator) -> Tensor:
        """Coupled rows of all densities, ``(B, K, *D)``."""
        if isinstance(self.coupling, Paired):
            pick = torch.randint(len(self.densities[0]), (rows,), generator=generator)
            return torch.stack([x[pick] for x in self.densities], 1)
        drawn = [x[torch.randint(len(x), (rows,), generator=generator)] for x in self.densities]
        chain = drawn[:1]
        for fresh in drawn[1:]:
            pairs = self.coupling.pair(chain[-1], fresh, generator=generator)
            chain = [*(x[pairs.index0] for x in chain), pairs.x1]
        return torch.stack(chain, 1)


def simplex_points(n: int, size: int, edge_share: float, generator: Generator | None) -> Tensor:
    """Points ``(n, K)``: uniform on the simplex, or with chance ``edge_share`` uniform on one of its edges."""
    inside = -torch.rand(n, size, generator=generator).clamp_min(1e-30).log()
    inside = inside / inside.sum(1, keepdim=True)
    pair = torch.rand(n, size, generator=generator).argsort(1)[:, :2]
    u = torch.rand(n, 1, generator=generator)
    edge = torch.zeros(n, size).scatter_(1, pair, torch.cat([u, 1 - u], 1))
    on_edge = torch.rand(n, 1, generator=generator) < edge_share
    return torch.where(on_edge, edge, inside)


def blend(alpha: Tensor, ends: Tensor, scale: float = 0.0, z: Tensor | None = None) -> Tensor:
    """``x_alpha = sum_k alpha_k x_k + gamma z``; ``alpha (B, K)``, ``ends (B, K, *D)`` -> ``(B, *D)``."""
    mean = torch.einsum("bk,bk...->b...", alpha.to(ends), ends)
    if not scale:
        return mean
    assert z is not None
    return mean + expand_like(latent_variance(alpha, scale).sqrt().to(ends), mean) * z


class SimplexLoss:
    """``|g_k - x_k|^2`` for every density, and ``|eta - z|^2`` with latent noise; per sample and by name.

    Args:
        scale: a of the latent noise.
    """

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, net: Any, batch: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        """Losses ``(B,)`` of a batch."""
        ends, alpha = batch["ends"], batch["alpha"]
        z = torch.randn(ends[:, 0].shape, dtype=ends.dtype, device=ends.device, generator=generator)
        heads = net(blend(alpha, ends, self.scale, z), alpha)
        losses = {f"g{k}": sum_event((heads[:, k] - ends[:, k]).square()) for k in range(ends.shape[1])}
        return losses | ({"noise": sum_event((heads[:, -1] - z).square())} if self.scale else {})


class Multimarginal:
    """Learn K densities at once; go from any to any, along any route across the simplex, after training.

    ::

        bridge = Multimarginal(latent=0.5).fit(x0, x1, x2)
        y = bridge.transport(x0_new, source=0, target=2)                  # along the edge
        y = bridge.transport(x0_new, source=0, target=2, route="barycentre")
        y = bridge.transport(x0_new, source=0, target=2, eps=0.5, seed=1)  # SDE, with latent noise

    K squared maps cost one network with K heads. The law at a point inside the simplex mixes all K densities; at a
    vertex it is one of them, whatever route led there. States should be of order one.

    Args:
        latent: a of the latent noise ``gamma^2 = a (1 - |alpha|^2) / 2``, in data units squared, >= 0. At zero the ODE
            is all there is, and one head less is learnt.
        coupling: How each density is paired with the next: ``"independent"``, ``"minibatch_ot"``, ``"paired"`` (rows
            belong together), a table or a coupling.
        edge_share: Share of the training points that lie on an edge, in [0, 1]; the others fill the simplex.
        net: ``"auto"``, a card's id, a table, or an ``nn.Module`` called as ``net(x, alpha)``, giving ``(B, H, *D)``
            with ``H = K`` heads, and one more with latent noise.
        seed: Seed of weights and training, >= 0.
        train: Settings of the training loop, a table over our defaults or ``TrainSettings``.

    Attributes:
        net: The trained network, after ``fit``.
        result: Its training.

    Raises:
        InvalidInputError: If a setting is unknown or out of range.

    Source: Albergo, Boffi, Lindsey & Vanden-Eijnden (2023), arXiv:2310.03695.
    """

    def __init__(
        self,
        *,
        latent: float = 0.0,
        coupling: Any = "independent",
        edge_share: float = 0.5,
        net: Any = "auto",
        seed: int = 0,
        train: Any = None,
    ) -> None:
        if not (math.isfinite(latent) and latent >= 0):
            raise invalid("Multimarginal", "latent must be finite and >= 0", latent)
        if not 0 <= edge_share <= 1:
            raise invalid("Multimarginal", "edge_share must lie in [0, 1]", edge_share)
        self.latent, self.edge_share, self.seed = float(latent), edge_share, seed
        self.coupling = choose_coupling(coupling, "Multimarginal")
        if isinstance(self.coupling, UnfittedCoupling):
            rule, found = (
                "the coupling must need no fit: it pairs every density",
                type(self.coupling).__name__,
            )
            raise invalid("Multimarginal", rule, found, "E.g. 'minibatch_ot' or 'sinkhorn'.")
        self.settings = train_settings(train, seed, "Multimarginal")
        self._asked = net
        self.net: Any = None
        self.result: FitResult | None = None
        self._batches: SimplexBatches | None = None

    def fit(self, *densities: Tensor, progress: bool = False) -> Self:
        """Learn from K >= 2 sample sets.

        Args:
            densities: ``x0, x1, ...``, each ``(N_k, *D)``, floating point and finite, of one event shape.
            progress: Show a progress bar.

        Raises:
            InvalidInputError: If the sets do not fit each other.
        """
        _check_densities(densities, paired=isinstance(self.coupling, Paired))
        size, shape = len(densities), tuple(densities[0].shape[1:])
        heads = size + (self.latent > 0)
        given = isinstance(self._asked, nn.Module)
        net = self._asked
        if not given:
            net = SimplexNet(net, shape, size, heads, seed=self.seed).to(densities[0].dtype)
        self._batches = SimplexBatches(densities, self.settings.batch_size, self.coupling, self.edge_share)
        self.result = fit(net, SimplexLoss(self.latent), self._batches, self.settings, progress=progress)
        self.net = finished(net, self.result, prefix="")
        return self

    @property
    def size(self) -> int:
        """K."""
        return len(self._fitted().densities)

    def fields(self, source: int = 0, target: int = -1, route: Any = "straight") -> RouteFields:
        """The fields along a route, for samplers and likelihoods.

        Args:
            source: Density at t = 0.
            target: Density at t = 1.
            route: See :func:`interpolants.methods.simplex.choose_route`.
        """
        return RouteFields(self.net, choose_route(route, source, target, self.size), self.latent)

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
        **options: Any,
    ) -> Tensor:
        """Carry points of one density to another.

        Args:
            x: Points ``(n, *D)`` of density ``source`` (of ``target`` when ``reverse``).
            source: Where the route begins.
            target: Where it ends.
            route: See :func:`interpolants.methods.simplex.choose_route`.
            reverse: Run the route backwards.
            eps: Noise level; above zero it needs ``latent > 0``.
            seed: Seed of the noise.
            options: What ``dynamics.sample`` takes: ``n_steps``, ``method``, ``stop`` (to end inside) ...
        """
        fields = self.fields(source, target, route)
        return sample(fields, x, eps=eps, reverse=reverse, seed=seed, **options).x

    def transport_all(self, x: Tensor, source: int = 0, **options: Any) -> Tensor:
        """The correspondents of ``x (n, *D)`` in all densities, ``(n, K, *D)``; its own place holds ``x``."""
        parts = [
            x if k == source % self.size else self.transport(x, source=source, target=k, **options)
            for k in range(self.size)
        ]
        return torch.stack(parts, 1)

    def interpolate(self, alpha: Any, n: int, *, seed: int = 0) -> Tensor:
        """Draw ``n`` states ``x_alpha`` from the data themselves; nothing learnt is used.

        Args:
            alpha: A point of the simplex, ``(K,)``.
            n: Number of draws.
            seed: Seed of the rows and of the latent noise.
        """
        batches = self._fitted()
        point = torch.as_tensor(alpha, dtype=torch.float64)
        if point.shape != (self.size,):
            raise invalid(
                "Multimarginal.interpolate", f"alpha must have shape ({self.size},)", tuple(point.shape)
            )
        check_simplex("Multimarginal.interpolate", point)
        source = seeded(seed, "barycentre")
        ends = batches.ends(n, source)
        z = torch.randn(ends[:, 0].shape, dtype=ends.dtype, generator=source)
        return blend(point.expand(len(ends), -1), ends, self.latent, z)

    def ends(self, rows: int, generator: Generator) -> Tensor:
        """Draw coupled rows of all densities from the data, ``(rows, K, *D)``."""
        return self._fitted().ends(rows, generator)

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
        fields = self.fields(source, target, route)
        generator = seeded(seed, "route cost")
        ends = self._fitted().ends(n, generator)
        t = (
            torch.randperm(len(ends), generator=generator) + torch.rand(len(ends), generator=generator)
        ) / len(ends)
        z = torch.randn(ends[:, 0].shape, dtype=ends.dtype, generator=generator)
        alpha = fields.route.alpha(t)
        x = blend(alpha, ends, self.latent, z)
        return float(sum_event(fields.evaluate(x, t, ("velocity",))["velocity"].square()).mean())

    def summary(self) -> dict[str, float]:
        """Losses of the last logged step, and the cost of every edge."""
        self._fitted()
        assert self.result is not None
        last = self.result.history[-1]
        losses = {f"loss_{name}": float(last[name]) for name in last if name[0] == "g" and name[1:].isdigit()}
        pairs = [(i, j) for i in range(self.size) for j in range(i + 1, self.size)]
        return losses | {f"cost_{i}_{j}": self.cost(i, j) for i, j in pairs}

    def _fitted(self) -> SimplexBatches:
        if self._batches is None or self.net is None:
            raise invalid(
                "Multimarginal", "it must be fitted", "one that is not", "Call fit(x0, x1, ...) first."
            )
        return self._batches


def _check_densities(densities: Sequence[Tensor], *, paired: bool) -> None:
    who = "Multimarginal.fit"
    if len(densities) < 2:
        raise invalid(who, "there must be at least two densities", len(densities), "Call fit(x0, x1, ...).")
    for k, x in enumerate(densities):
        check_samples(who, f"x{k}", x)
        if x.shape[1:] != densities[0].shape[1:] or x.dtype != densities[0].dtype:
            rule = f"all sets must have the event shape and type of x0, {tuple(densities[0].shape[1:])}"
            raise invalid(who, rule, f"x{k}: {tuple(x.shape[1:])}, {x.dtype}")
        if paired and len(x) != len(densities[0]):
            raise invalid(
                who, "a paired coupling needs sets of one size", f"{len(x)} and {len(densities[0])}"
            )
