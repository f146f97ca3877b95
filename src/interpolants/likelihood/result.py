"""Result of a log-likelihood, and the requirements on the distribution at the known end."""

import math
from dataclasses import dataclass, field, replace
from typing import Protocol, Self, runtime_checkable

from torch import Tensor

from interpolants.foundations.errors import DivergedError, invalid
from interpolants.solvers.adaptive import Status


@runtime_checkable
class Density(Protocol):
    """A distribution whose log density can be evaluated, ``(B, *D) -> (B,)`` in nats."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density in nats."""
        ...


@dataclass(frozen=True)
class LogProb:
    """Log-likelihoods and how they were obtained.

    Attributes:
        log_prob: ``(B,)`` in nats.
        error: ``(B,)`` standard error, in nats: of the random probes (zero for the exact divergence of a flow, NaN for
            one probe), of the random paths for an SDE.
        x: Where the points arrived, at the end with the known density (for sampling, the samples; for an SDE, the first
            path of each point), ``(B, *D)``.
        nfe: Evaluations of the velocity per sample (per path of an SDE): a number, or ``(B,)`` for an adaptive solver.
        status: ``(B,)`` codes of ``dynamics.Status``; 0 is success.
        noise_level: Standard deviation of the noise on the data whose density this is, in data units; 0 for none.
    """

    log_prob: Tensor
    error: Tensor
    x: Tensor
    nfe: int | Tensor
    status: Tensor
    noise_level: float = field(default=0.0, kw_only=True)

    @property
    def mean(self) -> tuple[float, float]:
        """Mean over the samples and its standard error, in nats."""
        return mean_and_error(self.log_prob)

    def shifted(self, nats: float | Tensor) -> Self:
        """The same with nats added to the log densities, such as the log volume of a change of units.

        Args:
            nats: One number for all, or one per row, ``(B,)``.
        """
        return replace(self, log_prob=self.log_prob + _like(nats, self.log_prob))


@dataclass(frozen=True)
class SdeLogProb(LogProb):
    """Log-likelihoods of an SDE, from K random paths per point.

    ``log_prob`` is the log of the mean weight, corrected for the bias of the logarithm to first order; ``error`` its
    standard error.

    Attributes:
        lower_bound: ``(B,)`` mean of the log weights: below the log density in expectation (Jensen), for any K.
        lower_bound_error: ``(B,)`` its standard error.
        low: ``(B,)`` lower end of the 95% interval of the log density.
        high: ``(B,)`` its upper end; wide where few paths carry the weight.
        ess: ``(B,)`` effective number of paths, between 1 and K. Below about 10 trust ``lower_bound`` alone.
        paths: K.
        eps: Noise level that was used at the grid's times, after the cap, ``(n + 1,)``.
    """

    lower_bound: Tensor
    lower_bound_error: Tensor
    low: Tensor
    high: Tensor
    ess: Tensor
    paths: int
    eps: Tensor

    @property
    def mean_lower_bound(self) -> tuple[float, float]:
        """Mean of the lower bounds over the samples and its standard error, in nats."""
        return mean_and_error(self.lower_bound)

    def shifted(self, nats: float | Tensor) -> Self:
        """The same with nats added to the log densities: one number for all, or one per row."""
        more = _like(nats, self.log_prob)
        moved = {name: getattr(self, name) + more for name in ("log_prob", "lower_bound", "low", "high")}
        return replace(self, **moved)


def _like(nats: float | Tensor, x: Tensor) -> float | Tensor:
    return nats.to(x) if isinstance(nats, Tensor) else nats


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """Mean of independent values and its standard error (NaN for one value)."""
    values = values.double()
    n = values.numel()
    return float(values.mean()), float(values.std() / math.sqrt(n)) if n > 1 else math.nan


def check_base(base: object, who: str) -> None:
    """Refuse a distribution without a density."""
    if not isinstance(base, Density):
        remedy = "Pass a distribution with log_prob; Bridge(leg={}) learns a Gaussian leg to a sample set."
        raise invalid(who, "the base must have a density", type(base).__name__, remedy)


def evaluate_base(base: Density, x: Tensor) -> Tensor:
    """Log density of the base, one number per row."""
    value = base.log_prob(x)
    if value.shape != (x.shape[0],):
        remedy = "For torch.distributions, wrap it in Independent so that the event dimensions are summed."
        raise invalid(
            "log_prob", f"base.log_prob must return shape ({x.shape[0]},)", tuple(value.shape), remedy
        )
    return value


def check_arrival(who: str, status: Tensor, on_failure: str, method: str) -> None:
    """Raise for the first row that failed, unless failures are to be kept."""
    bad = (status != int(Status.OK)).nonzero().flatten()
    if on_failure == "raise" and len(bad):
        code = Status(int(status[bad[0]])).name.lower()
        remedy = "Loosen rtol and atol, or take more fixed steps; on_failure='keep' returns the rest."
        raise DivergedError(
            f"{who}: {method} ended with {code} for {len(bad)} samples, first row {int(bad[0])}. {remedy}"
        )
