"""Fields with a shifted score, and all other quantities shifted consistently.

On a one-sided path with a Gaussian base the score determines the rest. Adding h to it adds, with C the base's
covariance, L its root, and ``w = alpha^2 beta'/beta - alpha alpha'`` (half of g^2):

* ``w C h`` to the velocity and the mean rate, ``alpha^2/beta C h`` to E[x1|x], ``-alpha C h`` to E[x0|x];
* ``-alpha L^T h`` to the mean noise.

With ``h = grad log p_t(y | x_t)`` these are the fields given y. Where ``beta = 0`` the state says nothing of the data,
and the true h is zero: another one is added to score and noise alone.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from interpolants.fields.protocol import Fields
from interpolants.fields.wrapped import WrappedFields
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.types import Condition
from interpolants.paths.path import SpatiallyLinearPath


class ShiftedScore(WrappedFields):
    """Fields with ``shift(x, t, cond)`` added to their score; abstract.

    Args:
        fields: Fields on a one-sided path with a Gaussian base.

    Raises:
        InvalidInputError: If the path is another.
    """

    path: SpatiallyLinearPath

    def __init__(self, fields: Fields) -> None:
        path = fields.path
        if not isinstance(path, SpatiallyLinearPath) or not isinstance(path.base, Gaussian):
            who, remedy = type(self).__name__, "E.g. paths.VP(): there the score determines the velocity."
            raise invalid(who, "the path must start from a Gaussian base", type(path).__name__, remedy)
        super().__init__(fields)
        self.path, self._base = path, path.base

    @abstractmethod
    def shift(self, x: Tensor, t: Tensor, cond: Condition) -> Tensor:
        """Shift of the score, ``(B, *D)`` in 1/data."""

    def inner_cond(self, cond: Condition) -> Condition:
        """Condition of the inner fields."""
        return cond

    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        """The wanted quantities, each with its share of the shift, which is evaluated once."""
        values = self.inner.evaluate(x, t, want, self.inner_cond(cond))
        h = self.shift(x, t, cond)
        return {name: value + self._share(name, h, t) for name, value in values.items()}

    def _share(self, quantity: str, h: Tensor, t: Tensor) -> Tensor:
        base, path = self._base, self.path
        if quantity == "score":
            return h
        if quantity == "noise":
            return path.apply(-path.alpha(t), base.root_transpose(h))
        coefficient: Callable[[Tensor], Tensor] = {
            "endpoint0": lambda t: -path.alpha(t),
            "denoised": lambda t: path.alpha(t).square() / path.beta(t),
            "velocity": self._half_g_squared,
            "mean_rate": self._half_g_squared,
        }[quantity]
        finite = torch.where(path.beta(t) == 0, torch.zeros_like(path.beta(t)), coefficient(t))
        return path.apply(finite, base.root(base.root_transpose(h)))

    def _half_g_squared(self, t: Tensor) -> Tensor:
        path = self.path
        return path.alpha(t).square() * path.signal_rate(t) - path.alpha_alpha_dot(t)
