"""Time shift: fields are asked at the time that fits the spread of a state, not at the one that the grid says.

Errors of earlier steps leave a state with another variance than the path has at its time: the network then sees pairs
of state and time that it was not trained on (exposure bias). For a one-sided path ``x_t = alpha x0 + beta x1`` with
base scale c the variance within a state of many entries is about

``sigma^2(t) = (c alpha)^2 + beta^2 v``,

v the mean variance within a data point. In a window around the planned time the one is used whose variance is nearest
to that of the state. The published rule leaves v out: it is biased where ``beta^2 v`` is not small, and void for
standardised data, whose ``sigma^2`` is constant.

Source: Li et al. (2024), arXiv:2305.15583; the rule with v is derived here.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from interpolants.dynamics.modifiers import Modifier, Work
from interpolants.dynamics.sample import Samples, sample
from interpolants.fields.protocol import Fields
from interpolants.foundations.checked import Checked
from interpolants.foundations.clock import is_before, number_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.kinds import NonNegative, Remedy, Share
from interpolants.foundations.ops import expand_like
from interpolants.foundations.tell import FitWarning, tell
from interpolants.foundations.types import Condition
from interpolants.paths.path import SpatiallyLinearPath

_WHO = "TimeShift"
# Candidate times per unit of time.
_FINE = 1000
_ENDS = ("denoised", "noise")


@dataclass(frozen=True)
class TimeShift(Checked, Modifier):
    """Choose the time of every row by the variance within its state, early in the run.

    Three readings of the rule are in use:

    * ``"condition"``: the fields are asked at the chosen time, and the step leads to the planned one;
    * ``"target"``: the fields are asked at the planned time, and the step lands at the time, near the next planned one,
      that fits the state it starts from;
    * ``"stride"``: likewise, but it lands a whole step after the time, near the present one, that fits.

    The last two add to a finished step what its mean end points say of the way to the other time, which for
    ``method="ddim"`` is exact. The first step is never shifted. The report has ``shift``, the mean of chosen minus
    planned time per row, ``at_edge``, the share of its choices at an edge of the window, and ``used``, the chosen times
    in their order.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    window: Share = 0.04
    """Width of the window in units of t; 0 changes nothing."""
    until: Share = 0.6
    """Planned time at which shifting ends."""
    variance: Annotated[Literal["data"] | NonNegative, Remedy("0 is the published rule.")] = "data"
    """Mean variance v within a data point: ``"data"`` measures it on the rows that the model was fitted to, in the
    units of its fields. A number must be in these units too: see :func:`variance_within`. 0 leaves v out, which is the
    published rule."""
    reading: Literal["condition", "target", "stride"] = "condition"
    """What the chosen time is for, as above."""
    pool: Literal["row", "batch"] = "row"
    """``"row"``, or ``"batch"`` for one time from the mean variance of all rows, which then depend on each other."""

    @property
    def couples_rows(self) -> bool:
        """Rows that share one time depend on each other."""
        return self.pool == "batch"

    def why_not(self, model: object) -> str:
        """The path must be one-sided from a centred Gaussian base with one scale, and both mean end points known."""
        if not isinstance(model, Fields) or not isinstance(path := model.path, SpatiallyLinearPath):
            return "it needs a spatially linear path"
        base = path.base
        if not isinstance(base, Gaussian) or base.shared_scale is None or not base.is_centred or path.basis:
            return "it needs a one-sided path from a centred Gaussian base with one scale"
        return (
            "" if all(model.provides(name) for name in _ENDS) else "it needs the mean end point and the noise"
        )

    def measured_on(self, rows: Tensor) -> Modifier:
        """With v of these rows, where it is ``"data"``.

        Raises:
            InvalidInputError: If no row varies within itself.
        """
        if self.variance != "data" or not self.window or not self.until or rows[0].numel() < 2:
            return self
        return replace(self, variance=variance_within(rows))

    def begin(self, x: Tensor, index: int, times: Tensor) -> Work:
        """At work on a chunk.

        Raises:
            InvalidInputError: If a state has one entry, the run goes back to the base, or v is to be measured and there
                are no data.
        """
        if x[0].numel() < 2:
            rule = "states must have at least two entries"
            raise invalid(_WHO, rule, f"shape {tuple(x.shape)}", "One entry has no variance.")
        if times[0] > times[-1]:
            rule = "the run must go from t = 0 to 1"
            raise invalid(_WHO, rule, "reverse=True", "Leave it out there.")
        if not self.window or not self.until:
            return Work()
        if self.variance == "data":
            rule = "variance='data' needs a model that keeps rows of its fit, such as a Bridge"
            remedy = "Pass variance=variance_within(rows), rows in the units of the fields."
            raise invalid(_WHO, rule, "fields alone", remedy)
        return _Shifting(self, x, times) if self.reading == "condition" else _Landing(self, x, times)


