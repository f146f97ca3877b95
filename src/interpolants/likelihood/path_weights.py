"""Log density and its errors from K log weights per point.

Letters: K paths, weights ``w_k = exp(l_k)`` with ``E w = p``; ``r = w / mean w``; z, q the 97.5% points of the normal
distribution and of Student's.
"""

import math
from typing import NamedTuple

from torch import Tensor

_Z = 1.959964
# What is left of the step's error after extrapolation, in units of what extrapolation removed (measured: 0.1 to 0.4).
_LEFT = 1 / 3
_TINY = 1e-100  # variance of equal weights


class WeightStatistics(NamedTuple):
    """Estimates of ``log E w``, each ``(B,)``; the fields are those of ``SdeLogProb``."""

    log_prob: Tensor
    error: Tensor
    lower_bound: Tensor
    lower_bound_error: Tensor
    low: Tensor
    high: Tensor
    ess: Tensor


def summarise(log_weights: Tensor, corrections: Tensor) -> WeightStatistics:
    """Log of the mean weight, its standard error, Jensen's bound, effective sample size and a 95% interval.

    The delta method gives ``Var log(mean w) = Var(r)/K`` and the bias ``-Var(r)/(2K)``, which is added back. To first
    order extrapolation adds the weighted mean of the corrections: it is added to the logarithm, not to each path, whose
    noise would turn into a bias. A third of it stands for the step's error that is left. The interval takes
    Student's distribution with as many degrees of freedom as there are effective paths, less one: wide where few carry
    the weight. Weights are skewed to the right and the mean of few of them is most often too low, so the upper half is
    wider by ``1 + 2 g/sqrt(K)``, at most fourfold, g their skewness. Measured on 16 to 256 paths, intervals so cover
    95 to 97 % of log-normal weights with s of 0.3 to 1.5 (88 to 95 % without), 87 to 95 % where s is 2 to 3 and fewer
    than ten paths carry the weight.

    Args:
        log_weights: ``(B, K)`` in nats, K >= 2.
        corrections: ``(B, K)`` what extrapolation in the step adds to each, in nats.
    """
    k = log_weights.shape[1]
    values = log_weights.double()
    log_mean = values.logsumexp(1) - math.log(k)
    ratio = (values - log_mean[:, None]).exp()
    ess = k / ratio.square().mean(1)
    change = corrections.double()
    shift = (ratio * change).mean(1)
    spread = (ratio * (1 + change - shift[:, None])).var(1) / k
    error = (spread + (_LEFT * shift).square()).sqrt()
    centre = log_mean + shift + ratio.var(1) / (2 * k)
    half = student_975((ess - 1).clamp_min(2.0)) * error
    skewness = (ratio - 1).pow(3).mean(1) / ratio.var(1).clamp_min(_TINY).pow(1.5)
    upper = half * (1 + 2 / math.sqrt(k) * skewness.clamp_min(0)).clamp_max(4)
    below = values + change
    bound, bound_error = below.mean(1), below.std(1) / math.sqrt(k)
    found = (centre, error, bound, bound_error, centre - half, centre + upper, ess)
    return WeightStatistics(*(part.to(log_weights.dtype) for part in found))


def student_975(degrees: Tensor) -> Tensor:
    """97.5% point of Student's distribution, to 1% from 2 degrees of freedom on (expansion about the normal)."""
    z, inverse = _Z, 1 / degrees
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    fourth = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + inverse * (first + inverse * (second + inverse * (third + inverse * fourth)))
