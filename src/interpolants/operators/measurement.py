"""Base of measurements ``y = H(x)``: one function for all samples, independent of the noise.

Letters: ``x (B, *D)`` states, ``y (B, *M)`` measurements, ``H^+`` a pseudo-inverse, which fits the measurement exactly
where it can: ``H(H^+ y) = y`` for every y that some x gives.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations import asked
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import finite
from interpolants.foundations.errors import invalid


class Operator(ABC):
    """A measurement of states, row by row and without randomness."""

    is_linear: bool = False

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """``H(x)``: ``(B, *D)`` -> ``(B, *M)``, differentiable."""

    @property
    def has_pinv(self) -> bool:
        """Whether :meth:`pinv` is there."""
        return type(self).pinv is not Operator.pinv

    def pinv(self, y: Tensor) -> Tensor:
        """A state that fits the measurement: ``(B, *M)`` -> ``(B, *D)``.

        Raises:
            InvalidInputError: If the operator has none.
        """
        who = type(self).__name__
        remedy = "Pass your own start, or Measurement(function, inverse=...)."
        raise invalid(who, "it must have a pseudo-inverse for this", "none", remedy)


@dataclass(frozen=True)
class Measurement(Checked, Operator):
    """Any function of your own, with a pseudo-inverse if there is one.

    Raises:
        InvalidInputError: If the function cannot be called.
    """

    function: Callable[[Tensor], Tensor]
    """``x (B, *D) -> (B, *M)``, row by row, differentiable."""
    inverse: Callable[[Tensor], Tensor] | None = None
    """``y (B, *M) -> (B, *D)``."""
    is_linear: bool = False
    """Whether the function is linear, so that it has a matrix."""

    def check_settings(self) -> None:
        """Refuse what cannot be called."""
        if not callable(self.function):
            raise asked.invalid("function must be callable", type(self.function).__name__)

    def __call__(self, x: Tensor) -> Tensor:
        """``H(x)``."""
        return self.function(x)

    @property
    def has_pinv(self) -> bool:
        """Whether an inverse was given."""
        return self.inverse is not None

    def pinv(self, y: Tensor) -> Tensor:
        """The given inverse."""
        return super().pinv(y) if self.inverse is None else self.inverse(y)


class Matrix(Operator):
    """``y = A x`` on flattened states.

    Args:
        matrix: A, ``(M, D)``.
        event_shape: Shape of a state; ``(D,)`` when left out.

    Raises:
        InvalidInputError: If A is no matrix, or does not fit the shape.
    """

    is_linear = True

    def __init__(
        self, matrix: Tensor | Sequence[Sequence[float]], event_shape: Sequence[int] | None = None
    ) -> None:
        self.matrix = matrix if isinstance(matrix, Tensor) else torch.tensor(matrix, dtype=torch.float64)
        if self.matrix.ndim != 2 or not self.matrix.is_floating_point():
            found = f"{self.matrix.dtype} {tuple(self.matrix.shape)}"
            raise invalid("Matrix", "matrix must be a floating-point (M, D)", found)
        self.event_shape = torch.Size([self.matrix.shape[1]] if event_shape is None else event_shape)
        if self.event_shape.numel() != self.matrix.shape[1]:
            rule = f"event_shape must have {self.matrix.shape[1]} entries like the columns"
            raise invalid("Matrix", rule, tuple(self.event_shape))
        self._inverse: Tensor | None = None

    def describe(self) -> dict[str, Any]:
        """Words from which an equal one is made."""
        return {"kind": "matrix", "matrix": self.matrix.tolist(), "event_shape": list(self.event_shape)}

    def __call__(self, x: Tensor) -> Tensor:
        """``A x``, ``(B, M)``."""
        return x.reshape(x.shape[0], self.matrix.shape[1]) @ self.matrix.to(x).mT

    def pinv(self, y: Tensor) -> Tensor:
        """Moore and Penrose's inverse: of all states that fit best, the shortest."""
        if self._inverse is None:
            self._inverse = torch.linalg.pinv(self.matrix.double())
        return (y @ self._inverse.to(y).mT).reshape(y.shape[0], *self.event_shape)


def as_operator(who: str, operator: Any) -> Operator:
    """An operator, or a function of states as one; a matrix too.

    Raises:
        InvalidInputError: If it is neither.
    """
    if isinstance(operator, Operator):
        return operator
    if isinstance(operator, Tensor):
        return Matrix(operator)
    if callable(operator):
        return Measurement(operator)
    remedy = "For example, pass operators.Mask(known), or any differentiable function of x."
    raise invalid(
        who, "operator must be an Operator, a matrix or a function", type(operator).__name__, remedy
    )


def told_linear(operator: Operator) -> str:
    """Remedy for a function of the user's own where H must be linear; empty for other operators."""
    if not isinstance(operator, Measurement):
        return ""
    return "If the function is linear, pass operators.Measurement(function, is_linear=True)."


def as_matrix(
    operator: Operator, event_shape: Sequence[int], *, dtype: torch.dtype = torch.float64
) -> Tensor:
    """The matrix ``(M, D)`` of a linear operator on states of a shape, by its action on unit vectors.

    Raises:
        InvalidInputError: If the operator is not linear.
    """
    if not operator.is_linear:
        remedy = told_linear(operator) or "Only linear measurements have a posterior in closed form."
        raise invalid(
            type(operator).__name__, "it must be linear to have a matrix", "a nonlinear one", remedy
        )
    size = torch.Size(event_shape).numel()
    units = torch.eye(size, dtype=dtype).reshape(size, *event_shape)
    return operator(units).reshape(size, -1).mT.contiguous()


def check_measurement(who: str, operator: Operator, x: Tensor, y: Tensor) -> None:
    """Refuse measurements of the wrong shape or type, none at all, and operators that gradients do not pass.

    Args:
        who: Name of the caller, used in error messages.
        operator: H.
        x: Any states like those to be found, ``(B, *D)``; one row is measured.
        y: Measurements, ``(B, *M)``.

    Raises:
        InvalidInputError: As the first line says.
    """
    if not isinstance(y, Tensor) or not y.is_floating_point():
        raise invalid(who, "y must be a floating-point tensor", str(getattr(y, "dtype", type(y).__name__)))
    if y.ndim > 0 and len(y) == 0:
        raise invalid(who, "y must have at least one measurement", tuple(y.shape))
    finite(who, "y", y)
    with torch.enable_grad():
        point = x[:1].detach().clone().requires_grad_(True)
        measured = operator(point)
    if not isinstance(measured, Tensor) or measured.shape[1:] != y.shape[1:] or y.ndim < 2:
        shape = tuple(measured.shape[1:]) if isinstance(measured, Tensor) else type(measured).__name__
        rule = f"y must have the shape of H(x), (B, {', '.join(map(str, shape))})"
        raise invalid(who, rule, tuple(y.shape), "Measure x with the same operator.")
    if not measured.requires_grad:
        remedy = "Write it with torch operations, without detach, numpy or no_grad."
        raise invalid(who, "H must be differentiable", "a result without gradient", remedy)
