"""Monte Carlo estimates of quantities of interest, with intervals: means, variances, quantiles, exceedance.

Notation: n independent draws of Q quantities; ``h`` hits of n; ``x_(i)`` the i-th smallest of n values, i = 1 .. n.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from interpolants.foundations.checks import number
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.metrics.estimate import Estimate


def binomial_interval(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval of a probability from ``hits`` of ``n`` independent trials (Clopper and Pearson).

    Without a hit it is ``[0, 1 - (alpha / 2)^(1 / n)]`` with ``alpha = 1 - confidence``, about ``[0, 3.7 / n]``.

    Args:
        hits: Number of hits, in [0, n].
        n: Number of trials, at least 1.
        confidence: Least probability that the interval holds the true value, in (0, 1).

    Raises:
        InvalidInputError: If ``hits`` is not in [0, n], or ``confidence`` is not in (0, 1).
    """
    if not 0 <= hits <= n or n < 1:
        raise invalid("binomial_interval", "hits must lie in [0, n], n >= 1", f"{hits} of {n}")
    tail = (1 - number("binomial_interval", "confidence", confidence, above=0, below=1)) / 2
    beta = require("scipy.stats", by="binomial_interval").beta
    low = float(beta.ppf(tail, hits, n - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0
    return low, high


def quantile_interval(values: Tensor, p: float, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a quantile between two order statistics, whatever the distribution.

    The number of values below the quantile is binomial, ``Bin(n, p)``: ``[x_(i), x_(j)]`` holds the quantile unless
    fewer than i or at least j values are below. An end that so few values do not bound is infinite.

    Args:
        values: Independent values ``(n,)``.
        p: Probability of the quantile, in (0, 1).
        confidence: Least probability that the interval holds the quantile, in (0, 1).

    Raises:
        InvalidInputError: If ``p`` or ``confidence`` is not in (0, 1).
    """
    number("quantile_interval", "p", p, above=0, below=1)
    tail = (1 - number("quantile_interval", "confidence", confidence, above=0, below=1)) / 2
    binomial = require("scipy.stats", by="quantile_interval").binom
    n, order = len(values), values.double().sort().values
    first = int(binomial.ppf(tail, n, p))  # the largest i with P(Bin < i) <= tail
    last = int(binomial.ppf(1 - tail, n, p)) + 1  # the smallest j with P(Bin >= j) <= tail
    low = float(order[first - 1]) if first >= 1 else -torch.inf
    return low, float(order[last - 1]) if last <= n else torch.inf


def estimates(
    values: Tensor, *, levels: Sequence[float] = (), above: Sequence[float] = (), confidence: float = 0.95
) -> dict[str, Tensor]:
    """Estimates of each quantity by name, ``(Q,)`` float64: what an expectation over draws can be asked for.

    ``mean`` and ``variance`` with standard errors ``*_error``, ``s / sqrt(n)`` and
    ``sqrt((m4 - s^4 (n - 3) / (n - 1)) / n)``; ``quantile_0.9`` for each level, and ``exceedance``, the probability to
    be above a threshold, with the ends of their intervals ``*_low`` and ``*_high``.

    Args:
        values: Quantities of independent draws, ``(n, Q)``, n >= 4.
        levels: Probabilities of the quantiles, in (0, 1).
        above: Threshold of each quantity, ``(Q,)``; none if empty.
        confidence: Of the intervals, in (0, 1).

    Raises:
        InvalidInputError: If there are fewer than four draws, or another number of thresholds than of quantities.
    """
    if values.ndim != 2 or len(values) < 4:
        raise invalid("estimates", "values must have shape (n, Q), n >= 4", tuple(values.shape))
    if above and len(above) != values.shape[1]:
        rule = f"above must have one threshold for each of {values.shape[1]} quantities"
        raise invalid("estimates", rule, f"{len(above)}")
    values, n = values.double(), len(values)
    centred = values - values.mean(0)
    variance = values.var(0)
    fourth = centred.pow(4).mean(0)
    found = {"mean": values.mean(0), "mean_error": (variance / n).sqrt(), "variance": variance}
    found["variance_error"] = ((fourth - variance.square() * (n - 3) / (n - 1)).clamp_min(0) / n).sqrt()
    for p in levels:
        ends = [quantile_interval(x, p, confidence) for x in values.T]
        found[f"quantile_{p:g}"] = values.quantile(p, 0)
        found |= _ends(f"quantile_{p:g}", ends)
    if above:
        hits = (values > torch.tensor([float(limit) for limit in above], dtype=torch.float64)).sum(0)
        found["exceedance"] = hits.double() / n
        found |= _ends("exceedance", [binomial_interval(int(h), n, confidence) for h in hits])
    return found


def relative_distance(x: Tensor, reference: Tensor) -> Estimate:
    """Wasserstein-1 distance of two samples of numbers, over the standard deviation of the second.

    Its error is that of the mean of the potential, whose slope is the sign of the difference of the distribution
    functions; near 0, where the sign itself is noise, it is too large.
    """
    both, _ = torch.cat([x, reference]).sort()
    shares = [
        torch.searchsorted(one.sort().values, both[:-1], right=True).double() / len(one)
        for one in (x, reference)
    ]
    gap, steps = shares[0] - shares[1], both.diff()
    potential = torch.cat([both.new_zeros(1), (gap.sign() * steps).cumsum(0)])
    parts = [potential[torch.searchsorted(both, one.contiguous())] for one in (x, reference)]
    error = torch.stack([part.var() / len(part) for part in parts]).sum().sqrt()
    scale = reference.std().clamp_min(1e-300)
    value = float((gap.abs() * steps).sum() / scale)
    return Estimate(value, float(error / scale), min(len(x), len(reference)), "W1")


def _ends(name: str, ends: Sequence[tuple[float, float]]) -> dict[str, Tensor]:
    low, high = torch.tensor(ends, dtype=torch.float64).T
    return {f"{name}_low": low, f"{name}_high": high}
