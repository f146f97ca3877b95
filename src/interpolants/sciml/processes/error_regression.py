"""Error regression: adaptive vectors of the last steps are fitted to what was seen there, with all weights as they are.

Letters: W steps of the window, B series, M members, S steps ahead, Z latent units, C columns.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor, nn

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.kinds import Count, Whole
from interpolants.foundations.randomness import BLOCK, by_block
from interpolants.framework.series import Series
from interpolants.sciml.processes.predictive_model import Bound, MetaPrior, PredictiveModel
from interpolants.training.row_optimizer import RowOptimizer
from interpolants.training.settings import GroupSettings, TrainSettings

_VECTORS = "vectors"
Rate = Annotated[float, Interval(gt=0, le=10)]


@dataclass(frozen=True)
class RegressionSettings(Checked):
    """How windows are fitted."""

    window: Count = 12
    """W."""
    iterations: Whole = 50
    """Steps of Adam each time that a value is added; 0 leaves the prior as it is."""
    rate: Rate = 0.09
    """Its learning rate."""


class ErrorRegression:
    """A window over series that grow, side by side; series i belongs to (seed, i) and to no other.

    When the window is full its first step is left: the state behind it, at the mean of its posterior, becomes the
    start. Vectors that stay keep their values, their moments and their counts of steps; the new one begins at 0.

    Args:
        model: The network.
        prior: Weights of the divergence.
        settings: Window, iterations, rate.
        rows: Index of each series in a larger job; B of them.
        seed: Seed of the noise.
    """

    def __init__(
        self,
        model: PredictiveModel,
        prior: MetaPrior,
        settings: RegressionSettings,
        rows: Sequence[int],
        *,
        seed: int = 0,
    ) -> None:
        self.model, self.prior, self.settings = model, prior, settings
        self.rows, self.seed = torch.tensor(list(rows)), seed
        self.begins, self.steps = True, 0
        self.start = torch.zeros(self.series, model.net.d, dtype=torch.float64)
        self.y = torch.zeros(0, self.series, len(model.law.shift), dtype=torch.float64)
        self.seen = torch.zeros(self.y.shape, dtype=torch.bool)
        self.vectors = nn.Parameter(torch.zeros(0, self.series, 2 * model.net.z, dtype=torch.float64))
        self.optimizer = self._optimizer()

    @property
    def series(self) -> int:
        """B."""
        return len(self.rows)

    def __len__(self) -> int:
        """Steps in the window."""
        return len(self.y)

    def add(self, y: Tensor, seen: Tensor) -> None:
        """One or more steps ``(K, B, C)``, of which no more than the window holds stay.

        Raises:
            InvalidInputError: If more steps come at once than there is room for.
        """
        if len(y) > self.settings.window:
            raise invalid(f"at most {self.settings.window} steps at once", len(y))
        leave = max(0, len(self) + len(y) - self.settings.window)
        if leave:
            self._leave(leave)
        self.y, self.seen = torch.cat([self.y[leave:], y]), torch.cat([self.seen[leave:], seen])
        self._move(leave, len(y))
        self.steps += len(y)

    def _leave(self, count: int) -> None:
        """Let the start be the state behind the first steps, without noise."""
        with torch.no_grad():
            a = self.vectors[:count]
            eps = a.new_zeros(count, self.series, self.model.net.z)
            self.start = self.model.net.inferred(self.start, a, eps)[0][-1]
            self.begins = False

    def _move(self, leave: int, come: int) -> None:
        """Vectors and state of the optimizer for the window as it is now."""
        before = self.optimizer.state[_VECTORS]

        def moved(x: Tensor) -> Tensor:
            return torch.cat([x[leave:], x.new_zeros(come, *x.shape[1:])])

        self.vectors = nn.Parameter(moved(self.vectors.detach()))
        self.optimizer = self._optimizer()
        self.optimizer.state[_VECTORS] = {name: moved(value) for name, value in before.items()}

    def _optimizer(self) -> RowOptimizer:
        settings = TrainSettings(optimizer="adam", lr=self.settings.rate)
        return RowOptimizer({_VECTORS: self.vectors}, settings, GroupSettings(rows=True))

    def improve(self, iterations: int | None = None) -> Tensor:
        """Fit the vectors; gives the bound of each step before the last iteration, ``(W, B)``.

        Raises:
            DivergedError: If a vector becomes NaN or infinite.
        """
        count = self.settings.iterations if iterations is None else iterations
        noise = self._noise("error regression", (count, len(self))).movedim(0, 2)
        value = torch.zeros(len(self), self.series, dtype=torch.float64)
        for eps in noise.unbind(0):
            self.vectors.grad = None
            with torch.enable_grad():
                value = self.bound(eps).value
                (-value.sum()).backward()  # type: ignore[no-untyped-call]
            self.optimizer.step(self.settings.rate)
        if not bool(self.vectors.isfinite().all()):
            raise DivergedError("ErrorRegression: a vector became NaN or infinite. Use a lower rate.")
        return value.detach()

    def bound(self, eps: Tensor) -> Bound:
        """The bound of the window with noise ``(W, B, Z)``."""
        return self.model.bound(
            self.start, self.vectors, eps, self.y, self.seen, self.prior, begins=self.begins
        )

    @torch.no_grad()
    def evidence(self, draws: int) -> Tensor:
        """The bound of the window as it is, per step, from so many draws, ``(B,)``."""
        noise = self._noise("evidence", (draws, len(self))).movedim(0, 2)
        return torch.stack([self.bound(eps).value.mean(0) for eps in noise.unbind(0)]).mean(0)

    @torch.no_grad()
    def members(self, members: int, steps: int) -> tuple[Tensor, Tensor]:
        """Numbers of the output within the window ``(B, M, W, K)``, and at the next steps ``(B, M, S, K)``.

        Without iterations the network is not told of the series: all is drawn from the prior, from its very start.
        """
        net, size = self.model.net, len(self)
        told = self.settings.iterations > 0 and size > 0
        inside = size if told else self.steps
        noise = self._noise("members of a prediction", (members, inside + steps))
        eps = noise.permute(2, 0, 1, 3).flatten(1, 2)
        start = self.start if told else torch.zeros_like(self.start)
        start = start.repeat_interleave(members, 0)
        if told:
            a = self.vectors.detach().repeat_interleave(members, 1)
            within, _ = net.inferred(start, a, eps[:size])
            start = within[-1]
        else:
            within, _ = (
                net.generated(start, eps[:inside], begins=True) if inside else (eps.new_zeros(0), None)
            )
            start = within[-1] if inside else start
        parts = [within[-size:]] if size else []
        if steps:
            parts.append(net.generated(start, eps[inside:], begins=inside == 0)[0])
        h = torch.cat(parts)
        if not bool(h.isfinite().all()):
            raise DivergedError("ErrorRegression: a state became NaN or infinite.")
        out = self.model.output(h).reshape(len(h), self.series, members, -1).permute(1, 2, 0, 3)
        return out[:, :, :size], out[:, :, size:]

    def _noise(self, stream: str, shape: Sequence[int]) -> Tensor:
        """Normal numbers of each series, ``(B, *shape, Z)``, of this step."""
        full = (BLOCK, *shape, self.model.net.z)
        drawn = by_block(
            lambda source: torch.randn(full, dtype=torch.float64, generator=source),
            self.seed,
            (stream, self.steps),
            first=0,
            count=int(self.rows.max()) + 1,
        )
        return drawn[self.rows]


def regressed(
    model: PredictiveModel,
    prior: MetaPrior,
    settings: RegressionSettings,
    y: Tensor,
    seen: Tensor,
    rows: Sequence[int],
    *,
    seed: int = 0,
) -> ErrorRegression:
    """A window that has gone over series of one length, to their ends: the first W steps at once, then step by step.

    Args:
        model: The network.
        prior: Weights of the divergence.
        settings: Window, iterations, rate.
        y: Encoded values, ``(T, B, C)``.
        seen: Which were seen.
        rows: Index of each series.
        seed: Seed of the noise.
    """
    state = ErrorRegression(model, prior, settings, rows, seed=seed)
    if settings.iterations == 0:  # no window has to be fitted on the way
        state.y, state.seen, state.steps = y[-settings.window :], seen[-settings.window :], len(y)
        return state
    state.add(y[: settings.window], seen[: settings.window])
    state.improve()
    for t in range(settings.window, len(y)):
        state.add(y[t : t + 1], seen[t : t + 1])
        state.improve()
    return state


def windows_over(
    model: PredictiveModel,
    prior: MetaPrior,
    many: Sequence[Series],
    settings: RegressionSettings,
    seed: int,
) -> Iterator[tuple[list[int], ErrorRegression]]:
    """Windows at the ends of series, those of one length together, with their rows; series k belongs to (seed, k).

    Raises:
        InvalidInputError: If a series is shorter than the window, or does not fit the output.
    """
    for k, one in enumerate(many):
        model.law.check(one)
        if settings.iterations and len(one) < settings.window:
            where = f"series {k}" if len(many) > 1 else "the series"
            rule = f"window must be at most the {len(one)} observed steps of {where}"
            raise invalid(rule, settings.window, f"Use window={len(one)}, or pass a longer series.")
    for length in sorted({len(one) for one in many}):
        rows = [k for k, one in enumerate(many) if len(one) == length]
        y = torch.stack([model.law.encoded(many[k].values) * many[k].seen for k in rows], 1)
        seen = torch.stack([many[k].seen for k in rows], 1)
        yield rows, regressed(model, prior, settings, y, seen, rows, seed=seed)
