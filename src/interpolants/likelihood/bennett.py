"""Log ratio of two normalising constants from log weights of both directions: bounds, Bennett's estimate, overlap.

Notation: L log weights, with ``p_B(L)/p_F(L) = e^L Z0/Z1`` (Crooks); ``Lambda = log Z1/Z0``; n, m counts of forward and
backward weights, ``M = log n/m``; ``sigma`` the logistic function.

Given L, the path is a forward one with probability ``sigma(Lambda + M - L)``. The maximum likelihood of all paths is at
``sum_F sigma(L - Lambda - M) = sum_B sigma(Lambda + M - L)``: no estimate from both sets has less variance for large
ones. Estimates from one side rest on the few paths with the largest weights.

Source: Bennett (1976), J. Comput. Phys. 22, 245; Shirts et al. (2003), Phys. Rev. Lett. 91, 140601.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator

# Overlap below which pymbar users are advised to distrust the estimate; width of the bounds in nats; errors by which an
# estimate from one side may leave the bounds; paths that overlap, below which only the bounds count.
LITTLE_OVERLAP, WIDE, _OUTSIDE, _FEWEST = 0.03, 2.0, 3.0, 10.0
_HALVINGS = 55
_NAMES = ("log_ratio", "lower", "upper", "forward", "reverse")


@dataclass(frozen=True)
class LogRatio:
    """Estimates of ``log Z1/Z0``, in nats. The free-energy difference in units of kT is ``-log_ratio``.

    Attributes:
        log_ratio: Bennett's estimate.
        error: Its standard error: the larger of bootstrap and Bennett's formula, and at least half the distance of the
            bounds where fewer than 10 paths overlap.
        bennett_error: Standard error by Bennett's formula, for independent weights.
        lower: Lower bound, mean of the forward weights.
        lower_error: Its standard error; NaN where the bound is infinite.
        upper: Upper bound, mean of the backward weights.
        upper_error: Its standard error.
        forward: Estimate from the forward paths alone.
        forward_error: Its standard error; too small where ``forward_ess`` is.
        reverse: Estimate from the backward paths alone.
        reverse_error: Its standard error.
        forward_ess: Effective number of forward paths.
        reverse_ess: Effective number of backward paths.
        overlap: 0 for directions without a common weight, 1 for equal ones; ``4 f (1 - f)`` in the mean, f the
            probability of a direction given the weight.
        warnings: What speaks against the estimate, one sentence each.
    """

    log_ratio: float
    error: float
    bennett_error: float
    lower: float
    lower_error: float
    upper: float
    upper_error: float
    forward: float
    forward_error: float
    reverse: float
    reverse_error: float
    forward_ess: float
    reverse_ess: float
    overlap: float
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"log Z1/Z0 = {self.log_ratio:.4g} ± {self.error:.2g} nats, between {self.lower:.4g} and"
        return "\n".join([f"{text} {self.upper:.4g}; overlap {self.overlap:.2g}", *self.warnings])


def bennett(forward: Tensor, backward: Tensor, *, resamples: int = 100, seed: int = 0) -> LogRatio:
    """Bounds and Bennett's estimate of ``log Z1/Z0``.

    Weights of plain perturbation, ``f1(x) - f0(x)`` at samples of either density, are log weights too.

    Args:
        forward: Log weights of forward paths, ``(N,)``, or ``(N, K)`` for K paths from each of N starts.
        backward: Log weights of backward paths, ``(M,)`` or ``(M, K)``.
        resamples: Bootstrap samples of the starts, >= 2.
        seed: Seed of the bootstrap.

    Raises:
        InvalidInputError: If there are fewer than 2 starts of a direction, a weight is NaN, a forward one is plus
            infinity or a backward one minus infinity, or no weight of a direction is finite.
    """
    whole("bennett", "resamples", resamples, at_least=2)
    f = _checked("forward", forward, math.inf)
    b = _checked("backward", backward, -math.inf)
    point = _estimates(f, b)
    source = generator(seed, "bootstrap of log weights")
    redrawn = [_estimates(_redrawn(f, source), _redrawn(b, source)) for _ in range(resamples)]
    errors = torch.tensor(redrawn, dtype=torch.float64).std(0).tolist()
    result, error = dict(zip(_NAMES, point, strict=True)), dict(zip(_NAMES, errors, strict=True))
    shares = [torch.sigmoid(result["log_ratio"] - x.flatten()) for x in (f, b)]
    overlap = float(sum(2 * (p * (1 - p)).mean() for p in shares))
    formula = _bennett_error(f.flatten(), b.flatten(), result["log_ratio"])
    total = max(error["log_ratio"], formula)
    if min(f.numel(), b.numel()) * overlap < _FEWEST:
        total = max(total, (result["upper"] - result["lower"]) / 2)
    return LogRatio(
        log_ratio=result["log_ratio"],
        error=total,
        bennett_error=formula,
        lower=result["lower"],
        lower_error=error["lower"],
        upper=result["upper"],
        upper_error=error["upper"],
        forward=result["forward"],
        forward_error=error["forward"],
        reverse=result["reverse"],
        reverse_error=error["reverse"],
        forward_ess=_effective(f),
        reverse_ess=_effective(-b),
        overlap=overlap,
        warnings=tuple(_warnings(result, error, overlap)),
    )


def _checked(name: str, values: Tensor, worst: float) -> Tensor:
    """Log weights as ``(N, K)`` float64."""
    x = torch.as_tensor(values, dtype=torch.float64)
    if x.ndim not in (1, 2) or len(x) < 2:
        rule = f"{name} must be (N,) or (N, K) log weights of N >= 2 starts"
        raise invalid("bennett", rule, tuple(x.shape))
    if bool((x.isnan() | (x == worst)).any()):
        raise invalid("bennett", f"{name} must contain no NaN and no {worst}", "one that does")
    if not bool(x.isfinite().any()):
        remedy = "The two densities have no common support that the paths reach."
        raise invalid(
            "bennett", f"{name} must contain a finite log weight", f"{x.numel()} infinite ones", remedy
        )
    return x.reshape(len(x), -1)


def _redrawn(x: Tensor, source: torch.Generator) -> Tensor:
    return x[torch.randint(len(x), (len(x),), generator=source)]


def _estimates(f: Tensor, b: Tensor) -> tuple[float, ...]:
    """The numbers of ``_NAMES`` from log weights ``(N, K)`` and ``(M, K)``."""
    f, b = f.flatten(), b.flatten()
    forward = f.logsumexp(0) - math.log(len(f))
    reverse = math.log(len(b)) - (-b).logsumexp(0)
    return _root(f, b), float(f.mean()), float(b.mean()), float(forward), float(reverse)


def _root(f: Tensor, b: Tensor) -> float:
    """Bennett's estimate by bisection: the difference of the two sums falls with Lambda."""
    shift = math.log(len(f) / len(b))
    pooled = torch.cat([f, b])
    finite = pooled[pooled.isfinite()]
    if not len(finite):
        return math.nan

    def excess(at: float) -> float:
        return float(torch.sigmoid(f - at).sum() - torch.sigmoid(at - b).sum())

    low, high = float(finite.min()) - abs(shift) - 1, float(finite.max()) + abs(shift) + 1
    return _bisected(excess, low, high) - shift


