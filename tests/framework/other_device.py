"""A device that is not the CPU, and computes: tensors that say they are on ``meta`` and hold numbers.

Operations on tensors of both devices are refused, as on a GPU. It shows what would fail on one, and that random streams
are the same; it cannot show the roundings of one.
"""

from contextlib import contextmanager

import torch
import torch.utils._pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

_ATEN = torch.ops.aten


class Elsewhere(torch.Tensor):
    """A tensor on the other device, with its numbers."""

    @staticmethod
    def __new__(cls, inner):
        known = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        made = torch.Tensor._make_wrapper_subclass(cls, inner.size(), device="meta", **known)
        made.inner = inner
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class _Machine(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


def _is_empty(x):
    """Of PyTorch's own meta device: a network before it has weights."""
    return x.device.type == "meta" and not isinstance(x, Elsewhere)


def _inner(x):
    return x.inner if isinstance(x, Elsewhere) else x


def _run(func, args, kwargs):
    tensors = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    asked = kwargs.get("device")
    if func is _ATEN.empty_like.default and _is_empty(tensors[0]) and asked is not None:
        made = torch.empty(tensors[0].shape, dtype=tensors[0].dtype)
        return Elsewhere(made) if torch.device(asked).type == "meta" else made
    away = any(isinstance(x, Elsewhere) for x in tensors)
    here = [x for x in tensors if not isinstance(x, Elsewhere) and x.dim() > 0]
    # As on a GPU: rows may be picked by indices on the CPU.
    picks = func is _ATEN.index.Tensor and isinstance(tensors[0], Elsewhere)
    if away and here and not picks and func not in (_ATEN._to_copy.default, _ATEN.copy_.default):
        raise RuntimeError(f"tensors on two devices in {func}: {[tuple(x.shape) for x in here]}")
    plain = {**kwargs, "device": torch.device("cpu")} if asked is not None else kwargs
    out = func(*pytree.tree_map(_inner, args), **pytree.tree_map(_inner, plain))
    if func is _ATEN.copy_.default:
        return args[0]
    away = torch.device(asked).type == "meta" if asked is not None else away
    same = {id(_inner(x)): x for x in tensors}

    def outer(x):
        return (
            same.get(id(x)) if id(x) in same else Elsewhere(x) if isinstance(x, torch.Tensor) and away else x
        )

    return pytree.tree_map(outer, out)


@contextmanager
def other_device():
    """The name of the device, while there is one."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with _Machine():
            yield "meta"
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)
