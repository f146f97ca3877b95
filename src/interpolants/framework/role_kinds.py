"""Kinds of roles that are independent of the others: fitted methods, masks of observed values, weights of rows."""

import copy
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from interpolants.data.arrays import Kind as Given
from interpolants.foundations.errors import invalid


class Known:
    """Mask of the observed values: a bool tensor ``(N, *D)``."""

    has_rows = True

    def read(self, value: Any, role: Any, reading: Any) -> tuple[Tensor, Given]:
        """From a bool tensor, array, table or list."""
        plain = getattr(value, "to_numpy", lambda: value)()
        tensor = plain.detach() if isinstance(plain, Tensor) else torch.as_tensor(np.array(plain))
        if tensor.dtype != torch.bool or tensor.ndim < 2:
            rule = f"{role.name} must be bool with one row per row of the data"
            raise invalid(
                reading.who, rule, f"{tensor.dtype} {tuple(tensor.shape)}", "For example, use ~isnan(x)."
            )
        return tensor, Given("condition", "bool")


class Weights:
    """Weights of rows: positive numbers ``(N,)`` float64, of any sum."""

    has_rows = True

    def read(self, value: Any, role: Any, reading: Any) -> tuple[Tensor, Given]:
        """From a list, an array, a tensor, a column of a table, or a table of one column.

        Raises:
            InvalidInputError: If they are not one finite number > 0 for each row.
        """
        array = getattr(value, "to_numpy", lambda: value)()
        try:
            weights = (
                array if isinstance(array, Tensor) else torch.as_tensor(np.asarray(array, dtype=np.float64))
            )
        except (TypeError, ValueError) as error:
            remedy = "Pass one number for each row."
            raise invalid(reading.who, f"{role.name} must be numbers", str(error), remedy) from error
        weights = weights.detach().double()
        weights = weights[:, 0] if weights.ndim == 2 and weights.shape[1] == 1 else weights
        if weights.ndim != 1 or not len(weights):
            rule = f"{role.name} must be one number for each row, (N,)"
            raise invalid(reading.who, rule, f"shape {tuple(weights.shape)}")
        invalid_rows = ~(torch.isfinite(weights) & (weights > 0))
        if bool(invalid_rows.any()):
            first = int(invalid_rows.nonzero()[0])
            received = f"{float(weights[first]):g} in row {first}"
            remedy = f"Drop rows that do not count ({int(invalid_rows.sum())}), with their weights."
            raise invalid(reading.who, f"{role.name} must be finite and > 0", received, remedy)
        return weights, Given("condition", "float64")


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
    """A fitted method that a second method learns from; a role may need one of its verbs or properties."""

    has_rows = False

    def read(self, value: Any, role: Any, reading: Any) -> tuple[Any, Given]:
        """The method, if it is fitted and capable of what the role needs.

        A fit gets a shallow copy: what it learns does not change when the caller fits the method again.
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
