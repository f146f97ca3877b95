"""Kinds of roles that need nothing of the others: fitted methods, and masks of what is known."""

import copy
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from interpolants.data.arrays import Kind as Given
from interpolants.foundations.errors import invalid


class Known:
    """Where rows are known: a bool tensor ``(N, *D)``."""

    has_rows = True

    def read(self, value: Any, role: Any, reading: Any) -> tuple[Tensor, Given]:
        """From a bool tensor, array, table or list."""
        plain = getattr(value, "to_numpy", lambda: value)()
        tensor = plain.detach() if isinstance(plain, Tensor) else torch.as_tensor(np.array(plain))
        if tensor.dtype != torch.bool or tensor.ndim < 2:
            rule = f"{role.name} must be bool with one row per row of the data"
            raise invalid(reading.who, rule, f"{tensor.dtype} {tuple(tensor.shape)}", "E.g. ~isnan(x).")
        return tensor, Given("condition", "bool")


@runtime_checkable
class Fitted(Protocol):
    """A method, as a role that reads one sees it."""

    @property
    def is_fitted(self) -> bool:
        """Whether there is a state."""
        ...

    def can(self, verb: str) -> bool:
        """Whether it has a capability."""
        ...

    def capabilities(self) -> dict[str, str]:
        """Verb -> empty, or why it is not there."""
        ...


class Model:
    """A fitted method that another one learns from; a role may need a verb of it, or a property such as ``fields``."""

    has_rows = False

    def read(self, value: Any, role: Any, reading: Any) -> tuple[Any, Given]:
        """The method, if it is fitted and capable of what the role needs.

        A fit gets a shallow copy: what it learns does not change when the caller fits the method anew.
        """
        if not (isinstance(value, Fitted) and value.is_fitted):
            remedy = "Fit it, or read it from its folder with interpolants.load."
            raise invalid(reading.who, f"{role.name} must be a fitted method", repr(value), remedy)
        there = isinstance(getattr(type(value), role.needs, None), property)
        if role.needs and not (there or value.can(role.needs)):
            why = value.capabilities().get(role.needs, "")
            rule = f"{role.name} must be a method that can {role.needs}"
            raise invalid(reading.who, rule, type(value).__name__, why)
        return copy.copy(value) if reading.before is None else value, Given("thing", "")


class Models:
    """Fitted methods that a method learns from: a list, each item read by :class:`Model`, or a single method."""

    has_rows = False

    def read(self, value: Any, role: Any, reading: Any) -> tuple[list[Any], Given]:
        """The methods, as a list."""
        models = list(value) if isinstance(value, list | tuple) else [value]
        if not models:
            raise invalid(reading.who, f"{role.name} must have at least one fitted method", "none")
        return [Model().read(model, role, reading)[0] for model in models], Given("thing", "")
