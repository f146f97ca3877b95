"""Refinement of forecasts: windows move to where the model finds them likely, and stay near the forecast.

Letters: R rows, T times of history and window, L of the window, C columns, S steps ahead, z standard normal.
"""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
from annotated_types import Interval
from torch import Generator, Tensor

from interpolants.apps.timeseries.guided_windows import GuidedWindows
from interpolants.data.windows import with_lags
from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.kinds import NonNegative, Positive, Remedy, Whole
from interpolants.framework.capabilities import verb
from interpolants.framework.role import Role
from interpolants.framework.series import STEPS, Series, dates, listed

verb("refine", "forecast")
FORECAST = Role(
    name="forecast",
    kind="series",
    axis="",
    gaps=True,
    about="A forecast with one row per step of the horizon.",
)


@dataclass(frozen=True, kw_only=True)
class Refinement(Checked):
    """``y <- y - rate grad E`` with ``E(y) = E_z |z - eps(alpha z + beta y, t)|^2 + weight R(y, forecast)``.

    The first term is large where the network, asked at one representative time, does not find the noise again: at
    windows unlike those of its training. What was seen of the context is kept; only the horizon and gaps move.
    ``"langevin"`` adds ``sqrt(2 rate) spread z`` to each step, so that members differ.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Kollovieh et al. (2023), arXiv:2307.11494, section 3.2. Ours: what was seen stays, lags of the horizon move
    along with it.
    """

    method: Literal["likelihood", "langevin"] = "likelihood"
    """How windows move: downhill, or with noise beside it."""
    rounds: Whole = 20
    """Steps."""
    rate: Positive = 0.1
    """Length of a step."""
    spread: NonNegative = 0.1
    """Size of the noise of ``"langevin"``."""
    weight: NonNegative = 0.1
    """Weight of the distance from the forecast."""
    gap: Literal["mse", "quantile"] = "mse"
    """That distance; ``"quantile"`` has the level ``m / (M + 1)`` for member m."""
    time: Annotated[float, Interval(gt=0, lt=1), Remedy("0.8 is step 20 of 100 of the paper's clock.")] = 0.8
    """The representative time, 1 at the data."""

    def refined(self, windows: GuidedWindows, values: Tensor, seen: Tensor, source: Generator) -> Tensor:
        """Windows ``(R, L, C)`` in data units.

        Args:
            windows: The model and its units.
            values: History and, as its last S times, the forecast, ``(R, T, C)``.
            seen: What was seen of the history, ``(R, T, C)``; nothing of the forecast.
            source: Noise.

        Raises:
            DivergedError: If windows outgrow the data.
        """
        length = windows.shape[1]
        shift, scale = windows.units.of(values[:, -length:], seen[:, -length:])
        start = ((values - shift) / scale).float()
        y = start
        for _ in range(self.rounds):
            with torch.enable_grad():
                free = y.detach().requires_grad_()
                energy = self._energy(windows, torch.where(seen, start, free), source)
                (slope,) = torch.autograd.grad(energy + self.weight * self._distance(free, start), free)
            y = y - self.rate * slope
            if self.method == "langevin":
                noise = torch.randn(y.shape, generator=source, dtype=y.dtype)
                y = y + math.sqrt(2 * self.rate) * self.spread * noise
            y = torch.where(seen, start, y)
            if not bool((y.abs() < windows.room).all()):
                told = (
                    f"refine: windows left the scale of the data with rate={self.rate:g}, time={self.time:g}"
                )
                raise DivergedError(f"{told}. Use a smaller rate, or a smaller time.")
        return windows.units.decode(y[:, -length:], shift, scale)

    def _energy(self, windows: GuidedWindows, y: Tensor, source: Generator) -> Tensor:
        """``sum |z - eps|^2`` over the columns of the series; their lagged copies only tell the network more."""
        columns, length = y.shape[2], windows.shape[1]
        x1 = with_lags(y, length, windows.lags)
        z = torch.randn(x1.shape, generator=source, dtype=x1.dtype)
        t = torch.full((len(x1),), self.time, dtype=x1.dtype)
        alpha, beta = (f(t).reshape(-1, 1, 1) for f in (windows.flow.path.alpha, windows.flow.path.beta))
        found = windows.fields.noise(alpha * z + beta * x1, t)
        energy: Tensor = (z - found)[:, :columns].square().sum()
        return energy

    def _distance(self, y: Tensor, start: Tensor) -> Tensor:
        gap = start - y
        if self.gap == "mse":
            return gap.square().sum()
        k = (torch.arange(1, len(y) + 1) / (len(y) + 1)).reshape(-1, 1, 1).to(gap)
        return torch.maximum(k * gap, (k - 1) * gap).sum()


def forecast_members(given: Any, members: int, steps: int, context: Series) -> Tensor:
    """Members ``(M, S, C)`` float64 of a forecast of what follows a context, gone through in turn.

    Raises:
        InvalidInputError: If it is not of the horizon, of other dates than those that follow, has other columns, or
            gaps.
    """
    columns = context.values.shape[1]
    parts = [_in_order(one, context) for one in listed(given)]
    for one in parts:
        if one.values.shape != (steps, columns):
            rule = f"a forecast must have the horizon's {steps} steps and {columns} columns"
            raise invalid(rule, tuple(one.values.shape), "Refine longer ones piece by piece.")
        if not bool(one.seen.all()):
            raise invalid("a forecast must have no gaps", f"{int((~one.seen).sum())} of them")
        if STEPS not in (one.clock, context.clock) and not torch.equal(one.times, context.after(steps)):
            first, wanted = (dates(times[:1], context.clock)[0] for times in (one.times, context.after(1)))
            rule = f"a forecast must be of the dates that follow the context, from {wanted}"
            raise invalid(rule, f"dates from {first}", "Pass the context that it was made from.")
    return torch.stack([parts[m % len(parts)].values for m in range(members)])


def _in_order(one: Series, context: Series) -> Series:
    """A forecast with the named columns of its context in their order."""
    if one.columns == context.columns or not one.columns or len(context.columns) < 2:
        return one
    if set(one.columns) != set(context.columns):
        rule = f"a forecast must have the columns {', '.join(context.columns)}"
        raise invalid(rule, ", ".join(one.columns))
    order = [one.columns.index(name) for name in context.columns]
    return replace(one, values=one.values[:, order], seen=one.seen[:, order], columns=context.columns)
