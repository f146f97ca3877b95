"""Losses along a training, on learnt and on watched rows, and the delay between the two."""

import math
from dataclasses import dataclass

from torch import Tensor

from interpolants.foundations.records import record

COLUMNS = ("step", "train", "held", "drift", "alignment")


@record("learning_curves")
@dataclass(frozen=True, eq=False)
class LearningCurves:
    """What was recorded, at steps that grow geometrically.

    Attributes:
        values: ``(R, 5)`` float64, columns :data:`COLUMNS`: step; mean square error on training and held-out rows, over
            the second moment of the training values (NaN without held-out rows); relative change of the tangent kernel
            since the start, and its alignment with the values.
    """

    values: Tensor

    def column(self, name: str) -> Tensor:
        """One column, ``(R,)``."""
        return self.values[:, COLUMNS.index(name)]

    def first_below(self, name: str, level: float) -> float:
        """The first recorded step whose loss is below a level; infinite if there is none."""
        below = (self.column(name) < level).nonzero()
        return float(self.column("step")[below[0, 0]]) if len(below) else math.inf

    def at(self, name: str, step: float) -> float:
        """A column at a recorded step, or the next."""
        later = int((self.column("step") < step).sum())
        return float(self.column(name)[min(later, len(self.values) - 1)])


def recorded_steps(steps: int, growth: float = 0.02) -> list[int]:
    """Steps from 0 to ``steps``, each about ``growth`` later than the one before."""
    found = [0]
    while found[-1] < steps:
        found.append(min(steps, max(found[-1] + 1, round(found[-1] * (1 + growth)))))
    return found
