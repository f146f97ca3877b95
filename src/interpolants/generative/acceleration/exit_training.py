"""Training of heads and error estimates at the layers of a network, and what they are calibrated with.

Letters: g_i the answer after layer i of N, y what it is to predict, c(t) a factor that brings errors to another space,
u_i the estimate of ``tanh(|g_i - y| c)``, v_i that of ``tanh(|g_i - g_N| c)``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from interpolants.fields.learned import LearnedFields
from interpolants.fields.preconditioned import Preconditioned
from interpolants.foundations.errors import invalid
from interpolants.foundations.inner_nets import inner_net, with_inner_net
from interpolants.foundations.ops import expand_like, mean_event, sum_event
from interpolants.foundations.row_times import TakesOneTime
from interpolants.foundations.types import Condition
from interpolants.generative.acceleration.exit_heads import ExitHeads
from interpolants.nets.embeddings import drop_condition
from interpolants.nets.split import LayeredNet
from interpolants.objectives.joint import JointLoss, joint_loss
from interpolants.paths.path import Path, PathSample

WEIGHTINGS = ("elements", "batch", "none")


class Layers(NamedTuple):
    """What all layers say at some states.

    Attributes:
        answers: g_1 ... g_N as quantities of the path, ``(B, K, *D)`` each.
        estimates: By name, of the layers before the last, in the shape of the answers.
        clock: Time that the network was told, ``()`` or ``(B,)``.
    """

    answers: list[Tensor]
    estimates: dict[str, list[Tensor]]
    clock: Tensor


class _Recording(TakesOneTime, nn.Module):
    """Runs all layers, keeps every answer and estimate, and hands the one asked for to the wrappers around it."""

    def __init__(self, net: Any, exits: ExitHeads, names: Sequence[str]) -> None:
        super().__init__()
        self.net, self.exits, self.names = net, exits, names
        self.answers: list[Tensor] = []
        self.estimates: dict[str, list[Tensor]] = {name: [] for name in names}
        self.clock = torch.zeros(())
        self.shown = -1

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        if not self.answers:
            self._run(x, t, cond)
        return self.answers[self.shown]

    def _run(self, x: Tensor, t: Tensor, cond: Condition) -> None:
        net: LayeredNet = self.net
        self.clock, state = t, net.stem(x, t, cond)
        for index in range(net.n_layers):
            state = net.layer(index, state)
            self.answers.append(self.exits.answer(net, index, state))
            if index < net.n_layers - 1:
                tokens = net.tokens(state).detach()
                for name in self.names:
                    found = net.arranged(self.exits.estimate(name, index, tokens, t))
                    self.estimates[name].append(found)


def all_layers(
    outer: nn.Module,
    inner: nn.Module,
    exits: ExitHeads,
    heads: int,
    x: Tensor,
    t: Tensor,
    cond: Condition = None,
    names: Sequence[str] = ("error", "gap"),
) -> Layers:
    """Answers and estimates of all layers.

    Args:
        outer: The wrappers, around a network of the same form.
        inner: The network of layers.
        exits: Its heads.
        heads: K, the quantities that it predicts.
        x: States, ``(B, *D)``.
        t: Times, ``(B,)``.
        cond: Conditions.
        names: Which estimates.
    """
    recording = _Recording(inner, exits, names)
    wrapped = with_inner_net(outer, lambda net: recording)
    wrapped(x, t, cond)
    answers = []
    for shown in range(len(recording.answers)):
        recording.shown = shown
        answers.append(_by_head(wrapped(x, t, cond), heads))
    estimates = {name: [_by_head(u, heads) for u in found] for name, found in recording.estimates.items()}
    return Layers(answers, estimates, recording.clock)


def _by_head(values: Tensor, heads: int) -> Tensor:
    return values if heads > 1 else values[:, None]


@dataclass(frozen=True)
class ExitProblem:
    """What the layers of a model's network are to predict.

    Args:
        fields: Fields of the model, of one network.
        space: Quantity in whose units errors count: ``"noise"``, ``"denoised"`` or ``"velocity"``, for error and gap.
    """

    fields: LearnedFields
    space: Mapping[str, str]

    def __post_init__(self) -> None:
        if any(objective.is_singular for objective in self.objective.objectives):
            rule = "what the model has learnt must be finite at both ends"
            remedy = "For example, use heads=('mean_rate', 'noise')."
            raise invalid("EarlyExit.fit", rule, ", ".join(self.heads), remedy)

    @property
    def heads(self) -> tuple[str, ...]:
        """The quantities."""
        return self.fields.known

    @property
    def path(self) -> Path:
        """The path."""
        assert self.fields.path is not None
        return self.fields.path

    @property
    def outer(self) -> nn.Module:
        """The network in its wrappers."""
        return self.fields.networks[0]

    @property
    def inner(self) -> nn.Module:
        """The network inside them."""
        return inner_net(self.outer)

    @property
    def objective(self) -> JointLoss:
        """The loss that the model was trained with."""
        weight = self.outer.weight if isinstance(self.outer, Preconditioned) else None
        return joint_loss(self.heads, self.path, weight)

    def weights(self, sample: PathSample) -> Tensor:
        """How much the quantities of a row count, ``(B, K)``."""
        if not isinstance(self.outer, Preconditioned):
            return torch.ones(len(sample.t), len(self.heads), device=sample.t.device)
        found = self.outer.weight(sample.x_t, sample.t)
        return torch.stack([found[head] for head in self.heads], 1)

    def targets(self, sample: PathSample) -> Tensor:
        """y, ``(B, K, *D)``."""
        return torch.stack([one.target(sample) for one in self.objective.objectives], 1)

    def factor(self, name: str, t: Tensor) -> Tensor:
        """c(t) of an estimate, ``(B,)``."""
        return self.fields.error_factors(self.space[name], t.detach().cpu()).to(t)

    def goals(self, found: Layers, y: Tensor, t: Tensor) -> dict[str, list[Tensor]]:
        """What the estimates of all layers are to be, the last one's included; without a gradient."""
        last = found.answers[-1].detach()
        against = {"error": y, "gap": last}
        return {
            name: [
                torch.tanh((g.detach() - other).abs() * expand_like(self.factor(name, t), g))
                for g in found.answers
            ]
            for name, other in against.items()
        }


