"""Covariance functions, and the same processes as Markov chains whose inference is linear in the number of places."""

from interpolants.kernels.markov_chain import ChainPosterior, infer_chain, log_normalisers
from interpolants.kernels.matern import SMOOTHNESS, Matern

__all__ = ["SMOOTHNESS", "ChainPosterior", "Matern", "infer_chain", "log_normalisers"]
