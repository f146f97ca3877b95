"""Convergence of Markov chains: split R-hat, and the effective number of independent draws.

Letters: M chains of n draws each after every chain was cut into two halves; W mean variance within a half, B n times
the variance of their means.
"""

import torch
from torch import Tensor

from interpolants.foundations.checks import finite
from interpolants.foundations.errors import invalid

_FEWEST = 4  # draws of a chain
MOST_R_HAT = 1.1  # above it chains have not converged


def split_r_hat(draws: Tensor) -> Tensor:
    """Potential scale reduction, ``sqrt(((n - 1) W / n + B / n) / W)``; 1 for chains that agree.

    Each chain is cut into halves, so that a chain that drifts disagrees with itself. Chains that never moved have no
    spread to compare with: R-hat is infinite where they stand at different values, and NaN where all values are equal,
    which shows nothing about convergence.

    Args:
        draws: ``(chains, draws, *D)``, at least 4 draws each.

    Returns:
        ``(*D)`` float64.

    Raises:
        InvalidInputError: If there are fewer draws, or values that are not finite.

    Source: Gelman et al. (2013), Bayesian Data Analysis, 3rd ed., section 11.4.
    """
    halved = _halves("split_r_hat", draws)
    n = halved.shape[1]
    within, between = halved.var(1).mean(0), halved.mean(1).var(0)
    return (((n - 1) / n * within + between) / within).sqrt()


def effective_sample_size(draws: Tensor) -> Tensor:
    """Number of independent draws whose mean would be as exact as that of these dependent ones.

    ``M n / (1 + 2 sum_t rho_t)``, with autocorrelations ``rho_t`` of all chains together, summed in pairs for as long
    as the pairs are positive and falling (Geyer's initial monotone sequence). At most ``M n log10(M n)``. The value
    equals that of ArviZ with ``method="mean"`` if the sum ends before the last lags.

    Args:
        draws: ``(chains, draws, *D)``, at least 4 draws each.

    Returns:
        ``(*D)`` float64; NaN where all values are equal.

    Raises:
        InvalidInputError: As :func:`split_r_hat`.

    Source: Vehtari, Gelman, Simpson, Carpenter & Buerkner (2021), arXiv:1903.08008, section 3.2 (without ranks).
    """
    halved = _halves("effective_sample_size", draws)
    m, n = halved.shape[:2]
    covariance = _autocovariance(halved)
    within = covariance[0] * n / (n - 1)
    total = covariance[0] + halved.mean(1).var(0)
    rho = 1 - (within - covariance) / total
    rho[0] = 1
    last = n - n % 2
    even = rho[0:last:2]
    pairs = even + rho[1:last:2]
    ended = (pairs <= 0).cumsum(0)
    falling = torch.where(ended > 0, 0.0, pairs).cummin(0).values
    after = torch.where((ended == 1) & (pairs <= 0), even, 0.0).sum(0)  # the even lag behind the last pair
    length = 2 * falling.sum(0) - 1 + after.clamp_min(0)
    most = m * n * torch.log10(torch.tensor(float(m * n), dtype=torch.float64))
    return torch.where(total > 0, (m * n / length.clamp_min(1e-12)).clamp_max(most), torch.nan)


def _halves(who: str, draws: Tensor) -> Tensor:
    """Chains as halves, float64; the middle draw of an odd number is left out."""
    if draws.ndim < 2 or draws.shape[1] < _FEWEST or not len(draws):
        rule = f"draws must have shape (chains, draws, *D) with at least {_FEWEST} draws"
        raise invalid(who, rule, tuple(draws.shape))
    x = finite(who, "draws", draws).double()
    n = x.shape[1] // 2
    return torch.cat([x[:, :n], x[:, -n:]])


def _autocovariance(x: Tensor) -> Tensor:
    """Autocovariance of each lag, averaged over chains: ``(M, n, *D) -> (n, *D)``, by FFT."""
    n = x.shape[1]
    spectrum = torch.fft.rfft(x - x.mean(1, keepdim=True), n=2 * n, dim=1)
    product = torch.fft.irfft(spectrum.abs().square(), n=2 * n, dim=1)[:, :n]
    mean: Tensor = product.mean(0) / n
    return mean
