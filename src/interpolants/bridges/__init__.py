"""Bridges that are more than one fit of one path: each is made with settings, then `fit(x0, x1)`, `transport(x)`."""

from typing import TYPE_CHECKING

from interpolants.bridges.cheapest_route import cheapest_route
from interpolants.bridges.entropic_sb import EntropicSB
from interpolants.bridges.flow_map import FlowMap
from interpolants.bridges.flow_map_rules import RULES, AverageVelocity
from interpolants.bridges.interpolant_sb import InterpolantSB, LearntInterpolant
from interpolants.bridges.light_sb import LightResult, LightSB
from interpolants.bridges.multimarginal import Multimarginal, RouteFields
from interpolants.bridges.rectify import Rectification, Rectified, one_step, rectify
from interpolants.bridges.restoration import Restoration
from interpolants.bridges.schrodinger import CoupledEnds, NetworkSolver, SchrodingerResult, SchrodingerSolver
from interpolants.bridges.schrodinger_drifts import DriftFields
from interpolants.bridges.simplex import Curve, Route, Straight, Waypoints
from interpolants.bridges.straightness import Straightness, straightness
from interpolants.foundations.cards import carded

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = [
    "RULES",
    "AverageVelocity",
    "Curve",
    "CoupledEnds",
    "DriftFields",
    "EntropicSB",
    "FlowMap",
    "InterpolantSB",
    "LearntInterpolant",
    "LightResult",
    "LightSB",
    "Multimarginal",
    "NetworkSolver",
    "PotentialGradient",
    "Rectification",
    "Rectified",
    "Restoration",
    "Route",
    "RouteFields",
    "Straight",
    "SchrodingerResult",
    "SchrodingerSolver",
    "Straightness",
    "Waypoints",
    "cheapest_route",
    "one_step",
    "rectify",
    "straightness",
]
