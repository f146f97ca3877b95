"""Calling conventions of user-defined functions, read from their signatures."""

import inspect
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from interpolants.foundations.errors import invalid

# What was read of functions and methods: every step of a training asks, and reading costs as much as a small layer.
_functions: "WeakKeyDictionary[FunctionType, bool]" = WeakKeyDictionary()
_methods: "WeakKeyDictionary[FunctionType, bool]" = WeakKeyDictionary()


def uncompiled(function: Any) -> Any:
    """Return the module inside ``torch.compile``, whose wrapper hides signatures, classes and names of weights."""
    return getattr(function, "_orig_mod", function)


def takes_third(function: Any) -> bool:
    """Whether ``f(x, t)`` takes a condition as its third positional argument; true where no signature can be read.

    A third parameter with a default other than None is a setting, not a condition, unless its name is ``cond``.
    """
    given = uncompiled(function)
    target = given.forward if isinstance(given, nn.Module) else given
    inner, known = (target, _functions) if not hasattr(target, "__func__") else (target.__func__, _methods)
    if not isinstance(inner, FunctionType):
        return _takes_third(target)
    if inner not in known:
        known[inner] = _takes_third(target)
    return known[inner]


def _takes_third(target: Any) -> bool:
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):  # builtins carry no signature
        return True
    if any(p.kind == p.VAR_POSITIONAL for p in parameters):
        return True
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(positional) < 3:
        return False
    third = positional[2]
    return third.default in (third.empty, None) or third.name.startswith("cond")


def check_takes_condition(who: str, net: Any) -> None:
    """Check that a network can be called as ``net(x, t, cond)``."""
    if not takes_third(net):
        name = getattr(type(net), "__name__", "net")
        remedy = "Write def forward(self, x, t, cond=None)."
        raise invalid(who, "net must be callable as net(x, t, cond)", f"{name}, called as net(x, t)", remedy)
