"""Multimarginal interpolants: one model of several distributions, and routes between any two."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded
from interpolants.generative.multimarginal.cheapest_route import cheapest_route
from interpolants.generative.multimarginal.route_fields import RouteFields
from interpolants.generative.multimarginal.routes import Curve, Route, Straight, Waypoints

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = ["Curve", "Route", "RouteFields", "Straight", "Waypoints", "cheapest_route"]
