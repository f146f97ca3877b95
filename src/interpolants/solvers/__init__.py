"""Schemes for ordinary and stochastic differential equations; they know only functions f(x, t)."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded
from interpolants.solvers.adaptive import AdaptiveResult, Status, integrate_adaptive
from interpolants.solvers.adaptive_heun import AdaptiveHeun
from interpolants.solvers.adaptive_sde import integrate_sde_adaptive
from interpolants.solvers.dopri5 import Dopri5
from interpolants.solvers.euler import Euler
from interpolants.solvers.euler_maruyama import EulerMaruyama
from interpolants.solvers.fixed import FixedResult, integrate_fixed
from interpolants.solvers.heun import Heun
from interpolants.solvers.midpoint import Midpoint
from interpolants.solvers.registry import available, get_solver
from interpolants.solvers.resampling import (
    Multinomial,
    Resampler,
    Residual,
    Stratified,
    Systematic,
    effective_size,
)
from interpolants.solvers.rk4 import RK4
from interpolants.solvers.sde import SdeResult, SdeSolver, integrate_sde
from interpolants.solvers.sra1 import SRA1
from interpolants.solvers.stochastic_heun import StochasticHeun
from interpolants.solvers.tableau import RungeKutta, Tableau
from interpolants.solvers.tsit5 import Tsit5
from interpolants.solvers.weighted import Node, Population, Step, WeightedResult, integrate_weighted

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = [
    "AdaptiveHeun",
    "AdaptiveResult",
    "Dopri5",
    "Euler",
    "EulerMaruyama",
    "FixedResult",
    "Heun",
    "Midpoint",
    "Multinomial",
    "Node",
    "Population",
    "RK4",
    "Resampler",
    "Residual",
    "RungeKutta",
    "SRA1",
    "SdeResult",
    "SdeSolver",
    "Status",
    "Step",
    "StochasticHeun",
    "Stratified",
    "Systematic",
    "Tableau",
    "Tsit5",
    "WeightedResult",
    "available",
    "effective_size",
    "get_solver",
    "integrate_adaptive",
    "integrate_fixed",
    "integrate_sde",
    "integrate_sde_adaptive",
    "integrate_weighted",
]
