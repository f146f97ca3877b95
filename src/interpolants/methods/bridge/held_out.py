"""Rows that training does not see: a bridge stops by them, is judged by them, and chooses its noise level by them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.equal_rows import copies, together, uncut
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator
from interpolants.foundations.records import record
from interpolants.foundations.row_access import MANY, Rows, some_rows, taken, without_rows
from interpolants.foundations.types import take_rows
from interpolants.framework.few_rows import FEWEST

AUTO = "auto"
# Most rows that are looked at.
MOST = 10_000
# Unasked: a tenth, of small sets more, and of large ones no more than tell two networks apart.
_SHARE, _SMALL, _SMALL_SHARE, _ENOUGH = 0.1, 40, 0.2, 2_000


@record("bridge_ends")
@dataclass(frozen=True)
class Ends:
    """Rows of both ends, in the network's units.

    Attributes:
        x0: Start points ``(N, *D)``, a tensor or ``LazyRows``; None where the path draws them, or goes from data back
            to data.
        x1: End points ``(M, *D)``, likewise.
        cond: Condition of each end point.
        cond0: What is known of each start point, for couplings that pair within labels.
    """

    x0: Any
    x1: Any
    cond: Tensor | None = None
    cond0: Tensor | None = None


def count_aside(share: float | str, rows: int) -> int:
    """How many of some rows are set aside; with ``"auto"`` none of fewer than 40.

    Raises:
        InvalidInputError: If fewer than two would be set aside, or left.
    """
    if share == AUTO:
        some = max(round(_SHARE * rows), min(_SMALL, round(_SMALL_SHARE * rows)))
        return min(some, _ENOUGH) if rows >= FEWEST else 0
    count = min(round(float(share) * rows), MOST)
    if count < 2 or rows - count < 2:
        remedy = "Raise held_out, or set it to 0 to learn from all rows."
        raise invalid("Bridge.fit", "held_out must set aside at least 2 rows", f"{count} of {rows}", remedy)
    return count


def set_aside(ends: Ends, share: float | str, seed: int, *, paired: bool) -> tuple[Ends, Ends | None]:
    """The rows to learn from, and a random share that training must not see; none where an end is too small for it.

    Args:
        ends: All rows.
        share: Share to set aside; 0 sets none, ``"auto"`` a tenth, or up to a fifth of few rows.
        seed: Seed of the choice.
        paired: Split both ends alike, which keeps pairs together. Equal rows are kept together in any case.

    Raises:
        InvalidInputError: If a share that was asked for leaves too few rows.
    """
    fewest = min(len(x) for x in (ends.x0, ends.x1) if x is not None)
    if not share or (share == AUTO and not count_aside(share, fewest)):
        return ends, None
    whole = (ends.x0, ends.x1, ends.cond, ends.cond0) if paired else (ends.x1, ends.cond)
    first = copies(*(value for value in whole if value is not None))
    kept1, away1 = _parted((ends.x1, ends.cond), share, seed, "x1", ends.cond, first)
    if not paired and ends.x0 is not None:
        first = copies(*(value for value in (ends.x0, ends.cond0) if value is not None))
    known = ("x1", ends.cond) if paired else ("x0", ends.cond0)
    kept0, away0 = _parted((ends.x0, ends.cond0), share, seed, *known, first)
    least = min(len(x) for x in (away0[0], away1[0]) if x is not None)
    if least < 2:  # a label for every row
        if share == AUTO:
            return ends, None
        rule = "held_out must set aside at least 2 rows beside the only ones of a label"
        raise invalid("Bridge.fit", rule, least, "Set it to 0 to learn from all rows.")
    return Ends(kept0[0], kept1[0], kept1[1], kept0[1]), Ends(away0[0], away1[0], away1[1], away0[1])


End = tuple[Rows, Tensor | None]


def _parted(
    end: End, share: float | str, seed: int, name: str, labels: Tensor | None, first: Tensor | None
) -> tuple[End, End]:
    """Rows of an end and their conditions: those to learn from, and those that are set aside.

    Rows that are copies of each other by ``first`` go to one side. A label is learnt from rows: where all of its few
    rows are set aside, they are taken back.
    """
    x, cond = end
    if x is None:
        return end, end
    n, count = len(x), count_aside(share, len(x))
    source = generator(seed, "held-out rows", name)
    if n > MANY and first is None:  # without a list of all rows
        away = some_rows(n, count, source)
        left = None if cond is None else without_rows(cond, away)
        return (without_rows(x, away), left), (x[away], take_rows(cond, away))
    order = together(torch.randperm(n, generator=source), first)
    count = uncut(order, first, count)
    kept, away = order[count:], order[:count]
    if labels is not None and labels.ndim == 1 and not labels.is_floating_point():
        lost = ~torch.isin(labels[away], labels[kept])
        kept, away = torch.cat([away[lost], kept]), away[~lost]
    return (taken(x, kept), take_rows(cond, kept)), (x[away], take_rows(cond, away))
