"""How far the blocks of symbols in sequences are from their known law."""

import torch
from torch import Generator, Tensor

from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.metrics.estimate import Estimate

_REDRAWS, _HALF = 30, 0.5


def symbol_block_divergence(
    x: Tensor, law: Tensor, *, vocabulary: int = 2, generator: Generator | None = None
) -> Estimate:
    """``KL(law || frequencies)`` of blocks of n symbols at all places of sequences, in nats.

    Half a count is added to each block, so that one that never came costs much and not all. For N independent
    blocks that come by their law the value is about ``(K - 1) / (2 N)``, where K blocks are possible and often seen.

    Args:
        x: Symbols 0 .. V - 1, integers, ``(B, L)`` with L >= n.
        law: Probabilities of blocks, ``(V^n,)``; the first symbol is the highest digit.
        vocabulary: V.
        generator: Source of the bootstrap over sequences that gives the error.

    Returns:
        The divergence and its standard error.

    Raises:
        InvalidInputError: If the law has no such length or is none, or symbols do not fit.

    Source: as a test of generated sequences Ahmadi & Tani (2019), arXiv:1811.01339; half a count: Krichevsky & Trofimov
        (1981), IEEE Transactions on Information Theory 27, 199-207.
    """
    who = "symbol_block_divergence"
    whole(who, "vocabulary", vocabulary, at_least=2)
    n = next((n for n in range(1, 64) if vocabulary**n >= law.numel()), 0)
    if law.ndim != 1 or vocabulary**n != law.numel():
        raise invalid(who, f"law must have a power of {vocabulary} entries", tuple(law.shape))
    if not (bool((law >= 0).all()) and abs(float(law.sum()) - 1) < 1e-6):
        raise invalid(who, "law must be probabilities that sum to 1", float(law.sum()))
    if x.ndim != 2 or x.is_floating_point() or x.shape[1] < n or not len(x):
        raise invalid(who, f"x must be sequences (B, L) of integers, L >= {n}", f"{x.dtype} {tuple(x.shape)}")
    if int(x.min()) < 0 or int(x.max()) >= vocabulary:
        raise invalid(who, f"symbols must be 0 ... {vocabulary - 1}", f"{int(x.min())} ... {int(x.max())}")
    counts = _counts(x, n, vocabulary)
    value = _divergence(counts.sum(0), law.double())
    redrawn = []
    for _ in range(_REDRAWS):
        rows = torch.randint(len(x), (len(x),), generator=generator)
        redrawn.append(_divergence(counts[rows].sum(0), law.double()))
    error = float(torch.tensor(redrawn, dtype=torch.float64).std())
    return Estimate(value, error, len(x), f"divergence of blocks of {n}")


def _counts(x: Tensor, n: int, vocabulary: int) -> Tensor:
    """Counts of each block in each sequence, ``(B, V^n)``."""
    digits = vocabulary ** torch.arange(n - 1, -1, -1)
    codes = (x.unfold(1, n, 1) * digits).sum(2)
    counts = torch.zeros(len(x), vocabulary**n, dtype=torch.float64)
    return counts.scatter_add_(1, codes, torch.ones(codes.shape, dtype=torch.float64))


def _divergence(counts: Tensor, law: Tensor) -> float:
    found = (counts + _HALF) / (counts + _HALF).sum()
    return float((torch.special.xlogy(law, law) - law * found.log()).sum())
