"""A limit keeps the first rows of a file: what is said where these are not like the others."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.tell import DataWarning, tell

# Rows that are compared before all are: most columns are told unsorted by them.
_PROBED = 200


def warn_of_first_rows(
    where: str, x: Tensor, limit: int | None, labels: Sequence[Any] | None = None, names: Sequence[str] = ()
) -> None:
    """Warn if a limit leaves a label out, or keeps the lowest or highest values of a column.

    Args:
        where: What is read, for the message.
        x: All rows ``(N, ...)``.
        limit: Rows that are kept.
        labels: Their labels, N numbers or words.
        names: Names of the columns.
    """
    if limit is None or limit >= len(x):
        return
    told = f"{where}: limit={limit} keeps the first of {len(x)} rows"
    if labels is not None and (left := sorted(set(labels) - set(labels[:limit]), key=str)):
        some = ", ".join(map(str, left[:5])) + (", ..." if len(left) > 5 else "")
        _warn(f"{told}, and none of them has the label {some}")
    elif (column := _sorted_column(x.reshape(len(x), -1))) is not None:
        name = repr(names[column]) if column < len(names) else str(column)
        _warn(f"{told}, and the file is sorted by column {name}: they lie at one end of it")


def _warn(text: str) -> None:
    remedy = "Shuffle the rows, those of files that belong together alike."
    tell(DataWarning, f"{text}. {remedy}")


def _sorted_column(x: Tensor) -> int | None:
    """The first column that rises or falls through all rows, if there is one; equal neighbours may be."""
    some = torch.linspace(0, len(x) - 1, min(len(x), _PROBED)).long()
    for column in _monotone(x[some]).tolist():
        if len(_monotone(x[:, column : column + 1])) and len(x) > 2:
            return int(column)
    return None


def _monotone(x: Tensor) -> Tensor:
    rise = x[1:] >= x[:-1]
    fall = x[1:] <= x[:-1]
    return ((rise.all(0) | fall.all(0)) & (x[0] != x[-1])).nonzero()[:, 0]
