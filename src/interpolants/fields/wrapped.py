"""Base of fields that change the answers of other fields: guidance, gauge terms, known entries."""

import copy
from collections.abc import Callable
from typing import Self

from torch import Tensor, nn

from interpolants.fields.protocol import Fields
from interpolants.foundations.types import Condition


class WrappedFields(Fields):
    """Fields that hold others, ``inner``, and answer for them; abstract.

    A subclass writes :meth:`evaluate`. Closed forms and merged ways of the inner fields (``velocity_of``, ``combined``,
    ``divergence_of``, ``log_density_of``) are not passed on: they would go around what the subclass changes.

    Args:
        inner: The fields within.
    """

    def __init__(self, inner: Fields) -> None:
        self.inner, self.path = inner, inner.path

    @property
    def known(self) -> tuple[str, ...]:
        """The quantities that the inner fields give directly."""
        return self.inner.known

    @property
    def networks(self) -> list[nn.Module]:
        """The networks of the inner fields."""
        return self.inner.networks

    @property
    def bounded_quantity(self) -> str:
        """The one of score and noise that stays finite at the ends."""
        return self.inner.bounded_quantity

    def density_caveat(self, cond: Condition) -> str:
        """Warning of the inner fields."""
        return self.inner.density_caveat(cond)

    def through(self, change: Callable[[nn.Module], nn.Module]) -> Self:
        """The same change of the inner fields with other networks."""
        found = copy.copy(self)
        found.inner = self.inner.through(change)
        return found

    def error_factors(self, quantity: str, times: Tensor) -> Tensor:
        """Factor by which errors of the learnt quantity are multiplied in a quantity of the inner fields."""
        return self.inner.error_factors(quantity, times)

    def provides(self, quantity: str) -> bool:
        """Whether the inner fields provide the quantity."""
        return self.inner.provides(quantity)
