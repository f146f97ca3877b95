"""Slices of tensors that are cut among the processes of a training."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def is_cut(x: Tensor) -> bool:
    """Whether a tensor is cut among the processes."""
    return hasattr(x, "to_local")


def local(x: Tensor) -> Tensor:
    """What this process holds of a tensor: its slice, or all of it."""
    found: Tensor = getattr(x, "to_local", lambda: x)()
    return found


def whole(x: Tensor) -> Tensor:
    """All of a tensor, on every process, all of which must ask for it."""
    found: Tensor = getattr(x, "full_tensor", lambda: x)()
    return found


def as_whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by name, all of each."""
    return {name: whole(x) for name, x in tensors.items()}


def put(own: Tensor, value: Tensor) -> None:
    """Set a tensor, cut or not, to a value that is whole, or cut as it is."""
    local(own).copy_(local(value) if is_cut(value) else slice_of(own, value))


def slice_of(own: Tensor, value: Tensor) -> Tensor:
    """The part of a whole value that belongs to this process's slice of ``own``."""
    if not is_cut(own):
        return value
    mesh: Any = own.device_mesh  # type: ignore[attr-defined]
    rows = -(-len(value) // mesh.size())
    first = min(mesh.get_local_rank() * rows, len(value))
    return value[first : first + len(local(own))]


def like(own: Tensor, value: Tensor) -> Tensor:
    """A whole value of the shape of ``own``, cut as it is; of another shape as it is."""
    if not is_cut(own) or value.shape != own.shape:
        return value.to(own.device, copy=True)
    part: Any = torch.zeros_like(own, dtype=value.dtype, requires_grad=False)
    put(part, value)
    found: Tensor = part
    return found
