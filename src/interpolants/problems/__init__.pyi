# Written by docs/methods.py from __init__.py and the cards.
from interpolants.problems.catalogue import get_problem as get_problem
from interpolants.problems.checkerboard_bridge import CheckerboardBridge as CheckerboardBridge
from interpolants.problems.checkerboard_bridge import CheckerboardFields as CheckerboardFields
from interpolants.problems.dynamical_systems import dynamical_system as dynamical_system
from interpolants.problems.empirical_bridge import EmpiricalBridge as EmpiricalBridge
from interpolants.problems.empirical_bridge import EmpiricalFields as EmpiricalFields
from interpolants.problems.gaussian_mixture import GaussianMixture as GaussianMixture
from interpolants.problems.gaussian_mixture import LabelledSample as LabelledSample
from interpolants.problems.gaussian_mixture import paper_mixture as paper_mixture
from interpolants.problems.gaussian_mixture import random_mixture as random_mixture
from interpolants.problems.globe_caps import GlobeCaps as GlobeCaps
from interpolants.problems.linear_gaussian import LinearGaussian as LinearGaussian
from interpolants.problems.linear_gaussian import ObservedSample as ObservedSample
from interpolants.problems.mixture_bridge import GaussianMixtureBridge as GaussianMixtureBridge
from interpolants.problems.mixture_bridge import MixtureFields as MixtureFields
from interpolants.problems.noisy_lorenz import NoisyLorenz as NoisyLorenz
from interpolants.problems.ornstein_uhlenbeck import OrnsteinUhlenbeck as OrnsteinUhlenbeck
from interpolants.problems.ornstein_uhlenbeck import Transition as Transition
from interpolants.problems.rotating_mixture import RotatingMixture as RotatingMixture
from interpolants.problems.schrodinger import GaussianSchrodingerBridge as GaussianSchrodingerBridge
from interpolants.problems.schrodinger import PairedSample as PairedSample
from interpolants.problems.schrodinger import SchrodingerFields as SchrodingerFields
from interpolants.problems.singular import ClosedCurve as ClosedCurve
from interpolants.problems.singular import SubspaceGaussian as SubspaceGaussian
from interpolants.problems.toys import Checkerboard as Checkerboard
from interpolants.problems.toys import EightGaussians as EightGaussians
from interpolants.problems.toys import Funnel as Funnel
from interpolants.problems.toys import Moons as Moons
from interpolants.problems.toys import Pinwheel as Pinwheel
from interpolants.problems.toys import Rings as Rings
from interpolants.problems.toys import SwissRoll as SwissRoll
from interpolants.problems.transition import MixtureTransition as MixtureTransition

__all__ = ['Checkerboard', 'CheckerboardBridge', 'CheckerboardFields', 'EightGaussians', 'EmpiricalBridge', 'EmpiricalFields', 'Funnel', 'GaussianMixture', 'GaussianMixtureBridge', 'GaussianSchrodingerBridge', 'GlobeCaps', 'LabelledSample', 'LinearGaussian', 'MixtureFields', 'MixtureTransition', 'Moons', 'NoisyLorenz', 'ObservedSample', 'OrnsteinUhlenbeck', 'PairedSample', 'Pinwheel', 'Rings', 'RotatingMixture', 'SchrodingerFields', 'SwissRoll', 'Transition', 'get_problem', 'paper_mixture', 'random_mixture']
