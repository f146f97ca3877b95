"""Reader of run folders: settings, results and arrays; nothing is executed."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from interpolants.foundations.errors import invalid

FORMAT = 1
_REMEDY = "A run folder is what `interpolants run` writes."

Array = NDArray[Any]


@dataclass(frozen=True)
class Task:
    """One task of a run.

    Attributes:
        facts: Its entry of ``results.json``.
        arrays: Its tensors by name; empty when the file is missing.
        missing: Why the arrays could not be read, or an empty string.
    """

    facts: dict[str, Any]
    arrays: dict[str, Array]
    missing: str = ""


@dataclass(frozen=True)
class Record:
    """A run, read from its folder.

    Attributes:
        folder: Where it lies.
        config: The resolved settings; empty when there are none.
        results: ``results.json``.
        tasks: Its tasks with their arrays.
    """

    folder: Path
    config: dict[str, Any]
    results: dict[str, Any]
    tasks: tuple[Task, ...]


def read_run(folder: str | os.PathLike[str]) -> Record:
    """Read a run folder.

    Raises:
        InvalidInputError: If the folder, or ``results.json`` in it, is missing or not what this library writes.
    """
    path = Path(folder)
    if not path.is_dir():
        raise invalid("write_report", "run_folder must be an existing folder", str(path), _REMEDY)
    if not (path / "results.json").is_file():
        raise invalid("write_report", f"{path} must hold results.json", "a folder without it", _REMEDY)
    results = _read_json(path / "results.json")
    version = results.get("format", FORMAT)
    if type(version) is not int or not 1 <= version <= FORMAT:
        rule = f"results.json must have format {FORMAT}"
        raise invalid("write_report", rule, version, "Use the version of the library that wrote the run.")
    config = _read_json(path / "config.json") if (path / "config.json").is_file() else {}
    entries = results.get("tasks") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise invalid(
            "write_report", "tasks in results.json must be a list of objects", type(entries).__name__
        )
    return Record(path, config, results, tuple(_read_task(path, entry) for entry in entries))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise invalid("write_report", f"{path} must be JSON", str(error)[:200]) from error
    if not isinstance(value, dict):
        raise invalid("write_report", f"{path} must hold one object", type(value).__name__)
    return value


def _read_task(folder: Path, facts: dict[str, Any]) -> Task:
    name = facts.get("arrays")
    if not isinstance(name, str) or not name:
        return Task(facts, {}, "The run stored no arrays for this task, so there are no pictures of samples.")
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise invalid("write_report", "arrays must lie inside the run folder", name)
    if not path.is_file():
        return Task(facts, {}, f"The file {name} is missing, so there are no pictures of samples.")
    try:
        tensors = safetensors.torch.load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise invalid("write_report", f"{path} must be a safetensors file", str(error)[:200]) from error
    arrays = {key: value.float().numpy() for key, value in tensors.items() if value.numel()}
    return Task(facts, {key: np.ascontiguousarray(value) for key, value in arrays.items()})


def by_eps(arrays: dict[str, Array], name: str) -> dict[float, Array]:
    """Arrays called ``<name>/eps=<e>`` (and a bare ``<name>``, which counts as 0), in order of eps."""
    found = {}
    for key, value in arrays.items():
        head, _, tail = key.partition("/eps=")
        if head != name:
            continue
        try:
            found[float(tail) if tail else 0.0] = value
        except ValueError:
            continue  # not a level but a word: another program's array
    return dict(sorted(found.items()))
