"""Sampling: flows and SDEs along a bridge, in both directions."""

from interpolants.dynamics.grids import time_grid
from interpolants.dynamics.noise import ConstantNoise, GammaNoise, NoiseLevel, ScheduledNoise
from interpolants.dynamics.sample import Samples, sample
from interpolants.solvers.adaptive import Status

__all__ = [
    "ConstantNoise",
    "GammaNoise",
    "NoiseLevel",
    "Samples",
    "ScheduledNoise",
    "Status",
    "sample",
    "time_grid",
]
