"""A device that is not the CPU, and computes: tensors that say they are on ``meta`` and hold numbers.

Operations on tensors of both devices are refused, as on a GPU. It shows what would fail on one, and that random streams
are the same; it cannot show the roundings of one.
"""

from contextlib import contextmanager

import torch
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
    @classmethod
    def _should_skip_dynamo(cls):
        """Nothing is compiled here, and keeping the compiler away takes as long as the rest of a call."""
        return False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


def _is_empty(x):
    """Of PyTorch's own meta device: a network before it has weights."""
    return x.device.type == "meta" and not isinstance(x, Elsewhere)


def _inner(x):
    return x.inner if isinstance(x, Elsewhere) else x


def _tensors(value):
    """The tensors among arguments: `torch.utils._pytree` knows more containers, and takes ten times as long."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))


def _mapped(change, value):
    """The value with its tensors changed."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, (tuple, list)):
        return type(value)(_mapped(change, part) for part in value)
    return {name: _mapped(change, part) for name, part in value.items()} if isinstance(value, dict) else value


def _run(func, args, kwargs):
    tensors = list(_tensors((args, kwargs)))
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
    out = func(*_mapped(_inner, args), **_mapped(_inner, plain))
    if func is _ATEN.copy_.default:
        return args[0]
    away = torch.device(asked).type == "meta" if asked is not None else away
    same = {id(_inner(x)): x for x in tensors}

    def outer(x):
        return same[id(x)] if id(x) in same else Elsewhere(x) if away else x

    return _mapped(outer, out)


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
