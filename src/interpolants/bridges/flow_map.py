"""Flow maps: jumps between any two times of a flow, for sampling in one to four steps.

Letters: ``X_{s,t}(x)`` the state at time t of the flow that is at x at time s; ``v`` its average velocity.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Generator, Tensor, nn

from interpolants.bridges.flow_map_net import Diagonal, TwoTimeNet
from interpolants.bridges.flow_map_rules import RULES, Rule, diagonal
from interpolants.bridges.flow_settings import check_ends, choose_coupling, flow_path, train_settings
from interpolants.dynamics.sample import Samples, sample
from interpolants.fields.learned import LearnedFields
from interpolants.fields.protocol import Fields, as_time
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.randomness import generator as seeded
from interpolants.foundations.types import Condition
from interpolants.objectives.times import StratifiedTimes
from interpolants.paths.path import Path
from interpolants.training.engine import FitResult, fit
from interpolants.training.pairs import PairBatches, finished

DIRECTIONS = ("both", "forward")
_CHECK_ROWS = 1000


class FlowMap:
    """Learn the flow and its jumps ``X_{s,t}`` in one network, without a teacher.

    ::

        flow = FlowMap(path="linear", rule="semigroup").fit(x0, x1)
        y = flow.transport(x0_new, n_steps=1)            # one evaluation of the network
        y = sample(flow.fields, x0_new, n_steps=100).x   # the same flow by its ODE

    ``X_{s,t}(x) = x + (t - s) v_{s,t}(x)``. A share of every batch learns the diagonal ``v_{t,t} = b`` by the
    interpolant's velocity loss; the rest learns ``s != t`` by a rule, see ``bridges.flow_map_rules``.

    Args:
        path: The interpolant: a name, a table or a ``Path`` whose velocity is finite at both ends. A name without an
            envelope means ``gamma = 0``. On a one-sided path ``x0`` may be None.
        rule: ``"lagrangian"``, ``"eulerian"``, ``"semigroup"`` or ``"mean_velocity"``.
        net: ``"auto"``, a card's id, a table, or an ``nn.Module`` called as ``net(x, s, t)``.
        coupling: How x0 and x1 are paired while training.
        directions: ``"both"``, or ``"forward"`` to spend all capacity on ``s < t``; the ODE still runs both ways.
        diagonal: Share of each batch for the diagonal, in (0, 1).
        robust: Power p in [0, 1] of the weight ``1 / (1 + r)^p`` on each row of the rule, r its squared residual per
            entry of the state, in data units squared; 0 is the plain loss. While training, one row far off would
            otherwise outweigh the diagonal it is to learn from, and may blow up. ``"auto"`` is 1/2, and 0 for
            ``"mean_velocity"``, whose residual is noise at the solution, where a weight would bias it.
        seed: Seed of weights and training, >= 0.
        train: Settings of the training loop, a table over our defaults or ``TrainSettings``.

    Attributes:
        net: The average velocity, called as ``net(x, s, t)``; after ``fit``.
        result: How the training went; after ``fit``.

    Raises:
        InvalidInputError: If a name or a setting is unknown or out of range.

    Source: Boffi, Albergo & Vanden-Eijnden (2024), arXiv:2406.07507, and (2025), arXiv:2505.18825; mean velocity:
    Geng et al. (2025), arXiv:2505.13447.
    """

    def __init__(
        self,
        *,
        path: Any = "linear",
        rule: str = "semigroup",
        net: Any = "auto",
        coupling: Any = "independent",
        directions: str = "both",
        diagonal: float = 0.75,
        robust: Any = "auto",
        seed: int = 0,
        train: Any = None,
    ) -> None:
        if rule not in RULES:
            raise invalid("FlowMap", "rule must be known", repr(rule), nearest(str(rule), RULES))
        if directions not in DIRECTIONS:
            raise invalid("FlowMap", f"directions must be one of {DIRECTIONS}", repr(directions))
        if not 0 < diagonal < 1:
            raise invalid("FlowMap", "diagonal must lie in (0, 1)", diagonal)
        if robust == "auto":
            robust = 0.0 if rule == "mean_velocity" else 0.5
        if isinstance(robust, str) or not 0 <= robust <= 1:
            raise invalid("FlowMap", "robust must be 'auto' or lie in [0, 1]", robust)
        self.settings = train_settings(train, seed, "FlowMap")
        self.path: Path = flow_path(path, "FlowMap")
        self.rule, self.directions = rule, directions
        self.diagonal, self.robust = diagonal, float(robust)
        self.coupling = choose_coupling(coupling, "FlowMap")
        self.seed, self._net = seed, net
        self.net: nn.Module | None = None
        self.result: FitResult | None = None
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
        check_ends("FlowMap.fit", x0, x1, one_sided=self.path.is_one_sided)
        net = TwoTimeNet(self._net, tuple(x1.shape[1:]), seed=self.seed).to(x1.dtype)
        size = self.settings.batch_size
        batches = PairBatches(x0, x1, size, self.coupling, StratifiedTimes(), who="FlowMap.fit")
        loss = _MapLoss(self.path, RULES[self.rule], self.diagonal, self.robust, self.directions == "both")
        self.result = fit(net, loss, batches, self.settings, progress=progress)
        self.net = finished(net, self.result, prefix="")
        self._numbers = self._measure(x0, x1)
        return self

    @property
    def fields(self) -> LearnedFields:
        """The flow itself: its velocity is the diagonal, ready for ``dynamics.sample`` and ``likelihood``."""
        return LearnedFields(self.path, velocity=Diagonal(self._trained("fields")))

    def jump(self, x: Tensor, s: Tensor | float, t: Tensor | float) -> Tensor:
        """``X_{s,t}(x)`` by one evaluation.

        Args:
            x: States at time s, ``(B, *D)``.
            s: Start times in [0, 1], a number or ``(B,)``.
            t: End times, likewise; smaller than ``s`` to go back.
        """
        net = self._trained("jump")
        start, end = as_time(s, x), as_time(t, x)
        for name, time in (("s", start), ("t", end)):
            if not bool(((time >= 0) & (time <= 1)).all()):
                raise invalid("FlowMap.jump", f"{name} must lie in [0, 1]", time.tolist())
        if self.directions == "forward" and bool((end < start).any()):
            raise invalid("FlowMap.jump", "t must be >= s", "a smaller t", "It was trained forwards only.")
        step = (end - start).reshape(-1, *(1,) * (x.ndim - 1)).to(x.dtype)
        with torch.no_grad():
            value: Tensor = net(x, start, end)
        return x + step * value

    def sample(
        self,
        x: Tensor,
        *,
        n_steps: int = 4,
        times: Sequence[float] | None = None,
        reverse: bool = False,
        **options: Any,
    ) -> Samples:
        """Carry states over by a few jumps; sample i does not depend on its batch.

        Args:
            x: States ``(B, *D)`` at t = 0, or at t = 1 when ``reverse``.
            n_steps: Number of jumps, of equal length.
            times: Increasing times to stop at, from 0 to 1 as a rule, instead.
            reverse: Run from t = 1 down to t = 0.
            options: Further arguments of ``dynamics.sample``: ``start``, ``stop``, ``return_path``, ``chunk`` ...
        """
        net = self._trained("sample")
        if reverse and self.directions == "forward":
            remedy = "Make it with directions='both', or run the ODE: sample(flow.fields, x, reverse=True)."
            raise invalid("FlowMap.sample", "reverse needs a map of both directions", "forward only", remedy)
        start, stop = options.get("start", 0.0), options.get("stop", 1.0)
        grid = np.linspace(start, stop, n_steps + 1) if times is None else np.asarray(times, dtype=np.float64)
        jumps = _Jumps(net, grid, reverse)
        return sample(
            jumps, x, method="euler", time_grid=grid, n_steps=len(grid) - 1, reverse=reverse, **options
        )

    def transport(
        self, x: Tensor, *, reverse: bool = False, seed: int = 0, n_steps: int = 4, **options: Any
    ) -> Tensor:
        """Carry states over by a few jumps, ``(B, *D)``; arguments as in :meth:`sample`, and no noise is drawn."""
        return self.sample(x, n_steps=n_steps, reverse=reverse, **options).x

    def summary(self) -> dict[str, float]:
        """Numbers of the fit.

        ``diagonal`` and ``rule``: the last logged losses. ``one_step_gap`` and ``four_step_gap``: root mean square
        distance between the map and its own ODE (64 steps of Heun), over that between start and end of the ODE.
        ``round_trip``: there and back by one jump each, over the same distance, if both directions were trained.
        """
        self._trained("summary")
        return dict(self._numbers)

    def _measure(self, x0: Tensor | None, x1: Tensor) -> dict[str, float]:
        assert self.result is not None
        last = self.result.history[-1]
        start = self._starts(x0, x1)
        end = sample(self.fields, start, method="heun", n_steps=64).x
        scale = _rms(end - start)
        one, four = (self.transport(start, n_steps=n) for n in (1, 4))
        numbers = {
            "diagonal": float(last["diagonal"]),
            "rule": float(last["rule"]),
            "one_step_gap": _rms(one - end) / scale,
            "four_step_gap": _rms(four - end) / scale,
            "seconds": self.result.seconds,
        }
        if self.directions == "both":
            back = self.transport(one, n_steps=1, reverse=True)
            numbers["round_trip"] = _rms(back - start) / scale
        return numbers

    def _starts(self, x0: Tensor | None, x1: Tensor) -> Tensor:
        draws = seeded(self.seed, "flow map check")
        if x0 is not None:
            return x0[torch.randperm(len(x0), generator=draws)[:_CHECK_ROWS]]
        assert self.path.base is not None
        base, shape = self.path.base, (_CHECK_ROWS, *x1.shape[1:])
        return base.color(base.noise(shape, generator=draws, dtype=x1.dtype))

    def _trained(self, who: str) -> nn.Module:
        if self.net is None:
            raise invalid(
                f"FlowMap.{who}", "the map must be trained", "no network", "Call fit(x0, x1) first."
            )
        return self.net


class _Jumps(Fields):
    """The map as fields: an Euler step along the average velocity from a grid time to the next is the jump itself."""

    def __init__(self, net: nn.Module, grid: np.ndarray, reverse: bool) -> None:
        self.net, self.networks = net, [net]
        self.grid = torch.from_numpy(np.ascontiguousarray(grid[::-1] if reverse else grid))

    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        """The average velocity until the next time of the grid."""
        here = int((self.grid - t.detach().cpu()).abs().argmin())
        ahead = self.grid[min(here + 1, len(self.grid) - 1)].to(t)
        return {"velocity": self.net(x, t, ahead)}

    def provides(self, quantity: str) -> bool:
        """The velocity and nothing else."""
        return quantity == "velocity"


class _MapLoss:
    """Both losses of a batch: the diagonal on its first rows, the rule on the others."""

    def __init__(self, path: Path, rule: Rule, share: float, robust: float, both: bool) -> None:
        self.path, self.rule, self.share, self.robust, self.both = path, rule, share, robust, both

    def __call__(
        self, net: Callable[..., Tensor], batch: dict[str, Any], generator: Generator
    ) -> dict[str, Tensor]:
        """Per-sample losses by name: ``"diagonal"`` and ``"rule"``."""
        first = batch["t"]
        rows = min(max(1, round(self.share * len(first))), len(first) - 1)
        s, t = self._pair(first[rows:], generator)
        start = torch.cat([first[:rows], s])
        drawn = self.path.sample(x0=batch["x0"], x1=batch["x1"], t=start, generator=generator)
        x, rate = drawn.x_t, drawn.x_dot
        rule = self.rule(net, x[rows:], rate[rows:], s, t)
        if self.robust:
            rule = rule / (1 + rule.detach() / x[0].numel()).pow(self.robust)
        return {"diagonal": diagonal(net, x[:rows], rate[:rows], first[:rows]), "rule": rule}

    def _pair(self, place: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Two times per row, up to the direction: half of the pairs uniform over the square, half in their distance.

        Pairs uniform over the square are rarely far apart, and the longest jump is the one that is used; but a map
        that is taught long jumps only, by itself, has little to learn them from.
        """
        u, which, coin = torch.rand(
            3, len(place), generator=generator, dtype=place.dtype, device=place.device
        )
        step = torch.where(which < 0.5, u, 1 - (1 - u).sqrt())
        low = (1 - step) * place
        high = low + step
        if not self.both:
            return low, high
        ahead = coin < 0.5
        return torch.where(ahead, low, high), torch.where(ahead, high, low)


def _rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())
