"""Columns of which a forecast sees nothing: told, as they come out like any other."""

from collections.abc import Sequence

from torch import Tensor

from interpolants.foundations.tell import OutsideWarning, tell


def warn_of_unseen(who: str, where: str, seen: Tensor, columns: Sequence[str]) -> None:
    """Tell of columns without a value.

    Args:
        who: Public name for the warning.
        where: Name of the series.
        seen: ``(T, C)``, bool.
        columns: Names of the columns; numbers where there are none.

    Warns:
        OutsideWarning: If there is such a column.
    """
    names = columns if len(columns) == seen.shape[1] else range(seen.shape[1])
    unseen = [str(name) for name, some in zip(names, seen.any(0).tolist(), strict=True) if not some]
    if unseen:
        told = f"{who}: {where} has no value of {', '.join(unseen)} in its last {len(seen)} times"
        words = f"{told}; members of it follow the other columns alone."
        tell(OutsideWarning, words)
