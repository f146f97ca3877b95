"""Markov chains that sample from a density known by its gradient, and diagnostics of their convergence."""

from interpolants.mcmc.convergence import effective_sample_size, split_r_hat
from interpolants.mcmc.hmc import HMC
from interpolants.mcmc.langevin import langevin_moments
from interpolants.mcmc.sghmc import SGHMC, Slope, halves, negative_noise

__all__ = [
    "HMC",
    "SGHMC",
    "Slope",
    "effective_sample_size",
    "halves",
    "langevin_moments",
    "negative_noise",
    "split_r_hat",
]
