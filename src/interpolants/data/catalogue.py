"""Data sets by name."""

import inspect
from collections.abc import Callable
from typing import Any

from interpolants.data import cells, demand, images, photographs, tables, temperatures, text
from interpolants.data.bundled import BundledFile, Dataset
from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import invalid, nearest

_SETS: dict[str, tuple[Callable[..., Dataset], BundledFile]] = {
    "breast_cancer": (tables.load_breast_cancer, tables.BREAST_CANCER),
    "city_temperatures": (temperatures.load_city_temperatures, temperatures.SEATTLE),
    "diamonds": (tables.load_diamonds, tables.DIAMONDS),
    "digits": (images.load_digits, images.DIGITS),
    "electricity_demand": (demand.load_electricity_demand, demand.TAYLOR),
    "fashion_mnist": (images.load_fashion_mnist, images.FASHION_MNIST["train"][0]),
    "flights": (tables.load_flights, tables.FLIGHTS),
    "krumsiek11": (cells.load_krumsiek11, cells.KRUMSIEK11),
    "kjv": (text.load_kjv, text.KJV),
    "letter": (tables.load_letter, tables.LETTER),
    "pbmc68k": (cells.load_pbmc68k, cells.PBMC68K),
    "photographs": (photographs.load_photographs, photographs.PHOTOGRAPHS["camera"]),
    "shuttle": (tables.load_shuttle, tables.SHUTTLE),
    "wine": (tables.load_wine, tables.WINE),
}


def available() -> dict[str, bool]:
    """Every data set, and whether its file is on this machine."""
    return {name: file.locate() is not None for name, (_, file) in _SETS.items()}


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
    one_of("load", "name", name, _SETS)
    loader, _ = _SETS[name]
    known = [key for key in inspect.signature(loader).parameters if key != "split"]
    for key in options:
        if key not in known:
            remedy = nearest(key, known) if known else f"{loader.__name__} has none."
            raise invalid("load", f"options of {name!r} must be known", key, remedy)
    return loader(split, **options)
