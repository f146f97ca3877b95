"""Conditions of networks: the form of a condition, and how a method adds vectors or fields of its own."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.records import record
from interpolants.foundations.types import Condition


@record("condition_form")
@dataclass(frozen=True)
class ConditionForm:
    """What a network is told of each row beside the state: labels, a vector, a field.

    Attributes:
        labels: Number of labels; 0 for none.
        vector: Length of a vector; 0 for none.
        field: Channels of a field; 0 for none.
    """

    labels: int = 0
    vector: int = 0
    field: int = 0

    @classmethod
    def of(cls, cond: Tensor | None) -> Self:
        """Read it off the conditions: integers are labels, floats vectors or fields by their dimension."""
        if cond is None:
            return cls()
        if not cond.is_floating_point():
            return cls(labels=int(cond.max()) + 1)
        return cls(field=cond.shape[1]) if cond.ndim > 2 else cls(vector=cond.shape[1])

    def settings(self, *, vector: int = 0, field: int = 0) -> dict[str, int]:
        """Settings of a network that takes it, with so many entries of the method's own added."""
        found = {
            "n_classes": self.labels,
            "cond_dim": self.vector + vector,
            "cond_channels": self.field + field,
        }
        return {name: size for name, size in found.items() if size}

    def join(
        self, cond: Tensor | None, *, vector: Tensor | None = None, field: Tensor | None = None
    ) -> Condition:
        """The condition that such a network takes: the method's own entries first, then what is known of the row."""
        own = {"vector": vector, "field": field}
        parts = {name: part for name, part in own.items() if part is not None}
        if cond is not None:
            name = "label" if self.labels else "field" if self.field else "vector"
            parts[name] = torch.cat([parts[name], cond.to(parts[name])], 1) if name in parts else cond
        return parts


def leave_to_method(who: str, net: dict[str, Any], names: tuple[str, ...]) -> None:
    """Refuse settings of a network that the method sets itself.

    Raises:
        InvalidInputError: If one is there.
    """
    for name in names:
        if name in net:
            raise invalid(who, f"net must leave {name} to the method", net[name])
