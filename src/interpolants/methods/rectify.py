"""Rectification: train again on the pairs that a flow makes, which keeps its map and straightens its way.

Letters: ``X_1(x)`` where the flow carries x from t = 0 to t = 1; ``alpha, beta`` coefficients of the path.
"""

import copy
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from interpolants.couplings.paired import Paired
from interpolants.couplings.pairs import Pairs
from interpolants.couplings.reflow import Reflow
from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator as seeded
from interpolants.methods.flow_settings import check_ends, choose_coupling, flow_path, train_settings
from interpolants.methods.straightness import Straightness, straightness
from interpolants.nets.potential import Potential
from interpolants.paths.envelopes import ZeroEnvelope
from interpolants.paths.linear import Linear, OneSidedLinear
from interpolants.paths.path import Path, SpatiallyLinearPath
from interpolants.paths.trigonometric import OneSidedTrigonometric, Trigonometric
from interpolants.training.pairs import Learnt, learn_fields
from interpolants.training.settings import TrainSettings

STARTS = ("forward", "backward", "both")
_CHECK_ROWS = 1000


@dataclass(frozen=True)
class Rectified:
    """One round of rectification.

    Attributes:
        pairs: What it was trained on, ends made by the flow before.
        learnt: The new flow: its fields, network and training.
    """

    pairs: Pairs
    learnt: Learnt


def rectify(
    fields: Fields,
    x0: Tensor | None = None,
    x1: Tensor | None = None,
    *,
    path: Any = "linear",
    net: Any = "auto",
    settings: TrainSettings | None = None,
    n_steps: int = 100,
    method: str = "heun",
    progress: bool = False,
) -> Rectified:
    """Make pairs with a flow, store them, and learn the velocity of ``x_t = alpha x0 + beta X_1(x0)``.

    Args:
        fields: The flow so far, learnt or exact.
        x0: Start points ``(N0, *D)`` that the flow carries up to t = 1.
        x1: End points ``(N1, *D)`` that it carries down to t = 0; with both, the pairs are joined.
        path: Spatially linear path of the new flow; its latent noise or Gaussian base is left out.
        net: Network of the new flow; an ``nn.Module`` is trained in place.
        settings: Settings of the training loop.
        n_steps: Steps of the flow that makes the pairs.
        method: Its solver.
        progress: Show a progress bar.

    Raises:
        InvalidInputError: If there is nothing to start from, or the path is not spatially linear.

    Source: Liu, Gong & Liu (2022), arXiv:2209.03003; with interpolants: Albergo, Boffi & Vanden-Eijnden (2023),
    arXiv:2303.08797, section 5.4.
    """
    made = []
    for x, reverse in ((x0, False), (x1, True)):
        if x is not None:
            made.append(_pairs(fields, x, reverse, n_steps, method))
    if not made:
        raise invalid("rectify", "start points must be given", "None", "Pass x0=, x1= or both.")
    pairs = made[0] if len(made) == 1 else _joined(*made)
    plain = plain_path(flow_path(path, "rectify"))
    learnt = learn_fields(
        plain,
        pairs.x0,
        pairs.x1,
        heads=("velocity",),
        net=net,
        coupling=Paired(),
        settings=settings,
        progress=progress,
    )
    return Rectified(pairs, learnt)


def one_step(fields: Fields, x: Tensor, *, reverse: bool = False) -> Tensor:
    """The map of a rectified flow by one evaluation at an end.

    There the start is known, so ``b(0, x) = alpha'(0) x + beta'(0) X_1(x)``, and likewise
    ``b(1, x) = alpha'(1) X_0(x) + beta'(1) x``. Exact whatever the shape of the trajectories between; wrong for a flow
    that was not rectified, where it gives the mean of all ends.

    Args:
        fields: A rectified flow with its path.
        x: States ``(B, *D)`` at t = 0, or at t = 1 when ``reverse``.
        reverse: Whether to go from t = 1 to t = 0.

    Raises:
        InvalidInputError: If the fields have no spatially linear path.
    """
    path = fields.path
    if not isinstance(path, SpatiallyLinearPath):
        raise invalid("one_step", "the path must be spatially linear", type(path).__name__)
    t = torch.tensor(1.0 if reverse else 0.0, dtype=x.dtype, device=x.device)
    alpha_dot, beta_dot = path.alpha_dot(t), path.beta_dot(t)
    with torch.no_grad():
        velocity = fields.velocity(x, t)
    end: Tensor = (velocity - beta_dot * x) / alpha_dot if reverse else (velocity - alpha_dot * x) / beta_dot
    return end


