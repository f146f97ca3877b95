"""Saturating sensor: values clipped to a range."""

from dataclasses import dataclass

from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import Positive
from interpolants.operators.measurement import Operator


@dataclass(frozen=True)
class Saturate(Checked, Operator):
    """``y = clip(gain x, low, high)``, entry by entry: a photograph of a scene with more range than the sensor.

    ``pinv`` is ``y / gain``. Gradients vanish where the sensor saturates.

    Raises:
        InvalidInputError: If a setting breaks its rule.
    """

    gain: Positive = 2.0
    """Factor."""
    low: float = -1.0
    """Least value that is measured."""
    high: float = 1.0
    """Greatest value that is measured, > low."""

    def check_settings(self) -> None:
        """Refuse an empty range."""
        if not self.low < self.high:
            raise invalid("low must be < high", (self.low, self.high))

    def __call__(self, x: Tensor) -> Tensor:
        """The measured values."""
        return (self.gain * x).clamp(self.low, self.high)

    def pinv(self, y: Tensor) -> Tensor:
        """``y / gain``."""
        return y / self.gain
