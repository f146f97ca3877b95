"""Problems that carry their exact answer: densities, fields, bridges, posteriors."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded
from interpolants.problems.catalogue import get_problem
from interpolants.problems.checkerboard_bridge import CheckerboardBridge, CheckerboardFields
from interpolants.problems.empirical_bridge import EmpiricalBridge, EmpiricalFields
from interpolants.problems.gaussian_mixture import (
    GaussianMixture,
    LabelledSample,
    paper_mixture,
    random_mixture,
)
from interpolants.problems.globe_caps import GlobeCaps
from interpolants.problems.linear_gaussian import LinearGaussian, ObservedSample
from interpolants.problems.mixture_bridge import GaussianMixtureBridge, MixtureFields
from interpolants.problems.noisy_lorenz import NoisyLorenz
from interpolants.problems.ornstein_uhlenbeck import OrnsteinUhlenbeck, Transition
from interpolants.problems.rotating_mixture import RotatingMixture
from interpolants.problems.schrodinger import GaussianSchrodingerBridge, PairedSample, SchrodingerFields
from interpolants.problems.toys import (
    Checkerboard,
    EightGaussians,
    Funnel,
    Moons,
    Pinwheel,
    Rings,
    SwissRoll,
)
from interpolants.problems.transition import MixtureTransition

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = [
    "Checkerboard",
    "CheckerboardBridge",
    "CheckerboardFields",
    "EightGaussians",
    "EmpiricalBridge",
    "EmpiricalFields",
    "Funnel",
    "GaussianMixture",
    "GaussianMixtureBridge",
    "GaussianSchrodingerBridge",
    "GlobeCaps",
    "LabelledSample",
    "LinearGaussian",
    "MixtureFields",
    "MixtureTransition",
    "Moons",
    "NoisyLorenz",
    "ObservedSample",
    "OrnsteinUhlenbeck",
    "PairedSample",
    "Pinwheel",
    "Rings",
    "RotatingMixture",
    "SchrodingerFields",
    "SwissRoll",
    "Transition",
    "get_problem",
    "paper_mixture",
    "random_mixture",
]
