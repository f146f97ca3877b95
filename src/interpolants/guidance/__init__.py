"""Guidance: fields that wrap fields, to steer samples by a condition."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded
from interpolants.guidance.classifier import ClassifierGuided, ask_for
from interpolants.guidance.classifier_free import ClassifierFree, Guided, guide, with_strength
from interpolants.guidance.experts import Expert, Reward, annealed, guided, product
from interpolants.guidance.feynman_kac import FeynmanKac
from interpolants.guidance.keep_known import KeepKnown
from interpolants.guidance.particles import CollapseWarning, WeightedSamples
from interpolants.guidance.references import GaussianFlow
from interpolants.guidance.replacement import Replacement
from interpolants.guidance.shifted import ShiftedScore

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = [
    "ClassifierFree",
    "ClassifierGuided",
    "CollapseWarning",
    "Expert",
    "FeynmanKac",
    "GaussianFlow",
    "Guided",
    "KeepKnown",
    "Replacement",
    "Reward",
    "ShiftedScore",
    "WeightedSamples",
    "annealed",
    "ask_for",
    "guide",
    "guided",
    "product",
    "with_strength",
]
