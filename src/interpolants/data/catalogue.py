"""Data sets by name: those that have a card of the kind ``data``."""

import inspect
from collections.abc import Callable
from typing import Any, cast

from interpolants.data.bundled import Dataset, is_there
from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.registry import find_card, members, names


def available() -> dict[str, bool]:
    """Every data set, and whether its file is on this machine."""
    return {name: is_there(loader) for name, loader in members("data").items()}


def load(name: str, split: str = "train", **options: Any) -> Dataset:
    """Load a data set by its name, e.g. ``load("digits", "test", dequantise=True)``.

    Args:
        name: A key of ``available()``.
        split: ``train``, ``test`` or ``all``.
        **options: Arguments of the loader.

    Raises:
        InvalidInputError: For an unknown name, split or option, with the nearest one.
        MissingExtraError: If the package that carries the data is not installed; says how to install it.
    """
    one_of("load", "name", name, names("data"))
    loader = cast("Callable[..., Dataset]", find_card(name, "data", "load").load_entry())
    known = [key for key in inspect.signature(loader).parameters if key != "split"]
    for key in options:
        if key not in known:
            remedy = nearest(key, known) if known else f"{loader.__name__} has none."
            raise invalid("load", f"options of {name!r} must be among those of its loader", key, remedy)
    return loader(split, **options)
