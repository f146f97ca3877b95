"""Covariance functions, processes as Markov chains of linear cost, and statistics of wide networks by layer."""

from interpolants.kernels.activation_averages import ACTIVATIONS, Activation, Averages
from interpolants.kernels.criticality import (
    CriticalPoint,
    NotCriticalError,
    critical_point,
    heuristic_aspect_ratio,
)
from interpolants.kernels.layer_recursions import LayerStatistics, layer_statistics
from interpolants.kernels.matern import SMOOTHNESS, Matern
from interpolants.kernels.spectral_mixture import Peaks, SpectralMixture

__all__ = [
    "ACTIVATIONS",
    "SMOOTHNESS",
    "Activation",
    "Averages",
    "CriticalPoint",
    "LayerStatistics",
    "Matern",
    "NotCriticalError",
    "Peaks",
    "SpectralMixture",
    "critical_point",
    "heuristic_aspect_ratio",
    "layer_statistics",
]
