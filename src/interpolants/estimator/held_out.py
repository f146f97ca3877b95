"""Rows that training never sees, kept by a bridge to choose its noise level by."""

from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator
from interpolants.foundations.types import take_rows

# What the estimate of the errors needs, and the most it looks at.
FEWEST, MOST = 200, 10_000


@dataclass(frozen=True)
class HeldOut:
    """Rows of both ends, in the network's units.

    Attributes:
        x0: Start points ``(N, *D)``; None where the path draws them, or goes from data back to data.
        x1: End points ``(M, *D)``.
        cond: Condition of each end point.
        cond0: What is known of each start point, for couplings that pair within labels.
    """

    x0: Tensor | None
    x1: Tensor
    cond: Tensor | None = None
    cond0: Tensor | None = None


def count_aside(share: float, rows: int) -> int:
    """How many of some rows are set aside.

    Raises:
        InvalidInputError: If they are too few.
    """
    count = min(round(share * rows), MOST)
    if count < FEWEST:
        rule = f"held_out must set aside at least {FEWEST} rows"
        remedy = "Raise held_out, or leave it out and call choose_eps with data of your own."
        raise invalid("Bridge.fit", rule, f"{count} of {rows}", remedy)
    return count


def set_aside(
    share: float, x: Tensor, labels: Tensor | None, seed: int, part: int
) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
    """Split rows at random: ``(kept, their labels, set aside, their labels)``.

    Args:
        share: Share to set aside, in (0, 1).
        x: Rows ``(N, *D)``.
        labels: What is known of each row.
        seed: Seed of the choice.
        part: Number of the set; equal parts of equal length are split alike, which keeps pairs together.

    Raises:
        InvalidInputError: If too few rows would be set aside.
    """
    count = count_aside(share, len(x))
    order = torch.randperm(len(x), generator=generator(seed, "held out", part))
    away, kept = order[:count], order[count:]
    return x[kept], take_rows(labels, kept), x[away], take_rows(labels, away)
