"""Prior noise: a little of the first state is added back after every late step, against lost texture.

It adds a term of fixed direction: after m steps the shift is ``a X_0`` times a sum of products of step factors, up to
about ``m a X_0``. It is a heuristic, no change of distribution that follows from the path.

Source: Li et al. (2024), arXiv:2312.09608, section 3.3.
"""

from dataclasses import dataclass

from torch import Tensor

from interpolants.dynamics.modifiers import Modifier, Work
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import number
from interpolants.foundations.clock import is_before
from interpolants.foundations.errors import invalid


@dataclass(frozen=True)
class PriorNoise(Modifier):
    """``X_j <- X_j + strength X_0`` before every step from ``t_from`` on; X_0 is the start of the run.

    The published code adds it between the network's call and the update; here the network sees it too.

    Args:
        strength: a >= 0; the source takes 0.003. 0 changes nothing.
        t_from: First time at which it is added, in [0, 1); the source takes the second half of the noise levels.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    strength: float = 0.003
    t_from: float = 0.5

    def __post_init__(self) -> None:
        number("PriorNoise", "strength", self.strength, at_least=0)
        number("PriorNoise", "t_from", self.t_from, at_least=0, below=1)

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
