"""Few rows that a gradient loop sees so often that it learns them by heart: told by the run of every method."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from interpolants.foundations.row_access import LazyRows
from interpolants.foundations.tell import FitWarning, tell
from interpolants.framework.role import Role, kind_of
from interpolants.framework.rows import Rows

# Rows below which, and steps from which, a network repeats rows.
FEWEST, _MANY_STEPS = 40, 500


def fewest_rows(roles: Sequence[Role], data: Mapping[str, Any]) -> int | None:
    """The smallest number of rows of a role that a network learns from; None where there is no such role.

    Args:
        roles: Roles of the fit.
        data: Their values; what is drawn afresh has no number.
    """
    kinds = {role.name: kind_of(role) for role in roles}
    rows = (v for name, v in data.items() if isinstance(kinds.get(name), Rows))
    return min((len(v) for v in rows if isinstance(v, Tensor | LazyRows)), default=None)


def warn_if_by_heart(who: str, rows: int | None, steps: int, *, asked: bool = False) -> None:
    """Warn that a training repeats few rows many times, without held-out rows for early stopping.

    Args:
        who: Public name for the warning.
        rows: Number of training rows; None if it carries no information.
        steps: Steps of the training.
        asked: Whether the method has a setting ``held_out``.

    Warns:
        FitWarning: If so.
    """
    if rows is None or rows >= FEWEST or steps < _MANY_STEPS:
        return
    rule = f"none of the {rows} rows is held out by default, and {steps:,} steps memorise them"
    remedy = "Fit with held_out=0.2: training then stops in time"
    if not asked:
        remedy = "Use fewer steps, or a method without a network"
    tell(FitWarning, f"{who}: {rule}. {remedy}.")
