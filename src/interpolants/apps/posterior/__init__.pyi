# Written by docs/methods.py from __init__.py and the cards.
from interpolants.apps.posterior.calibration import lc2st as lc2st
from interpolants.apps.posterior.calibration import sbc as sbc
from interpolants.apps.posterior.calibration import tarp as tarp
from interpolants.apps.posterior.posterior import Posterior as Posterior
from interpolants.apps.posterior.posterior_questions import local_calibration as local_calibration
from interpolants.apps.posterior.posterior_questions import posterior_calibration as posterior_calibration
from interpolants.apps.posterior.posterior_questions import posterior_quality as posterior_quality
from interpolants.apps.posterior.posterior_rivals import LinearPosterior as LinearPosterior
from interpolants.apps.posterior.posterior_rivals import NearestSimulations as NearestSimulations
from interpolants.apps.posterior.priors import Box as Box
from interpolants.apps.posterior.priors import LogNormal as LogNormal
from interpolants.apps.posterior.priors import Normal as Normal
from interpolants.apps.posterior.problems.benchmark_tasks import GaussianMixtureMean as GaussianMixtureMean
from interpolants.apps.posterior.problems.benchmark_tasks import LotkaVolterraRates as LotkaVolterraRates
from interpolants.apps.posterior.problems.benchmark_tasks import SIR as SIR
from interpolants.apps.posterior.problems.benchmark_tasks import SLCP as SLCP
from interpolants.apps.posterior.problems.simulators import GaussianLinear as GaussianLinear
from interpolants.apps.posterior.problems.simulators import TwoMoons as TwoMoons

__all__ = []