def plain_path(path: Path) -> Path:
    """The path with the same alpha and beta, two free ends and no latent noise.

    Raises:
        InvalidInputError: If there is none: the path is not spatially linear, or its base cannot be set free.
    """
    if isinstance(path, OneSidedLinear):
        return Linear(envelope=ZeroEnvelope())
    if isinstance(path, OneSidedTrigonometric):
        return Trigonometric(envelope=ZeroEnvelope())
    if not isinstance(path, SpatiallyLinearPath) or path.is_one_sided or path.is_static:
        raise invalid("rectify", "the path must be spatially linear with two ends", type(path).__name__)
    if path.envelope.is_zero:
        return path
    plain: Path = replace(path, envelope=ZeroEnvelope())  # type: ignore[type-var]  # all of them are dataclasses
    return plain


class Rectification:
    """Learn a flow between two sample sets, then rectify it some times.

    ::

        bridge = Rectification(path="linear", rounds=1).fit(x0, x1)
        y = bridge.transport(x0_new, one_step=True)      # one evaluation of the network
        bridge.summary()                                 # cost and curvature of every round

    Round k trains on pairs made by the flow of round k - 1 and starts from its weights. The map stays the same up to
    errors of training; cost never grows, and curvature falls. With ``gradient`` velocities are gradients of a
    potential, and iterating tends to the optimal transport map of squared distance.

    Args:
        path: The interpolant: a name, a table or a ``Path`` with finite velocity at the ends. A name without an
            envelope means ``gamma = 0``. A one-sided path (x0 may then be None) is used for the first flow only.
        rounds: Rectifications, >= 1.
        start: Which ends the pairs start from: ``"forward"`` keeps x0 and makes x1, ``"backward"`` keeps the data x1
            and makes x0, ``"both"`` does both.
        gradient: Restrict velocities to gradients.
        first: A flow to begin with (``Fields``), instead of learning one.
        net: ``"auto"``, a card's id or a table.
        coupling: How x0 and x1 are paired for the first flow.
        n_steps: Steps of Heun's scheme that make the pairs.
        seed: Seed of weights and training, >= 0.
        train: Settings of the training loop of each round, a table over our defaults or ``TrainSettings``.

    Attributes:
        flows: The first flow and one per round, after ``fit``.
        pairs: The pairs of the last round, after ``fit``.
        straightness: Cost and curvature of each flow, after ``fit``.

    Raises:
        InvalidInputError: If a name or a setting is unknown or out of range.

    Source: Liu, Gong & Liu (2022), arXiv:2209.03003; gradients: Liu (2022), arXiv:2209.14577; with interpolants:
    Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section 5.4.
    """

    def __init__(
        self,
        *,
        path: Any = "linear",
        rounds: int = 1,
        start: str = "forward",
        gradient: bool = False,
        first: Fields | None = None,
        net: Any = "auto",
        coupling: Any = "independent",
        n_steps: int = 100,
        seed: int = 0,
        train: Any = None,
    ) -> None:
        if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
            raise invalid("Rectification", "rounds must be an integer >= 1", rounds)
        if start not in STARTS:
            raise invalid("Rectification", f"start must be one of {STARTS}", repr(start))
        if isinstance(net, nn.Module):
            raise invalid("Rectification", "net must be a name or a table", type(net).__name__)
        self.settings = train_settings(train, seed, "Rectification")
        self.path = flow_path(path, "Rectification")
        plain_path(self.path)  # refuses what cannot be rectified
        self.rounds, self.start, self.gradient, self.first = rounds, start, gradient, first
        self.coupling = choose_coupling(coupling, "Rectification")
        self.n_steps, self.seed, self._net = n_steps, seed, net
        self.flows: list[Fields] = []
        self.pairs: Pairs | None = None
        self.straightness: list[Straightness] = []
        self._numbers: dict[str, float] = {}

    def fit(self, x0: Tensor | None, x1: Tensor, *, progress: bool = False) -> Self:
        """Learn from samples of both ends.

        Args:
            x0: Samples of rho0, ``(N0, *D)``, floating point; None on a one-sided path.
            x1: Samples of rho1, ``(N1, *D)``.
            progress: Show a progress bar.

        Raises:
            InvalidInputError: If the samples are not finite or do not fit together.
        """
        check_ends("Rectification.fit", x0, x1, one_sided=self.path.is_one_sided)
        net: nn.Module | None = None
        if self.first is None:
            learnt = learn_fields(
                self.path, x0, x1, heads=("velocity",), net=self._fresh(x1), coupling=self.coupling,
                settings=self.settings, progress=progress,
            )  # fmt: skip
            self.flows, net = [learnt.fields], learnt.net
        else:
            self.flows = [self.first]
        starts0 = self._starts(x0, x1) if self.start != "backward" else None
        starts1 = x1 if self.start != "forward" else None
        for k in range(1, self.rounds + 1):
            again = self._fresh(x1) if net is None else copy.deepcopy(net).requires_grad_(True).train()
            settings = self.settings.model_copy(update={"seed": self.settings.seed + k})
            done = rectify(
                self.flows[-1], starts0, starts1, path=self.path, net=again, settings=settings,
                n_steps=self.n_steps, progress=progress,
            )  # fmt: skip
            self.flows.append(done.learnt.fields)
            self.pairs, net = done.pairs, done.learnt.net
        self._measure(self._starts(x0, x1))
        return self

    @property
    def fields(self) -> Fields:
        """The last flow, ready for ``dynamics.sample``; its path has no latent noise, so there is no score."""
        if not self.flows:
            raise invalid("Rectification", "the flow must be trained", "no flow", "Call fit(x0, x1) first.")
        return self.flows[-1]

    def transport(
        self, x: Tensor, *, reverse: bool = False, seed: int = 0, one_step: bool = False, **options: Any
    ) -> Tensor:
        """Carry states over by the last flow, ``(B, *D)``; no noise is drawn.

        Args:
            x: States ``(B, *D)`` at t = 0, or at t = 1 when ``reverse``.
            reverse: Run from t = 1 down to t = 0.
            seed: Unused; every bridge takes one.
            one_step: Use the map read off the velocity at the end, see :func:`one_step`.
            options: Further arguments of ``dynamics.sample``: ``n_steps``, ``method``, ...
        """
        if one_step:
            return _one_step(self.fields, x, reverse=reverse)
        return sample(self.fields, x, reverse=reverse, **options).x

    def summary(self) -> dict[str, float]:
        """Numbers of the fit, for the first flow (k = 0) and each round.

        ``cost_k``: E|X_1 - X_0|^2, data units squared; ``curvature_k``: over the cost; ``one_step_gap_k``: root mean
        square distance of the one-step map from the flow, over that between start and end of the flow; ``moved_k``:
        likewise of the flow of round k from that of round k - 1.
        """
        assert self.fields is not None
        return dict(self._numbers)

    def _fresh(self, x1: Tensor) -> Any:
        if not self.gradient:
            return self._net
        return Potential(tuple(x1.shape[1:]), net=self._net, seed=self.settings.seed).to(x1.dtype)

    def _starts(self, x0: Tensor | None, x1: Tensor) -> Tensor:
        if x0 is not None:
            return x0
        assert self.path.base is not None
        base, source = self.path.base, seeded(self.seed, "rectified pairs")
        return base.color(base.noise(x1.shape, generator=source, dtype=x1.dtype))

    def _measure(self, starts: Tensor) -> None:
        pick = torch.randperm(len(starts), generator=seeded(self.seed, "rectified check"))[:_CHECK_ROWS]
        x = starts[pick]
        self.straightness = [straightness(flow, x, n_steps=self.n_steps) for flow in self.flows]
        before: Tensor | None = None
        for k, (flow, found) in enumerate(zip(self.flows, self.straightness, strict=True)):
            end = sample(flow, x, n_steps=self.n_steps).x
            scale = _rms(end - x)
            self._numbers |= {f"cost_{k}": found.cost, f"curvature_{k}": found.relative}
            if before is not None:
                self._numbers[f"one_step_gap_{k}"] = _rms(_one_step(flow, x) - end) / scale
                self._numbers[f"moved_{k}"] = _rms(end - before) / scale
            before = end


_one_step = one_step  # the method's argument has the same name


def _pairs(fields: Fields, x: Tensor, reverse: bool, n_steps: int, method: str) -> Pairs:
    def flow(start: Tensor) -> Tensor:
        return sample(fields, start, reverse=reverse, n_steps=n_steps, method=method).x

    return Reflow(flow, reverse=reverse).pair(x, x)


def _joined(first: Pairs, second: Pairs) -> Pairs:
    parts = {
        name: torch.cat([getattr(first, name), getattr(second, name)])
        for name in ("x0", "x1", "index0", "index1")
    }
    return Pairs(cond0=None, cond1=None, **parts)


def _rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())
