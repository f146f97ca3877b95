"""Stationary kernels given by their spectrum, a mixture of peaks, with first and second derivatives in closed form.

Letters: ``z`` lag, ``Q`` components, ``w_q`` weights, ``mu_q`` frequencies in cycles per unit of z, ``l_q``
lengthscales, ``m = 2 pi mu``, ``a = sqrt(5) / l``, ``g`` envelope.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import one_of, whole
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.kinds import OneOf
from interpolants.foundations.records import record

ENVELOPES = ("student_t", "gaussian")
# Jitter that is added to a covariance, relative to its diagonal: the first, and the last that is tried.
JITTER, _LARGEST_JITTER = 1e-6, 1e-3
# Relative difference of gaps up to which a grid counts as uniform.
_UNIFORM = 1e-9
# Density of Student's t with 5 degrees of freedom at 0.
_STUDENT = 8 / (3 * math.pi * math.sqrt(5))


@record("spectral_peaks")
@dataclass(frozen=True, eq=False)
class Peaks:
    """Components of a spectral mixture, all ``(Q,)`` float64.

    Attributes:
        log_weight: Logarithms of the weights: what each component adds to the variance.
        frequency: Centres of the peaks, in cycles per unit of lag.
        log_lengthscale: Logarithms of the lengthscales: a long one is a narrow peak.
    """

    log_weight: Tensor
    frequency: Tensor
    log_lengthscale: Tensor

    @classmethod
    def even(cls, count: int, top: float, lengthscale: float) -> "Peaks":
        """Equal weights that sum to 1, frequencies evenly on ``[0, top]``, one lengthscale.

        Args:
            count: Number of components.
            top: Highest frequency, in cycles per unit of lag.
            lengthscale: In units of lag.
        """
        whole("Peaks", "count", count, at_least=1)
        frequency = torch.linspace(0, top, count, dtype=torch.float64)
        level = torch.full((count,), -math.log(count), dtype=torch.float64)
        return cls(level, frequency, torch.full((count,), math.log(lengthscale), dtype=torch.float64))

    @property
    def variance(self) -> Tensor:
        """Variance of the process."""
        return self.log_weight.exp().sum()

    @property
    def strongest(self) -> float:
        """Frequency of the component with the largest weight."""
        return float(self.frequency[self.log_weight.argmax()])


@dataclass(frozen=True)
class SpectralMixture(Checked):
    """``k(z) = sum_q w_q g(z; l_q) cos(2 pi mu_q z)``; its spectrum has a peak at each ``+-mu_q``.

    With ``envelope="student_t"`` g is the Matern kernel of smoothness 5/2, and a peak is a Student's t density with 5
    degrees of freedom and scale ``1 / (2 pi l)``; with ``"gaussian"`` g is ``exp(-z^2 / (2 l^2))``, and a peak a
    Gaussian with standard deviation ``1 / (2 pi l)``. Both are twice differentiable.

    Source: Wilson & Adams (2013), arXiv:1302.4245, for Gaussian peaks; Fang et al. (2024), arXiv:2311.04465, for
    Student's t. Derivatives are derived here.
    """

    envelope: Annotated[str, OneOf(lambda: ENVELOPES)] = "student_t"
    """Shape g of the kernel, and so of the peaks."""

    def covariance(self, lag: Tensor, peaks: Peaks, order: int = 0) -> Tensor:
        """``k``, ``k'`` or ``k''`` at lags of any shape; differentiable in the peaks, also at lag 0.

        Automatic differentiation through ``|z|`` gives 0 for ``k''(0)``, which is ``-sum w (a^2 / 3 + m^2)``.

        Args:
            lag: ``z = x - y``; derivatives are with respect to it, hence to x.
            peaks: The components.
            order: 0, 1 or 2.
        """
        one_of("SpectralMixture.covariance", "order", order, (0, 1, 2))
        z = lag[..., None]
        m, w = 2 * math.pi * peaks.frequency, peaks.log_weight.exp()
        g = self._envelope(z, peaks.log_lengthscale.exp(), order)
        c = torch.cos(m * z)
        if order == 0:
            return (w * g[0] * c).sum(-1)
        s = torch.sin(m * z)
        if order == 1:
            return (w * (g[1] * c - m * g[0] * s)).sum(-1)
        return (w * (g[2] * c - 2 * m * g[1] * s - m.square() * g[0] * c)).sum(-1)

    def _envelope(self, z: Tensor, scale: Tensor, order: int) -> tuple[Tensor, ...]:
        """Envelope and its derivatives up to an order."""
        if self.envelope == "gaussian":
            g = torch.exp(-0.5 * (z / scale).square())
            slope = -z / scale.square()
            return (g, slope * g, (slope.square() - 1 / scale.square()) * g)[: order + 1]
        a = math.sqrt(5) / scale
        r = a * z.abs()
        decay = torch.exp(-r)
        b = -a.square() / 3 * decay
        return ((1 + r + r.square() / 3) * decay, b * z * (1 + r), b * (1 + r - r.square()))[: order + 1]

    def density(self, frequency: Tensor, peaks: Peaks) -> Tensor:
        """Power spectral density at frequencies in cycles per unit, of any shape; two-sided, integrates to k(0)."""
        f = frequency[..., None]
        both = self._peak(f - peaks.frequency, peaks) + self._peak(f + peaks.frequency, peaks)
        return (0.5 * peaks.log_weight.exp() * both).sum(-1)

    def _peak(self, f: Tensor, peaks: Peaks) -> Tensor:
        scale = 1 / (2 * math.pi * peaks.log_lengthscale.exp())
        z = f / scale
        if self.envelope == "gaussian":
            return torch.exp(-0.5 * z.square()) / (math.sqrt(2 * math.pi) * scale)
        return _STUDENT / scale * (1 + z.square() / 5) ** -3

    def gram(self, x: Tensor, peaks: Peaks, order: int = 0) -> Tensor:
        """``k^(order)(x_i - x_j)`` for places ``(M,)``, ``(M, M)``.

        On a uniform grid the kernel is evaluated at M lags only.
        """
        if not is_uniform(x):
            return self.covariance(x[:, None] - x, peaks, order)
        return _toeplitz(self.covariance(x - x[0], peaks, order), odd=order == 1)


def is_uniform(x: Tensor) -> bool:
    """Whether places ``(M,)`` are equally far apart, up to rounding."""
    gaps = x.diff()
    return bool(((gaps - gaps.mean()).abs() <= _UNIFORM * gaps.mean().abs()).all())


def _toeplitz(column: Tensor, *, odd: bool) -> Tensor:
    """Matrix ``T_ij = t(i - j)`` of an even or odd function, from ``t(0), t(1), ...``."""
    place = torch.arange(len(column))
    lag = place[:, None] - place
    found = column[lag.abs()]
    return torch.where(lag < 0, -found, found) if odd else found


def cholesky(matrix: Tensor, who: str, what: str) -> Tensor:
    """Lower factor of a covariance plus the smallest relative jitter that makes it positive definite; differentiable.

    Args:
        matrix: ``(M, M)``.
        who: Name of the caller, used in error messages.
        what: What the matrix is, for errors.

    Raises:
        DivergedError: If the matrix is not finite, or not positive definite with a jitter of a thousandth.
    """
    jitter = JITTER
    while jitter <= _LARGEST_JITTER * 1.001:
        raised = matrix + jitter * matrix.diagonal().mean() * torch.eye(len(matrix), dtype=matrix.dtype)
        factor: Tensor
        factor, info = torch.linalg.cholesky_ex(raised)
        if not int(info):
            return factor
        jitter *= 10
    smallest = _smallest(matrix.detach())
    told = (
        f"its smallest eigenvalue is {smallest:.3g}, its mean diagonal {float(matrix.diagonal().mean()):.3g}"
    )
    raise DivergedError(
        f"{who}: {what} is not positive definite with a jitter of {_LARGEST_JITTER:g}: {told}"
    )


def _smallest(matrix: Tensor) -> float:
    if not bool(torch.isfinite(matrix).all()):
        return math.nan
    return float(torch.linalg.eigvalsh(matrix)[0])


def nyquist(x: Tensor) -> float:
    """Highest frequency that sorted places ``(M,)`` tell apart, in cycles per unit: half an inverse mean gap.

    Raises:
        InvalidInputError: If they are not strictly increasing, or fewer than two.
    """
    if x.ndim != 1 or len(x) < 2 or not bool((x.diff() > 0).all()):
        raise invalid("nyquist", "places must be strictly increasing, at least two", tuple(x.shape))
    return float((len(x) - 1) / (2 * (x[-1] - x[0])))
