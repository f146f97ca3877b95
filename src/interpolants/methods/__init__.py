"""Methods: each is made with settings, fitted to the samples of its roles, and then asked for what it can do."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded
from interpolants.methods.flow_map.flow_map import FlowMap
from interpolants.methods.flow_map.rules import RULES, AverageVelocity
from interpolants.methods.forecaster import Forecaster
from interpolants.methods.rectification.rectification import FlowNumbers, Rectification
from interpolants.methods.rectification.rounds import one_step, rectified_pairs
from interpolants.methods.rectification.straightness import Straightness, straightness
from interpolants.methods.restoration.prior_restoration import PriorRestoration
from interpolants.methods.restoration.restoration import Restoration
from interpolants.methods.rivals.forecasts import Climatology, Persistence

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = [
    "RULES",
    "AverageVelocity",
    "Climatology",
    "FlowMap",
    "FlowNumbers",
    "Forecaster",
    "Persistence",
    "PriorRestoration",
    "Rectification",
    "Restoration",
    "Straightness",
    "one_step",
    "rectified_pairs",
    "straightness",
]
