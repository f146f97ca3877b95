"""Times as tensors that also carry their Python numbers.

Solvers hand times to fields as 0-d tensors, and fields that keep something per time look it up by number. Reading a
number back from a tensor costs 20 microseconds between two evaluations of a network, where every cache is cold, and
empties the queue of an accelerator. The solvers made the tensors from numbers: here they stay attached.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.autograd import forward_ad

from interpolants.foundations.ops import time_dtype

# Times that differ by less are one time.
ROUNDING = 1e-6
_NUMBER, _PLACE = "_number_of_this_time", "_place_of_this_time"


def clock(times: npt.NDArray[np.float64], x: Tensor) -> list[Tensor]:
    """Each of ``times (n,)`` as a 0-d tensor of the type and on the device that suit ``x``; not to be changed in place.

    Example:
        >>> ticks = clock(np.linspace(0, 1, 5), torch.zeros(8, 2))
        >>> ticks[1], number_of(ticks[1])
        (tensor(0.2500), 0.25)
    """
    rounded = times.astype(np.float64 if time_dtype(x) == torch.float64 else np.float32)
    ticks = list(torch.as_tensor(rounded).to(x.device).unbind())
    for tick, number in zip(
        ticks, rounded.tolist(), strict=True
    ):  # numbers of their own: a traced tensor has none
        tick.__dict__[_NUMBER] = number
    return ticks


def known_number(t: Tensor) -> float | None:
    """The number of a time that :func:`clock` made; None for any other."""
    number: float | None = t.__dict__.get(_NUMBER)
    return number


def mark_places(ticks: list[Tensor]) -> list[Tensor]:
    """The same times, each of which knows its place in the list: a solver may ask for one time at two stages."""
    for place, tick in enumerate(ticks):
        tick.__dict__[_PLACE] = place
    return ticks


def known_place(t: Tensor) -> int | None:
    """The place of a time among those that a solver asks for; None for any other."""
    place: int | None = t.__dict__.get(_PLACE)
    return place


def is_number(t: Tensor) -> bool:
    """Whether a time is one number on the CPU that nothing is differentiated by: what follows from it may be kept."""
    plain = t.ndim == 0 and t.is_cpu and not t.requires_grad
    return plain and forward_ad.unpack_dual(t).tangent is None  # type: ignore[no-untyped-call]


def number_of(t: Tensor) -> float:
    """The number in a 0-d tensor, without reading it where :func:`clock` made it."""
    number = known_number(t)
    return float(t.detach()) if number is None else number


def is_before(t: Tensor | float, bound: float) -> bool:
    """Return True if a time lies before a bound on time by more than rounding.

    The time of a step is a float32, or a float64 of a grid that was rounded, so that a step which begins at 0.9 may
    begin at 0.89999998. It still counts as at the bound, in every precision.

    Args:
        t: Time, 0-d, or its number.
        bound: Bound, in the same units.
    """
    return (number_of(t) if isinstance(t, Tensor) else t) < bound - ROUNDING


def is_within(t: Tensor | float, first: float, last: float) -> bool:
    """Return True if a time lies in [first, last] up to rounding; see :func:`is_before`.

    Args:
        t: Time, 0-d, or its number.
        first: Lower bound.
        last: Upper bound.
    """
    now = number_of(t) if isinstance(t, Tensor) else t
    return first - ROUNDING <= now <= last + ROUNDING
