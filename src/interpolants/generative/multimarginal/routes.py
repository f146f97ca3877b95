"""Routes across the simplex, and their latent noise as samplers see it.

Letters: K densities, the vertices; ``alpha`` a point of the simplex, ``(K,)`` with entries >= 0 that add up to one;
``e_k`` a vertex; ``i, j`` where a route begins and ends; ``a`` the scale of the latent noise.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.checks import is_whole
from interpolants.foundations.errors import invalid, nearest
from interpolants.paths.envelopes import Envelope
from interpolants.paths.linear import Linear
from interpolants.paths.path import Path

NAMED = ("straight", "barycentre")
_ROUNDING = 1e-6


def latent_variance(alpha: Tensor, scale: float) -> Tensor:
    """``gamma^2 = a sum_{k<l} alpha_k alpha_l = a (1 - |alpha|^2) / 2``; ``(..., K)`` -> ``(...)``.

    Zero at every vertex, and ``a t (1 - t)`` on every edge: the Brownian envelope of each pair.
    """
    return (0.5 * scale * (1 - alpha.square().sum(-1))).clamp_min(0.0)


class Route(ABC):
    """A way ``alpha(t)`` across the simplex from one vertex to another; abstract.

    Attributes:
        source: i, with ``alpha(0) = e_i``.
        target: j, with ``alpha(1) = e_j``.
        size: K.
    """

    source: int
    target: int
    size: int

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Where it is: ``t`` 0-d or ``(B,)`` -> ``(K,)`` or ``(B, K)``."""

    @abstractmethod
    def alpha_dot(self, t: Tensor) -> Tensor:
        """Its rate; the entries add up to zero."""


@dataclass(frozen=True)
class Straight(Route):
    """Along an edge, ``alpha(t) = (1 - t) e_i + t e_j``.

    Args:
        source: i.
        target: j, another one.
        size: K.
    """

    source: int
    target: int
    size: int

    def alpha(self, t: Tensor) -> Tensor:
        """Where it is."""
        begin, end = self._ends(t)
        return (1 - t)[..., None] * begin + t[..., None] * end

    def alpha_dot(self, t: Tensor) -> Tensor:
        """Its rate, the same at all times."""
        begin, end = self._ends(t)
        return (end - begin).expand(*t.shape, self.size)

    def _ends(self, t: Tensor) -> tuple[Tensor, Tensor]:
        vertices = torch.eye(self.size, dtype=t.dtype, device=t.device)
        return vertices[self.source], vertices[self.target]


