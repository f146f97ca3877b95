"""Precision-weighted guidance: every entry is guided as strongly as the model's own estimate of it still fluctuates.

Letters: ``P`` a field given the condition, ``G`` the same field without one, ``m`` the mean end point ``E[x1 | x_t]``
given the condition, ``U`` its variance over the last steps of the run, entry by entry, ``W`` the weight.

The run takes ``G + W (P - G)`` for every quantity, with

``W = clip(1 + strength * norm(log U), low, high)``

where ``norm`` has mean 0 and spread 1 over the entries of a frame. For an exact conditional model and the noise of
``dynamics.ReverseNoise``, ``m`` is a martingale whose quadratic variation has the mean ``Var(x1 | condition)``: so U
tells from one run which entries can be predicted. With another noise, such as a constant ``eps``, ``m`` is no
martingale; U still ranks the entries, and its scale is not a variance. A positive strength corrects more where the
precision ``1/U`` is low.

An exact model is right with ``W = 1``, and weighting can only harm it. It may help one whose condition pulls too
weakly. ``W`` differs between entries, so the guided field is no gradient, and there is no likelihood.

Source: Chen et al. (2024), arXiv:2405.02384, for the idea. Window, normalisation and the map from U to W are not given
there in full, and are ours.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor
from torch.nn.functional import conv1d, pad

from interpolants.dynamics.modifiers import Modifier, Work
from interpolants.fields.protocol import Fields
from interpolants.foundations import asked
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import NonNegative, Real
from interpolants.foundations.tell import FitWarning, tell
from interpolants.foundations.types import Condition
from interpolants.guidance.classifier_free import ClassifierFree, without_and_given

_WHO = "PrecisionWeight"
_TINY = 1e-30  # of variances in units of the states


@dataclass(frozen=True)
class PrecisionWeight(Modifier, Checked):
    """Guide entries by how much the predicted end point fluctuates along the run; see the module.

    The first steps, as many as the window has, are those of the conditional model. The report has ``weight`` and
    ``variance``, the last W and U, ``(n, *D)``.

    Raises:
        InvalidInputError: If a setting is not finite or out of range.
    """

    strength: Real = 0.5
    """How far W leaves 1 for one standard deviation of ``log U``; 0 is the conditional model, negative corrects less
    where precision is low."""
    bounds: tuple[Real, Real] = (0.5, 2.0)
    """Least and largest weight; two equal ones are classifier-free guidance of that strength."""
    window: Annotated[float, Interval(gt=0, le=1)] = 0.3
    """Share of the steps over which U is taken; at least two steps."""
    smooth: NonNegative = 1.0
    """Standard deviation of a Gaussian over the last two axes of ``log U``, in cells; 0 for none. Vectors are never
    smoothed."""
    counted: Callable[[Condition], Tensor] | None = None
    """Which entries are weighted, from the condition of each row: truth values that broadcast with the states. The
    others, such as cells that a radar does not see, keep W = 1 and are left out of the norm. None for all."""

    def check_settings(self) -> None:
        """Check that the bounds are in increasing order."""
        if self.bounds[0] > self.bounds[1]:
            raise asked.invalid("bounds must be in increasing order", self.bounds)

    @property
    def acts_by_entry(self) -> bool:
        """Every entry has a weight of its own, unless all have one."""
        return self.bounds[0] < self.bounds[1]

    @property
    def asks_without_condition(self) -> bool:
        """G is the field without one."""
        return True

    def why_not(self, model: object) -> str:
        """Fields must know the mean end point."""
        knows = isinstance(model, Fields) and model.provides("denoised")
        return "" if knows else "they do not know the mean end point 'denoised'"

    def begin(self, x: Tensor, index: int, times: Tensor) -> Work:
        """At work on a chunk.

        Raises:
            InvalidInputError: If the run goes back to the base, the window holds fewer than two of its steps, or all.
        """
        if times[0] > times[-1]:
            raise invalid(_WHO, "the run must go from t = 0 to 1", "reverse=True", "Leave it out there.")
        low, high = self.bounds
        if low == high:
            return _Even(low)
        if self.strength == 0 and low <= 1 <= high:
            return Work()
        steps = len(times) - 1
        count = round(self.window * steps)
        if count < 2:
            rule = "window must contain at least two steps"
            least = f"Use at least {math.ceil(1.5 / self.window)} steps, or a larger window."
            raise invalid(_WHO, rule, f"{steps} steps, window {self.window:g}", least)
        if count >= steps:
            rule = "the run must have more steps than the window"
            raise invalid(
                _WHO, rule, f"{steps} steps, window {count}", "Use more steps, or a smaller window."
            )
        return _Weighting(self, x, count)


class _Even(Work):
    """One weight for all entries."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def evaluate(
        self, inner: Fields, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition
    ) -> dict[str, Tensor]:
        return ClassifierFree(inner, self.weight).evaluate(x, t, want, cond)


