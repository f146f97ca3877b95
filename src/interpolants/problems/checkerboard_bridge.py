"""Checkerboard bridge: exact fields from a Gaussian to uniform cells, in closed form.

Given the end point, ``x_t ~ N(beta x1, sigma^2 Id)`` with ``sigma^2 = alpha^2 s^2 + gamma^2``. Over a cell the
posterior of x1 is a product of truncated normals, whose masses and means are error functions; the cells mix by their
masses.

Letters: ``s`` standard deviation of the base, ``A, B`` a cell's edges in units of sigma as seen from x, ``e1`` the mean
end point, ``r = x - beta e1``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from interpolants.fields.protocol import QUANTITIES, Fields
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Positive
from interpolants.foundations.ops import expand_like
from interpolants.foundations.types import Condition
from interpolants.paths.path import Path, SpatiallyLinearPath
from interpolants.problems.toys import Checkerboard

# Cells that are narrower, as seen from x, are taken by a series: the closed form cancels.
_NARROW = 1e-2


@dataclass(frozen=True)
class CheckerboardBridge(Checked):
    """Bridge from ``N(0, scale^2 Id)`` to a checkerboard, with independent ends."""

    board: Checkerboard = field(default_factory=Checkerboard)
    """The checkerboard."""
    scale: Positive = 1.0
    """Standard deviation of the base, in data units."""

    @property
    def event_shape(self) -> tuple[int]:
        """Shape of a state."""
        return (2,)

    def fields(self, path: Path) -> "CheckerboardFields":
        """Exact fields of the bridge under a spatially linear path.

        Raises:
            InvalidInputError: If the path is not spatially linear, or its Gaussian base is not this one.
        """
        if not isinstance(path, SpatiallyLinearPath) or path.is_static or path.basis is not None:
            rule = "the path must be spatially linear with two ends and no basis"
            raise invalid("CheckerboardBridge", rule, type(path).__name__)
        if path.base is not None:
            probe = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
            if not path.base.is_gaussian or not torch.allclose(path.base.color(probe), self.scale * probe):
                raise invalid(
                    "CheckerboardBridge", f"the path's base must be N(0, {self.scale}^2 Id)", path.base
                )
        return CheckerboardFields(path, self)


class CheckerboardFields(Fields):
    """Exact fields; finite at every time before t = 1, where the density has jumps and no score."""

    def __init__(self, path: SpatiallyLinearPath, bridge: CheckerboardBridge) -> None:
        self.path = path
        self._linear, self._scale = path, bridge.scale
        side = 2 * bridge.board.half_width / bridge.board.cells
        self._low = bridge.board.filled_cells.double() * side - bridge.board.half_width
        self._side = side

    def provides(self, quantity: str) -> bool:
        """Everything but a score without noise."""
        return quantity in QUANTITIES and (quantity != "noise" or self._linear.has_latent)

    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        """The wanted quantities."""
        path, s2 = self._linear, self._scale**2

        def wide(value: Tensor) -> Tensor:
            return expand_like(value, x).to(x.dtype)

        alpha, beta, gamma = wide(path.alpha(t)), wide(path.beta(t)), wide(path.envelope.gamma(t))
        variance = (alpha.square() * s2 + gamma.square()).clamp_min(1e-16)
        end = self._mean_end(x, beta, variance.sqrt())
        pull = (x - beta * end) / variance
        formulas = {
            "score": lambda: -pull,
            "denoised": lambda: end,
            "endpoint0": lambda: alpha * s2 * pull,
            "noise": lambda: (alpha * self._scale if path.is_one_sided else gamma) * pull,
            "mean_rate": lambda: wide(path.beta_dot(t)) * end + wide(path.alpha_alpha_dot(t)) * s2 * pull,
            "velocity": lambda: (
                wide(path.beta_dot(t)) * end
                + (wide(path.alpha_alpha_dot(t)) * s2 + wide(path.envelope.gamma_gamma_dot(t))) * pull
            ),
        }
        return {quantity: formulas[quantity]() for quantity in want}

    def _mean_end(self, x: Tensor, beta: Tensor, sigma: Tensor) -> Tensor:
        """``E[x1 | x_t = x]``, ``(B, 2)``; in float64, for the closed form cancels while beta is small."""
        low, seen = self._low.to(x.device), x.double()[:, None]
        beta, sigma = (each.double()[..., None] if each.ndim else each.double() for each in (beta, sigma))
        # (B, cells, 2): middles of every cell seen from x, and their width
        middle, width = (beta * (low + self._side / 2) - seen) / sigma, beta * self._side / sigma
        narrow = width * (1 + middle.abs()) < _NARROW
        width = width.expand_as(middle)
        # What is not taken must be finite too, for the sake of gradients.
        wide = torch.where(narrow, 1.0, width)
        a, b = torch.where(narrow, -0.5, middle - width / 2), torch.where(narrow, 0.5, middle + width / 2)
        log_mass = _log_interval(a, b)
        slope = torch.exp(_log_normal(a) - log_mass) - torch.exp(_log_normal(b) - log_mass)
        shift = torch.where(narrow, _narrow_shift(middle, width), (slope - middle) / wide)
        mean = low + self._side * (0.5 + shift).clamp(0, 1)
        curve = _log_normal(middle) + (middle.square() - 1) * width.square() / 24
        weight = torch.softmax(torch.where(narrow, curve, log_mass - wide.log()).sum(-1), 1)
        end: Tensor = (weight[..., None] * mean).sum(1)
        return end.to(x.dtype)


def _narrow_shift(middle: Tensor, width: Tensor) -> Tensor:
    """How far the mean of a normal on a narrow interval lies from its middle, in widths: a series in the width."""
    return -middle * width / 12 * (1 - (middle.square() + 2) * width.square() / 60)


def _log_normal(u: Tensor) -> Tensor:
    return -0.5 * u.square() - 0.5 * math.log(2 * math.pi)


def _log_interval(a: Tensor, b: Tensor) -> Tensor:
    """``log(Phi(b) - Phi(a))`` for ``a < b``, by the tail in which both lie."""
    flip = a > 0
    low, high = torch.where(flip, -b, a), torch.where(flip, -a, b)
    lower, upper = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
    mass: Tensor = upper + torch.log1p(-torch.exp(lower - upper))
    return mass
