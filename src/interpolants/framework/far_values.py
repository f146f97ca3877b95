"""Warnings about requested values far from all training values, as in different units.

A kind of role whose values are measured says by ``numbers`` what they are; the framework keeps their spread beside a
fitted method, and compares the values of requests with it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from interpolants.data.endless import EndlessRows
from interpolants.foundations.row_access import LazyRows
from interpolants.foundations.tell import OutsideWarning, tell

# Deviations from the mean of the fit beyond which half of the values of a column are hardly of its kind.
_FAR = 10.0
# Of its size, by which a value differs from the only one of the fit; and of the largest column, which is rounding.
_OTHER, _ROUNDING = 1e-5, 1e-6
# Entries that are summed at once; rows on disk that stand for all; columns that have a spread of their own.
_PIECE, _ROWS, _COLUMNS = 2**20, 4096, 1000
# Values that tell a deviation: of fewer the next one lies ten of theirs off once in a thousand times or more.
_LEAST = 8

_QUIET: ContextVar[bool] = ContextVar("far_values_quiet", default=False)


@runtime_checkable
class Measured(Protocol):
    """A kind of role whose values are measured in units."""

    def numbers(self, value: Any) -> Tensor:
        """The numbers of a value in canonical form, ``(N, C)`` or ``(N, C, *D)``; NaN for what was not seen."""
        ...


def numbers_of(rows: Any) -> Tensor:
    """Rows in memory: all of a tensor, the pilot of endless rows, some thousands evenly spread of those on disk."""
    if isinstance(rows, EndlessRows):
        return rows.pilot
    if isinstance(rows, LazyRows):
        return rows[torch.linspace(0, len(rows) - 1, min(len(rows), _ROWS)).long()]
    found: Tensor = rows
    return found


def spread_of(x: Tensor) -> tuple[tuple[float, float], ...]:
    """Mean and standard deviation of each column of rows ``(N, C)``, or channel of fields ``(N, C, *D)``.

    Args:
        x: Values of the fit; NaN where not seen.

    Returns:
        A pair for each of the C: the mean, and the standard deviation or, if that is more, a tenth of the largest
        distance from the mean, so that no value of the fit counts as far. The second number is exactly 0
        if all values are equal, and infinite if there are fewer than eight values, which carry little information
        about others. Above 1,000 columns one pair stands for all. None without rows.
    """
    if not x.numel():
        return ()
    flat = x.detach().movedim(1, -1).flatten(0, -2)
    flat = flat.reshape(-1, 1) if flat.shape[1] > _COLUMNS else flat
    step = max(1, _PIECE // flat.shape[1])
    parts = [flat[first : first + step] for first in range(0, len(flat), step)]
    lowest, highest = _extremes(flat)
    n = torch.stack([part.isfinite().sum(0) for part in parts]).sum(0)
    mean = torch.stack([part.double().nansum(0) for part in parts]).sum(0) / n.clamp_min(1)
    square = torch.stack([(part.double() - mean).square().nansum(0) for part in parts]).sum(0) / n.clamp_min(
        1
    )
    still, unseen = lowest == highest, n < _LEAST
    reach = torch.maximum(highest - mean, mean - lowest)
    deviation = torch.where(still, 0.0, torch.maximum(square.sqrt(), reach / _FAR))
    mean, deviation = torch.where(still, lowest, mean), torch.where(unseen, torch.inf, deviation)
    return tuple(zip(mean.tolist(), deviation.tolist(), strict=True))


def _extremes(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest and highest observed value of each column ``(N, C)``; inf and -inf if a column has none."""
    lowest, highest = (one.double() for one in torch.aminmax(flat, dim=0))
    if bool(lowest.isnan().any()):
        lowest = flat.nan_to_num(torch.inf, torch.inf, -torch.inf).amin(0).double()
        highest = flat.nan_to_num(-torch.inf, torch.inf, -torch.inf).amax(0).double()
    return lowest, highest


@contextmanager
def untold() -> Iterator[None]:
    """While a question is answered: what a method asks of others on the way is not compared once more."""
    token = _QUIET.set(True)
    try:
        yield
    finally:
        _QUIET.reset(token)


def warn_if_far(who: str, name: str, z: Tensor, columns: Sequence[str] = (), *, remedy: str = "") -> bool:
    """Warn of columns whose values lie far from those of the fit, such as degrees Celsius for a model of kelvin.

    Args:
        who: Public name for the warning.
        name: Name of the argument.
        z: Distances from the mean of the fit in standard deviations, columns last, ``(..., C)``; NaN if unknown.
        columns: Names of the columns; numbers if they have no names.
        remedy: Another cause and its remedy, as a sentence.

    Returns:
        Whether there was something to tell.

    Warns:
        OutsideWarning: If half of the values of a column lie more than ten standard deviations from the mean.
    """
    flat = z.detach().abs().flatten(0, -2)
    middle = flat.nanmedian(0).values
    far = torch.nan_to_num(middle) > _FAR
    if not bool(far.any()):
        return False
    place = int(far.nonzero()[0])
    named = _named(name, place, len(middle), columns)
    message = f"{who}: {named} lies {float(middle[place]):.3g} standard deviations from the training data"
    tell(OutsideWarning, f"{message}; are the units the same? {remedy}".rstrip())
    return True


def warn_if_unlike(
    who: str, name: str, x: Tensor, spread: Sequence[tuple[float, float]], columns: Sequence[str] = ()
) -> None:
    """Warn of requested values that lie far from those of the fit, or differ from its only value.

    Args:
        who: Public name for the warning.
        name: Name of the argument.
        x: Requested values, ``(B, C)`` or ``(B, C, *D)``; NaN where nothing is known.
        spread: What :func:`spread_of` gives for those of the fit.
        columns: Names of the columns; numbers if they have no names.

    Warns:
        OutsideWarning: If the values of a column, or their root mean square over the places of a field, lie more than
            ten standard deviations off in half of the rows, or a column that never varied has another value.
    """
    if _QUIET.get() or not x.numel():
        return
    rows = x.detach().reshape(len(x), 1 if len(spread) == 1 else x.shape[1], -1)
    if rows.shape[1] != len(spread):
        return
    mean, deviation = torch.tensor(spread, dtype=torch.float64, device=rows.device).T
    lowest, highest = _extremes(rows.movedim(1, -1).flatten(0, -2))
    off = torch.maximum(highest - mean, mean - lowest)  # -inf where nothing is known
    still = deviation == 0
    size = torch.where(deviation.isfinite(), mean.abs() + deviation, 0.0).amax()
    other = off > torch.maximum(_OTHER * mean.abs(), _ROUNDING * size)
    if not bool(torch.where(still, other, off > _FAR * deviation).any()):
        return  # the usual case, without a median
    z = (rows.double() - mean[:, None]) / deviation.clamp_min(1e-300)[:, None]
    by_row = torch.where(still, 0.0, z.square().nanmean(-1).sqrt())
    if warn_if_far(who, name, by_row, columns) or not bool((still & other).any()):
        return
    place = int((still & other).nonzero()[0])
    message = f"{who}: {_named(name, place, len(mean), columns)} was {float(mean[place]):.6g} in every row of the fit"
    tell(OutsideWarning, f"{message}; nothing was learnt of other values.")


def _named(name: str, place: int, count: int, columns: Sequence[str]) -> str:
    """An argument, or which of its columns."""
    if count == 1:
        return name
    return f"column {columns[place] if len(columns) == count else place} of {name}"
