"""A latent state driven by fractional noise, in the Markov approximation, as a module with parameters.

Letters: ``X`` state, ``dX = (b(X) - rate X) dt + sigma dB`` with ``B`` of Hurst index H; ``Y (K,)`` the states
whose weighted sum B is; ``z = (X, Y)``; ``h`` length of a step. All in standardised units, times in steps of the
clock.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from interpolants.foundations.asked import who
from interpolants.foundations.checks import number
from interpolants.nets.perceptron import Perceptron
from interpolants.sciml.processes.guided_paths import Chain, Control, Paths, Steering, draw_paths, guide
from interpolants.sciml.processes.kernels.markov_fractional import (
    FASTEST,
    SLOWEST,
    ExactSteps,
    geometric_rates,
    optimal_weights,
    stationary_root,
)

# Least standard deviation of the noise of values, in standardised units: without any, the law of paths is singular.
LEAST_NOISE = 1e-2
_FIRST = {"hurst": 0.5, "scale": 1.0, "noise": 0.3, "rate": 0.05, "level": 0.0}


@dataclass(frozen=True, eq=False)
class Grid:
    """Steps of a chain.

    Attributes:
        lengths: Of each sort of step, ``(U,)``.
        sort: Sort of each step, ``(N,)``.
        every: Steps between two values.
    """

    lengths: Tensor
    sort: tuple[int, ...]
    every: int

    @classmethod
    def of(cls, times: Tensor, every: int) -> "Grid":
        """Between times ``(n,)`` that increase, each gap in equal parts."""
        gaps = times.diff() / every
        lengths, sort = torch.unique(gaps, return_inverse=True)
        return cls(lengths, tuple(sort.repeat_interleave(every).tolist()), every)

    @property
    def ends(self) -> Tensor:
        """Times of all states from 0, ``(N + 1,)``."""
        steps = self.lengths[list(self.sort)]
        return torch.cat([steps.new_zeros(1), steps.cumsum(0)])


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """What the model is made of; see `FractionalSDE`.

    Attributes:
        increments: Whether values are increments, so that the state begins at 0 again after each.
        kind: Of the fractional motion.
        modes: K.
        horizon: Time for which the weights are made, in steps of the clock.
        finest: Shortest step between values.
        start: Standard deviation of the first state of levels.
        drift: ``"constant"``, ``"linear"`` or ``"network"``.
        control: ``"guide"``, ``"network"`` or ``"both"``.
        hidden: Widths of the networks.
        fixed: Values of parameters that are not learnt, standardised.
        seed: Of the first weights.
    """

    increments: bool
    kind: int
    modes: int
    horizon: float
    finest: float
    start: float
    drift: str
    control: str
    hidden: tuple[int, ...]
    fixed: Mapping[str, float]
    seed: int

    @property
    def closed(self) -> bool:
        """Whether the guide is exact, so that the bound is the evidence of the model and needs no paths."""
        return self.drift != "network" and self.control == "guide"


class FractionalModel(nn.Module):
    """Parameters, and the chain, the guide and the bound that follow from them."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        linear = settings.drift == "linear" or (settings.drift == "network" and not settings.increments)
        learnt = ["hurst", "scale", "noise", "level", *(["rate"] if linear else [])]
        first = {name: settings.fixed.get(name, _FIRST[name]) for name in learnt}
        raw = {name: _INVERSE[name](value) for name, value in first.items()}
        self.free = [name for name in learnt if name not in settings.fixed]
        self.raw = nn.ParameterDict(
            {n: nn.Parameter(torch.tensor(v, dtype=torch.float64), n in self.free) for n, v in raw.items()}
        )
        slowest = SLOWEST[settings.kind] / settings.horizon
        rates = geometric_rates(settings.modes, slowest, FASTEST / settings.finest)
        self.rates: Tensor
        self.register_buffer("rates", rates)
        if settings.drift == "network":
            self.bend = _zeroed(Perceptron(1, 1, settings.hidden, activation="tanh", seed=settings.seed))
        if settings.control != "guide":
            inputs = settings.modes + 7
            self.control = _zeroed(
                Perceptron(inputs, 3, settings.hidden, activation="tanh", seed=settings.seed)
            )

    def value(self, name: str) -> Tensor:
        """A parameter in standardised units; a rate that there is not is 0."""
        if name not in self.raw:
            return torch.zeros((), dtype=torch.float64)
        found: Tensor = _FORWARD[name](self.raw[name])
        return found

    def weights(self) -> Tensor:
        """W of a motion of variance 1 at time 1."""
        s = self.settings
        return optimal_weights(self.value("hurst"), self.rates, s.horizon, kind=s.kind)

    def put(self, name: str, value: float) -> None:
        """Set a parameter, in standardised units.

        Raises:
            InvalidInputError: If the value is out of range: H not in (0, 1), noise below 0, or another not positive.
        """
        if name == "hurst":
            number(who(), name, value, above=0, below=1)
        elif name == "noise":
            number(who(), name, value, at_least=0)
        elif name != "level":
            number(who(), name, value, above=0)
        with torch.no_grad():
            self.raw[name].fill_(_INVERSE[name](value))

    def chain(self, grid: Grid) -> Chain:
        """Coefficients: exact steps of Y, and the trapezoidal rule for the linear drift of X."""
        steps, h = ExactSteps.of(self.rates, grid.lengths), grid.lengths
        half = self.value("rate") * h / 2
        keep, gain = ((1 - half) / (1 + half), 1 / (1 + half))
        keep = torch.zeros_like(keep) if self.settings.increments else keep
        pull = (gain * self.value("scale"))[:, None] * self.weights()
        size = len(self.rates) + 1
        top = torch.cat([keep[:, None], pull * (steps.decay - 1)], 1)[:, None]
        below = torch.cat([h.new_zeros(len(h), size - 1, 1), torch.diag_embed(steps.decay)], 2)
        noise = torch.cat([pull[:, None] @ steps.factor, steps.factor], 1)
        shift = torch.cat([(gain * h * self.value("level"))[:, None], h.new_zeros(len(h), size - 1)], 1)
        return Chain(
            torch.cat([top, below], 1),
            noise,
            shift,
            grid.sort,
            self._start(size),
            self.value("noise").square(),
        )

    def _start(self, size: int) -> Tensor:
        """Root of the covariance of the first state: a wide X for levels, 0 for increments."""
        root = self.rates.new_zeros(size, size)
        root[0, 0] = 0.0 if self.settings.increments else self.settings.start
        if self.settings.kind == 1:
            root[1:, 1:] = stationary_root(self.rates)
        return root

    def bound(self, grid: Grid, y: Tensor, seen: Tensor, paths: int, generator: Generator | None) -> Tensor:
        """Lower bound of the log evidence of each series, ``(S,)`` nats of standardised values."""
        if self.settings.closed:
            return guide(self.chain(grid), y, seen).log_evidence
        return self.paths(grid, y, seen, paths, generator).log_weight.mean(1)

    def paths(
        self, grid: Grid, y: Tensor, seen: Tensor, paths: int, generator: Generator | None = None
    ) -> Paths:
        """Paths that are steered to the values, with their weights."""
        chain = self.chain(grid)
        gains = None if self.settings.control == "network" else guide(chain, y, seen).gains
        control = None if self.settings.control == "guide" else self._control(chain, grid, y, seen)
        steering = Steering(gains, control, self.drift(grid))
        return draw_paths(chain, y, seen, paths, steering, generator)

    def drift(self, grid: Grid) -> Any:
        """What a drift that is not linear adds to the state after a step; None without."""
        if self.settings.drift != "network":
            return None
        half = self.value("rate") * grid.lengths / 2
        gain = grid.lengths / (1 + half)

        def move(n: int, z: Tensor) -> Tensor:
            along = gain[grid.sort[n]] * self.bend(z[..., :1])
            return torch.cat([along, torch.zeros_like(z[..., 1:])], -1)

        return move

    def _control(self, chain: Chain, grid: Grid, y: Tensor, seen: Tensor) -> Any:
        """The control of step n: a network that is told time, state, and the next value and how far it is.

        It answers u, a shift of the noise along what moves X, and the log of its size there: over a finite step the
        increment that meets a value is less uncertain than before. In the limit of short steps only u is left, as in
        the paper.
        """
        push = ExactSteps.of(self.rates, grid.lengths).push
        along = nn.functional.normalize(chain.noise[:, 0].detach(), dim=1)
        size = (2 * self.rates).rsqrt()  # of stationary states; those of kind 2 begin at 0 and grow as W does
        size = size if self.settings.kind == 1 else size.clamp_max(math.sqrt(self.settings.horizon))
        ends = grid.ends
        settled = (chain.variance / self.value("scale").square()).detach()
        ahead, waits, known = _next_values(ends, y, seen)

        def steer(n: int, z: Tensor) -> Control:
            place = 2 * math.pi * ends[n] / ends[-1]
            wait = waits[:, n]
            told = [ahead[:, n], wait / ends[-1], known[:, n]]
            clock = [place.sin().expand(len(z)), place.cos().expand(len(z))]
            about = torch.stack([*told, *clock], -1)[:, None].expand(*z.shape[:2], 5)
            # Of a Brownian bridge without memory this is the control itself.
            bridge = known[:, n, None] * (ahead[:, n, None] - z[..., 0]) / (wait + settled)[:, None]
            told_all = [z[..., :1], bridge[..., None], z[..., 1:] / size, about]
            u: Tensor = self.control(torch.cat(told_all, -1))
            sort = grid.sort[n]
            return Control(u[..., :1] * push[sort] + u[..., 1:2] * along[sort], u[..., 2:], along[sort])

        return steer


