"""Slices of tensors that are cut among the processes of a training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor


def is_cut(x: Tensor) -> bool:
    """Whether a tensor is cut among the processes."""
    return hasattr(x, "to_local")


def local(x: Tensor) -> Tensor:
    """Return the part of a tensor on this process: its slice, or the full tensor."""
    found: Tensor = getattr(x, "to_local", lambda: x)()
    return found


def whole(x: Tensor) -> Tensor:
    """All of a tensor, on every process, all of which must ask for it."""
    found: Tensor = getattr(x, "full_tensor", lambda: x)()
    return found


def as_whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by name, all of each."""
    return {name: whole(x) for name, x in tensors.items()}


@dataclass(frozen=True)
class Slice:
    """A process's rows of a tensor that is cut along its first dimension, as `torch.chunk` cuts it.

    Attributes:
        shape: Shape of the whole tensor.
        first: First row.
        last: Row behind the last one.
    """

    shape: tuple[int, ...]
    first: int
    last: int

    @classmethod
    def chunk(cls, shape: Sequence[int], rank: int, size: int) -> Self:
        """The rows of one of ``size`` processes; the last ones have fewer, or none."""
        rows = -(-shape[0] // size)
        return cls(tuple(shape), min(rank * rows, shape[0]), min((rank + 1) * rows, shape[0]))

    def is_of(self, shape: tuple[int, ...], rank: int, pieces: int) -> bool:
        """Whether a tensor of this shape is that piece of the whole one."""
        piece = Slice.chunk(self.shape, rank, pieces)
        return shape == (piece.last - piece.first, *self.shape[1:])

    def within(self, rank: int, pieces: int) -> slice:
        """Rows of the slice within a piece, relative to the first row of the piece."""
        piece = Slice.chunk(self.shape, rank, pieces)
        first = max(self.first, piece.first)
        return slice(first - piece.first, max(min(self.last, piece.last), first) - piece.first)

    def holds(self, rows: Tensor) -> bool:
        """Whether rows that were read are these rows."""
        return rows.shape == (self.last - self.first, *self.shape[1:])


@dataclass(frozen=True)
class OwnRows:
    """A process's rows of a stored tensor.

    Attributes:
        rows: The rows.
        shape: Shape of the whole tensor.
    """

    rows: Tensor
    shape: tuple[int, ...]


def own_slice(tensor: Tensor) -> Slice | None:
    """The rows of a tensor that this process holds; None where it holds all of them."""
    if not is_cut(tensor):
        return None
    mesh, dim = mesh_of(tensor)
    return Slice.chunk(tensor.shape, mesh.get_local_rank(dim), mesh.size(dim))


def mesh_of(tensor: Tensor) -> tuple[Any, int]:
    """The mesh of a tensor that is cut, and the dimension of the mesh along which it is cut."""
    placements: Any = tensor.placements  # type: ignore[attr-defined]
    return tensor.device_mesh, next(k for k, part in enumerate(placements) if part.is_shard())  # type: ignore[attr-defined]


def put(tensor: Tensor, value: Tensor | OwnRows) -> None:
    """Set a tensor, cut or not, to a value that is whole, or cut as it is."""
    if isinstance(value, OwnRows):
        local(tensor).copy_(value.rows)
    else:
        local(tensor).copy_(local(value) if is_cut(value) else slice_of(tensor, value))


def slice_of(tensor: Tensor, value: Tensor) -> Tensor:
    """The part of a whole value that belongs to this process's slice of ``tensor``."""
    mine = own_slice(tensor)
    return value if mine is None else value[mine.first : mine.last]


def like(tensor: Tensor, value: Tensor | OwnRows) -> Tensor:
    """A value of the shape of ``tensor``, cut as it is; one of another shape as it is."""
    if isinstance(value, Tensor) and (not is_cut(tensor) or value.shape != tensor.shape):
        return value.to(tensor.device, copy=True)
    dtype = value.rows.dtype if isinstance(value, OwnRows) else value.dtype
    part: Any = torch.zeros_like(tensor, dtype=dtype, requires_grad=False)
    put(part, value)
    found: Tensor = part
    return found
