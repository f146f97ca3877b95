"""New states of a structural model, with or without an intervention: exogenous values, mechanisms, fresh noise.

Letters: B rows, n factors, d numbers of each block, u exogenous values ``(B, n, d)``, X0 noise at t = 0.
"""

import torch
from torch import Tensor

from interpolants.foundations.randomness import BlockNoise

# Exogenous values kept with a model, of as many training rows.
_KEPT = 4096


def kept_exogenous(u: Tensor) -> Tensor:
    """At most 4,096 rows of ``u``, evenly from all."""
    if len(u) <= _KEPT:
        return u
    return u[torch.linspace(0, len(u) - 1, _KEPT, dtype=torch.float64).long()]


def drawn_exogenous(kept: Tensor, n: int, *, seed: int = 0, first: int = 0) -> Tensor:
    """Exogenous values ``(n, n_factors, d)``, those of each factor from a training row of its own.

    The law of each u_i is the one of the data, and different factors are independent, as a structural model without
    common causes says. N(0, 1) in its place would give blocks whose d numbers contradict each other, and noise to
    factors that follow their causes exactly.

    Args:
        kept: Exogenous values of training rows ``(N, n_factors, d)``.
        n: Number of rows.
        seed: Seed of the draws; row i is one function of (seed, i).
        first: Index of the first row in a larger job.
    """
    factors = kept.shape[1]
    noise = BlockNoise(
        seed, ("exogenous values",), first=first, count=n, shape=(factors,), dtype=torch.float64
    )
    rows = (noise.uniform() * len(kept)).long()
    return kept[rows, torch.arange(factors)]