def _next_values(ends: Tensor, y: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The next value after each state, the time until it, and whether there is one, ``(S, N + 1)``."""
    ahead, waits, known = (torch.zeros_like(y) for _ in range(3))
    value, at = y.new_zeros(len(y)), ends[-1].expand(len(y))
    for n in range(y.shape[1] - 2, -1, -1):
        value = torch.where(seen[:, n + 1], y[:, n + 1], value)
        at = torch.where(seen[:, n + 1], ends[n + 1], at)
        ahead[:, n], waits[:, n] = value, at - ends[n]
        known[:, n] = seen[:, n + 1 :].any(1).to(y.dtype)
    return ahead, waits, known


def _zeroed(net: Perceptron) -> Perceptron:
    """The network in double precision, with answers of 0 before it has learnt."""
    found = net.double()
    nn.init.zeros_(found.layers[-1].weight)  # type: ignore[arg-type]
    nn.init.zeros_(found.layers[-1].bias)  # type: ignore[arg-type]
    return found


def _logit(p: float) -> float:
    return math.log(p / (1 - p))


_FORWARD: Mapping[str, Any] = {
    "hurst": torch.sigmoid,
    "scale": torch.exp,
    "noise": lambda x: torch.sqrt(torch.exp(2 * x) + LEAST_NOISE**2),
    "rate": torch.exp,
    "level": lambda x: x,
}
_INVERSE: Mapping[str, Any] = {
    "hurst": _logit,
    "scale": math.log,
    "noise": lambda s: math.log(max(s**2 - LEAST_NOISE**2, 1e-6)) / 2,
    "rate": math.log,
    "level": lambda x: x,
}
