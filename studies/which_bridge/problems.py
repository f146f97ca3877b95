"""The problem that the comparisons share: two mixtures with a known bridge."""

import torch

from interpolants.generative.schrodinger.problems.light_schrodinger import MixtureSchrodingerBridge

# Before the problem is brought to unit mean square.
_EPS, _SPREAD, _MODES = 0.2, 1.5, 2


def mixtures(seed: int, dim: int) -> MixtureSchrodingerBridge:
    """Two distributions of narrow modes and their Schroedinger bridge, with the mean square of all entries 1.

    The construction scales: offsets divided by s and eps by s^2 give the same problem in units of s.
    """
    raw = MixtureSchrodingerBridge.random(seed, dim, _EPS, n_components=_MODES, spread=_SPREAD)
    square = sum(
        float(distribution.covariance.trace() + distribution.mean.square().sum())
        for distribution in (raw.rho0, raw.rho1)
    )
    unit = (square / (2 * dim)) ** 0.5
    return MixtureSchrodingerBridge.random(
        seed, dim, _EPS / unit**2, n_components=_MODES, spread=_SPREAD / unit
    )


def keyed(seed: int, use: int) -> torch.Generator:
    """A generator for one use of a seed."""
    return torch.Generator().manual_seed(1000 * seed + use)
