# Written by docs/methods.py from __init__.py and the cards.
from interpolants.generative.multimarginal.cheapest_route import cheapest_route as cheapest_route
from interpolants.generative.multimarginal.multimarginal import Multimarginal as Multimarginal
from interpolants.generative.multimarginal.route_fields import RouteFields as RouteFields
from interpolants.generative.multimarginal.routes import Curve as Curve
from interpolants.generative.multimarginal.routes import Route as Route
from interpolants.generative.multimarginal.routes import Straight as Straight
from interpolants.generative.multimarginal.routes import Waypoints as Waypoints

__all__ = ['Curve', 'Route', 'RouteFields', 'Straight', 'Waypoints', 'cheapest_route']
