"""Prior noise: a little of the first state is added back after every late step, against lost texture.

It adds a term of fixed direction: after m steps the shift is ``a X_0`` times a sum of products of step factors, up to
about ``m a X_0``. It is a heuristic, no change of distribution that follows from the path.

Source: Li et al. (2024), arXiv:2312.09608, section 3.3.
"""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval
from torch import Tensor

from interpolants.dynamics.modifiers import Modifier, Work
from interpolants.fields.protocol import Fields
from interpolants.foundations.checked import Checked
from interpolants.foundations.clock import is_before
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import NonNegative


@dataclass(frozen=True)
class PriorNoise(Checked, Modifier):
    """``X_j <- X_j + strength X_0`` before every step from ``t_from`` on; X_0 is the start of the run.

    The published code adds it between the network's call and the update; here the network sees it too.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    strength: NonNegative = 0.003
    """Share a of the first state; the source takes 0.003. 0 changes nothing."""
    t_from: Annotated[float, Interval(ge=0, lt=1)] = 0.5
    """First time at which it is added; the source takes the second half of the noise levels."""

    def begin(self, x: Tensor, index: int, times: Tensor) -> Work:
        """At work on a chunk.

        Raises:
            InvalidInputError: If the run goes back to the base, or ends before ``t_from``.
        """
        if times[0] > times[-1]:
            raise invalid("PriorNoise", "the run must go from t = 0 to 1", "reverse=True", "Leave it out.")
        if self.t_from >= float(times[-1]):
            rule = f"t_from must lie before the last time, {float(times[-1]):g}"
            raise invalid("PriorNoise", rule, self.t_from)
        return _Injecting(self, x, float(times[-1])) if self.strength else Work()


class _Injecting(Work):
    def __init__(self, settings: PriorNoise, x: Tensor, end: float) -> None:
        self.settings, self.start, self.end = settings, x, end

    def after(self, x: Tensor, t: Tensor, fields: Fields) -> Tensor:
        late = not is_before(t, self.settings.t_from) and is_before(t, self.end)
        return x.add(self.start, alpha=self.settings.strength) if late else x
