"""Independent coupling: x0 and x1 are drawn independently."""

from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.couplings.pairs import Cond, Pairs, check_pairing, make_pairs, permutation


@dataclass(frozen=True)
class Independent:
    """Independent pairs, ``nu = rho0 x rho1``.

    ``x0`` keeps its order and ``x1`` is permuted uniformly at random, so an order that both arrays
    happen to share is broken. Each single pair is a draw from the product of the two empirical
    measures; the pairs of one batch are without replacement, every row being used at most once. When
    the sizes differ, a random subset of the larger batch is used and min(N0, N1) pairs are returned.

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
        """Pair at random.

        Args:
            x0: Base samples, (N0, *D0).
            x1: Data samples, (N1, *D1).
            generator: Draws the permutation.
            cond0: Conditions of ``x0``: a tensor, or a dict or tuple of tensors, N0 rows each.
            cond1: Conditions of ``x1``, N1 rows each.

        Returns:
            Pairs of min(N0, N1) rows.

        Raises:
            InvalidInputError: For an empty batch or conditions with another number of rows.
        """
        check_pairing("Independent", x0, x1, cond0, cond1, equal=False, distances=False)
        n0, n1 = x0.shape[0], x1.shape[0]
        index0 = torch.arange(n0) if n0 <= n1 else permutation(n0, generator)[:n1].sort().values
        return make_pairs(x0, x1, cond0, cond1, index0, permutation(n1, generator)[: len(index0)])
