"""Roles: what ``fit`` and each capability read, and how values of a role are read, counted, split and returned.

A role has a *kind*, which turns what users have into one canonical form: ``rows`` into a tensor ``(N, *D)``, ``series``
into a :class:`~interpolants.framework.series.Series`, ... Roles of one *axis* are aligned row by row and are split
together: x and y of a regression share an axis, x0 and x1 of a bridge do not (unless they are paired).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.data.arrays import Kind as Given
from interpolants.data.arrays import unmasked
from interpolants.data.endless import EndlessRows
from interpolants.data.labelled_items import is_data_set, is_shuffled, sample_and_label
from interpolants.data.picture_sets import Pictures, as_pictures, picture_labels
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.shared_memory import Memory
from interpolants.framework.gridded import GriddedKind
from interpolants.framework.labels import Conditions, Labels
from interpolants.framework.role import Reading, Role, kind_of, role_kind
from interpolants.framework.role_kinds import Known, Model, Models, Weights
from interpolants.framework.row_labels import check_row_labels, row_labels_of
from interpolants.framework.rows import Ragged, Rows
from interpolants.framework.series import SeriesKind
from interpolants.framework.tokens import Tokens

# --- the kinds of the framework ------------------------------------------------------------------------------


class Thing:
    """Values without rows: a problem, an environment, or another object that is passed on unchanged."""

    has_rows = False

    def read(self, value: Any, role: Role, reading: Reading) -> tuple[Any, Given]:
        """Return the value unchanged."""
        return value, Given("thing", "")


role_kind("rows", Rows())
role_kind("ragged", Ragged())
role_kind("series", SeriesKind())
role_kind("ensemble", GriddedKind())
role_kind("tokens", Tokens())
role_kind("labels", Labels())
role_kind("condition", Conditions())
role_kind("known", Known())
role_kind("weights", Weights())
role_kind("model", Model())
role_kind("models", Models())
role_kind("problem", Thing())
role_kind("environment", Thing())
role_kind("picture", Thing())


# Kinds whose xarray objects are matched by position.
_BY_POSITION = ("rows", "condition", "labels", "known", "weights")


# --- all roles of a call -------------------------------------------------------------------------------------


def count(value: Any) -> int:
    """Number of rows of a canonical value."""
    return len(value)


def take(value: Any, rows: Any) -> Any:
    """Return the selected rows of a value in its container: by slice, or by a tensor of indices."""
    return value.subset(rows) if isinstance(value, Pictures) else _taken(value, rows)


def _taken(value: Any, rows: Any) -> Any:
    index = rows if isinstance(rows, slice) else torch.as_tensor(rows)
    if hasattr(value, "iloc"):
        return value.iloc[index if isinstance(index, slice) else index.numpy()]
    if isinstance(value, list | tuple):
        return value[index] if isinstance(index, slice) else [value[i] for i in index.tolist()]
    if isinstance(value, Tensor) or isinstance(index, slice):
        return value[index]
    return value[index.numpy()]


def memory_of(roles: Sequence[Role], *data: Mapping[str, Any]) -> Memory:
    """Memory of the rows in canonical values by role, which may be that of the caller's arrays.

    Problems, environments and fitted methods have no rows, and are omitted.
    """
    names = [role.name for role in roles if kind_of(role).has_rows]
    return Memory([values[name] for values in data for name in names if name in values])


def named(
    roles: Sequence[Role],
    args: Sequence[Any],
    given: Mapping[str, Any],
    who: str,
    options: Sequence[str] = (),
) -> dict[str, Any]:
    """Positional and named values by role.

    Args:
        roles: The roles.
        args: Values in the order of the roles.
        given: Values by name.
        who: Name of the caller, used in error messages.
        options: Further names, one of which a misspelt one may have been meant to be.

    Raises:
        InvalidInputError: For too many values, a name that no role has, or one value given twice.
    """
    names = [role.name for role in roles]
    known = [*names, *options]
    if len(args) > len(names):
        raise invalid(who, f"there are {len(names)} roles: {', '.join(names)}", f"{len(args)} values")
    placed = dict(zip(names, args, strict=False))
    for name in given:
        if name not in names:
            raise invalid(
                who, "every argument must be a role of this method", repr(name), nearest(name, known)
            )
        if name in placed:
            raise invalid(who, "every role must be passed only once", repr(name))
    return {**placed, **given}


def read(
    roles: Sequence[Role],
    values: Mapping[str, Any],
    who: str,
    *,
    before: Mapping[str, Given] | None = None,
    rows: int | None = None,
    source: Generator | None = None,
    attached: bool = False,
) -> tuple[dict[str, Any], dict[str, Given]]:
    """Values by role in canonical form, checked and aligned; and how they came.

    Args:
        roles: The roles.
        values: Values by name; None for what is not given.
        who: Name of the caller, used in error messages.
        before: How the roles came to ``fit``, for capabilities.
        rows: Rows that conditions must have or stand for.
        source: Seeds draws from distributions.
        attached: Keep the graphs of tensors.

    Raises:
        InvalidInputError: If a value is missing, cannot be read, or does not fit the others.
    """
    data: dict[str, Any] = {}
    came: dict[str, Given] = {}
    values = _parted_sets(roles, values if before is not None else _parted_pictures(roles, values, who), who)
    _check_index(roles, values, who)
    # What is like another role after it, whose columns it has; conditions last, which may be one value for all rows.
    for role in sorted(roles, key=lambda role: (role.kind == "condition", bool(role.like))):
        value = values.get(role.name)
        if value is None:
            _check_optional(role, who)
            continue
        aligned = next(
            (count(data[r.name]) for r in roles if r.axis == role.axis and _is_counted(r, data)), rows
        )
        fitted = (_of_model(roles, role, data) if before is None else before).get(role.name)
        reading = Reading(
            who, fitted, aligned if (before, fitted) != (None, None) else None, source, attached
        )
        known = _with_columns_of(came.get(role.like), role)
        plain = unmasked(value, who, role.name)
        data[role.name], came[role.name] = kind_of(role).read(plain, known, reading)
        _check_labels_of_model(roles, role, data, came[role.name], who)
    ordered = [role for role in roles if role.name in data]
    _check_rows(ordered, data, who)
    _check_shapes(ordered, data, who)
    return {r.name: data[r.name] for r in ordered}, {r.name: came[r.name] for r in ordered}


def _models(roles: Sequence[Role], data: Mapping[str, Any]) -> list[Any]:
    """Fitted models among the values."""
    return [data[role.name] for role in roles if role.kind == "model" and role.name in data]


def _of_model(roles: Sequence[Role], role: Role, data: Mapping[str, Any]) -> Mapping[str, Given]:
    """The forms of a fitted model that had a condition of the same name in its fit: names keep their codes."""
    fits = [model.given for model in _models(roles, data)] if role.kind == "condition" else []
    return next((forms for forms in fits if role.name in forms), {})


def _check_labels_of_model(
    roles: Sequence[Role], role: Role, data: Mapping[str, Any], form: Given, caller: str
) -> None:
    """Raise an error for labels whose codes in a model among the values are not known."""
    if role.kind != "condition" or not _models(roles, data):
        return
    parts = [(form.container, form.columns), *(part[1:4:2] for part in form.forms)]
    has_names = any(isinstance(label, str) for kind, labels in parts if kind == "labels" for label in labels)
    if has_names and not _of_model(roles, role, data):
        rule = f"{role.name} must be integers with a model whose fit had no names"
        raise invalid(caller, rule, "words", "Pass the numbers that the model has for them.")
    if form.container == "labels" and bool((data[role.name] < 0).any()):
        lowest = int(data[role.name].min())
        raise invalid(caller, f"{role.name} as numbers must be >= 0", lowest, "Omit these rows.")


def _parted_pictures(roles: Sequence[Role], values: Mapping[str, Any], caller: str) -> dict[str, Any]:
    """The values of a fit, with the names of the subfolders where pictures are given as labels."""
    parted = dict(values)
    for role in roles:
        if (
            role.kind in ("condition", "labels")
            and (pictures := as_pictures(parted.get(role.name))) is not None
        ):
            parted[role.name] = picture_labels(pictures, caller, role.name)
    return parted


def _parted_sets(roles: Sequence[Role], values: Mapping[str, Any], who: str) -> dict[str, Any]:
    """The values, where a data set of (sample, label) items that is given for both has become the two.

    Raises:
        InvalidInputError: If a loader draws its rows in another order than what belongs to them has.
    """
    found = dict(values)
    for role in roles:
        if role.kind not in ("condition", "labels") or not is_data_set(value := found.get(role.name)):
            continue
        owner = next(
            (r for r in roles if r.axis == role.axis and r != role and found.get(r.name) is value), None
        )
        if owner is None:
            rule = f"a data set given as {role.name} must be the one that holds the samples too"
            remedy = "Pass the same object for both, or the labels as an array."
            raise invalid(who, rule, type(value).__name__, remedy)
        found[owner.name], found[role.name] = sample_and_label(value, who, role.name)
    for role in roles:
        beside = [
            r.name for r in roles if r.axis == role.axis and r != role and found.get(r.name) is not None
        ]
        if role.axis and beside and is_shuffled(found.get(role.name)):
            rule = f"rows of {role.name} must come in the order of those of {beside[0]}"
            remedy = "Use shuffle=False: training draws rows at random by itself."
            if any(r.name in beside and r.kind == "condition" for r in roles):
                remedy += f" Labels of the data set itself are read by passing it as {beside[0]}= too."
            raise invalid(who, rule, "a loader that shuffles", remedy)
    return found


def _check_index(roles: Sequence[Role], values: Mapping[str, Any], who: str) -> None:
    """Raise an error for tables of one axis whose row labels do not match by position."""
    for tables in row_labels(roles, values).values():
        for (name, index), (other, its_index) in combinations(tables.items(), 2):
            check_row_labels(name, index, other, its_index, who)


def row_labels(roles: Sequence[Role], values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Axis -> name of a table -> its row labels; without kinds of role that match by coordinates themselves.

    Args:
        roles: The roles.
        values: Values by role, as they came.
    """
    found: dict[str, dict[str, Any]] = {}
    for role in roles:
        value = values.get(role.name)
        if role.kind not in _BY_POSITION and isinstance(value, Mapping):
            value = {name: part for name, part in value.items() if hasattr(part, "iloc")}
        elif role.kind not in _BY_POSITION and not hasattr(value, "iloc"):
            continue
        if role.axis:
            found.setdefault(role.axis, {}).update(row_labels_of(role.name, value))
    return found


