"""Limits on what a folder from a stranger may make the reader build: networks no larger than the stored weights.

A settings file of some bytes can name a network of any size. So a network is first made on the device ``meta``, which
has shapes and no memory, and compared with the weights that the folder holds; while it is made, its parameters are
counted, so that a tower of a million layers ends at the first that has no weights.
"""

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.utils._python_dispatch import TorchDispatchMode

from interpolants.foundations.errors import InvalidInputError, invalid

# Networks may register parameters that they replace before they are finished, and keep small tables out of files.
_TIMES, _MORE_NAMES, _MORE_ENTRIES = 4, 64, 1 << 20
# Maximum size in bytes of a tensor of a member that is not in the file.
_MEMBER_BYTES = 1 << 26
# Most of a whole number of a member, but for seeds, and of the product of all.
_MEMBER_WHOLE, _MEMBER_PRODUCT = 10**7, 10**10
# Most entries of the lists of a member, nested ones too, and levels of their nesting.
_MEMBER_ENTRIES, _MEMBER_DEPTH = 1 << 21, 32
# Most entries of a list that may be a shape, whose whole numbers are multiplied.
_SHAPE = 3


def build_checked(make: Callable[[], nn.Module], weights: Mapping[str, Tensor], entries: int) -> nn.Module:
    """Make a network of a file whose parameters must be those that the file holds.

    Args:
        make: Makes it.
        weights: Its stored weights by name; empty for one inside another, whose weights are those of the whole.
        entries: Entries of all tensors of the file.

    Raises:
        InvalidInputError: If the weights are not its own, or there are fewer.
    """
    names = _TIMES * len(weights) + _MORE_NAMES if weights else _TIMES * entries + _MORE_NAMES
    with _counted(names, _TIMES * entries + _MORE_ENTRIES):
        outline = _outline(make)
        if outline is not None and weights:
            _compare(outline.state_dict(), weights)
        return make()


def _outline(make: Callable[[], nn.Module]) -> nn.Module | None:
    """The network without memory; None where making it looks at values, which the outline has not."""
    try:
        with torch.device("meta"):
            return make()
    except InvalidInputError:
        raise
    except (NotImplementedError, RuntimeError, TypeError):
        return None


def _compare(outline: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    for name in [*outline, *weights]:
        expected, found = (tuple(side[name].shape) if name in side else None for side in (outline, weights))
        if expected != found:
            rule = f"the network must fit its weights: {name} must have shape {expected}"
            raise invalid("load", rule if expected is not None else f"no {name} in the weights", str(found))


@contextmanager
def _counted(names: int, entries: int) -> Iterator[None]:
    """Check that there are at most ``names`` parameters and modules, and ``entries`` entries of parameters."""
    found, thread = {"parts": 0, "entries": 0}, threading.get_ident()

    def count(module: nn.Module, name: str, part: Any) -> None:
        if threading.get_ident() != thread:
            return
        found["parts"] += 1
        found["entries"] += part.numel() if type(part) is nn.Parameter else 0
        if found["parts"] > _TIMES * names or found["entries"] > entries:
            rule = "a network must be no larger than the weights that the folder holds"
            raise invalid("load", rule, f"{type(module).__name__} with more")

    handles = [
        hooks.register_module_parameter_registration_hook(count),
        hooks.register_module_module_registration_hook(count),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class SmallTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it no tensor of more than ``most`` bytes is made from numbers alone.

    Args:
        most: Bytes.
    """

    def __init__(self, most: int = _MEMBER_BYTES) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = most

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """PyTorch asks: to keep its compiler away it would import it, a second that every load would wait."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Determine the size on the device ``meta`` before the tensor is created."""
        kwargs = kwargs or {}
        if not any(isinstance(value, Tensor | list) and _has_tensor(value) for value in args):
            self._check(func, args, {**kwargs, "device": "meta"})
        return func(*args, **kwargs)

    def _check(self, func: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if "generator" in kwargs:  # that of the CPU draws nothing on the device ``meta``
            kwargs["generator"] = None
        try:
            outline = func(*args, **kwargs)
        except (RuntimeError, TypeError, NotImplementedError):
            return  # no factory, or one that fails in its own words
        if isinstance(outline, Tensor) and outline.numel() * outline.element_size() > self.most:
            rule = f"a member of a folder must be made of tensors of at most {self.most} bytes"
            raise invalid("load", rule, f"shape {tuple(outline.shape)}")


def _has_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or any(isinstance(part, Tensor) for part in value)


def check_sizes(words: Any) -> None:
    """Check that the description of a member is not huge: integers, their product, long lists, deep ones.

    Args:
        words: ``{"kind": id, **settings}`` as a folder has it. Seeds may be of any size.

    Raises:
        InvalidInputError: If there is one.
    """
    _Sizes().add(words, "kind", 0)


class _Sizes:
    """Sizes of the words seen so far."""

    def __init__(self) -> None:
        self.product, self.entries = 1, 0

    def add(self, words: Any, name: str, depth: int) -> int:
        """Count a part and return its integer: for a shape the product, for a longer list the largest."""
        _check_at_most("its nesting", depth, _MEMBER_DEPTH)
        if isinstance(words, dict):
            for inner, value in words.items():
                if "seed" not in inner:
                    self.product *= max(self.add(value, inner, depth + 1), 1)
                    _check_at_most("the product of its whole numbers", self.product, _MEMBER_PRODUCT)
            return 0
        if not isinstance(words, list):
            return _whole(words, name)
        self.entries += len(words)
        _check_at_most("the entries of its lists", self.entries, _MEMBER_ENTRIES)
        if any(isinstance(value, dict | list) for value in words):
            return max(self.add(value, name, depth + 1) for value in words)
        wholes = [_whole(value, name) for value in words]
        return math.prod(max(v, 1) for v in wholes) if len(wholes) <= _SHAPE else max(wholes)


def _whole(value: Any, name: str) -> int:
    whole = abs(value) if isinstance(value, int) else 0
    _check_at_most(name, whole, _MEMBER_WHOLE)
    return whole


def _check_at_most(what: str, found: int, most: int) -> None:
    if found > most:
        raise invalid("load", f"{what} must be at most {most} in a member of a folder", found)
