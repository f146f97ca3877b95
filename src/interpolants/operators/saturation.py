"""Saturating sensor: values clipped to a range."""

from dataclasses import dataclass

from torch import Tensor

from interpolants.foundations.checks import positive
from interpolants.foundations.errors import invalid
from interpolants.operators.measurement import Operator


@dataclass(frozen=True)
class Saturate(Operator):
    """``y = clip(gain x, low, high)``, entry by entry: a photograph of a scene with more range than the sensor.

    ``pinv`` is ``y / gain``. Gradients vanish where the sensor saturates.

    Args:
        gain: Factor, > 0.
        low: Least value that is measured.
        high: Greatest value that is measured, > low.

    Raises:
        InvalidInputError: If a setting breaks its rule.
    """

    gain: float = 2.0
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        positive("Saturate", "gain", self.gain)
        if not self.low < self.high:
            raise invalid("Saturate", "low must be < high", (self.low, self.high))

    def __call__(self, x: Tensor) -> Tensor:
        """The measured values."""
        return (self.gain * x).clamp(self.low, self.high)

    def pinv(self, y: Tensor) -> Tensor:
        """``y / gain``."""
        return y / self.gain
