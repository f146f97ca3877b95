"""Noise scaling: the predicted noise is divided by a constant, which corrects a bias of its size at no cost.

Source: Ning et al. (2024), arXiv:2308.15321, there called epsilon scaling.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from interpolants.dynamics.modifiers import Modifier, Work
from interpolants.fields.protocol import Fields
from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import Positive
from interpolants.foundations.ops import expand_like
from interpolants.foundations.types import Condition
from interpolants.generative.acceleration.time_shift import TimeShift, from_ends
from interpolants.paths.path import SpatiallyLinearPath


@dataclass(frozen=True)
class NoiseScaling(Checked, Modifier):
    """Divide the predicted noise by ``factor``, in every step but the first; mean end point and velocity follow.

    Raises:
        InvalidInputError: If the factor is not positive.
    """

    factor: Positive
    """Slightly above 1 where the network overshoots: the source takes 1.001 to 1.02, larger for fewer steps."""

    def why_not(self, model: object) -> str:
        """As :class:`TimeShift`."""
        return TimeShift().why_not(model)

    def begin(self, x: Tensor, index: int, times: Tensor) -> Work:
        """At work on a chunk."""
        return Work() if self.factor == 1 else _Scaling(self.factor)


class _Scaling(Work):
    def __init__(self, factor: float) -> None:
        self.factor, self.is_first = factor, True

    def evaluate(
        self, inner: Fields, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition
    ) -> dict[str, Tensor]:
        path = inner.path
        assert isinstance(path, SpatiallyLinearPath)
        if self.is_first:  # at t = 0 the state is the noise
            return inner.evaluate(x, t, want, cond)
        ends = inner.evaluate(x, t, ("denoised", "noise"), cond)
        scaled = ends["noise"] / self.factor
        time = expand_like(t, x)  # a time shift around it asks for a time per row
        share = (path.alpha(time) / path.beta(time)).to(x) * path.base.shared_scale  # type: ignore[union-attr, operator]
        both = {"noise": scaled, "denoised": ends["denoised"] + share * (ends["noise"] - scaled)}
        return {name: from_ends(name, path, t, both) for name in want}

    def after(self, x: Tensor, t: Tensor, fields: Fields) -> Tensor:
        self.is_first = False
        return x
