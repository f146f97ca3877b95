"""Sampling: flows and SDEs along a bridge, in both directions."""

from interpolants.dynamics.grids import time_grid
from interpolants.dynamics.noise import ConstantNoise, GammaNoise, NoiseLevel, ScheduledNoise, TabulatedNoise
from interpolants.dynamics.sample import Samples, sample
from interpolants.solvers.adaptive import Status

__all__ = [
    "ConstantNoise",
    "GammaNoise",
    "NoiseLevel",
    "Samples",
    "ScheduledNoise",
    "Status",
    "TabulatedNoise",
    "sample",
    "time_grid",
]
