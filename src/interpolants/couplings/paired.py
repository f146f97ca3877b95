"""Paired coupling: row i of x0 belongs to row i of x1."""

from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.couplings.pairs import Cond, Pairs, check_pairing


@dataclass(frozen=True)
class Paired:
    """Pairs as they come: image and label map, state now and state later, the output of another model.

    Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797.
    """

    def pair(
        self,
        x0: Tensor,
        x1: Tensor,
        *,
        generator: torch.Generator | None = None,
        cond0: Cond = None,
        cond1: Cond = None,
    ) -> Pairs:
        """Pair row by row; nothing is copied and nothing is drawn.

        Args:
            x0: Base samples, (N, *D0).
            x1: Data samples, (N, *D1).
            generator: Unused; every coupling takes one.
            cond0: Conditions of ``x0``, N rows each.
            cond1: Conditions of ``x1``, N rows each.

        Returns:
            Pairs of N rows.

        Raises:
            InvalidInputError: If the sizes differ, or a batch is empty.
        """
        check_pairing("Paired", x0, x1, cond0, cond1, equal=True, distances=False)
        rows = torch.arange(x0.shape[0], device=x0.device)
        return Pairs(x0, x1, cond0, cond1, rows, rows.to(x1.device))
