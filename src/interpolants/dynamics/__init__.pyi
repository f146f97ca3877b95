# Written by docs/methods.py from __init__.py and the cards.
from interpolants.dynamics.between_steps import Constraint as Constraint
from interpolants.dynamics.correctors import Langevin as Langevin
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
from interpolants.dynamics.sample import sample as sample
from interpolants.dynamics.sample import Samples as Samples
from interpolants.dynamics.sample import Sampling as Sampling
from interpolants.dynamics.sample_from_point import FollmerNoise as FollmerNoise
from interpolants.dynamics.sample_from_point import ReferenceNoise as ReferenceNoise
from interpolants.dynamics.sample_from_point import sample_from_point as sample_from_point
from interpolants.dynamics.trajectory_statistics import TrajectoryStatistics as TrajectoryStatistics
from interpolants.dynamics.transitions import transitions as transitions
from interpolants.solvers.adaptive import Status as Status

__all__ = ['ConstantNoise', 'Constraint', 'FollmerNoise', 'GammaNoise', 'GridChoice', 'Langevin', 'ModifiedFields', 'Modifier', 'NoiseLevel', 'ReferenceNoise', 'ReverseNoise', 'Samples', 'Sampling', 'ScheduledNoise', 'Status', 'TabulatedNoise', 'Work', 'choose_grid', 'optimise_grid', 'sample', 'sample_from_point', 'time_grid', 'transitions']
