"""Covariance functions, and the same processes as Markov chains whose inference is linear in the number of places."""

from interpolants.kernels.infinite_width import NNGP
from interpolants.kernels.markov_chain import ChainPosterior, infer_chain, log_normalisers
from interpolants.kernels.matern import SMOOTHNESS, Matern
from interpolants.kernels.spectral_mixture import Peaks, SpectralMixture

__all__ = [
    "NNGP",
    "SMOOTHNESS",
    "ChainPosterior",
    "Matern",
    "Peaks",
    "SpectralMixture",
    "infer_chain",
    "log_normalisers",
]