def _with_columns_of(other: Given | None, role: Role) -> Role:
    """A role that must have the named columns of the one that it is like."""
    named = other is not None and other.container == "pandas" and not role.columns
    return replace(role, columns=tuple(map(str, other.columns))) if named and other is not None else role


def _check_optional(role: Role, who: str) -> None:
    if not role.optional:
        raise invalid(who, f"{role.name} is needed" + (f", {role.about}" if role.about else ""), "None")


def _is_counted(role: Role, data: Mapping[str, Any]) -> bool:
    return bool(role.axis) and role.name in data and not isinstance(data[role.name], EndlessRows)


def _check_rows(roles: Sequence[Role], data: Mapping[str, Any], who: str) -> None:
    _check_endless(roles, data, who)
    for axis in dict.fromkeys(role.axis for role in roles if role.axis and kind_of(role).has_rows):
        counts = {r.name: count(data[r.name]) for r in roles if r.axis == axis and _is_counted(r, data)}
        if len(set(counts.values())) > 1:
            shown = ", ".join(f"{name} {n}" for name, n in counts.items())
            raise invalid(who, f"{' and '.join(counts)} must have as many rows, one for one", shown)


def _check_endless(roles: Sequence[Role], data: Mapping[str, Any], who: str) -> None:
    """Raise an error for values that belong to the rows of a role drawn afresh in every step."""
    for role in roles:
        others = [r.name for r in roles if r.axis == role.axis and r is not role and r.axis]
        if isinstance(data[role.name], EndlessRows) and others:
            rule = (
                f"{role.name} is drawn afresh for every step, and has no rows to which {others[0]} can belong"
            )
            raise invalid(who, rule, f"{others[0]}=", f"Draw rows once, and pass these as {role.name}.")


def _check_shapes(roles: Sequence[Role], data: Mapping[str, Any], who: str) -> None:
    for role in roles:
        if role.like and role.like in data:
            shape, wanted = tuple(data[role.name].shape[1:]), tuple(data[role.like].shape[1:])
            if shape != wanted:
                rule = f"{role.name} and {role.like} must have the same event shape, {wanted}"
                raise invalid(who, rule, shape, "Bring both to one shape.")


def without_index(given: Mapping[str, Given]) -> dict[str, Given]:
    """Form of the roles as stored in files: types by name, no row labels."""
    return {name: replace(one.named()) for name, one in given.items()}
