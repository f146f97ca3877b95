"""Recipe for a user's own files: `my_files` for a bridge between sample sets, `my_table` for a table of any types."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from interpolants.data.coded_columns import TABLES, read_coded
from interpolants.data.picture_pixels import is_picture
from interpolants.foundations.errors import InterpolantsError, invalid, nearest
from interpolants.foundations.tell import AssumptionWarning, tell
from interpolants.runs.files import read_table
from interpolants.runs.overrides import parse
from interpolants.runs.recipes import recipes
from interpolants.runs.settings_files import read_settings

_TEMPLATE, _MIXED = "my_files", "my_table"
# Changes that leave no choice of the method.
_DECIDES = ("data", "method.kind", "method.path")
# Questions of the template that are put to a bridge between the pixels of two pictures, and its steps.
_OF_COLOURS, _PICTURE_STEPS = ("noise_levels", "self_test"), 1000
_SHOWN_NAMES = 3
# Fixed steps cost a sixth of error control here, and change the colours of two photographs by 0.2 levels on average.
_SHOWN = {"options": {"method": "midpoint", "n_steps": 16}}


def own_tables(
    roles: Mapping[str, str | None],
    *,
    overrides: Iterable[str] = (),
) -> dict[str, Any]:
    """Tables of a recipe.

    `TableBridge` learns one table with words, dates or missing cells, with a warning, and `Bridge` all else.

    Args:
        roles: Files of ``x0``, ``x1``, ``cond``, ``weights`` and ``weights0``; None for those that there are not.
            Without x0 the bridge starts from a Gaussian. ``"labels"`` as ``cond`` takes the labels that came with x1,
            and weights may be named by their column in the table that they belong to.
        overrides: Changes that come later; those of ``[data]`` say which roles there are.

    Warns:
        AssumptionWarning: If the tables are for `TableBridge`.
    """
    given = {role: file for role, file in roles.items() if file is not None}
    changed = [".".join(keys) for keys, _ in map(parse, overrides)]
    decided = any(name.startswith(_DECIDES) for name in changed)
    if given.keys() == {"x1"} and not decided and _MIXED in recipes() and (mixed := _mixed(given["x1"])):
        message = f"run: {given['x1']} has {mixed}, so that TableBridge is fitted, by the recipe {_MIXED}"
        tell(AssumptionWarning, f"{message}. To fit Bridge, encode or drop these columns first.")
        mixed_tables: dict[str, Any] = read_settings(recipes()[_MIXED])
        return mixed_tables | {"data": given, "title": f"Rows like {given['x1']}"}
    tables: dict[str, Any] = read_settings(recipes()[_TEMPLATE])
    if given.get("cond") == "labels":
        given["cond"] = {"labels_of": "x1"}  # type: ignore[assignment]
    for name, end in (("weights", "x1"), ("weights0", "x0")):
        given.update(_weight_column(name, end, given))
    later = {words[1] for words, _ in map(parse, overrides) if words[0] == "data" and len(words) > 1}
    tables |= {"data": given, "title": f"{given.get('x0', 'Gaussian')} to {given.get('x1', 'data')}"}
    if not {"x0"} & (given.keys() | later):
        _from_noise(tables)
    if all(is_picture(given.get(role, "")) for role in ("x0", "x1")):
        _between_pictures(tables)
    return tables


def _weight_column(name: str, end: str, files: Mapping[str, Any]) -> dict[str, Any]:
    """The column of weights, and the other columns, of a table whose column is named; empty for files of weights."""
    weights, file = files.get(name), files.get(end)
    if weights is None or file is None or Path(weights).exists() or not file.lower().endswith(TABLES):
        return {}
    columns = [str(column) for column in read_table(file, f"data.{end}").columns]
    if weights not in columns:
        rule = f"--{name} must be a file, or a column of {file}"
        raise invalid("run", rule, repr(weights), nearest(weights, columns))
    others = [column for column in columns if column != weights]
    return {name: {"file": file, "columns": [weights]}, end: {"file": file, "columns": others}}


def _mixed(file: str) -> str:
    """Columns of a table that `Bridge` does not learn, as text; empty for a table of numbers and for other files."""
    if not file.lower().endswith(TABLES) or find_spec("pandas") is None:
        return ""
    try:
        table = read_coded(file, "data.x1")
    except InterpolantsError:
        return ""  # the reader of the recipe refuses it
    kinds = {str(name): table[name].dtype.kind for name in table.columns}
    columns = {
        "words": [name for name, kind in kinds.items() if kind not in "fiubM"],
        "dates": [name for name, kind in kinds.items() if kind == "M"],
        "missing cells": [str(name) for name in table.columns if table[name].isna().any()],
    }
    return " and ".join(f"{kind} ({_names(names)})" for kind, names in columns.items() if names)


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN_NAMES]) + (", ..." if len(names) > _SHOWN_NAMES else "")


def _between_pictures(tables: dict[str, Any]) -> None:
    """Fewer steps, no density of x0, and the pictures themselves in the report."""
    tables["data"] |= {f"picture{k}": {"beside": f"x{k}", "part": "picture"} for k in (0, 1)}
    tables["method"]["steps"] = _PICTURE_STEPS
    tables["method"].pop("leg", None)
    levels, *others = (dict(table) for table in tables["ask"] if table["question"] in _OF_COLOURS)
    back = {
        **levels,
        "name": "reverse",
        "role": "x0",
        "start": "x1",
        "eps": [0.0],
        "options": {"reverse": True},
    }
    back["rivals"] = ["unchanged"]
    tables["ask"] = [
        {"question": "exchanged_colours", **_SHOWN},
        {**levels, "eps": [0.0, 0.5]},
        back,
        *others,
    ]


def _from_noise(tables: dict[str, Any]) -> None:
    """A one-sided path; nothing to be left unchanged, and no density of x0 to be learnt."""
    tables["method"] |= {"path": "one_sided_linear"}
    tables["method"].pop("leg", None)
    for question in tables["ask"]:
        question["rivals"] = [rival for rival in question.get("rivals", ()) if rival != "unchanged"]
