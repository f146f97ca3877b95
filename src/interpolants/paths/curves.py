"""Piecewise cubic interpolation of tabulated values, monotone wherever the values are."""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from interpolants.foundations.checks import finite
from interpolants.foundations.errors import invalid


class Curve:
    """A cubic Hermite curve through ``(x_k, y_k)`` with slopes that keep it monotone between the nodes.

    Value and first derivative are continuous, the derivative is exact, and both are computed in float64. Slopes that
    are not given are weighted harmonic means of the two secants beside a node (zero at a turning point), so the curve
    never overshoots; given ones are limited to three times the smaller secant.

    Args:
        x: Nodes, strictly increasing, at least two.
        y: Values.
        slopes: Slopes at the nodes, if known.
        who: Who builds it, for error messages.

    Raises:
        InvalidInputError: If the nodes do not increase, numbers differ, or a value is not finite.

    Source: Fritsch & Carlson (1980), SIAM J. Numer. Anal. 17, 238; harmonic means as in Fritsch & Butland (1984).
    """

    def __init__(
        self,
        x: Tensor | Sequence[float],
        y: Tensor | Sequence[float],
        slopes: Tensor | Sequence[float] | None = None,
        *,
        who: str = "Curve",
    ) -> None:
        self.x, self.y = (torch.as_tensor(v, dtype=torch.float64).detach().cpu() for v in (x, y))
        if self.x.ndim != 1 or len(self.x) < 2 or self.y.shape != self.x.shape:
            rule = "nodes and values must be two vectors of one length, at least 2"
            raise invalid(who, rule, (tuple(self.x.shape), tuple(self.y.shape)))
        finite(who, "nodes and values", torch.stack([self.x, self.y]))
        if not bool((self.x.diff() > 0).all()):
            k = int((self.x.diff() <= 0).nonzero()[0])
            raise invalid(
                who, "the grid must be strictly increasing", f"{float(self.x[k]):g}, {float(self.x[k + 1]):g}"
            )
        own = _gentle_slopes(self.x, self.y)
        self.slopes = own if slopes is None else _limited(torch.as_tensor(slopes, dtype=torch.float64), self)
        self._on: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """Value at ``x``, any shape, in its precision; the outermost cubics go on beyond the ends."""
        u, (c0, c1, c2, c3) = self._piece(x)
        value: Tensor = ((c3 * u + c2) * u + c1) * u + c0
        return value.to(x.dtype)

    def rate(self, x: Tensor) -> Tensor:
        """Derivative at ``x``."""
        u, (_, c1, c2, c3) = self._piece(x)
        value: Tensor = (3 * c3 * u + 2 * c2) * u + c1
        return value.to(x.dtype)

    def _piece(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Distance from the node on the left, and the coefficients of its cubic."""
        if x.device not in self._on:
            self._on[x.device] = self.x.to(x.device), self._coefficients.to(x.device)
        nodes, table = self._on[x.device]
        at = x.double()
        k = torch.searchsorted(nodes[1:-1].contiguous(), at.detach().contiguous(), right=True)
        c0, c1, c2, c3 = table[:, k]
        return at - nodes[k], (c0, c1, c2, c3)

    @cached_property
    def _coefficients(self) -> Tensor:
        h, secant = self.x.diff(), self.y.diff() / self.x.diff()
        left, right = self.slopes[:-1], self.slopes[1:]
        c2 = (3 * secant - 2 * left - right) / h
        c3 = (left + right - 2 * secant) / h.square()
        return torch.stack([self.y[:-1], left, c2, c3])


def _gentle_slopes(x: Tensor, y: Tensor) -> Tensor:
    h, secant = x.diff(), y.diff() / x.diff()
    if len(h) == 1:
        return secant.repeat(2)
    left, right = secant[:-1], secant[1:]
    w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    both = left * right > 0
    safe = torch.where(both, w1 / left + w2 / right, torch.ones_like(left))
    inner = torch.where(both, (w1 + w2) / safe, torch.zeros_like(left))
    ends = [_end_slope(h[0], h[1], secant[0], secant[1]), _end_slope(h[-1], h[-2], secant[-1], secant[-2])]
    return torch.cat([ends[0][None], inner, ends[1][None]])


def _end_slope(h0: Tensor, h1: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Of the parabola through the three last points, kept between zero and three secants."""
    slope = ((2 * h0 + h1) * first - h0 * second) / (h0 + h1)
    if float(slope * first) <= 0:
        return torch.zeros_like(first)
    return slope if float(slope.abs()) <= 3 * float(first.abs()) else 3 * first


def _limited(slopes: Tensor, curve: Curve) -> Tensor:
    secant = curve.y.diff() / curve.x.diff()
    edge = secant.new_full((1,), torch.inf)
    smaller = torch.minimum(torch.cat([edge, secant.abs()]), torch.cat([secant.abs(), edge]))
    return slopes.sign() * torch.minimum(slopes.abs(), 3 * smaller)
