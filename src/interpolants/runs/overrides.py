"""Changes to settings from the command line, ``--set a.b=c``, and the plain values that settings are made of."""

import math
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from interpolants.foundations.errors import invalid, nearest

_DEEPEST, _MOST = 24, 100_000
_OWN = ("title", "seed", "seeds", "budget", "track", "tasks")
_NOTHING = ("none", "null")
_TRUTHS = {"True": True, "False": False}  # as Python writes them


def apply(data: dict[str, Any], overrides: Iterable[str], options: Mapping[str, Any] | None = None) -> None:
    """Change settings (with a list of tasks) in place.

    Args:
        data: The settings.
        overrides: ``key.path=value``. A path that starts in ``tasks`` names one task by number or name; one
            that starts in a task's table changes all tasks.
        options: Key path -> value, applied before them.

    Raises:
        InvalidInputError: If an override has no ``=`` or leads through something that is not a table.
    """
    changes = [(name.split("."), value, name) for name, value in (options or {}).items()]
    changes += [(*parse(text), text) for text in overrides]
    for path, value, text in changes:
        tasks = data["tasks"] if isinstance(data.get("tasks"), list) else []
        if path[0] in _OWN:
            _put(data, path, value, text)
        elif not tasks:
            raise invalid("--set", "the recipe must have at least one task", repr(text))
        else:
            for task in tasks:
                _put(task, path, plain(value, "--set"), text)


def parse(text: str) -> tuple[list[str], Any]:
    """``a.b=c`` as path and value: c is read as a TOML value, and is a plain word if it is none."""
    name, sign, word = text.partition("=")
    path = [part.strip() for part in name.split(".")]
    if not sign or not all(path):
        raise invalid(
            "--set", "must read key.path=value", repr(text), "For example, use --set method.steps=100."
        )
    return path, literal(word.strip())


def plain(value: Any, place: str) -> Any:
    """A copy made of tables, lists, words, numbers and none only.

    Raises:
        InvalidInputError: If there is anything else (dates, NaN), or if it is too deep or too large, as a
            file that refers to itself would be.
    """
    budget = [_MOST]

    def copy(inner: Any, depth: int, key: str) -> Any:
        budget[0] -= 1
        if depth > _DEEPEST or budget[0] < 0:
            raise invalid(place, "settings must be small and not refer to themselves", f"too much at {key!r}")
        if isinstance(inner, dict):
            return {str(k): copy(v, depth + 1, f"{key}.{k}".lstrip(".")) for k, v in inner.items()}
        if isinstance(inner, list | tuple):
            return [copy(v, depth + 1, f"{key}.{i}") for i, v in enumerate(inner)]
        if (
            inner is None
            or isinstance(inner, str | bool)
            or (isinstance(inner, int) and abs(inner) < 1 << 63)
        ):
            return inner
        if isinstance(inner, float) and math.isfinite(inner):
            return inner
        rule = f"{key!r} must be a finite number, a word, true or false, a list or a table"
        raise invalid(place, rule, repr(inner)[:80])

    return copy(value, 0, "")


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables with others laid over them; lists, plain values and members of another kind are replaced as a whole."""
    both = dict(base)
    for key, value in over.items():
        inner = both.get(key)
        if isinstance(value, Mapping) and isinstance(inner, Mapping) and _same_kind(inner, value):
            both[key] = merged(inner, value)
        else:
            both[key] = value
    return both


def _same_kind(base: Mapping[str, Any], over: Mapping[str, Any]) -> bool:
    """Whether a table changes another; one that names another kind has other settings."""
    return bool(over.get("kind", base.get("kind")) == base.get("kind"))


def literal(word: str) -> Any:
    """A word as a TOML value, or a truth value of Python; the word itself if it is none."""
    if word.lower() in _NOTHING:
        return None
    if word in _TRUTHS:
        return _TRUTHS[word]
    try:
        table = tomllib.loads(f"value = {word}")
    except (ValueError, RecursionError):  # no TOML, or a number of thousands of digits
        return word
    return plain(table["value"], "--set") if table.keys() == {"value"} else word


def _put(table: Any, path: list[str], value: Any, text: str) -> None:
    """Set the value at a path, making tables on the way; a method's word becomes a table of that kind."""
    for position, part in enumerate(path[:-1]):
        inner = _get(table, part, text)
        if inner is None:
            inner = {}
        elif isinstance(inner, str):
            inner = {"kind": inner}
        if not isinstance(inner, dict | list):
            name = ".".join(path[: position + 1])
            raise invalid("--set", f"{name!r} must be a table to hold {path[position + 1]!r}", repr(inner))
        _store(table, part, inner, text)
        table = inner
    _store(table, path[-1], value, text)


def _get(table: Any, part: str, text: str) -> Any:
    if isinstance(table, list):
        return table[_index(table, part, text)]
    if not isinstance(table, dict):
        raise invalid("--set", "every task must be a table", repr(table)[:80])
    return table.get(part)


def _store(table: Any, part: str, value: Any, text: str) -> None:
    if isinstance(table, list):
        table[_index(table, part, text)] = value
    elif isinstance(table, dict):
        table[part] = value
    else:
        raise invalid("--set", "every task must be a table", repr(table)[:80])


def _index(items: list[Any], part: str, text: str) -> int:
    """Position in a list, by number, or by name for tables that have one."""
    named = [item.get("name", "main") if isinstance(item, dict) else "" for item in items]
    if part in named:
        return named.index(part)
    if part.isascii() and part.isdigit() and len(part) < 6 and int(part) < len(items):
        return int(part)
    known = [str(i) for i in range(len(items))] + [name for name in named if isinstance(name, str) and name]
    raise invalid(
        "--set", "a list is indexed by number or name", f"{part!r} in {text!r}", nearest(part, known)
    )
