"""Windows of training series: values with gaps filled for the network, and what of them counts.

Letters: L times of a window, H times before it that its lags reach back, C columns, k lags.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.apps.timeseries.nets.sequence import SequenceNet
from interpolants.apps.timeseries.window_units import WindowUnits
from interpolants.data.windows import all_windows, interpolated, with_lags
from interpolants.foundations.asked import invalid
from interpolants.foundations.tell import DataWarning, FitWarning, SettingWarning, tell
from interpolants.framework.series import Series

# Windows of which less is seen are not learnt from.
_LEAST_SEEN = 0.5
# Networks err by about a hundredth of the unit of windows, so that smaller changes are lost.
_LEVEL = 0.03
_KEPT_SCALES = 1000
# Share of the variance of a column that a straight line explains in a series with a trend.
_STRAIGHT = 0.5


class TrainingWindows:
    """Windows of series as rows of a batch.

    They are drawn uniformly, with replacement, among those of which at least half is seen. Their gaps are filled by
    straight lines, so that the network sees no holes, but entries in gaps do not count in the loss.

    Args:
        series: Training series.
        context: Times of a window that give its scale.
        length: L.
        lags: Steps back of the further columns.
        units: Units of windows.

    Raises:
        InvalidInputError: If no window is left.
    """

    def __init__(
        self,
        series: Sequence[Series],
        *,
        context: int,
        length: int,
        lags: Sequence[int],
        units: WindowUnits,
    ) -> None:
        self.length, self.lags = length, tuple(lags)
        reach = length + max(lags, default=0)
        if short := [len(one) for one in series if len(one) < reach]:
            rule = f"series must be at least {reach} steps long: a window of {length} and its longest lag"
            raise invalid(rule, short[0], "Use a shorter context.")
        parts = [self._windows(one, reach, context, units) for one in series]
        self.values, self.seen, self.shift, self.scale = (
            torch.cat(part) for part in zip(*parts, strict=True)
        )
        if not len(self.values):
            remedy = "Use a shorter context, or fill in missing values first."
            rule = "at least one window must have half of its values observed, and a nonzero one"
            raise invalid(rule, "none", remedy)
        if units.kind == "window":
            _warn_if_level(self.values / self.scale)

    def _windows(
        self, one: Series, reach: int, context: int, units: WindowUnits
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        values, seen = all_windows(one.values, reach), all_windows(one.seen, reach)
        last = reach - self.length + context  # what comes after is the future: it gives no scale
        shift, scale = units.of(values[:, reach - self.length : last], seen[:, reach - self.length : last])
        enough = seen[:, reach - self.length :].double().mean((1, 2)) >= _LEAST_SEEN
        keep = enough & (scale > 0).all(2)[:, 0]
        filled = all_windows(interpolated(one.values, one.seen), reach)
        return filled[keep], seen[keep], shift[keep], scale[keep]

    @property
    def shape(self) -> tuple[int, int]:
        """Event shape of the states, ``(C (1 + k), L)``."""
        return self.values.shape[2] * (1 + len(self.lags)), self.length

    @property
    def largest(self) -> float:
        """The largest absolute value, in units of the windows."""
        return float(((self.values - self.shift) / self.scale).abs().max())

    def some_units(self, source: Generator) -> tuple[Tensor, Tensor]:
        """Scales and shifts of some windows, ``(K, C)`` each."""
        rows = torch.randperm(len(self.scale), generator=source)[:_KEPT_SCALES]
        return self.scale[rows, 0], self.shift[rows, 0]

    def rows(self, n: int, generator: Generator) -> dict[str, Any]:
        """Rows ``x1`` and ``known``, ``(n, C (1 + k), L)`` float32 each."""
        pick = torch.randint(len(self.values), (n,), generator=generator)
        scaled = (self.values[pick] - self.shift[pick]) / self.scale[pick]
        return {
            "x1": with_lags(scaled, self.length, self.lags).float(),
            "known": with_lags(self.seen[pick], self.length, self.lags).float(),
        }


def _warn_if_level(scaled: Tensor) -> None:
    """Tell of columns of windows ``(R, T, C)`` that change by little beside their size."""
    change = scaled.std(1, correction=0).mean(0)
    small = [(c, float(change[c])) for c in range(len(change)) if float(change[c]) < _LEVEL]
    if small:
        column, share = small[0]
        told = f"SelfGuidedDiffusion: column {column} changes by {share:.2g} of its own size within a window"
        remedy = "a network errs by about as much. Use scale='level', or 'standard' if there is no trend"
        tell(DataWarning, f"{told}; {remedy}.")


def warn_if_trend(series: Sequence[Series], columns: Sequence[str]) -> None:
    """Warn of columns that mostly follow a straight line: in units of the whole series no forecast continues it."""
    for measured in series:
        observed, time = (
            measured.seen,
            torch.arange(len(measured), dtype=torch.float64)[:, None].expand(measured.seen.shape),
        )
        count = observed.sum(0).clamp_min(1)
        t, x = (
            torch.where(observed, v - torch.where(observed, v, 0.0).sum(0) / count, 0.0)
            for v in (time, measured.values.double())
        )
        fraction = (t * x).sum(0).square() / (t.square().sum(0) * x.square().sum(0)).clamp_min(1e-300)
        c = int(fraction.argmax())
        if float(fraction[c]) > _STRAIGHT:
            name = columns[c] if c < len(columns) else c
            line = f"a straight line explains {float(fraction[c]):.0%} of the variance of column {name}"
            reason = "forecasts with scale='standard' stay within the range of the training data"
            tell(FitWarning, f"SelfGuidedDiffusion: {line}; {reason}. Use scale='level'.")
            return


def warn_if_narrow(net: Any, shape: tuple[int, int]) -> None:
    """Tell of a network for sequences whose width is below the number of its channels, columns and their lags.

    The noise of all channels must pass through the width, and cannot: the fit then ends with a loss near that of a
    network that knows nothing, and with forecasts that are wide and far off.
    """
    if isinstance(net, SequenceNet) and net.settings["width"] < shape[0]:
        width = net.settings["width"]
        told = f"SelfGuidedDiffusion: the network has width {width} for {shape[0]} channels (columns and their lags)"
        remedy = (
            f"take width={2 * shape[0]} or more, fewer lags, or learn single series (each = true in a recipe)"
        )
        tell(SettingWarning, f"{told}; {remedy}.")
