"""Interventions as a role: which factors are set to which values, row by row, from words, tables and arrays."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.data.arrays import Kind as Given
from interpolants.data.arrays import is_table
from interpolants.data.files import read_array
from interpolants.foundations.errors import invalid, nearest
from interpolants.framework.capabilities import verb
from interpolants.framework.role import Reading, Role, role_kind
from interpolants.framework.rows import Rows

verb("counterfactual", "x")


class Interventions:
    """Values that factors are set to, ``(N, n)`` float64, NaN where a factor is left alone.

    They are words (``"angle=20, light=5"``), a mapping of names to a number or to one for each row, a table with a
    column for each factor that is set, a pandas' Series (a column of such a table, or a value for each factor that its
    index names), or an array ``(N, n)`` or ``(n,)`` of all factors.
    """

    has_rows = True

    def read(self, value: Any, role: Role, reading: Reading) -> tuple[Tensor, Given]:
        """One row of values for each row of the request.

        Raises:
            InvalidInputError: If a name is no factor, comes twice, or a value is no number.
        """
        dtype = "float64" if reading.before is None else reading.before.dtype
        given = Given("condition", dtype, columns=role.columns)
        if isinstance(value, str):
            value = _from_words(value, role, reading)
        value = _by_its_names(value, role)
        if is_table(value):
            given = replace(given, container="pandas", index=value.index)
            value = {str(name): value[name].to_numpy(dtype="float64") for name in value.columns}
        wide = _by_name(value, role, reading) if isinstance(value, Mapping) else _array(value, role, reading)
        rows = len(wide) if reading.rows is None else reading.rows
        if wide.ndim == 2 and len(wide) != rows:
            rule = f"{role.name} must be one value for all rows, or one for each of the {rows}"
            remedy = "In a file a row that leaves a factor alone has the word nan: an empty line is no row."
            raise invalid(reading.who, rule, f"{len(wide)} values", remedy)
        return wide.expand(rows, -1).contiguous(), given

    def numbers(self, value: Tensor) -> Tensor:
        """The values that are set, NaN where a factor is left alone."""
        return value

    def read_file(self, text: str, role: Role, key: str | None = None) -> Any:
        """Words such as ``angle=20`` as they are; else a file with a column for each factor that is set."""
        if "=" in text:
            return text
        found = read_array(text, f"--{role.name}", key=key, gaps=True)
        if not found.columns:
            return found.x
        return {name: found.x[:, k] for k, name in enumerate(found.columns)}


def _by_its_names(value: Any, role: Role) -> Any:
    """A series of values with the names of factors as a mapping, one that is named after a factor as its column."""
    if hasattr(value, "to_series") and getattr(value, "ndim", 0) == 1:  # of xarray
        value = value.to_series()
    if not hasattr(value, "iloc") or hasattr(value, "columns"):
        return value
    names = [str(name) for name in value.index]
    if len(set(names)) == len(names) and set(names) <= set(role.columns):
        return {name: one for name, one in zip(names, value.to_numpy(), strict=True) if one == one}
    return value.to_frame() if str(value.name) in role.columns else value


def _from_words(text: str, role: Role, reading: Reading) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in filter(str.strip, text.replace(";", ",").split(",")):
        name, _, number = (word.strip() for word in part.partition("="))
        try:
            value = float(number)
        except ValueError as error:
            remedy = f'For example, use "{role.columns[0]}=1.5".' if role.columns else ""
            raise invalid(reading.who, f"{role.name} must be name=number, ...", repr(part), remedy) from error
        if name in found:
            raise invalid(reading.who, f"{role.name} must set each factor once", repr(name))
        found[name] = value
    return found


def _by_name(table: Mapping[Any, Any], role: Role, reading: Reading) -> Tensor:
    if not table:
        rule = f"{role.name} must set a factor"
        raise invalid(
            reading.who, rule, "none", f"One of {', '.join(role.columns)}; or leave {role.name} out."
        )
    found = {str(name): _numbers(value, str(name), role, reading) for name, value in table.items()}
    for name in found:
        if name not in role.columns:
            rule = f"{role.name} must set factors of the graph, {', '.join(role.columns)}"
            raise invalid(reading.who, rule, repr(name), nearest(name, role.columns))
    many = [len(value) for value in found.values() if value.ndim]
    if len(set(many)) > 1:
        sizes = ", ".join(f"{name} {len(value)}" for name, value in found.items() if value.ndim)
        raise invalid(reading.who, f"values in {role.name} must be as many for each factor", sizes)
    wide = torch.full((*many[:1], len(role.columns)), float("nan"), dtype=torch.float64)
    for name, value in found.items():
        wide[..., role.columns.index(name)] = value
    return wide


def _numbers(value: Any, name: str, role: Role, reading: Reading) -> Tensor:
    """A number for all rows, ``()``, which may not be NaN, or one for each, ``(N,)``."""
    try:
        plain = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        found = torch.as_tensor(np.array(plain, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise invalid(
            reading.who, f"{role.name}[{name!r}] must be numbers", repr(value), str(error)
        ) from error
    found = found.flatten() if found.ndim else found
    return _checked(found, f"{role.name}[{name!r}]", reading, gaps=bool(found.ndim))


def _array(value: Any, role: Role, reading: Reading) -> Tensor:
    own = Role(name=role.name, gaps=True, exact=True)
    found, _ = Rows().read(value, own, Reading(reading.who))  # like nothing in the fit
    if np.ndim(value) == 1 and len(found) == len(role.columns):
        found = found[:, 0]  # one value for each factor, for all rows
    if found.ndim > 2 or found.shape[-1] != len(role.columns):
        rule = f"{role.name} must have a column for each factor, {', '.join(role.columns)}"
        raise invalid(
            reading.who, rule, tuple(found.shape), "Or name the factors that are set: {name: value}."
        )
    return _checked(found.double(), role.name, reading, gaps=True)


def _checked(x: Tensor, name: str, reading: Reading, *, gaps: bool) -> Tensor:
    wrong = x.isinf() if gaps else ~x.isfinite()
    if bool(wrong.any()):
        remedy = "Leave a factor out that is not to be set." if not gaps else ""
        raise invalid(reading.who, f"{name} must be finite", float(x[wrong].reshape(-1)[0]), remedy)
    return x


role_kind("interventions", Interventions())
# What verbs of counterfactuals read beside the rows.
DO = Role(
    name="do", kind="interventions", like="factors", optional=True, about='Such as "angle=20", or a file.'
)
