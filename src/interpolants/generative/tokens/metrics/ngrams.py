"""N-gram distance between two sets of token sequences."""

import math

import torch
from torch import Tensor

from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.metrics.estimate import Estimate

_REDRAWS = 30


def ngram_distance(x: Tensor, y: Tensor, *, n: int = 2, generator: torch.Generator | None = None) -> Estimate:
    """Total variation between the frequencies of n-grams: half the sum of their absolute differences, in [0, 1].

    It is biased upwards for small sets, most for large n: compare with its floor.

    Args:
        x: Token sequences, ``(N, L)``, integers >= 0.
        y: Token sequences, ``(M, K)``.
        n: Length of the grams; 1 compares frequencies of tokens.
        generator: Source of the bootstrap over sequences that gives the error.

    Returns:
        The distance and its standard error.

    Raises:
        InvalidInputError: If something is no set of token sequences of at least n tokens.

    Source: ours; n-gram statistics of text go back to Shannon (1948).
    """
    whole("ngram_distance", "n", n, at_least=1)
    for name, tokens in (("x", x), ("y", y)):
        if tokens.ndim != 2 or tokens.is_floating_point() or tokens.shape[1] < n or len(tokens) < 2:
            rule = f"{name} must be two or more sequences (N, L) of integer tokens, L >= {n}"
            raise invalid("ngram_distance", rule, f"{tokens.dtype} of shape {tuple(tokens.shape)}")
        if int(tokens.min()) < 0:
            raise invalid("ngram_distance", f"{name} must contain tokens >= 0", int(tokens.min()))
    size = int(max(x.max(), y.max())) + 1
    if size**n >= 1 << 62:
        raise invalid("ngram_distance", "n must be small enough to number the n-grams", n, "Use n <= 3.")
    grams = [_grams(tokens, n, size) for tokens in (x, y)]
    # Only n-grams that occur are counted: numbered anew, from 0.
    known, place = torch.unique(torch.cat([part.flatten() for part in grams]), return_inverse=True)
    total = len(known)
    counts = [
        _counts(part.reshape(len(tokens), -1), total)
        for part, tokens in zip(place.split([g.numel() for g in grams]), (x, y), strict=True)
    ]
    value = _distance(*(count.sum(0) for count in counts))
    redrawn = [_distance(*(_redraw(count, generator) for count in counts)) for _ in range(_REDRAWS)]
    error = float(torch.tensor(redrawn, dtype=torch.float64).std())
    return Estimate(value, error if math.isfinite(error) else 0.0, min(len(x), len(y)), f"{n}-gram distance")


def _grams(tokens: Tensor, n: int, size: int) -> Tensor:
    """The number of each n-gram, ``(N, L - n + 1)``."""
    length = tokens.shape[1] - n + 1
    code = torch.zeros(len(tokens), length, dtype=torch.int64)
    for k in range(n):
        code = code * size + tokens[:, k : k + length].cpu()
    return code


def _counts(place: Tensor, total: int) -> Tensor:
    """Counts per sequence, ``(N, total)`` float32, sparse: most n-grams are in few sequences."""
    rows = torch.arange(len(place)).repeat_interleave(place.shape[1])
    index = torch.stack([rows, place.flatten()])
    return torch.sparse_coo_tensor(
        index, torch.ones(place.numel()), (len(place), total), check_invariants=False
    ).coalesce()


def _redraw(counts: Tensor, generator: torch.Generator | None) -> Tensor:
    """Counts of as many sequences, drawn with replacement, ``(total,)``."""
    rows = torch.randint(len(counts), (len(counts),), generator=generator)
    weight = torch.bincount(rows, minlength=len(counts)).float()
    found: Tensor = torch.mv(counts.t(), weight)
    return found


def _distance(x: Tensor, y: Tensor) -> float:
    p, q = (v.to_dense().double() for v in (x, y))
    return 0.5 * float((p / p.sum() - q / q.sum()).abs().sum())
