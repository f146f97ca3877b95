"""Frame of columns that are transformed one by one before a linear frame takes them; its volume depends on the row."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from interpolants.data.column_transforms import ColumnMap
from interpolants.foundations.errors import invalid
from interpolants.foundations.records import record
from interpolants.framework.frames import Frame, Standard


@record("transformed_frame")
@dataclass(frozen=True, eq=False)
class Transformed:
    """``inner(m_1(x_1), ..., m_D(x_D))``, in which a column without a map is unchanged.

    Attributes:
        maps: A map for each column of the data, or None.
        inner: Linear units of the transformed columns.
        names: Names of the columns, used in messages; numbers if they have no names.
    """

    maps: tuple[ColumnMap | None, ...]
    inner: Frame = field(default_factory=Standard)
    names: tuple[str, ...] = ()

    def bend(self, x: Tensor) -> Tensor:
        """Data units ``(..., D)`` to transformed columns, float64.

        Raises:
            InvalidInputError: If a value has no transform; its column is named.
        """
        if not torch.compiler.is_compiling():  # a graph that is traced holds no values yet: NaN comes out
            self._refuse(x)
        return self._mapped(x, lambda one, column: one.forward(column))

    def _refuse(self, x: Tensor) -> None:
        """Raise an error for values outside the domain of the transform."""
        for k, column in self._columns(self._off(x)):
            if bool(column.any()):
                name = self.names[k] if self.names else str(k)
                value = float(x[..., k][column].double().min())
                rule = f"column {name} must have values that its transform takes"
                remedy = (
                    "Leave such rows out, or fit with transform='quantile' or 'asinh', which take any number."
                )
                raise invalid("transform", rule, f"{value:.6g}", remedy)

    def unbend(self, y: Tensor) -> Tensor:
        """Transformed columns ``(..., D)`` to data units, float64."""
        return self._mapped(y, lambda one, column: one.inverse(column))

    def encode(self, x: Tensor, cond: object = None) -> Tensor:
        """Data units to the method's."""
        return self.inner.encode(self.bend(x)).to(x)

    def decode(self, x: Tensor, cond: object = None) -> Tensor:
        """The method's units to those of the data, float64 in, float64 out."""
        return self.unbend(self.inner.decode(x.double())).to(x)

    def push(self, velocity: Tensor, x: Tensor) -> Tensor:
        """A velocity of encoded states as one of the states ``x`` in data units: divided by the slope of each map."""
        bent = self._mapped(x, lambda one, column: one.forward(column))
        slopes = self._mapped(x, lambda one, column: one.log_slope(column), torch.zeros_like)
        return (self.inner.push(velocity.double(), bent) * torch.exp(-slopes)).to(velocity)

    def log_volume(self, x: Tensor, cond: object = None) -> Tensor:
        """``log |d encode / dx|`` at each row ``(B, D)``; NaN for rows outside."""
        slopes = self._mapped(x, lambda one, column: one.log_slope(column), torch.zeros_like)
        volume = self.inner.log_volume(self._mapped(x, lambda one, column: one.forward(column)))
        return (volume + slopes.sum(-1)).to(x)

    def outside(self, x: Tensor) -> Tensor:
        """Rows ``(B,)`` with a value that has no transform, or that the inner units do not reach."""
        kept = self._mapped(x, lambda one, column: one.forward(column)).to(x)
        return self._off(x).any(-1) | self.inner.outside(kept)

    def _off(self, x: Tensor) -> Tensor:
        off = torch.zeros(x.shape, dtype=torch.bool, device=x.device)
        for k, one in enumerate(self.maps):
            if one is not None:
                off[..., k] = one.outside(x[..., k].double())
        return off

    def _columns(self, x: Tensor) -> list[tuple[int, Tensor]]:
        return [(k, x[..., k]) for k, one in enumerate(self.maps) if one is not None]

    def _mapped(
        self,
        x: Tensor,
        change: Callable[[ColumnMap, Tensor], Tensor],
        rest: Callable[[Tensor], Tensor] = torch.clone,
    ) -> Tensor:
        """Each column that has a map changed by it, the others by ``rest``, in float64."""
        wide = x.double()
        columns = zip(self.maps, wide.unbind(-1), strict=True)
        return torch.stack([rest(c) if m is None else change(m, c) for m, c in columns], -1)


def in_two(frame: Frame) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor], Frame]:
    """A frame as a map of single columns, its inverse, and linear units: for what needs the units to be linear."""
    if isinstance(frame, Transformed):
        return frame.bend, frame.unbend, frame.inner
    return torch.Tensor.double, torch.Tensor.double, frame
