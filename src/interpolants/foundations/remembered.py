"""Networks that record their constructor arguments, so that files can store them."""

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.row_times import TakesOneTime

_KINDS: dict[str, type["Remembered"]] = {}


class Remembered(TakesOneTime, nn.Module):
    """A network class that is stored by its id and the arguments of its constructor.

    A subclass names its id: ``class Encoder(Remembered, id="encoder")``. The arguments must be what a stored tree can
    hold: plain values, tables, networks.

    Attributes:
        remembered_id: The id.
        remembered: The arguments by name, defaults included.
    """

    remembered_id: ClassVar[str]
    remembered: Mapping[str, Any]

    def __init_subclass__(cls, *, id: str, **more: Any) -> None:
        super().__init_subclass__(**more)
        known = _KINDS.get(id)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise invalid("Remembered", f"id must be unique, and {known.__qualname__} has it", repr(id))
        cls.remembered_id = id
        _KINDS[id] = cls

    def __new__(cls, *args: Any, **named: Any) -> Any:
        """Note the arguments by name."""
        made = super().__new__(cls)
        bound = inspect.signature(cls.__init__).bind(made, *args, **named)
        bound.apply_defaults()
        given = dict(bound.arguments)
        given.pop(next(iter(given)))
        object.__setattr__(made, "remembered", given)
        return made

    def __reduce__(self) -> Any:
        """Copies and pickles are made without the constructor, whose arguments are among the attributes."""
        return _bare, (type(self),), dict(vars(self))


def _bare(kind: type[Remembered]) -> Any:
    return nn.Module.__new__(kind)


def remembered_named(id: str) -> type[Remembered]:
    """The class of an id.

    Raises:
        InvalidInputError: If no module that was imported defines it.
    """
    if id not in _KINDS:
        raise invalid("load", "the network must be a known one", repr(id), nearest(id, _KINDS))
    return _KINDS[id]
