"""N-gram distance between two sets of token sequences."""

import math

import torch
from torch import Tensor

from interpolants.data.alphabet import END
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.metrics.estimate import Estimate

_REDRAWS = 30


def ngram_distance(x: Tensor, y: Tensor, *, n: int = 2, generator: torch.Generator | None = None) -> Estimate:
    """Total variation between the frequencies of n-grams: half the sum of their absolute differences, in [0, 1].

    It is biased upwards for small sets, most for large n: compare with its floor. Sequences may have different lengths,
    with -1 behind the shorter ones; then the end of a sequence counts as a token in n-grams of two or more.

    Args:
        x: Token sequences, ``(N, L)``, integers >= 0, with -1 behind their end.
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
    padded = bool((x == END).any() or (y == END).any())
    for name, tokens in (("x", x), ("y", y)):
        _check_sequences(name, tokens, n - padded)
    if padded:
        x, y = (torch.nn.functional.pad(tokens, (0, 1), value=END) for tokens in (x, y))
    size = int(max(x.max(), y.max())) + 1 + padded  # the end is the last token
    if size**n >= 1 << 62:
        raise invalid("ngram_distance", "n must be small enough to number the n-grams", n, "Use n <= 3.")
    grams = [_grams(tokens, n, size) for tokens in (x, y)]
    for name, (rows, _) in zip("xy", grams, strict=True):
        if not len(rows):
            rule = f"{name} must have a sequence of at least {max(1, n - 1)} tokens"
            raise invalid("ngram_distance", rule, "shorter ones only")
    # Only n-grams that occur are counted: numbered anew, from 0.
    known, place = torch.unique(torch.cat([codes for _, codes in grams]), return_inverse=True)
    numbers = place.split([len(codes) for _, codes in grams])
    counts = [
        _counts(rows, number, (len(tokens), len(known)))
        for (rows, _), number, tokens in zip(grams, numbers, (x, y), strict=True)
    ]
    value = _distance(*(count.sum(0) for count in counts))
    redrawn = [_distance(*(_redraw(count, generator) for count in counts)) for _ in range(_REDRAWS)]
    error = float(torch.tensor(redrawn, dtype=torch.float64).std())
    return Estimate(value, error if math.isfinite(error) else 0.0, min(len(x), len(y)), f"{n}-gram distance")


def _check_sequences(name: str, tokens: Tensor, size: int) -> None:
    """Check a set of sequences of ``size`` tokens or more, with -1 behind their ends."""
    if tokens.ndim != 2 or tokens.is_floating_point() or tokens.shape[1] < size or len(tokens) < 2:
        rule = f"{name} must be two or more sequences (N, L) of integer tokens, L >= {size}"
        raise invalid("ngram_distance", rule, f"{tokens.dtype} of shape {tuple(tokens.shape)}")
    if int(tokens.min()) < END or bool(((tokens[:, :-1] == END) & (tokens[:, 1:] != END)).any()):
        rule = f"{name} must contain tokens >= 0, with -1 behind their end only"
        raise invalid("ngram_distance", rule, int(tokens.min()))


def _grams(tokens: Tensor, n: int, size: int) -> tuple[Tensor, Tensor]:
    """Sequence and number of each n-gram, two ``(G,)``; an end may only be its last token, and is none by itself."""
    length = tokens.shape[1] - n + 1
    code = torch.zeros(len(tokens), length, dtype=torch.int64)
    inside = torch.ones(len(tokens), length, dtype=torch.bool)
    for k in range(n):
        part = tokens[:, k : k + length].cpu()
        if k < n - 1 or n == 1:
            inside &= part != END
        code = code * size + torch.where(part == END, size - 1, part)
    return inside.nonzero()[:, 0], code[inside]


def _counts(rows: Tensor, numbers: Tensor, shape: tuple[int, int]) -> Tensor:
    """Counts per sequence, ``(N, total)`` float32, sparse: most n-grams are in few sequences."""
    index = torch.stack([rows, numbers])
    return torch.sparse_coo_tensor(index, torch.ones(len(rows)), shape, check_invariants=False).coalesce()


def _redraw(counts: Tensor, generator: torch.Generator | None) -> Tensor:
    """Counts of as many sequences, drawn with replacement, ``(total,)``."""
    rows = torch.randint(len(counts), (len(counts),), generator=generator)
    weight = torch.bincount(rows, minlength=len(counts)).float()
    found: Tensor = torch.mv(counts.t(), weight)
    return found


def _distance(x: Tensor, y: Tensor) -> float:
    p, q = (v.to_dense().double() for v in (x, y))
    return 0.5 * float((p / p.sum() - q / q.sum()).abs().sum())
