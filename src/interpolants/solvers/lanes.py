"""The working batch of an adaptive integration, and its arithmetic, which gives a lane the same bits in any batch."""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.ops import expand_like, mean_event
from interpolants.solvers.tableau import Tableau


@dataclass
class Lanes:
    """The working batch; every field has one entry per lane."""

    row: Tensor  # sample of the lane
    x: Tensor
    q: Tensor
    t: Tensor
    h: Tensor
    k: Tensor  # slope and rate at (x, t): the first stage of the next step
    r: Tensor
    log_err: Tensor  # of the last accepted step
    cautious: Tensor  # the last step was rejected: do not grow
    goal: Tensor
    accepted: Tensor
    rejected: Tensor

    def take(self, index: Tensor) -> "Lanes":
        """The lanes of an index, in new memory."""
        return Lanes(*(getattr(self, field.name).index_select(0, index) for field in fields(self)))


class Weights:
    """The weights of a tableau in one tensor, so that all products with the steps are one operation."""

    def __init__(self, tableau: Tableau, device: torch.device) -> None:
        self.terms = [*tableau.stage_terms, tableau.error_terms]
        flat = [weight for terms in self.terms for _, weight in terms]
        self.flat = torch.tensor(flat, dtype=torch.float64, device=device)[:, None]
        self.c = torch.tensor(tableau.c, dtype=torch.float64, device=device)[:, None]
        self.wanted = [b != 0.0 or e != 0.0 for b, e in zip(tableau.b, tableau.e, strict=True)]
        # The last stage is the first of the next step.
        self.wanted[-1] = self.wanted[-1] or self.wanted[0]

    def times_step(self, step: Tensor, dtype: torch.dtype) -> list[list[tuple[int, Tensor]]]:
        """Per stage, and last for the error, the pairs (slope index, weight times step ``(lanes,)``)."""
        products = iter((self.flat * step).to(dtype).unbind())
        return [[(i, next(products)) for i, _ in terms] for terms in self.terms]


def combined(x: Tensor | None, slopes: list[Any], terms: list[tuple[int, Tensor]]) -> Tensor:
    """``x + sum_i w_i k_i`` with one weight per lane, in new memory."""
    (i, weight), *rest = terms
    first: Tensor = slopes[i]
    weight = expand_like(weight, first)
    y = first * weight if x is None else torch.addcmul(x, first, weight)
    for i, weight in rest:
        y.addcmul_(slopes[i], expand_like(weight, first))
    return y


def clipped(h: Tensor, remaining: Tensor) -> tuple[Tensor, Tensor]:
    """Steps that do not overshoot, and whether they end at the goal; two equal steps before a sliver."""
    hits = remaining <= 1.01 * h
    short = torch.where(remaining < 2 * h, 0.5 * remaining, h)
    return torch.where(hits, remaining, short), hits


def rms(x: Tensor, scale: Tensor) -> Tensor:
    """Root mean square per lane of ``x / scale``, in float64."""
    return mean_event((x / scale).abs().square()).double().sqrt()


def root(x: Tensor, order: int) -> Tensor:
    """``x ** (1 / order)``; ``pow`` rounds differently in vector and in scalar code."""
    return torch.exp(torch.log(x) / order)


def rounded(x: Tensor) -> Tensor:
    """``x`` to about 20 significant bits."""
    return x.float().view(torch.int32).add(4).bitwise_and(-8).view(torch.float32).double()