@dataclass(frozen=True)
class ExitLoss:
    """``|g_N - y|^2 + lambda sum_i |u_i - goal_i|^2 + b sum_i (1 - u_i) |g_i - y|^2 + plain sum_i |g_i - y|^2``.

    Sums over layers before the last are means. Weights carry no gradient: an estimate would else gain by calling poor
    layers uncertain.

    Args:
        problem: What is predicted.
        tunes: Whether the network itself is trained.
        uncertainty: lambda.
        layers: b.
        plain: Weight of the loss of layers without weights.
        weighting: ``"elements"`` for ``1 - u_i``; ``"batch"`` for its mean over the batch, of sum one over layers;
            ``"none"``.
        drop: Chance of a row to lose its condition.
    """

    problem: ExitProblem
    tunes: bool
    uncertainty: float
    layers: float
    plain: float
    weighting: str
    drop: float

    def __call__(self, modules: Any, batch: dict[str, Any], generator: Generator) -> dict[str, Tensor]:
        """Losses per sample by name."""
        problem, cond = self.problem, batch["cond"]
        if self.drop:
            cond = drop_condition(cond, self.drop, generator=generator)
        drawn = problem.path.sample(x0=batch["x0"], x1=batch["x1"], t=batch["t"], generator=generator)
        inner = modules["net"] if self.tunes else problem.inner
        at = all_layers(problem.outer, inner, modules["exits"], len(problem.heads), drawn.x_t, drawn.t, cond)
        y, scale = problem.targets(drawn), problem.weights(drawn)
        scale = scale.reshape(*scale.shape, *(1,) * (y.ndim - 2))
        goals = problem.goals(at, y, drawn.t)
        early = len(at.answers) - 1
        losses = {"estimates": self.uncertainty * sum(
            sum_event((u - goal).square()) for name, found in at.estimates.items()
            for u, goal in zip(found, goals[name], strict=False)
        ) / early}  # fmt: skip
        shares = self._shares(at.estimates["error"])
        errors = [(g - y).square() * scale for g in at.answers]
        losses["layers"] = sum(sum_event(w * e) for w, e in zip(shares, errors, strict=False)) / early
        if self.tunes:
            losses["last"] = sum_event(errors[-1])
        return {name: value * batch["weight"] for name, value in losses.items()}

    def _shares(self, estimates: Sequence[Tensor]) -> list[Tensor]:
        """Weights of the layers' squared errors."""
        sure = [1 - u.detach() for u in estimates]
        if self.weighting == "batch":
            means = torch.stack([one.mean() for one in sure])
            sure = list(len(sure) * means / means.sum().clamp_min(1e-12))
        elif self.weighting == "none":
            sure = [torch.ones(()) for _ in sure]
        return [self.layers * one + self.plain for one in sure]


Draw = Callable[[Tensor, Generator], tuple[PathSample, Condition]]


def calibrated(
    problem: ExitProblem, exits: ExitHeads, draw: Draw, times: Tensor, generator: Generator
) -> dict[str, Tensor]:
    """Mean goals of all layers on held-out rows, by time.

    Args:
        problem: What is predicted, by the trained network.
        exits: Trained heads.
        draw: A time and a generator -> held-out rows there, and their conditions.
        times: ``(n,)``.
        generator: Source of the draws.

    Returns:
        ``time`` and ``clock`` ``(n,)``, the time that the network is told; ``error`` and ``gap`` ``(n, N)``;
        ``correlation`` and ``gap_correlation`` ``(N - 1,)``, of goal and estimate, as means of rows, over all times.
    """
    rows: dict[str, list[Tensor]] = {name: [] for name in ("clock", "error", "gap")}
    pairs: dict[str, list[Tensor]] = {"error": [], "gap": []}
    with torch.no_grad():
        for time in times:
            drawn, cond = draw(time, generator)
            at = all_layers(problem.outer, problem.inner, exits, len(problem.heads), drawn.x_t, drawn.t, cond)
            goals = problem.goals(at, problem.targets(drawn), drawn.t)
            rows["clock"].append(at.clock.double().mean())
            for name, found in goals.items():
                means = torch.stack([mean_event(goal) for goal in found], 1).double()  # (B, N)
                told = torch.stack([mean_event(u) for u in at.estimates[name]], 1).double()
                rows[name].append(means.mean(0))
                pairs[name].append(torch.stack([means[:, :-1], told]))
    found_rows = {name: torch.stack(values) for name, values in rows.items()}
    both = {name: torch.cat(values, 1) for name, values in pairs.items()}
    return {
        "time": times.double(),
        **found_rows,
        "correlation": _correlation(both["error"]),
        "gap_correlation": _correlation(both["gap"]),
    }


def _correlation(pair: Tensor) -> Tensor:
    """By column, of ``(2, B, N)``."""
    centred = pair - pair.mean(1, keepdim=True)
    spread = centred.square().sum(1).sqrt().prod(0)
    return centred.prod(0).sum(0) / spread.clamp_min(1e-30)
