"""Guidance: fields that wrap fields, to steer samples by a condition."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded
from interpolants.guidance.apg_momentum import APGMomentum
from interpolants.guidance.classifier import ClassifierGuided, ask_for
from interpolants.guidance.classifier_free import (
    ClassifierFree,
    Guided,
    Guider,
    guide,
    with_negative,
    with_strength,
)
from interpolants.guidance.dps import DPS
from interpolants.guidance.energy import EnergyGuided, Misfit, observed
from interpolants.guidance.experts import Expert, Reward, annealed, guided, product
from interpolants.guidance.feynman_kac import FeynmanKac
from interpolants.guidance.guided_bridge import GaussianMeasurement, guided_bridge
from interpolants.guidance.guiders import APG, Autoguided, CFGPlusPlus, ZeroStar
from interpolants.guidance.keep_known import KeepKnown
from interpolants.guidance.particles import WeightedSamples
from interpolants.guidance.red_diff import REDDiff, Restored
from interpolants.guidance.references import GaussianFlow
from interpolants.guidance.replacement import Replacement
from interpolants.guidance.shifted import ShiftedScore
from interpolants.guidance.twisted import TwistedSMC

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = [
    "APG",
    "APGMomentum",
    "Autoguided",
    "CFGPlusPlus",
    "ClassifierFree",
    "ClassifierGuided",
    "DPS",
    "EnergyGuided",
    "Expert",
    "FeynmanKac",
    "GaussianFlow",
    "GaussianMeasurement",
    "Guided",
    "Guider",
    "KeepKnown",
    "Misfit",
    "REDDiff",
    "Replacement",
    "Restored",
    "Reward",
    "ShiftedScore",
    "TwistedSMC",
    "WeightedSamples",
    "ZeroStar",
    "annealed",
    "ask_for",
    "guide",
    "guided",
    "guided_bridge",
    "observed",
    "product",
    "with_negative",
    "with_strength",
]