class _Choosing(Work):
    """Choices of times, and their record."""

    def __init__(self, settings: TimeShift, x: Tensor, times: Tensor) -> None:
        self.settings, self.times = settings, times
        self.step, self.choices = 0, 0
        self.used: list[Tensor] = []
        self.moved = x.new_zeros(len(x), dtype=torch.float64)
        self.edges = torch.zeros_like(self.moved)

    def chosen(self, x: Tensor, centre: float, path: SpatiallyLinearPath) -> Tensor:
        """The time ``(b,)`` in the window around ``centre`` whose variance is nearest to that of each state."""
        half = self.settings.window / 2
        low, high = max(0.0, centre - half), min(1.0, centre + half)
        times = torch.linspace(low, high, max(2, math.ceil((high - low) * _FINE) + 1), dtype=torch.float64)
        seen = x.detach().double().flatten(1).var(1)
        if self.settings.pool == "batch":
            seen = seen.mean().expand(len(x))
        v = self.settings.variance
        assert not isinstance(v, str)
        gap = (seen[:, None].cpu() - state_variance(path, times, v)).abs()
        best = gap.argmin(1)
        self.choices += 1
        self.used.append(times[best].to(x.device))
        self.moved += (times[best] - centre).to(self.moved)
        self.edges += ((best == 0) | (best == len(times) - 1)).to(self.edges)
        return times[best].to(x.device)

    def after(self, x: Tensor, t: Tensor, fields: Fields) -> Tensor:
        self.step += 1
        return x

    def report(self) -> dict[str, Tensor]:
        used = torch.stack(self.used, 1) if self.used else self.moved.new_zeros(len(self.moved), 0)
        told = {"shift": self.moved / max(self.choices, 1), "at_edge": self.edges / max(self.choices, 1)}
        told["used"] = used
        share = float(told["at_edge"].mean())
        if self.choices and share > 0.5:
            left_out = self.settings.variance == 0
            remedy = (
                "Pass the variance within data points." if left_out else "Compare a wider window, and none."
            )
            shift = float(told["shift"].mean())
            found = f"{share:.0%} of the chosen times lie at an edge of the window, mean shift {shift:+.3g}"
            told_why = (
                "the bias is larger than the window, or the variance of a state says little of its time"
            )
            tell(FitWarning, f"{_WHO}: {found}: {told_why}. {remedy}")
        return told


class _Shifting(_Choosing):
    """Reading ``"condition"``."""

    def evaluate(
        self, inner: Fields, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition
    ) -> dict[str, Tensor]:
        if self.step == 0 or t.ndim or not is_before(t, self.settings.until):
            return inner.evaluate(x, t, want, cond)
        path = inner.path
        assert isinstance(path, SpatiallyLinearPath)
        used = self.chosen(x, number_of(t), path).to(t.dtype)
        ends = inner.evaluate(x, used, _ENDS, cond)
        return {name: from_ends(name, path, t, ends) for name in want}


