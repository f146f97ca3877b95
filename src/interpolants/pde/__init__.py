"""Differential equations with their residuals, and numerical solutions to compare with."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded
from interpolants.pde.allen_cahn import AllenCahn
from interpolants.pde.box import BoxPDE, BoxProblem
from interpolants.pde.evolution import Evolution, Jet, check_evolution
from interpolants.pde.fourier import FourierGrid, FourierTrajectory, etdrk4
from interpolants.pde.kuramoto_sivashinsky import KuramotoSivashinsky
from interpolants.pde.manufactured import Manufactured
from interpolants.pde.ordinary import ODE, OrdinarySystem
from interpolants.pde.periodic import PeriodicEquation, PeriodicPDE, SemilinearEquation
from interpolants.pde.trajectory import Trajectory

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = [
    "ODE",
    "AllenCahn",
    "BoxPDE",
    "BoxProblem",
    "Evolution",
    "FourierGrid",
    "FourierTrajectory",
    "Jet",
    "KuramotoSivashinsky",
    "Manufactured",
    "OrdinarySystem",
    "PeriodicEquation",
    "PeriodicPDE",
    "SemilinearEquation",
    "Trajectory",
    "check_evolution",
    "etdrk4",
]