class Waypoints(Route):
    """Piecewise straight through points of the simplex, at rest on each of them.

    Within a piece ``alpha`` moves by ``s(u) = u^2 (3 - 2 u)``, whose rate vanishes at both ends: the velocity is then
    continuous, which a solver needs, and the curve that is followed, which alone matters for the map, is the same.

    Args:
        points: ``(M + 1, K)``, M >= 1; the first and the last are vertices.
        times: When they are passed, ``(M + 1,)`` from 0 to 1, increasing; evenly spread when None.

    Raises:
        InvalidInputError: If a point is outside the simplex, an end is no vertex, or times do not increase from 0 to 1.
    """

    def __init__(self, points: Any, times: Any = None) -> None:
        points = torch.as_tensor(points, dtype=torch.float64)
        if points.ndim != 2 or len(points) < 2:
            raise invalid("Waypoints", "points must have shape (M + 1, K), M >= 1", tuple(points.shape))
        check_simplex("Waypoints", points)
        self.source, self.target = (_vertex("Waypoints", points[k]) for k in (0, -1))
        self.size = points.shape[1]
        pieces = len(points) - 1
        even = torch.linspace(0, 1, pieces + 1, dtype=torch.float64)
        times = even if times is None else torch.as_tensor(times, dtype=torch.float64)
        if (
            times.shape != (pieces + 1,)
            or times[0] != 0
            or times[-1] != 1
            or not bool((times.diff() > 0).all())
        ):
            raise invalid("Waypoints", f"times must be {pieces + 1}, increasing from 0 to 1", times.tolist())
        self.points, self.times = points, times

    def alpha(self, t: Tensor) -> Tensor:
        """Where it is."""
        u, begin, end, _ = self._piece(t)
        return begin + (u.square() * (3 - 2 * u))[..., None] * (end - begin)

    def alpha_dot(self, t: Tensor) -> Tensor:
        """Its rate; zero on the points."""
        u, begin, end, length = self._piece(t)
        return (6 * u * (1 - u) / length)[..., None] * (end - begin)

    def _piece(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        times, points = self.times.to(t), self.points.to(t)
        k = torch.searchsorted(times[1:-1], t.detach().contiguous(), right=True)
        length = times[k + 1] - times[k]
        return (t - times[k]) / length, points[k], points[k + 1], length


class Curve(Route):
    """A curve of your own; its rate is taken by forward-mode differentiation.

    Args:
        function: ``t (n,) -> alpha (n, K)``, differentiable, between two vertices.

    Raises:
        InvalidInputError: If it leaves the simplex, or does not begin and end at a vertex.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        points = function(torch.linspace(0, 1, 65, dtype=torch.float64)).detach()
        if points.ndim != 2 or len(points) != 65:
            raise invalid("Curve", "the function must map (n,) to (n, K)", f"(65,) to {tuple(points.shape)}")
        check_simplex("Curve", points)
        self.function, self.size = function, points.shape[1]
        self.source, self.target = (_vertex("Curve", points[k]) for k in (0, -1))

    def alpha(self, t: Tensor) -> Tensor:
        """Where it is."""
        return self.function(t.reshape(-1)).reshape(*t.shape, self.size)

    def alpha_dot(self, t: Tensor) -> Tensor:
        """Its rate."""
        flat = t.reshape(-1)
        with torch.inference_mode(False), torch.enable_grad():
            rate: Tensor = torch.func.jvp(self.function, (flat.clone(),), (torch.ones_like(flat),))[1]
        return rate.reshape(*t.shape, self.size)


def choose_route(route: Any, source: int, target: int, size: int) -> Route:
    """A route from its name, its points, a function, or itself.

    Args:
        route: ``"straight"``; ``"barycentre"`` (through the centre of the simplex); points ``(M + 1, K)``; a function
            ``t (n,) -> alpha (n, K)``; or a ``Route``.
        source: i, may be negative to count from the end; checked against a route that says itself.
        target: j, likewise.
        size: K.

    Raises:
        InvalidInputError: If it does not lead from i to j, or is unknown.
    """
    source, target = (_index(name, k, size) for name, k in (("source", source), ("target", target)))
    if isinstance(route, str):
        if route not in NAMED:
            raise invalid(
                "Multimarginal", "route must be the name of a route", repr(route), nearest(route, NAMED)
            )
        if source == target and route == "straight":
            raise invalid("Multimarginal", "source and target must differ", source, "Or route='barycentre'.")
        if route == "straight":
            return Straight(source, target, size)
        eye = torch.eye(size, dtype=torch.float64)
        return Waypoints(torch.stack([eye[source], torch.full_like(eye[0], 1 / size), eye[target]]))
    found = route if isinstance(route, Route) else Curve(route) if callable(route) else Waypoints(route)
    if (found.source, found.target, found.size) != (source, target, size):
        rule = f"the route must lead from density {source} to {target} of {size}"
        what = f"from {found.source} to {found.target} of {found.size}"
        raise invalid("Multimarginal", rule, what, "Set source and target to its ends.")
    return found


@dataclass(frozen=True)
class RouteEnvelope(Envelope):
    """The latent noise along a route.

    Args:
        route: The route.
        scale: a, in data units squared, >= 0.
    """

    route: Route
    scale: float

    @property
    def is_zero(self) -> bool:
        """Whether there is none."""
        return self.scale == 0

    def gamma(self, t: Tensor) -> Tensor:
        """Its standard deviation."""
        return latent_variance(self.route.alpha(t), self.scale).sqrt()

    def gamma_gamma_dot(self, t: Tensor) -> Tensor:
        """Half the rate of its square, ``-a alpha . alpha' / 2``."""
        return -0.5 * self.scale * (self.route.alpha(t) * self.route.alpha_dot(t)).sum(-1)


class RoutePath(Path):
    """A route as the samplers see a path: its two ends and its latent noise.

    Between the vertices the state mixes all K densities, so only a straight route is a function of its two ends.

    Args:
        route: The route.
        scale: a.
    """

    def __init__(self, route: Route, scale: float) -> None:
        self.route = route
        self.envelope = RouteEnvelope(route, scale)

    def interpolate(self, t: Tensor, x0: Tensor, x1: Tensor) -> Tensor:
        """``(1 - t) x0 + t x1``, on a straight route."""
        return self._edge().interpolate(t, x0, x1)

    def interpolate_dot(self, t: Tensor, x0: Tensor, x1: Tensor) -> Tensor:
        """Its rate."""
        return self._edge().interpolate_dot(t, x0, x1)

    def _edge(self) -> Linear:
        if not isinstance(self.route, Straight):
            remedy = "Use Multimarginal.interpolate(alpha, ends)."
            raise invalid("RoutePath", "a route through the inside needs all K ends", "two", remedy)
        return Linear()


def check_simplex(who: str, points: Tensor) -> None:
    """Refuse points ``(..., K)`` outside the simplex."""
    good = (points >= -_ROUNDING).all(-1) & ((points.sum(-1) - 1).abs() <= _ROUNDING)
    if not bool(good.all()):
        worst = points.reshape(-1, points.shape[-1])[int(good.flatten().long().argmin())]
        raise invalid(who, "points must be >= 0 and add up to one", [round(float(v), 6) for v in worst])


def _vertex(who: str, point: Tensor) -> int:
    k = int(point.argmax())
    if not float(point[k]) >= 1 - _ROUNDING:
        raise invalid(who, "a route must begin and end at a vertex", [round(float(v), 6) for v in point])
    return k


def _index(name: str, k: int, size: int) -> int:
    if not is_whole(k) or not -size <= k < size:
        raise invalid("Multimarginal", f"{name} must be an integer in {-size} ... {size - 1}", k)
    return int(k) % size
