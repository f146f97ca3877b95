"""Gaussian averages of an activation s and its slope, which statistics of wide networks are made of."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from interpolants.foundations.errors import invalid, nearest

Function = Callable[[Tensor], Tensor]

# Edges of the panels of a half line, in units of sqrt(K): fine near 0, where slopes of saturating activations change
# fast when K is large, and where those of leaky ones jump.
_EDGES = (0.0, 1e-3, 1e-2, 0.05, 0.2, 0.6, 1.2, 2.0, 3.0, 4.5, 6.5, 9.0, 13.0)
_NODES = 24
# Relative change when the nodes of each panel are doubled, above which an average is refused.
_TRUSTED = 1e-8


class Averages(NamedTuple):
    """Averages at one or more variances K, each a tensor of their shape; s is the activation, s' its slope.

    Attributes:
        square: ``<s^2>``.
        square_slope: ``<s^2 (z^2 - K)> / (2 K^2)``: its derivative in K, with no second derivative of s.
        fourth: ``<s^4>``.
        slope: ``<s'^2>``.
        slope_slope: ``<s'^2 (z^2 - K)> / (2 K^2)``.
        slope_fourth: ``<s'^4>``.
        mixed: ``<s^2 s'^2>``.
    """

    square: Tensor
    square_slope: Tensor
    fourth: Tensor
    slope: Tensor
    slope_slope: Tensor
    slope_fourth: Tensor
    mixed: Tensor


@dataclass(frozen=True)
class Activation:
    """An activation function, entry by entry, and its slope.

    Args:
        name: Its name.
        call: The function, of float64 tensors.
        slope: Its derivative; found by automatic differentiation if None.

    Raises:
        InvalidInputError: When averaged, if the function is not finite where the Gaussian has mass, changes the shape,
            or jumps so that the average cannot be trusted.
    """

    name: str
    call: Function
    slope: Function | None = None

    def derivative(self, z: Tensor) -> Tensor:
        """``s'(z)``, of the shape of z."""
        if self.slope is not None:
            return self.slope(z)
        with torch.enable_grad():
            at = z.detach().clone().requires_grad_()
            found: Tensor = torch.autograd.grad(self.call(at).sum(), at)[0]
        return found

    def averages(self, variance: Tensor | float) -> Averages:
        """Averages over ``z ~ N(0, K)``, to about 1e-12 of their size where s is smooth or has a kink at 0.

        Args:
            variance: K, of any shape.

        Raises:
            InvalidInputError: If a variance is not positive, or as in the class.
        """
        k = torch.as_tensor(variance, dtype=torch.float64)
        if not bool(((k > 0) & k.isfinite()).all()):
            raise invalid(self._who, "the variance must be positive", float(k.flatten()[k.argmin()]))
        coarse, fine = self._by_rule(k, _NODES), self._by_rule(k, 2 * _NODES)
        for name, one, two in zip(Averages._fields, coarse, fine, strict=True):
            # Derivatives in K may vanish; they are seen beside what they change.
            of = {"square_slope": fine.square / k, "slope_slope": fine.slope / k}.get(name, two)
            off = ((one - two).abs() / of.abs().clamp_min(1e-300)).max()
            if not bool(off <= _TRUSTED):
                rule = (
                    f"the average {name!r} must not depend on how it is integrated: kinks may be at 0 alone"
                )
                raise invalid(self._who, rule, f"a relative change of {float(off):.1g}")
        return fine

    def squares(self, variance: Tensor) -> Tensor:
        """``<s^2>`` alone at many variances, without a check of the rule; of the shape of ``variance``."""
        y, weight = _rule(_NODES)
        return (self._checked(self.call, variance[..., None].sqrt() * y).square() * weight).sum(-1)

    @property
    def _who(self) -> str:
        return f"activation {self.name!r}"

    def _by_rule(self, k: Tensor, nodes: int) -> Averages:
        y, weight = _rule(nodes)
        z = k[..., None].sqrt() * y
        s, slope = self._checked(self.call, z), self._checked(self.derivative, z)
        growth = (y.square() - 1) / (2 * k[..., None])  # (z^2 - K) / (2 K^2)
        parts = (s**2, s**2 * growth, s**4, slope**2, slope**2 * growth, slope**4, s**2 * slope**2)
        return Averages(*((part * weight).sum(-1) for part in parts))

    def _checked(self, function: Function, z: Tensor) -> Tensor:
        found = function(z)
        if found.shape != z.shape:
            raise invalid(self._who, f"it must keep the shape {tuple(z.shape)}", tuple(found.shape))
        # Weights are below 1e-30 beyond 12 standard deviations; what is infinite there still spoils the sum.
        if not bool(found.isfinite().all()):
            rule = "values and slopes must be finite within 13 standard deviations of 0"
            raise invalid(self._who, rule, f"not at z = {float(z[~found.isfinite()][0]):.4g}")
        return found


@cache
def _rule(nodes: int) -> tuple[Tensor, Tensor]:
    """Points and weights for ``E f(y)``, y ~ N(0, 1): Gauss-Legendre in panels, the same on both sides of 0."""
    unit, weight = np.polynomial.legendre.leggauss(nodes)
    low, high = np.array(_EDGES[:-1])[:, None], np.array(_EDGES[1:])[:, None]
    y = ((high - low) * (unit + 1) / 2 + low).ravel()
    w = ((high - low) / 2 * weight).ravel() * np.exp(-(y**2) / 2) / math.sqrt(2 * math.pi)
    return torch.from_numpy(np.concatenate([-y, y])), torch.from_numpy(np.concatenate([w, w]))


def leaky(above: float, below: float) -> Activation:
    """``above z`` for z > 0 and ``below z`` elsewhere."""
    return Activation(
        f"leaky({above:g}, {below:g})",
        lambda z: torch.where(z > 0, above * z, below * z),
        lambda z: torch.where(z > 0, above, below).to(z.dtype),
    )


_RELU, _LEAKY, _LINEAR = leaky(1, 0), leaky(1, 0.01), leaky(1, 1)
ACTIVATIONS: Mapping[str, Activation] = {
    "relu": Activation("relu", _RELU.call, _RELU.slope),
    "leaky_relu": Activation("leaky_relu", _LEAKY.call, _LEAKY.slope),
    "linear": Activation("linear", _LINEAR.call, _LINEAR.slope),
    "tanh": Activation("tanh", torch.tanh, lambda z: 1 - torch.tanh(z).square()),
    "sin": Activation("sin", torch.sin, torch.cos),
    "erf": Activation("erf", torch.erf, lambda z: 2 / math.sqrt(math.pi) * torch.exp(-z.square())),
    "gelu": Activation("gelu", functional.gelu),
    "silu": Activation("silu", functional.silu),
    "elu": Activation("elu", functional.elu),
    "softplus": Activation("softplus", functional.softplus),
    "sigmoid": Activation("sigmoid", torch.sigmoid),
}


def activation_of(who: str, given: object) -> Activation:
    """An activation by name, as it is, or from a function of tensors.

    Raises:
        InvalidInputError: If it is none of these, or the name is unknown; the nearest is named.
    """
    if isinstance(given, Activation):
        return given
    if isinstance(given, str):
        if given not in ACTIVATIONS:
            raise invalid(
                who, "the activation must be a supported name", repr(given), nearest(given, ACTIVATIONS)
            )
        return ACTIVATIONS[given]
    if callable(given):
        return Activation(str(getattr(given, "__name__", "activation")), given)
    raise invalid(who, "the activation must be a name or a function of a tensor", repr(given))
