"""Statistics of a predicted end point along the trajectories of a run, in constant memory and without further calls.

For each row, over the steps whose time lies in a window, the observer keeps mean, variance and quadratic variation of a
quantity of the fields, by default of ``E[x1 | x_t]``. With the exact field and the noise of ``dynamics.ReverseNoise``
this is a martingale: its quadratic variation from t to 1 has the mean ``Var(x1) - Var(E[x1 | x_t])``. With another
noise level it is none. A variance that is large late in the run marks samples whose prediction has not settled, such as
those between two modes.

Source: Aithal et al. (2024), arXiv:2406.09358; the martingale identity is derived here.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from interpolants.dynamics.modifiers import Modifier, Work
from interpolants.fields.protocol import QUANTITIES, Fields
from interpolants.foundations import asked
from interpolants.foundations.checked import Checked
from interpolants.foundations.clock import is_within
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import OneOf, Share
from interpolants.foundations.ops import mean_event

_WHO = "TrajectoryStatistics"


@dataclass(frozen=True)
class TrajectoryStatistics(Checked, Modifier):
    """Observe a quantity once a step within a window of times; the run keeps its bits.

    The report has one row per sample: ``variance`` and ``quadratic_variation``, averages over the entries of the event
    in squared units of the states; ``steps``, how many were seen; ``bad``, how many more were not finite, and count in
    nothing else. A variance of fewer than two is NaN. With ``maps`` also ``mean`` and ``variance_map``, ``(n, *D)``.

    Raises:
        InvalidInputError: If the window is empty.
    """

    of: Annotated[str, OneOf(lambda: QUANTITIES)] = "denoised"
    """Quantity of the fields."""
    window: tuple[Share, Share] = (0.0, 1.0)
    """Earliest and latest time, both included up to rounding; at least two steps must begin in it."""
    maps: bool = False
    """Report mean and variance of every entry too."""

    def check_settings(self) -> None:
        """Check that the window is not empty."""
        low, high = self.window
        if not low < high:
            raise asked.invalid("window must be two rising times in [0, 1]", self.window)

    def why_not(self, model: object) -> str:
        """Fields must know the quantity."""
        return (
            "" if isinstance(model, Fields) and model.provides(self.of) else f"they do not know {self.of!r}"
        )

    def begin(self, x: Tensor, index: int, times: Tensor) -> Work:
        """Start the work on a chunk.

        Raises:
            InvalidInputError: If fewer than two steps begin in the window.
        """
        low, high = self.window
        steps = sum(is_within(time, low, high) for time in times[:-1].tolist())
        if steps < 2:
            rule = f"two steps or more must begin in the window {low:g} to {high:g}"
            raise invalid(_WHO, rule, f"{steps} of {len(times) - 1}", "Widen it, or use more steps.")
        return _Observing(self, x)


class _Observing(Work):
    """Running sums by Welford's rule, float64."""

    def __init__(self, settings: TrajectoryStatistics, x: Tensor) -> None:
        self.settings, self.observes = settings, (settings.of,)
        self.is_new_step = True
        rows = x.new_zeros(len(x), dtype=torch.float64)
        self.steps, self.bad = rows.long(), rows.long()
        self.mean = torch.zeros_like(x, dtype=torch.float64)
        self.squares, self.variation, self.last = (torch.zeros_like(self.mean) for _ in range(3))

    def observe(self, x: Tensor, t: Tensor, values: dict[str, Tensor]) -> None:
        is_first, self.is_new_step = self.is_new_step, False
        if not is_first or not is_within(t, *self.settings.window):
            return
        value = values[self.settings.of].detach().double()
        good = torch.isfinite(value).flatten(1).all(1)
        self.bad += ~good
        self.steps += good
        wide = good.reshape(-1, *[1] * (value.ndim - 1))
        count = self.steps.clamp_min(1).reshape(wide.shape)
        change = torch.where(wide, value - self.mean, 0.0)
        self.mean += change / count
        self.squares += torch.where(wide, change * (value - self.mean), 0.0)
        self.variation += torch.where(wide & (count > 1), (value - self.last).square(), 0.0)
        self.last = torch.where(wide, value, self.last)

    def after(self, x: Tensor, t: Tensor, fields: Fields) -> Tensor:
        self.is_new_step = True
        return x

    def report(self) -> dict[str, Tensor]:
        enough = (self.steps > 1).reshape(-1, *[1] * (self.mean.ndim - 1))
        variance = torch.where(
            enough, self.squares / self.steps.clamp_min(1).reshape(enough.shape), torch.nan
        )
        told = {
            "variance": mean_event(variance),
            "quadratic_variation": mean_event(torch.where(enough, self.variation, torch.nan)),
            "steps": self.steps,
            "bad": self.bad,
        }
        return told | ({"mean": self.mean, "variance_map": variance} if self.settings.maps else {})
