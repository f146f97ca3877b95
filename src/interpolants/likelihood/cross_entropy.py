"""Cross-entropy ``H(rho1 || model) = -E_rho1 log model`` of a model on data, in nats.

It is the divergence ``KL(rho1 || model)`` plus a constant of the data, so that differences between models are
differences of divergences. For an SDE the mean of the lower bounds of log p gives an upper bound on the same samples.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from interpolants.fields.protocol import Fields
from interpolants.likelihood.log_prob import log_prob
from interpolants.likelihood.result import Density, LogProb, SdeLogProb, mean_and_error


@dataclass(frozen=True)
class CrossEntropy:
    """A cross-entropy in nats, its standard error over the samples, and an upper bound.

    Attributes:
        value: ``-mean log p``. For an SDE with few effective paths it is too large: it approaches from above.
        error: Its standard error, of samples and paths together.
        upper: ``-mean`` of Jensen's lower bounds, an upper bound in expectation; equal to ``value`` for the flow.
        upper_error: Its standard error.
        n: Number of samples.
        per_sample: What was averaged.
    """

    value: float
    error: float
    upper: float
    upper_error: float
    n: int
    per_sample: LogProb

    def divergence(self, log_density: Tensor) -> tuple[float, float]:
        """``KL(rho || model)`` and its standard error, from the true log density at the same samples.

        Args:
            log_density: ``(B,)`` in nats, in the order of the samples.
        """
        return mean_and_error(log_density - self.per_sample.log_prob)


def cross_entropy(
    fields: Fields, x: Tensor, base: Density, *, eps: Any = 0.0, end: int = 1, **options: Any
) -> CrossEntropy:
    """Cross-entropy of the distribution behind the samples ``x`` against the model at that end.

    Args:
        fields: Velocity and, for eps > 0, score of the bridge.
        x: Samples ``(B, *D)`` of rho1 (of rho0 with ``end=0``) that training has not seen.
        base: The distribution at the other end, with ``log_prob``.
        eps: Noise level of the model; 0 is the flow.
        end: 1 for ``H(rho1 || model)``, 0 for ``H(rho0 || model)``.
        options: What else :func:`interpolants.likelihood.log_prob` takes.

    Raises:
        InvalidInputError: As ``log_prob``.

    Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section 2.4.
    """
    found = log_prob(fields, x, base, eps=eps, end=end, **options)
    value, error = found.mean
    if isinstance(found, SdeLogProb):
        upper, upper_error = found.mean_lower_bound
    else:
        upper, upper_error = value, error
    return CrossEntropy(-value, error, -upper, upper_error, len(x), found)