class _Weighting(Work):
    """The estimates of the last steps, and the weight that follows; W is held within a step."""

    def __init__(self, settings: PrecisionWeight, x: Tensor, count: int) -> None:
        self.settings, self.count = settings, count
        self.estimates: deque[Tensor] = deque(maxlen=count)
        self.weight, self.variance = torch.ones_like(x), torch.full_like(x, torch.nan)
        self.is_new_step = True

    def evaluate(
        self, inner: Fields, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition
    ) -> dict[str, Tensor]:
        if cond is None:
            raise invalid(_WHO, "a condition is needed to guide by", "None", "Pass cond=.")
        if len(self.estimates) < self.count:
            given = inner.evaluate(x, t, (*want, "denoised"), cond)
            self._see(given["denoised"], cond)
            return {name: given[name] for name in want}
        without, given = without_and_given(inner, x, t, (*want, "denoised"), cond)
        self._see(given["denoised"], cond)
        return {name: torch.lerp(without[name], given[name], self.weight.to(x)) for name in want}

    def _see(self, estimate: Tensor, cond: Condition) -> None:
        """Store the estimate of the first evaluation of a step."""
        if not self.is_new_step:
            return
        self.is_new_step = False
        self.estimates.append(estimate.detach())
        if len(self.estimates) == self.count:
            self.variance = torch.stack(list(self.estimates)).var(0, correction=0)
            which = self.settings.counted
            counted = None if which is None else which(cond).expand_as(self.variance)
            self.weight = weight_map(self.variance, self.settings, counted)

    def after(self, x: Tensor, t: Tensor, fields: Fields) -> Tensor:
        self.is_new_step = True
        return x

    def report(self) -> dict[str, Tensor]:
        return {"weight": self.weight, "variance": self.variance}


def weight_map(variance: Tensor, settings: PrecisionWeight, counted: Tensor | None = None) -> Tensor:
    """W of variances U, both ``(B, *D)``; a frame is the last two axes of an event, or all of a vector.

    Args:
        variance: U.
        settings: Strength, bounds and smoothing.
        counted: Entries that are weighted, truth values of the shape of U; None for all.
    """
    scale = variance.clamp_min(_TINY).log()
    is_grid = variance.ndim > 2
    axes = (-2, -1) if is_grid else (-1,)
    counted = torch.ones_like(variance, dtype=torch.bool) if counted is None else counted
    if is_grid and settings.smooth:
        scale = _smoothed_counted(scale, counted, settings.smooth)
    norm, even = _norm(scale, counted, axes)
    if even:
        tell(
            FitWarning,
            f"{_WHO}: the estimate fluctuates alike in all entries of a frame, which is not weighted.",
        )
    low, high = settings.bounds
    return torch.where(counted, (1 + settings.strength * norm).clamp(low, high), 1.0)


def _norm(scale: Tensor, counted: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, bool]:
    """Entries with mean 0 and spread 1 over those that count of each frame; whether a frame of several is even."""
    n = counted.sum(axes, keepdim=True).clamp_min(1)
    mean = torch.where(counted, scale, 0.0).sum(axes, keepdim=True) / n
    gap = torch.where(counted, scale - mean, 0.0)
    spread = (gap.square().sum(axes, keepdim=True) / n).sqrt()
    even = spread < 1e-6
    return torch.where(even, 0.0, gap / spread.clamp_min(1e-6)), bool((even & (n > 1)).any())


def _smoothed_counted(x: Tensor, counted: Tensor, cells: float) -> Tensor:
    """Smoothed over the entries that count alone."""
    if bool(counted.all()):
        return smoothed(x, cells)
    share = smoothed(counted.to(x), cells)
    return smoothed(torch.where(counted, x, 0.0), cells) / share.clamp_min(_TINY)


def smoothed(x: Tensor, cells: float) -> Tensor:
    """Fields ``(B, ..., H, W)`` under a Gaussian of so many cells; at edges the nearest cell goes on."""
    reach = max(1, math.ceil(3 * cells))
    at = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-0.5 * (at / cells).square())
    kernel = (kernel / kernel.sum())[None, None]
    for axis in (-2, -1):
        lines = x.transpose(axis, -1)
        flat = pad(lines.reshape(-1, 1, lines.shape[-1]), (reach, reach), mode="replicate")
        x = conv1d(flat, kernel).reshape(lines.shape).transpose(axis, -1)
    return x
