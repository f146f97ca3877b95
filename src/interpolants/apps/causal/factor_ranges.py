"""Factors of a fit: which values were seen, and what may be asked for."""

import math
from dataclasses import dataclass

from torch import Tensor

from interpolants.apps.causal.causal_graph import CausalGraph, tells_order
from interpolants.foundations.errors import invalid
from interpolants.foundations.records import record
from interpolants.foundations.tell import OutsideWarning, tell

# Share of the range seen by which a value may lie outside of it.
_MARGIN = 0.05
# Known rows of a factor at least.
_FEWEST = 2


@record("factor_ranges")
@dataclass(frozen=True)
class FactorRanges:
    """Smallest and largest known value of each factor.

    Attributes:
        names: The factors.
        low: ``(n,)``.
        high: ``(n,)``.
    """

    names: tuple[str, ...]
    low: Tensor
    high: Tensor

    def check(self, who: str, do: Tensor, *, beyond: bool) -> None:
        """Refuse values ``(B, n)`` outside of the range seen and a twentieth of it; or warn.

        Raises:
            InvalidInputError: If nothing is set, or a value lies outside and ``beyond`` does not allow it.
        """
        if bool(do.isnan().all()):
            raise invalid(who, "do must set a factor in some row", "NaN alone", "Leave do out.")
        slack = _MARGIN * (self.high - self.low)
        outside = (do < self.low - slack) | (do > self.high + slack)
        if not bool(outside.any()):
            return
        row, place = outside.nonzero()[0].tolist()
        seen = f"{float(self.low[place]):.4g} to {float(self.high[place]):.4g}"
        value = f"{float(do[row, place]):.4g} in row {row}"
        rule = f"do[{self.names[place]!r}] must lie within the values of the fit, {seen}"
        if not beyond:
            raise invalid(who, rule, value, "Pass beyond=True to ask nevertheless.")
        tell(OutsideWarning, f"{who}: {rule}, got {value}: no data say what is there")


def check_factors(who: str, factors: Tensor, graph: str, *, named: bool) -> FactorRanges:
    """The ranges of factors ``(N, n)`` of a fit.

    Args:
        who: Name of the caller, used in error messages.
        factors: Factors of the rows.
        graph: Words of their graph.
        named: Whether the factors came with names, by which they are in the order of the graph.

    Raises:
        InvalidInputError: If there is not a column for each, or one is unknown everywhere, or constant; or if columns
            without names would take those of a graph whose words tell no order.
    """
    names = CausalGraph.of(graph).names
    if not named and not tells_order(graph):
        rule = "columns of factors without names need a graph that tells their order before its edges"
        remedy = f'For example, pass graph="{"; ".join(sorted(names))}; {graph}"; or pass a table with names.'
        raise invalid(who, rule, repr(graph), remedy)
    if tuple(factors.shape[1:]) != (len(names),):
        rule = f"factors must have a column for each of {', '.join(names)}"
        raise invalid(who, rule, tuple(factors.shape[1:]), "NaN says that a value is not known.")
    wide, missing = factors.double(), factors.isnan()
    low, high = wide.masked_fill(missing, math.inf).amin(0), wide.masked_fill(missing, -math.inf).amax(0)
    for k, name in enumerate(names):
        known = int((~factors[:, k].isnan()).sum())
        if known < _FEWEST:
            remedy = "Remove it from the graph, or provide more values."
            raise invalid(who, f"factor {name!r} must have a value in at least {_FEWEST} rows", known, remedy)
        if not float(high[k]) > float(low[k]):
            remedy = "Leave it out of the graph: nothing can be learnt of a constant."
            raise invalid(who, f"factor {name!r} must vary", f"{float(low[k]):.4g} in all rows", remedy)
    return FactorRanges(names, low, high)
