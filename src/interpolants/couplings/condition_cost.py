"""Optimal transport beside continuous conditions: pairs that stand near each other in the condition too.

Letters: c0, c1 conditions of the two ends; w weight; each squared distance in units of its mean over the batch.

Plain optimal transport gives a row of x1 an x0 on its own side. The x0 of rows with one condition are then not drawn
from rho0, as they are when the model is asked: its answers are biased. The remedy draws a c0 for each x0, apart from
it, and pairs by ``|x0 - x1|^2 + w |c0 - c1|^2``. As w grows x0 becomes independent of c1, whose values c0 takes, and
the transport goes on between rows of like conditions.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from interpolants.couplings.pairs import Cond, found_within, permutation
from interpolants.foundations.checks import number

# Weight by default; see the figures of the tests.
WEIGHT = 100.0


@runtime_checkable
class ConditionedCoupling(Protocol):
    """A coupling whose costs may take in continuous conditions.

    Attributes:
        condition_weight: w; 0 leaves them out.
    """

    condition_weight: float | str


def check_weight(who: str, weight: Any) -> None:
    """Refuse a weight of conditions that is neither "auto" nor a number >= 0."""
    if weight != "auto":
        number(who, "condition_weight", weight, at_least=0, remedy='"auto" is usual; 0 is plain OT.')


def with_conditions(
    x0: Tensor,
    x1: Tensor,
    cond0: Cond,
    cond1: Cond,
    *,
    weight: float | str,
    within: str | None,
    generator: Generator | None,
) -> tuple[Tensor, Tensor]:
    """Rows whose squared distances are the costs: the two batches themselves where there is nothing to add.

    Args:
        x0: ``(N0, *D)``.
        x1: ``(N1, *D)``.
        cond0: Conditions of x0: labels alone count, within which a coupling may pair.
        cond1: Conditions of x1.
        weight: w; ``"auto"`` for the usual one.
        within: As the coupling has it; within labels nothing is added.
        generator: Draws c0.

    Returns:
        ``(N0, K)`` and ``(N1, K)``.
    """
    numbers = _numbers(cond1)
    if weight == 0 or numbers is None or found_within(within, cond0, cond1) is not None:
        return x0, x1
    drawn = numbers[_deal(len(x0), len(numbers), generator)]
    w = WEIGHT if weight == "auto" else float(weight)
    shift, scale = numbers.mean(0), numbers.std(0, correction=0)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    told = [(c - shift) / scale * (w / (2 * c.shape[1])) ** 0.5 for c in (drawn, numbers)]
    states = _of_unit_cost(x0, x1)
    return tuple(torch.cat([x, c.to(x)], 1) for x, c in zip(states, told, strict=True))  # type: ignore[return-value]


def _of_unit_cost(x0: Tensor, x1: Tensor) -> tuple[Tensor, Tensor]:
    """Flattened, centred, and with a mean squared distance of one."""
    a, b = (x.reshape(len(x), -1).double() for x in (x0, x1))
    a, b = a - a.mean(0), b - b.mean(0)
    size = max(float(a.abs().max()), float(b.abs().max())) or 1.0
    a, b = a / size, b / size
    unit = float(a.square().sum(1).mean() + b.square().sum(1).mean()) ** 0.5 or 1.0
    return a / unit, b / unit


def _deal(rows: int, among: int, generator: Generator | None) -> Tensor:
    """For each row of x0 a row of the conditions: all as often as can be, in random order."""
    repeats = -(-rows // among)
    dealt = torch.cat([permutation(among, generator) for _ in range(repeats)])
    return dealt[:rows]


def _numbers(cond: Cond) -> Tensor | None:
    """The continuous parts of a condition, ``(N, C)`` float64 on the CPU's or their device; None without."""
    if isinstance(cond, Tensor):
        return cond.reshape(len(cond), -1).double() if cond.is_floating_point() and cond.ndim else None
    parts = cond.values() if isinstance(cond, Mapping) else cond if isinstance(cond, Sequence) else ()
    found = [part for part in map(_numbers, parts) if part is not None]
    return torch.cat(found, 1) if found else None
