"""Values that are asked about and lie far from all that a fit has seen, as in other units: told, not refused."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

# Deviations from the mean of the fit beyond which half of the values of a column are hardly of its kind.
_FAR = 10.0


class FarValuesWarning(UserWarning):
    """Values lie far from those of the fit."""


def warn_if_far(who: str, name: str, z: Tensor, columns: Sequence[str] = ()) -> None:
    """Tell of columns whose values lie far from those of the fit, as degrees do in a model of kelvin.

    Args:
        who: Public name for the warning.
        name: Name of the argument.
        z: Values in deviations from the mean of the fit, columns last, ``(..., C)``; NaN where nothing is known.
        columns: Names of the columns; numbers where there are none.

    Warns:
        FarValuesWarning: If half of the values of a column lie more than ten deviations off.
    """
    flat = z.detach().abs().flatten(0, -2)
    middle = flat.nanmedian(0).values
    far = torch.nan_to_num(middle) > _FAR
    if not bool(far.any()):
        return
    place = int(far.nonzero()[0])
    one = len(middle) == 1
    column = "" if one else f"column {columns[place] if len(columns) == len(middle) else place} of "
    told = f"{who}: {column}{name} lies {float(middle[place]):.3g} deviations from what the fit has seen"
    warnings.warn(f"{told}; are the units the same?", FarValuesWarning, stacklevel=6)
