"""Optimal transport beside continuous conditions: pairs that stand near each other in the condition too.

Letters: c0, c1 conditions of the two ends; w weight; each squared distance in units of its mean over the batch.

Plain optimal transport gives a row of x1 an x0 on its own side. The x0 of rows with one condition are then not drawn
from rho0, as they are when the model is asked: its answers are biased. The remedy pairs by
``|x0 - x1|^2 + w |c0 - c1|^2``. Where the rows of x0 have conditions of their own, c0 are these: as w grows the
transport goes on between rows of equal conditions. Where they have none, a c0 is drawn for each x0, apart from it: as w
grows x0 becomes independent of c1, whose values c0 takes.

A batch leaves ``|c0 - c1|`` of the order of its distance between neighbours in every pair, whatever w is. Training
therefore tells the network ``c_t = (1 - t) c0 + t c1`` where c0 is given: the start's own condition at t = 0, the
target's at t = 1.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from interpolants.couplings.pairs import Cond, found_within, permutation
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import NonNegative, Remedy

# Weight by default; see the figures of the tests.
WEIGHT = 100.0


# What squared distances of conditions count beside those of states.
ConditionWeight = Annotated[Literal["auto"] | NonNegative, Remedy('"auto" is usual; 0 is plain OT.')]


@runtime_checkable
class ConditionedCoupling(Protocol):
    """A coupling whose costs may take in continuous conditions.

    Attributes:
        condition_weight: w; 0 leaves them out.
    """

    @property
    def condition_weight(self) -> float | str:
        """Weight of the condition in the cost."""


def tells_conditions_on_the_way(coupling: object, cond0: Cond, cond1: Cond) -> bool:
    """Whether pairs join rows of nearly, not exactly, equal numbers of both ends, so that a network is told c_t."""
    looks = isinstance(coupling, ConditionedCoupling) and coupling.condition_weight != 0
    both = all(isinstance(cond, Tensor) and cond.is_floating_point() for cond in (cond0, cond1))
    return looks and both


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
        cond0: Conditions of x0; without numbers among them a c0 is drawn for each row.
        cond1: Conditions of x1.
        weight: w; ``"auto"`` for the usual one.
        within: As the coupling has it; within labels nothing is added.
        generator: Draws c0.

    Returns:
        ``(N0, K)`` and ``(N1, K)``.

    Raises:
        InvalidInputError: If the conditions of both ends are numbers, and not as many.
    """
    if weight == 0 or found_within(within, cond0, cond1) is not None:
        return x0, x1
    given, numbers = _numbers(cond0), _numbers(cond1)
    if given is not None:
        _check_widths(given, numbers)
    if numbers is None:
        return x0, x1
    first = numbers[_deal(len(x0), len(numbers), generator)] if given is None else given.to(numbers.device)
    w = WEIGHT if weight == "auto" else float(weight)
    shift, scale = numbers.mean(0), numbers.std(0, correction=0)
    if given is not None:  # then the spread of the two ends may differ
        scale = ((scale.square() + first.var(0, correction=0)) / 2).sqrt()
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    told = [(c - shift) / scale * (w / (2 * c.shape[1])) ** 0.5 for c in (first, numbers)]
    states = _of_unit_cost(x0, x1)
    return tuple(torch.cat([x, c.to(x)], 1) for x, c in zip(states, told, strict=True))  # type: ignore[return-value]


def refuse_numbers(caller: str, cond0: Cond, cond1: Cond, within: str | None) -> None:
    """Check that the conditions of x1 are labels: a cost that ignored their numbers would bias the base of each.

    Raises:
        InvalidInputError: If they hold numbers, and rows are not paired within labels.
    """
    if found_within(within, cond0, cond1) is None and _numbers(cond1) is not None:
        remedy = "Use Sinkhorn or MinibatchOT, or conditions that are labels."
        raise invalid(caller, "conditions must be labels, one integer per row", "numbers", remedy)


def _check_widths(given: Tensor, numbers: Tensor | None) -> None:
    """Check that conditions of x0 can be compared with those of x1."""
    width = 0 if numbers is None else numbers.shape[1]
    if given.shape[1] != width:
        rule = "cond0 must have as many numbers a row as the condition of x1, with which it is compared"
        remedy = "Pass the same columns for both ends, or leave cond0 out."
        raise invalid("condition_weight", rule, f"{given.shape[1]} and {width}", remedy)


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
