"""Rows of both ends that a fitted bridge can show: such as training has not seen, where it kept any."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Examples:
    """Rows in data units.

    Attributes:
        x0: ``(N, *D)`` starts; draws of the base where the path has one.
        x1: ``(M, *D)`` ends.
        cond: Condition of each end, if there is one.
        held_out: Whether training has not seen the ends.
        paired: Whether row i of ``x0`` belongs to row i of ``x1``.
        cond0: What is known of each start, for couplings that pair within labels.
    """

    x0: Tensor
    x1: Tensor
    cond: Tensor | None
    held_out: bool
    paired: bool
    cond0: Tensor | None = None