def _bisected(falling: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


def _bennett_error(f: Tensor, b: Tensor, log_ratio: float) -> float:
    """Relative variances of both sums of Bennett's equation, added; infinite where a sum vanishes."""
    at = log_ratio + math.log(len(f) / len(b))
    terms = [torch.sigmoid(f - at), torch.sigmoid(at - b)]
    if any(float(p.sum()) == 0 for p in terms):
        return math.inf
    return math.sqrt(sum(float(p.var() / (p.mean().square() * len(p))) for p in terms))


def _effective(x: Tensor) -> float:
    """Effective number of paths with log weights ``x``."""
    flat = x.flatten()
    return float((2 * flat.logsumexp(0) - (2 * flat).logsumexp(0)).exp())


def _warnings(result: dict[str, float], error: dict[str, float], overlap: float) -> list[str]:
    messages = []
    if overlap < LITTLE_OVERLAP:
        messages.append(
            f"The overlap of forward and backward weights is {overlap:.2g}, below {LITTLE_OVERLAP}: trust the bounds "
            "rather than the estimate."
        )
    if result["upper"] - result["lower"] > WIDE:
        width = result["upper"] - result["lower"]
        messages.append(
            f"The bounds are {width:.3g} nats apart: the fields are inaccurate, or the steps too long."
        )
    over = result["forward"] - result["upper"] > _OUTSIDE * math.hypot(error["forward"], error["upper"])
    under = result["lower"] - result["reverse"] > _OUTSIDE * math.hypot(error["reverse"], error["lower"])
    for side, outside in (("forward", over), ("reverse", under)):
        if outside:
            messages.append(
                f"The {side} estimate {result[side]:.4g} lies outside the bounds: the samples or log densities of the "
                "ends do not belong together."
            )
    return messages
