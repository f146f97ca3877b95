"""Conditions of networks: the form of a condition, and how a method adds vectors or fields of its own."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from interpolants.foundations.errors import invalid
from interpolants.foundations.records import record
from interpolants.foundations.types import Condition
from interpolants.framework.frames import Standard
from interpolants.nets.build import choose_net
from interpolants.nets.scaled_condition import scaled


@record("condition_form")
@dataclass(frozen=True)
class ConditionForm:
    """What a network is told of each row beside the state: labels, a vector, a field.

    Attributes:
        labels: Number of labels; 0 for none.
        vector: Length of a vector; 0 for none.
        field: Channels of a field; 0 for none.
        shift: What :meth:`join` subtracts from each entry of the vector or channel of the field, in its units.
        scale: What it divides them by; empty leaves them as they are.
    """

    labels: int = 0
    vector: int = 0
    field: int = 0
    shift: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    @classmethod
    def of(cls, cond: Tensor | None, *, units: bool = False) -> Self:
        """Read it off the conditions: integers are labels, floats vectors or fields by their dimension.

        Args:
            cond: The conditions of all rows.
            units: Bring vectors and fields to mean 0 and standard deviation 1.
        """
        if cond is None:
            return cls()
        if not cond.is_floating_point():
            return cls(labels=int(cond.max()) + 1)
        shift, scale = units_of(cond) if units else ((), ())
        vector, field = (0, cond.shape[1]) if cond.ndim > 2 else (cond.shape[1], 0)
        return cls(vector=vector, field=field, shift=shift, scale=scale)

    def settings(self, *, vector: int = 0, field: int = 0) -> dict[str, int]:
        """Settings of a network that takes it, with so many entries of the method's own added."""
        found = {
            "n_classes": self.labels,
            "cond_dim": self.vector + vector,
            "cond_channels": self.field + field,
        }
        return {name: size for name, size in found.items() if size}

    def in_units(self, cond: Tensor) -> Tensor:
        """The condition in the units of the network."""
        return scaled(cond, self.shift, self.scale) if self.scale else cond

    def join(
        self, cond: Tensor | None, *, vector: Tensor | None = None, field: Tensor | None = None
    ) -> Condition:
        """The condition that such a network takes: the method's own entries first, then what is known of the row."""
        own = {"vector": vector, "field": field}
        parts = {name: part for name, part in own.items() if part is not None}
        if cond is not None:
            cond = self.in_units(cond)
            name = "label" if self.labels else "field" if self.field else "vector"
            parts[name] = torch.cat([parts[name], cond.to(parts[name])], 1) if name in parts else cond
        return parts


def units_of(cond: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each entry of vectors ``(N, C)``, or channel of fields ``(N, C, *D)``."""
    units = Standard().fit(cond.movedim(1, -1).flatten(0, -2))
    shift, scale = (tuple(torch.as_tensor(part).tolist()) for part in (units.shift, units.scale))
    return shift, scale


def told_net(
    who: str, net: Any, shape: tuple[int, ...], told: dict[str, int], ours: tuple[str, ...], seed: int
) -> nn.Module:
    """A network that takes a condition which the method puts together; one of the user's own as it is.

    Args:
        who: Name of the caller, used in error messages.
        net: As in :func:`interpolants.nets.build.choose_net`.
        shape: Event shape of the state.
        told: Settings of the condition, as :meth:`ConditionForm.settings` gives them.
        ours: Settings that the method chooses.
        seed: Seed of the initial weights.

    Raises:
        InvalidInputError: If a table sets what the method chooses.
    """
    if isinstance(net, nn.Module):
        return net
    settings = {"kind": net} if isinstance(net, str) else dict(net)
    for name in ours:
        if name in settings:
            raise invalid(who, f"net must not set {name}, which the method sets", settings[name])
    return choose_net({**settings, **told}, shape, 1, None, seed, who=who)


def check_told(caller: str, model: Any, cond: Any) -> None:
    """Check that a fit has conditions if its model needs them.

    Args:
        caller: Name of the caller, used in error messages.
        model: A fitted method.
        cond: Conditions of the rows, or None.

    Raises:
        InvalidInputError: If ``cond`` is None, and all rows of the model's fit had a condition.
    """
    if cond is None and "cond" in model.given and not model.answers_without("cond"):
        rule = "cond must be passed with a model that was fitted with conditions in all rows"
        raise invalid(caller, rule, "None", "Pass the conditions of the rows.")
