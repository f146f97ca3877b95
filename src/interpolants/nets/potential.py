"""Gradient fields: a scalar network differentiated in the state."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from interpolants.foundations.derivatives import gradient
from interpolants.foundations.errors import invalid
from interpolants.foundations.row_times import ask
from interpolants.foundations.types import Condition
from interpolants.nets.build import named_net
from interpolants.nets.net import Net

# Layers whose gradient jumps: second derivatives by automatic differentiation leave the jumps out.
_KINKED = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.Hardtanh, nn.Threshold, nn.Hardshrink)


class Potential(Net):
    """The field ``grad_x phi(x, t)`` of a scalar ``phi(x, t) = sum_i (x_i f_i(x, t) + g_i(x, t))``.

    f and g are the two heads of an ordinary network. Every smooth potential has this form. Far out, where a network of
    such activations is linear, phi grows like a square and the field is linear: the tail of a Gaussian, and transport
    between two distributions of different width. g lets phi vary where ``x = 0``, so that phi can be normalised at
    every time.

    A conservative score, noise or velocity, whichever it is trained to be. On a one-sided path with a base that is
    not isotropic it is the velocity over the covariance, not the noise, that is a gradient.

    Args:
        shape: Event shape D of the state.
        net: ``"auto"`` (an MLP for vectors, a U-Net for images), an id, a table ``{"kind": id, **settings}``, or a
            module that returns f and g as ``(B, 2, *D)``. Its activations must be smooth.
        heads: 1; a potential has one gradient.
        n_classes: Number of labels of the condition, if there are any.
        cond_dim: Length of the condition's vector, if there is one.
        cond_channels: Channels of the condition's field, if there is one.
        seed: Seed of the initial weights, >= 0.

    Raises:
        InvalidInputError: For more than one head, or a network whose activations have kinks (ReLU): its second
            derivatives, by automatic differentiation, are those of another function.

    Source: Liu (2022), arXiv:2209.14577, section 4, for velocities restricted to gradients.
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        *,
        net: Any = "auto",
        heads: int = 1,
        n_classes: int | None = None,
        cond_dim: int | None = None,
        cond_channels: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(shape, heads)
        if heads != 1:
            remedy = "Learn one quantity, or each by a network of its own."
            raise invalid("Potential", "heads must be 1: a potential has one gradient", heads, remedy)
        given = {"n_classes": n_classes, "cond_dim": cond_dim, "cond_channels": cond_channels}
        if not isinstance(
            net, nn.Module
        ):  # else it cannot be made from a file, and says so by having no settings
            own = {"shape": list(self.shape), "net": net, "heads": 1, **given, "seed": seed}
            self.settings = {"name": "potential", **own}
        known = {name: value for name, value in given.items() if value}
        self.net = named_net(net, self.shape, who="Potential", heads=2, seed=seed, **known)
        check_smooth(self.net, "Potential")

    def potential(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """``phi(x, t)``: ``(B, *D)`` -> ``(B,)``, in data units times the unit of the field."""
        heads = ask(self.net, x, t, cond)
        if heads.shape[1:] != (2, *x.shape[1:]):
            remedy = "A network of the field itself is no potential."
            raise invalid("Potential", "net must return f and g, (B, 2, *D)", tuple(heads.shape), remedy)
        f, g = heads.unbind(1)
        value: Tensor = (x * f + g).flatten(1).sum(1)
        return value

    def forward(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """The gradient, ``(B, *D)`` -> ``(B, *D)``; differentiable once more, forwards and backwards."""
        return gradient(lambda point: self.potential(point, t, cond), x)


def check_smooth(net: nn.Module, who: str) -> None:
    """Refuse activations with kinks, as far as they can be seen.

    Raises:
        InvalidInputError: If there is one; a function called in a module's ``forward`` is not seen.
    """
    kinked = [type(module).__name__ for module in net.modules() if isinstance(module, _KINKED)]
    named = [str(part.settings.get("activation", "")) for part in net.modules() if isinstance(part, Net)]
    if found := kinked + [name for name in named if name == "relu"]:
        rule = "activations must be smooth: second derivatives leave out the kinks"
        raise invalid(who, rule, found[0], "Use 'silu', 'tanh' or 'softplus'.")
