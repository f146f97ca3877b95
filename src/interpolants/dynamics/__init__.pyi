# Written by docs/methods.py from __init__.py and the cards.
from interpolants.dynamics.best_grid import best_grid as best_grid
from interpolants.dynamics.between_steps import Constraint as Constraint
from interpolants.dynamics.correctors import Langevin as Langevin
from interpolants.dynamics.fitted_solver import fit_solver as fit_solver
from interpolants.dynamics.fitted_solver import SolverFit as SolverFit
from interpolants.dynamics.grids import time_grid as time_grid
from interpolants.dynamics.modifiers import ModifiedFields as ModifiedFields
from interpolants.dynamics.modifiers import Modifier as Modifier
from interpolants.dynamics.modifiers import Work as Work
from interpolants.dynamics.noise import ConstantNoise as ConstantNoise
from interpolants.dynamics.noise import GammaNoise as GammaNoise
from interpolants.dynamics.noise import NoiseLevel as NoiseLevel
from interpolants.dynamics.noise import ReverseNoise as ReverseNoise
from interpolants.dynamics.noise import ScheduledNoise as ScheduledNoise
from interpolants.dynamics.noise import TabulatedNoise as TabulatedNoise
from interpolants.dynamics.optimised_grid import choose_grid as choose_grid
from interpolants.dynamics.optimised_grid import GridChoice as GridChoice
from interpolants.dynamics.optimised_grid import optimise_grid as optimise_grid
from interpolants.dynamics.posterior import sample_posterior as sample_posterior
from interpolants.dynamics.posterior import sample_transition as sample_transition
from interpolants.dynamics.sample import sample as sample
from interpolants.dynamics.sample import Samples as Samples
from interpolants.dynamics.sample import Sampling as Sampling
from interpolants.dynamics.sample_from_point import FollmerNoise as FollmerNoise
from interpolants.dynamics.sample_from_point import ReferenceNoise as ReferenceNoise
from interpolants.dynamics.sample_from_point import sample_from_point as sample_from_point
from interpolants.dynamics.solver_table import FittedSolver as FittedSolver
from interpolants.dynamics.trajectory_statistics import TrajectoryStatistics as TrajectoryStatistics
from interpolants.dynamics.transitions import transitions as transitions
from interpolants.solvers.adaptive import Status as Status

__all__ = ['ConstantNoise', 'Constraint', 'FittedSolver', 'FollmerNoise', 'GammaNoise', 'GridChoice', 'Langevin', 'ModifiedFields', 'Modifier', 'NoiseLevel', 'ReferenceNoise', 'ReverseNoise', 'Samples', 'Sampling', 'ScheduledNoise', 'SolverFit', 'Status', 'TabulatedNoise', 'Work', 'best_grid', 'choose_grid', 'fit_solver', 'optimise_grid', 'sample', 'sample_from_point', 'time_grid', 'transitions']
