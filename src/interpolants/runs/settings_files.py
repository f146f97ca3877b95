"""Settings files: found by path or by the name of a recipe, and read as plain tables."""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from interpolants.foundations.errors import invalid, nearest
from interpolants.runs.recipes import find_recipe, recipes

_LARGEST = 1 << 20  # bytes


class _Yaml(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """YAML 1.2's numbers: 1e-3 is one, which YAML 1.1, and PyYAML, take for a word."""


_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _yaml(text: str) -> Any:
    return yaml.load(text, _Yaml)


_READERS: dict[str, Callable[[str], Any]] = {
    ".toml": tomllib.loads,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".json": json.loads,
}


def find_config(path: Path) -> Path:
    """The settings file itself, or the recipe of that name.

    Raises:
        InvalidInputError: If there is neither; the nearest is named.
    """
    if path.is_file():
        return path
    if (recipe := find_recipe(path)) is not None:
        return recipe
    folder = path.parent if path.parent != Path() and path.parent.is_dir() else Path()
    near = [str(folder / f.name) for f in folder.iterdir() if f.suffix in _READERS and f.stem != "pyproject"]
    remedy = nearest(str(path), [*near, *recipes()])
    raise invalid("config", "the settings file must exist", str(path), remedy)


def read_settings(file: Path) -> Any:
    """The tables of a TOML, YAML or JSON file; unchecked."""
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise invalid(str(file), "a settings file must end in .toml, .yaml, .yml or .json", repr(file.suffix))
    if file.stat().st_size > _LARGEST:
        raise invalid(str(file), "a settings file must have at most 1 MiB", f"{file.stat().st_size} bytes")
    try:
        return reader(file.read_text(encoding="utf-8"))
    except (ValueError, LookupError, AttributeError, yaml.YAMLError, RecursionError) as error:
        # PyYAML lets through what its own readers of dates and truth values stumble over.
        what = " ".join(str(error).split())[:200]
        raise invalid(str(file), f"must be valid {file.suffix[1:].upper()}", what) from error
