"""Rows that training does not see: a bridge stops by them, is judged by them, and chooses its noise level by them."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from interpolants.foundations.equal_rows import copies, together, uncut
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator
from interpolants.foundations.records import record
from interpolants.foundations.row_access import MANY, Rows, some_rows, taken, without_rows
from interpolants.foundations.row_weights import are_equal, effective_rows, even_rows
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
        weights: Weight of each end point; None for rows of equal weight.
        weights0: Weight of each start point; None for rows of equal weight, and for pairs, which have
            the weights of their end points.
    """

    x0: Any
    x1: Any
    cond: Tensor | None = None
    cond0: Tensor | None = None
    weights: Tensor | None = None
    weights0: Tensor | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """From values by role; weights that are all equal become None."""
        weights = {name: data.get(name) for name in ("weights", "weights0")}
        unequal = {name: w for name, w in weights.items() if w is not None and not are_equal(w)}
        return cls(data.get("x0"), data["x1"], data.get("cond"), data.get("cond0"), **unequal)

    def evened(self, seed: int, *, paired: bool) -> Self:
        """Equally weighted rows that stand for the weighted ones of an end: as many as its effective number of rows.

        So every later judgement by them is one of the weighted distributions, with standard errors of the right size.

        Args:
            seed: Seed of the choice.
            paired: Choose the same rows of both ends.
        """
        rows1, rows0 = (
            _even(weights, seed, end) for weights, end in ((self.weights, "x1"), (self.weights0, "x0"))
        )
        rows0 = rows1 if paired else rows0
        x1, cond = _chosen(self.x1, self.cond, rows1)
        x0, cond0 = _chosen(self.x0, self.cond0, rows0)
        return type(self)(x0, x1, cond, cond0)


def check_weights(caller: str, fitted: Container[str], values: Mapping[str, Any]) -> None:
    """Check that rows which judge a fit with weights have weights too.

    Raises:
        InvalidInputError: If the fit had weights of an end, and rows of this end come without.
    """
    for name, end in (("weights", "x1"), ("weights0", "x0")):
        if name in fitted and values.get(end) is not None and values.get(name) is None:
            remedy = f"Pass {name}=numpy.ones(n) for rows of equal weight."
            raise invalid(caller, f"{name} of these rows are needed, as the fit had some", "None", remedy)


def _even(weights: Tensor | None, seed: int, end: str) -> Tensor | None:
    if weights is None:
        return None
    return even_rows(
        weights, max(int(effective_rows(weights)), 2), generator(seed, "held-out rows by weight", end)
    )


def _chosen(x: Rows, cond: Tensor | None, rows: Tensor | None) -> tuple[Rows, Tensor | None]:
    return (x, cond) if x is None or rows is None else (x[rows], take_rows(cond, rows))


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
    kept1, away1 = _parted((ends.x1, ends.cond, ends.weights), share, seed, "x1", ends.cond, first)
    if not paired and ends.x0 is not None:
        first = copies(*(value for value in (ends.x0, ends.cond0) if value is not None))
    known = ("x1", ends.cond) if paired else ("x0", ends.cond0)
    kept0, away0 = _parted((ends.x0, ends.cond0, ends.weights0), share, seed, *known, first)
    least = min(len(x) for x in (away0[0], away1[0]) if x is not None)
    if least < 2:  # a label for every row
        if share == AUTO:
            return ends, None
        rule = "held_out must set aside at least 2 rows beside the only ones of a label"
        raise invalid("Bridge.fit", rule, least, "Set it to 0 to learn from all rows.")
    return _of_both(kept0, kept1), _of_both(away0, away1)


# Rows, and the condition and the weight of each.
End = tuple[Rows, Tensor | None, Tensor | None]


def _of_both(end0: End, end1: End) -> Ends:
    return Ends(end0[0], end1[0], end1[1], end0[1], end1[2], end0[2])


def _parted(
    end: End, share: float | str, seed: int, name: str, labels: Tensor | None, first: Tensor | None
) -> tuple[End, End]:
    """Rows of an end, their conditions and weights: those to learn from, and those that are set aside.

    Rows that are copies of each other by ``first`` go to one side. A label is learnt from rows: where all of its few
    rows are set aside, they are taken back.
    """
    x, cond, weights = end
    if x is None:
        return end, end
    n, count = len(x), count_aside(share, len(x))
    source = generator(seed, "held-out rows", name)
    if n > MANY and first is None:  # without a list of all rows
        away = some_rows(n, count, source)
        left = [None if value is None else without_rows(value, away) for value in (cond, weights)]
        return (without_rows(x, away), *left), _at(end, away)
    order = together(torch.randperm(n, generator=source), first)
    count = uncut(order, first, count)
    kept, away = order[count:], order[:count]
    if labels is not None and labels.ndim == 1 and not labels.is_floating_point():
        lost = ~torch.isin(labels[away], labels[kept])
        kept, away = torch.cat([away[lost], kept]), away[~lost]
    return (taken(x, kept), *_at(end, kept)[1:]), _at(end, away)


def _at(end: End, rows: Tensor) -> End:
    x, cond, weights = end
    return x[rows], take_rows(cond, rows), take_rows(weights, rows)
