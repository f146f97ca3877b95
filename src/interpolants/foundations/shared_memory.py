"""Separation of a value from memory that belongs to somebody else, such as the arrays of a caller."""

import copy
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Array = Tensor | np.ndarray[Any, Any]

# Values without parts. Functions are among them, and files that are mapped stay mapped.
_LEAVES = (
    *(str, bytes, int, float, complex, type, type(None), ModuleType, FunctionType, MethodType),
    *(torch.dtype, torch.device, torch.Generator, np.memmap),
)


class Memory:
    """Address ranges of the arrays in some values.

    Args:
        values: Values with tensors and NumPy arrays at any depth.
    """

    def __init__(self, *values: Any) -> None:
        ranges = sorted({_range_of(array) for array in arrays_in(values)} - {(0, 0)})
        self._starts = [start for start, _ in ranges]
        # Ranges may lie in each other: the furthest end of all that begin no later.
        self._stops: list[int] = []
        for _, stop in ranges:
            self._stops.append(max(stop, self._stops[-1] if self._stops else 0))

    def holds(self, array: Array) -> bool:
        """Return True if a byte of the array's memory lies in one of the ranges."""
        start, stop = _range_of(array)
        k = bisect_right(self._starts, stop - 1)
        return stop > start and k > 0 and self._stops[k - 1] > start


def apart(value: Any, memory: Memory) -> Any:
    """Return the value itself if it shares no memory, else a copy of it whose shared arrays are copied.

    Arrays that are not shared are taken over without a copy. Functions and mapped files are unchanged.

    Args:
        value: A tensor, or containers, records, networks and methods with tensors.
        memory: The memory that the result must not share.
    """
    arrays = list(arrays_in((value,)))
    shared = [array for array in arrays if memory.holds(array)]
    if not shared:
        return value
    copies: dict[int, Any] = {id(array): array for array in arrays}
    copies |= {id(array): _copy(array) for array in shared}
    return copy.deepcopy(value, copies)


def lay_out_rows_first(value: Any) -> None:
    """Give each dense tensor in a value the memory layout that it has when it is read from a file.

    Products of matrices can round differently by layout, so that a stored model would give other last bits than the
    fitted one. Weights of networks keep their layout: it may be a choice, such as ``torch.channels_last``.

    Args:
        value: Containers, records, networks and methods with tensors; changed in place.
    """
    for array in arrays_in((value,)):
        if isinstance(array, nn.Parameter) or not isinstance(array, Tensor) or array.layout != torch.strided:
            continue
        if not array.is_contiguous():
            array.data = array.detach().contiguous()


def arrays_in(values: Iterable[Any]) -> Iterator[Array]:
    """Yield each tensor and NumPy array in the values once, in containers and attributes of objects.

    Args:
        values: Any objects.
    """
    seen: dict[int, Any] = {}  # with the objects, as parts may be made on the way and their ids used again
    waiting = deque(values)
    while waiting:
        value = waiting.popleft()
        if isinstance(value, _LEAVES) or id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, Tensor | np.ndarray):
            yield value
        else:
            waiting.extend(_parts(value))


def _parts(value: Any) -> Iterable[Any]:
    """The objects that a value holds."""
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, list | tuple | set | frozenset | deque):
        return value
    if hasattr(value, "__dict__"):
        attributes: dict[str, Any] = vars(value)
        return attributes.values()
    slots = (name for kind in type(value).__mro__ for name in _names(kind.__dict__.get("__slots__", ())))
    return [getattr(value, name) for name in slots if hasattr(value, name)]


def _names(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _range_of(array: Array) -> tuple[int, int]:
    """First address and the one behind the last; (0, 0) where there is no memory to speak of."""
    if isinstance(array, np.ndarray):
        first = array.__array_interface__["data"][0]
        reach = [(n - 1) * step for n, step in zip(array.shape, array.strides, strict=True)]
        low = first + sum(step for step in reach if step < 0)
        high = first + sum(step for step in reach if step > 0) + array.itemsize
        return (low, high) if array.size else (0, 0)
    if array.layout != torch.strided or array.device.type == "meta":
        return 0, 0
    try:
        storage = array.untyped_storage()
        return storage.data_ptr(), storage.data_ptr() + storage.nbytes()
    except (RuntimeError, NotImplementedError):  # of a tensor that is being traced
        return 0, 0


def _copy(array: Array) -> Array:
    if isinstance(array, nn.Parameter):
        return nn.Parameter(array.detach().clone(), requires_grad=array.requires_grad)
    return array.clone() if isinstance(array, Tensor) else array.copy()
