"""Sampling: flows and SDEs along a bridge, in both directions."""

from typing import TYPE_CHECKING

from interpolants.dynamics.best_grid import best_grid
from interpolants.dynamics.between_steps import Constraint
from interpolants.dynamics.correctors import Langevin
from interpolants.dynamics.fitted_solver import SolverFit, fit_solver
from interpolants.dynamics.grids import time_grid
from interpolants.dynamics.modifiers import ModifiedFields, Modifier, Work
from interpolants.dynamics.noise import (
    ConstantNoise,
    GammaNoise,
    NoiseLevel,
    ReverseNoise,
    ScheduledNoise,
    TabulatedNoise,
)
from interpolants.dynamics.optimised_grid import GridChoice, choose_grid, optimise_grid
from interpolants.dynamics.sample import Samples, Sampling, sample
from interpolants.dynamics.sample_from_point import FollmerNoise, ReferenceNoise, sample_from_point
from interpolants.dynamics.solver_table import FittedSolver
from interpolants.dynamics.transitions import transitions
from interpolants.foundations.cards import carded
from interpolants.solvers.adaptive import Status

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = [
    "ConstantNoise",
    "Constraint",
    "FittedSolver",
    "FollmerNoise",
    "GammaNoise",
    "Langevin",
    "ModifiedFields",
    "Modifier",
    "NoiseLevel",
    "ReferenceNoise",
    "ReverseNoise",
    "Samples",
    "Sampling",
    "SolverFit",
    "ScheduledNoise",
    "Status",
    "TabulatedNoise",
    "Work",
    "best_grid",
    "choose_grid",
    "fit_solver",
    "optimise_grid",
    "GridChoice",
    "sample",
    "sample_from_point",
    "time_grid",
    "transitions",
]
