"""What the data of a cell were, in words: written when they are read, so that a report need not read them again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from interpolants.data.alphabet import END
from interpolants.foundations.errors import invalid
from interpolants.foundations.storage import read_document, write_text
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.task import Task
from interpolants.reports.facts import RoleFacts
from interpolants.reports.words import count
from interpolants.runs.values import Source, Value

FILE = "data.json"
_SPLITS = {
    "random": "Rows are parted at random",
    "time": "The last rows are held out",
    "group": "Whole groups are held out",
    "given": "Rows are parted as the data say",
    "none": "Nothing is held out",
}


@runtime_checkable
class SetsAside(Protocol):
    """A method whose fit keeps rows from learning by itself, to stop or to choose by."""

    def set_aside(self) -> Mapping[str, int]:
        """Role -> so many rows, beside those that it was given as held out."""
        ...


def keep_data(
    folder: Path,
    task: Task,
    values: Mapping[str, Value],
    roles: Sequence[Role],
    split: Mapping[str, Any],
    method: Method,
) -> None:
    """Write what the data of a cell are into its folder.

    Args:
        folder: The cell's folder.
        task: The data, parted.
        values: Where each role's value came from.
        roles: The roles.
        split: Table of the split.
        method: The fitted method, which may have set some training rows aside.
    """
    aside = method.set_aside() if isinstance(method, SetsAside) and not task.has("held") else {}
    by_axis = {task.axes[role]: rows for role, rows in aside.items() if role in task.axes}
    facts = [
        asdict(role_facts(role, task, values[role.name], by_axis)) for role in roles if role.name in values
    ]
    told = {
        "split": split_words(split, values) + _copied_words(task) if task.rows else "",
        "in_sample": task.in_sample and bool(task.rows),
        "roles": facts,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / FILE, json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def _copied_words(task: Task) -> str:
    """Number of test rows that are copies of rows that are learnt from; empty where there are none."""
    words = (
        f"; {task.copied} test rows are copies of rows that are learnt from, and scores on them are too good"
    )
    return words if task.copied else ""


def kept_data(folder: Path) -> dict[str, Any] | None:
    """What :func:`keep_data` wrote, roles as facts; None where there is nothing."""
    file = folder / FILE
    if not file.is_file():
        return None
    told = read_document(file)
    try:
        return {**told, "roles": tuple(RoleFacts(**role) for role in told["roles"])}
    except (TypeError, KeyError) as error:
        raise invalid("report", f"{file} must contain the description of the data", str(error)) from error


def role_facts(role: Role, task: Task, value: Value, aside: Mapping[str, int]) -> RoleFacts:
    """A role with its rows by part, those of its axis that the fit set aside counted with the held ones."""
    axis = task.axes.get(role.name, "")
    rows = {part: len(found) for part, found in task.rows.get(axis, {}).items()}
    if rows and aside.get(axis):
        rows = {**rows, "train": rows["train"] - aside[axis], "held": rows["held"] + aside[axis]}
    return RoleFacts(
        role=role.name,
        name=value.source.name,
        about=role.about,
        origin=value.source.origin,
        licence=value.source.licence,
        shape=_size(value.value) if role.kind == "picture" else one_row(value.value, value.source, role.kind),
        rows={part: n for part, n in rows.items() if n},
        notes=value.source.notes,
    )


def _size(picture: Tensor) -> str:
    return f"a picture, {picture.shape[1]} × {picture.shape[0]} pixels"


def _sequence(x: Tensor) -> str:
    size = count(x.shape[1], "token")
    return f"at most {size}" if int(x.min()) == END else size


def one_row(value: Any, source: Source, kind: str = "rows") -> str:
    """A row of a value in words; empty where rows are not plain."""
    if isinstance(value, list | tuple) and value and isinstance(value[0], str):
        return "a text"
    if isinstance(value, Method):
        return ""
    if hasattr(value, "columns"):
        return count(len(value.columns), "column")
    if not isinstance(value, Tensor) or not value.ndim:
        return ""
    if value.ndim == 1:
        return f"one of {len(source.classes)} classes" if source.classes else "a number"
    if value.ndim == 2:
        return _sequence(value) if kind == "tokens" else count(value.shape[1], "number")
    return " × ".join(str(size) for size in value.shape[1:])


def split_words(split: Mapping[str, Any], values: Mapping[str, Value]) -> str:
    """How rows were parted, in words."""
    replaced = split.get("by") in ("group", "given")
    own = [role for role, value in values.items() if value.parts is not None and not replaced]
    told = _SPLITS[str(split.get("by", "random"))]
    if own:
        return f"The data of {', '.join(own)} came with a part to be tested on"
    return told
