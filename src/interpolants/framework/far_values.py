"""Values that are asked about and lie far from all that a fit has seen, as in other units: told, not refused."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

# Deviations from the mean of the fit beyond which half of the values of a column are hardly of its kind.
_FAR = 10.0
# Of its size, by which a value differs from the only one of the fit.
_OTHER = 1e-5


class FarValuesWarning(UserWarning):
    """Values lie far from those of the fit."""


def warn_if_far(who: str, name: str, z: Tensor, columns: Sequence[str] = (), *, remedy: str = "") -> None:
    """Tell of columns whose values lie far from those of the fit, as degrees do in a model of kelvin.

    Args:
        who: Public name for the warning.
        name: Name of the argument.
        z: Values in deviations from the mean of the fit, columns last, ``(..., C)``; NaN where nothing is known.
        columns: Names of the columns; numbers where there are none.
        remedy: Another cause and its remedy, as a sentence.

    Warns:
        FarValuesWarning: If half of the values of a column lie more than ten deviations off.
    """
    flat = z.detach().abs().flatten(0, -2)
    middle = flat.nanmedian(0).values
    far = torch.nan_to_num(middle) > _FAR
    if not bool(far.any()):
        return
    place = int(far.nonzero()[0])
    named = _named(name, place, len(middle), columns)
    told = f"{who}: {named} lies {float(middle[place]):.3g} deviations from what the fit has seen"
    warnings.warn(f"{told}; are the units the same? {remedy}".rstrip(), FarValuesWarning, stacklevel=6)


def spread_of(cond: Tensor) -> tuple[tuple[float, float], ...]:
    """Mean and standard deviation of each entry of vectors ``(N, C)``, or channel of fields ``(N, C, *D)``.

    Args:
        cond: Conditions of the fit, finite.

    Returns:
        A pair for each of the C; the deviation is exactly 0 where all values are one. None without rows.
    """
    if not cond.numel():
        return ()
    flat = cond.detach().double().movedim(1, -1).flatten(0, -2)
    still = flat.amin(0) == flat.amax(0)
    mean = torch.where(still, flat[0], flat.mean(0))
    deviation = torch.where(still, 0.0, flat.std(0, correction=0))
    return tuple(zip(mean.tolist(), deviation.tolist(), strict=True))


def warn_if_unlike(
    who: str, name: str, x: Tensor, spread: Sequence[tuple[float, float]], columns: Sequence[str] = ()
) -> None:
    """Tell of values that are asked about and lie far from those of the fit, or differ from its only value.

    Args:
        who: Public name for the warning.
        name: Name of the argument.
        x: Values that are asked about, ``(B, C)`` or ``(B, C, *D)``, finite.
        spread: What :func:`spread_of` gives for those of the fit.
        columns: Names of the columns; numbers where there are none.

    Warns:
        FarValuesWarning: If so.
    """
    flat = x.detach().double().movedim(1, -1).flatten(0, -2)
    mean, deviation = torch.tensor(spread, dtype=torch.float64, device=flat.device).T
    still = deviation == 0
    other = still & ((flat - mean).abs().amax(0) > _OTHER * mean.abs())
    if bool(other.any()):
        place = int(other.nonzero()[0])
        told = f"{who}: {_named(name, place, len(mean), columns)} was {float(mean[place]):.6g} in every row of the fit"
        warnings.warn(f"{told}; nothing was learnt of other values.", FarValuesWarning, stacklevel=6)
    z = (flat - mean) / deviation.clamp_min(1e-300)
    warn_if_far(who, name, torch.where(still, 0.0, z), columns)


def _named(name: str, place: int, count: int, columns: Sequence[str]) -> str:
    """An argument, or which of its columns."""
    if count == 1:
        return name
    return f"column {columns[place] if len(columns) == count else place} of {name}"
