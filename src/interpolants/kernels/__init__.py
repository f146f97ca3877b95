"""Covariance functions, processes as Markov chains of linear cost, and statistics of wide networks by layer."""

from interpolants.kernels.activation_averages import ACTIVATIONS, Activation, Averages
from interpolants.kernels.criticality import (
    CriticalPoint,
    NotCriticalError,
    critical_point,
    heuristic_aspect_ratio,
)
from interpolants.kernels.fractional_gaussian import increment_covariance, motion_covariance
from interpolants.kernels.infinite_width import NNGP
from interpolants.kernels.layer_recursions import LayerStatistics, layer_statistics
from interpolants.kernels.markov_chain import ChainPosterior, infer_chain, log_normalisers
from interpolants.kernels.markov_fractional import MarkovMotion, geometric_rates, optimal_weights
from interpolants.kernels.matern import SMOOTHNESS, Matern
from interpolants.kernels.signatures import signature, signature_size, with_time
from interpolants.kernels.spectral_mixture import Peaks, SpectralMixture

__all__ = [
    "ACTIVATIONS",
    "NNGP",
    "SMOOTHNESS",
    "Activation",
    "Averages",
    "ChainPosterior",
    "CriticalPoint",
    "LayerStatistics",
    "MarkovMotion",
    "Matern",
    "NotCriticalError",
    "Peaks",
    "SpectralMixture",
    "critical_point",
    "geometric_rates",
    "heuristic_aspect_ratio",
    "increment_covariance",
    "infer_chain",
    "layer_statistics",
    "log_normalisers",
    "motion_covariance",
    "optimal_weights",
    "signature",
    "signature_size",
    "with_time",
]