class _Landing(_Choosing):
    """Readings ``"target"`` and ``"stride"``."""

    observes = _ENDS

    def __init__(self, settings: TimeShift, x: Tensor, times: Tensor) -> None:
        super().__init__(settings, x, times)
        self.ends: dict[str, Tensor] = {}
        self.seen = x

    def observe(self, x: Tensor, t: Tensor, values: dict[str, Tensor]) -> None:
        if not self.ends:  # the first evaluation of a step
            self.ends, self.seen = values, x

    def after(self, x: Tensor, t: Tensor, fields: Fields) -> Tensor:
        now, then = (float(self.times[k]) for k in (self.step, self.step + 1))
        ends, self.ends = self.ends, {}
        is_early = is_before(now, self.settings.until)
        is_shifted = self.step > 0 and is_early and self.step + 2 < len(self.times)
        self.step += 1
        if not is_shifted:
            return x
        path = fields.path
        assert isinstance(path, SpatiallyLinearPath)
        centre, ahead = (then, 0.0) if self.settings.reading == "target" else (now, then - now)
        landing = (self.chosen(self.seen, centre, path) + ahead).clamp(0, 1)
        scale = _scale(path)
        planned = torch.tensor(then, dtype=torch.float64)
        by_end = path.beta(landing) - float(path.beta(planned))
        by_noise = scale * (path.alpha(landing) - float(path.alpha(planned)))
        return (
            x
            + expand_like(by_end, x).to(x) * ends["denoised"]
            + expand_like(by_noise, x).to(x) * ends["noise"]
        )


def state_variance(path: SpatiallyLinearPath, times: Tensor, variance: float) -> Tensor:
    """Mean variance within a state at times ``(n,)``: ``(c alpha)^2 + beta^2 v``."""
    return (_scale(path) * path.alpha(times)).square() + variance * path.beta(times).square()


def variance_within(x: Tensor) -> float:
    """v: the mean over rows ``(N, *D)`` of the variance of their entries about the row's own mean.

    For fields of a fitted bridge the rows must be in its units: ``variance_within(bridge.frame.encode(x))``.
    """
    return float(x.double().flatten(1).var(1).mean())


def exposure_bias(path: SpatiallyLinearPath, done: Samples, variance: float) -> Tensor:
    """Mean variance within the states of a run over that of the path, ``(n + 1,)``; 1 without a bias.

    Args:
        path: The path of the fields.
        done: A run with ``return_path=True``, in the units of the fields.
        variance: v, as in :class:`TimeShift`.

    Raises:
        InvalidInputError: If the run kept no path.
    """
    if done.path is None:
        raise invalid("exposure_bias", "the run must keep its path", "none", "Sample with return_path=True.")
    seen = done.path.double().flatten(2).var(2).mean(1).cpu()
    return seen / state_variance(path, done.times.double(), variance)


def tune_time_shift(
    fields: Fields,
    x: Tensor,
    variance: float,
    *,
    windows: Sequence[float] = (0.02, 0.04, 0.08),
    untils: Sequence[float] = (0.3, 0.6, 0.9),
    **options: Any,
) -> TimeShift:
    """The window and end of shifting whose run stays nearest to the path's variance; no shift where none helps.

    Needs neither labels nor features: it compares ``|log exposure_bias|``, averaged over the run.

    Args:
        fields: Trained fields.
        x: Starts, ``(b, *D)``; some dozens.
        variance: v, as in :class:`TimeShift`; see :func:`variance_within`.
        windows: Candidates.
        untils: Candidates.
        **options: Options of ``dynamics.sample``, those of the later runs: ``n_steps``, ``method``, ``cond`` ...
    """
    path = fields.path
    assert isinstance(path, SpatiallyLinearPath)
    tried = [TimeShift(window=0.0, variance=variance)]
    tried += [TimeShift(window=w, until=u, variance=variance) for w in windows for u in untils]

    def bias(settings: TimeShift) -> float:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", _WHO, FitWarning)
            done = sample(fields, x, return_path=True, modifiers=settings, **options)
        return float(exposure_bias(path, done, variance).log().abs().mean())

    return min(tried, key=bias)


def _scale(path: SpatiallyLinearPath) -> float:
    scale = path.base.shared_scale if path.base is not None else None
    assert scale is not None
    return float(scale)


def from_ends(name: str, path: SpatiallyLinearPath, t: Tensor, ends: dict[str, Tensor]) -> Tensor:
    """A quantity from mean end point and noise at their time t, ``()`` or ``(B,)``; off the ends, as samplers do."""
    scale, noise = _scale(path), ends["noise"]
    t = expand_like(t.clamp(path.margin, 1 - path.margin), noise)
    if name in ends:
        return ends[name]
    if name == "endpoint0":
        return scale * noise
    if name == "score":
        return -noise / (scale * path.alpha(t)).to(noise)
    return path.beta_dot(t).to(noise) * ends["denoised"] + scale * path.alpha_dot(t).to(noise) * noise
