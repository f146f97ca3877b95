"""Schrödinger bridges: the process between two distributions that is nearest to Brownian motion, by three solvers."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded
from interpolants.generative.schrodinger.bridge import CoupledEnds, LearntBridge, SchrodingerBridge
from interpolants.generative.schrodinger.couplings.light_plan import ConditionalMoments, LightPlan
from interpolants.generative.schrodinger.couplings.light_settings import LightTraining
from interpolants.generative.schrodinger.couplings.light_training import LightFit, fit_light_plan
from interpolants.generative.schrodinger.drifts import DriftFields
from interpolants.generative.schrodinger.learnt_interpolant import LearntInterpolant

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = [
    "ConditionalMoments",
    "CoupledEnds",
    "DriftFields",
    "LearntBridge",
    "LearntInterpolant",
    "LightFit",
    "LightPlan",
    "LightTraining",
    "SchrodingerBridge",
    "fit_light_plan",
]
