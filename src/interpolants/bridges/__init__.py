"""Bridges that are more than one fit of one path: each is made with settings, then `fit(x0, x1)`, `transport(x)`."""

from interpolants.bridges.entropic_sb import EntropicSB
from interpolants.bridges.interpolant_sb import InterpolantSB, LearntInterpolant
from interpolants.bridges.schrodinger import CoupledEnds, SchrodingerResult, SchrodingerSolver
from interpolants.bridges.schrodinger_drifts import DriftFields

__all__ = [
    "CoupledEnds",
    "DriftFields",
    "EntropicSB",
    "InterpolantSB",
    "LearntInterpolant",
    "SchrodingerResult",
    "SchrodingerSolver",
]
