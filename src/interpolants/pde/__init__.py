"""Differential equations with their residuals, and numerical solutions to compare with."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded
from interpolants.pde.active_fluid import ActiveFluid
from interpolants.pde.allen_cahn import AllenCahn
from interpolants.pde.box import BoxPDE, BoxProblem
from interpolants.pde.chebyshev import ChebyshevGrid
from interpolants.pde.evolution import Evolution, Jet, check_evolution
from interpolants.pde.family import PDEFamily, check_family
from interpolants.pde.fourier import FourierGrid, FourierTrajectory, etdrk4
from interpolants.pde.fourier_box import FourierBox, imex_bdf2
from interpolants.pde.kuramoto_sivashinsky import KuramotoSivashinsky
from interpolants.pde.linear_decay import LinearDecay
from interpolants.pde.lotka_volterra import LotkaVolterra
from interpolants.pde.manufactured import Manufactured
from interpolants.pde.nonlinear_poisson import NonlinearPoisson
from interpolants.pde.ordinary import ODE, OrdinarySystem
from interpolants.pde.periodic import PeriodicEquation, PeriodicPDE, SemilinearEquation
from interpolants.pde.submodel import Submodel, newmark
from interpolants.pde.trajectory import Trajectory

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = [
    "ODE",
    "ActiveFluid",
    "AllenCahn",
    "BoxPDE",
    "BoxProblem",
    "ChebyshevGrid",
    "Evolution",
    "FourierBox",
    "FourierGrid",
    "FourierTrajectory",
    "Jet",
    "KuramotoSivashinsky",
    "LinearDecay",
    "LotkaVolterra",
    "Manufactured",
    "NonlinearPoisson",
    "OrdinarySystem",
    "PDEFamily",
    "PeriodicEquation",
    "PeriodicPDE",
    "SemilinearEquation",
    "Submodel",
    "Trajectory",
    "check_evolution",
    "check_family",
    "etdrk4",
    "imex_bdf2",
    "newmark",
]
