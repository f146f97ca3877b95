"""Requests to a model over HTTP: arguments of a verb from a JSON body, or rows from a .npy body.

A value is turned into what a user of Python would pass: arrays of the precision of the fit, tables with named columns,
labels. What could be read in two ways is refused: rows without the names of their columns where the fit had a table,
true and false among numbers, texts where numbers belong, a key that stands twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, get_origin

import numpy as np

from interpolants.data.arrays import Kind as Given
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.extras import require
from interpolants.foundations.plain_options import is_literal, plain_kind
from interpolants.foundations.storage import parse_json
from interpolants.framework.capabilities import Capability, leading_arguments
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.series import STEPS

# Kinds of roles whose values JSON holds.
_KINDS = ("rows", "labels", "condition", "known", "series", "tokens")
# Arguments about objects in Python, about memory, or about compilation: a client has no use for them.
_LEFT_OUT = ("progress", "details", "differentiable", "return_path", "compiled", "chunk")
# Integers that are not an amount of work.
_FREE = ("seed", "first_index", "max_steps")
MOST_WORK = 10_000


@dataclass(frozen=True)
class Limits:
    """Limits of one request.

    Attributes:
        rows: Largest number of rows, of a request or of samples.
        numbers: Largest number of entries, rows times entries of a row.
        body: Largest body in bytes.
        seconds: Largest computing time.
        waiting: Largest number of requests that wait.
    """

    rows: int = 100_000
    numbers: int = 1 << 24
    body: int = 1 << 26
    seconds: float = 60.0
    waiting: int = 64


@dataclass(frozen=True)
class Endpoint:
    """One verb of a model, and its arguments over HTTP.

    Attributes:
        method: The model.
        capability: The capability.
        limits: Limits of a request.
    """

    method: Method
    capability: Capability
    limits: Limits = field(default_factory=Limits)

    @property
    def path(self) -> str:
        """Path of the endpoint, e.g. ``/log-prob``."""
        return f"/{self.capability.verb.replace('_', '-')}"

    @property
    def roles(self) -> dict[str, Role]:
        """Arguments that are rows, labels or conditions."""
        return {role.name: role for role in self.capability.roles(self.method)}

    @property
    def options(self) -> dict[str, Any]:
        """The other arguments that JSON holds, each with its parameter."""
        return {
            name: parameter
            for name, parameter in self.capability.options.items()
            if name not in self.roles
            and name not in _LEFT_OUT
            and plain_kind(parameter.annotation) is not None
        }

    @property
    def lead(self) -> str:
        """Name of the first argument: the rows of the request, or ``n``."""
        return next(iter(leading_arguments(self.capability.verb)), "")

    def unavailable(self) -> str:
        """Return why the endpoint does not exist, or an empty string."""
        if why := self.method.cannot(self.capability.verb):
            return why
        odd = [role for role in self.roles.values() if role.kind not in _KINDS and not role.optional]
        return f"{odd[0].name} is of the kind {odd[0].kind}, which cannot be sent over HTTP." if odd else ""

    # --- requests

    def from_json(self, body: bytes) -> dict[str, Any]:
        """Return the arguments in a JSON body.

        Raises:
            InvalidInputError: If the body is not a JSON object, or an argument is unknown, missing, of another form
                than in the fit, or beyond the limits.
        """
        try:
            arguments = parse_json(body)
        except (ValueError, RecursionError) as error:
            reason = str(error)[:200] or type(error).__name__
            raise invalid(
                self.capability.verb, "the body must be a JSON object", reason, "Missing values are null."
            ) from error
        if not isinstance(arguments, dict):
            raise invalid(self.capability.verb, "the body must be a JSON object", type(arguments).__name__)
        return self._checked(arguments)

    def from_npy(self, body: bytes, query: Mapping[str, str]) -> dict[str, Any]:
        """Return the arguments of a .npy body, which holds the first argument, and of the query of the address.

        Args:
            body: The file.
            query: Other arguments, as JSON or plain text; ``columns`` names the columns of the array.

        Raises:
            InvalidInputError: If the body is not an array of numbers, or for what :meth:`from_json` refuses.
        """
        if self.lead not in self.roles:
            raise invalid(
                self.capability.verb, "the body must be JSON", "a .npy file", f"Send {{{self.lead!r}: ...}}."
            )
        query = dict(query)
        columns = query.pop("columns", "")
        array: Any = read_npy(body, self.capability.verb)
        arguments = {name: _value_of(text) for name, text in query.items()}
        if self.lead in arguments:
            raise invalid(self.capability.verb, f"{self.lead} must stand once", "the body and the query")
        if columns:
            array = _table(
                dict(zip(columns.split(","), array.T, strict=False)), self._name_of(self.lead), array, columns
            )
        return self._checked({**arguments, self.lead: array})

    def _checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        roles, options = self.roles, self.options
        for name in arguments:
            if name not in roles and name not in options:
                rule, remedy = "each argument must be one of this verb", nearest(name, [*roles, *options])
                raise invalid(self.capability.verb, rule, repr(name)[:80], remedy)
        present = {name: value for name, value in arguments.items() if value is not None}
        if self.lead and self.lead not in present and not self._is_optional(self.lead):
            raise invalid(self.capability.verb, f"{self.lead} is required", "none")
        values = {
            name: self._role(roles[name], value) if name in roles else self._option(name, value)
            for name, value in present.items()
        }
        self._check_size(values)
        return values

    def _is_optional(self, name: str) -> bool:
        role, option = self.roles.get(name), self.options.get(name)
        return role.optional if role is not None else option is None or option.default is not option.empty

    def _name_of(self, name: str) -> str:
        return f"{type(self.method).__name__}.{self.capability.verb}: {name}"

    def _check_size(self, values: Mapping[str, Any]) -> None:
        rows, size = self._size(values.get(self.lead))
        remedy = "Send several requests; with first_index= their answers are parts of one."
        remedy = remedy if "first_index" in self.options else ""
        if rows > self.limits.rows:
            raise invalid(
                self.capability.verb, f"a request must have at most {self.limits.rows} rows", rows, remedy
            )
        if size > self.limits.numbers:
            raise invalid(
                self.capability.verb,
                f"a request must have at most {self.limits.numbers} numbers",
                size,
                remedy,
            )

    def _size(self, lead: Any) -> tuple[int, int]:
        """Return the rows and the entries that the first argument contains or requests."""
        if isinstance(lead, int):
            shape = self.method.shapes.get(self.capability.source(self.capability.like), ())
            return lead, lead * _product(shape)
        rows = len(lead) if hasattr(lead, "__len__") else 0
        return rows, int(np.size(lead)) if isinstance(lead, np.ndarray) else rows

    # --- options

    def _option(self, name: str, value: Any) -> Any:
        parameter, caller = self.options[name], self._name_of(name)
        parts = value if isinstance(value, list) else [value]
        if len(parts) > MOST_WORK or not all(isinstance(part, bool | int | float | str) for part in parts):
            raise invalid(
                caller, "the value must be a number, a text, true, false or a short list of these", value
            )
        counts = [part for part in parts if isinstance(part, int) and name not in (*_FREE, self.lead)]
        if any(abs(part) > MOST_WORK for part in counts):
            raise invalid(caller, f"the value must be at most {MOST_WORK} over HTTP", max(counts, key=abs))
        return value if is_literal(parameter) else _of_kind(value, plain_kind(parameter.annotation), caller)

    # --- roles

    def _role(self, role: Role, value: Any) -> Any:
        caller, before = self._name_of(role.name), self.method.given.get(self.capability.source(role.name))
        if (read := _READERS.get(role.kind)) is not None:
            return read(value, caller)
        names = role.columns or (() if before is None else before.headings)
        if isinstance(value, np.ndarray) or _is_nested(value):
            _refuse_unnamed(names, caller)
            return value if isinstance(value, np.ndarray) else _numbers(value, caller, role, before)
        if not names and role.kind != "series":
            rule = "the rows must be nested lists, as the fit had no names of columns"
            raise invalid(caller, rule, f"a {type(value).__name__}")
        table = value if hasattr(value, "iloc") else _table(value, caller)
        return _with_dates(table, before, caller) if role.kind == "series" else table


def _refuse_unnamed(names: Sequence[Any], caller: str) -> None:
    """Check that a model of named columns gets names: rows in another order would look right."""
    if names:
        rule = f"the columns must be named, as those of the fit: {', '.join(map(str, names[:20]))}"
        remedy = f'Send {{"{names[0]}": [...], ...}}, or ?columns= with .npy.'
        raise invalid(caller, rule, "rows without names", remedy)


def _of_kind(value: Any, kind: Any, caller: str) -> Any:
    """Return a value of an option with one plain type, and refuse one of another type."""
    if get_origin(kind) is tuple:
        return tuple(value) if isinstance(value, list) else value
    if kind is float and type(value) is int:
        return float(value)
    if kind in _NAMES and type(value) is not kind:
        raise invalid(caller, f"the value must be {_NAMES[kind]}", repr(value)[:80])
    return value


_NAMES = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}


def _value_of(text: str) -> Any:
    """Return a value of a query: JSON where it is such, else the text."""
    try:
        return parse_json(text.encode())
    except (ValueError, RecursionError):
        return text


def _is_nested(value: Any) -> bool:
    """Return True for lists of lists or of numbers, and False for columns by name and for records."""
    return isinstance(value, list) and not (value and isinstance(value[0], dict))


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _numbers(value: list[Any], caller: str, role: Role, before: Given | None) -> np.ndarray[Any, Any]:
    """Return nested lists as an array of the precision of the fit; null is NaN where gaps are allowed."""
    dtype = np.float32 if before is None or "32" in str(before.dtype) else np.float64
    for leaf in _leaves(value):
        if leaf is None and not role.gaps:
            raise invalid(caller, "every entry must be a number", "null", "Drop rows with missing values.")
        if leaf is not None and type(leaf) not in (int, float):
            raise invalid(caller, "every entry must be a number", repr(leaf)[:80])
    return _array(value, caller, np.float64 if role.exact else dtype)


def _array(value: Any, caller: str, dtype: Any) -> np.ndarray[Any, Any]:
    try:
        with np.errstate(over="ignore"):
            array = np.asarray(value, dtype=dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise invalid(caller, "nested lists must be regular", str(error)[:200]) from error
    if np.isinf(array).any():
        raise invalid(caller, f"every entry must be within the range of {array.dtype}", "a larger one")
    return array


def _truths(value: Any, caller: str) -> np.ndarray[Any, Any]:
    if isinstance(value, np.ndarray):
        return value
    if not all(isinstance(leaf, bool) for leaf in _leaves(value)):
        raise invalid(caller, "every entry must be true or false", "another value")
    return np.asarray(value, dtype=bool)


def _tokens(value: Any, caller: str) -> Any:
    if isinstance(value, str | np.ndarray):
        return value
    kinds = {type(leaf) for leaf in _leaves(value)}
    if kinds == {str} and isinstance(value, list) and all(isinstance(part, str) for part in value):
        return value
    if kinds != {int}:
        raise invalid(caller, "the value must be a text, a list of texts, or lists of integers", value)
    return _codes(value, caller)


def _codes(value: Any, caller: str) -> np.ndarray[Any, Any]:
    try:
        return np.asarray(value, dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise invalid(caller, "lists of integers must be regular", str(error)[:200]) from error


def _condition(value: Any, caller: str) -> Any:
    """Return one value for all rows, a list with one per row, or several conditions by name."""
    if isinstance(value, dict):
        return {name: _condition(part, f"{caller}[{name!r}]") for name, part in value.items()}
    if isinstance(value, np.ndarray):
        return value
    kinds = {type(leaf) for leaf in _leaves(value)}
    if not kinds or not (kinds <= {int, float} or kinds == {str}):
        names = ", ".join(sorted(kind.__name__ for kind in kinds)) or "nothing"
        raise invalid(caller, "a condition must be numbers, or texts", names)
    if not isinstance(value, list):
        return value
    if kinds == {str}:
        return np.asarray(value)
    return _codes(value, caller) if kinds == {int} else _array(value, caller, np.float64)


def _table(value: Any, caller: str, array: Any = None, columns: str = "") -> Any:
    """Return a DataFrame of columns by name, or of records with the same keys."""
    pandas = require("pandas", by="serve")
    if array is not None and (array.ndim != 2 or array.shape[1] != len(columns.split(","))):
        raise invalid(
            caller, "columns must name each column of the array", f"{columns!r} for shape {array.shape}"
        )
    if isinstance(value, list):
        keys = {frozenset(row) if isinstance(row, dict) else frozenset() for row in value}
        if len(keys) != 1 or not next(iter(keys)):
            raise invalid(
                caller, "all records must be objects with the same keys", f"{len(keys)} different sets"
            )
        value = {name: [row[name] for row in value] for name in value[0]}
    if not isinstance(value, dict) or not value or not all(isinstance(name, str) for name in value):
        raise invalid(caller, "a table must be an object with a list per column", type(value).__name__)
    values = {name: _column(part, f"{caller}[{name!r}]") for name, part in value.items()}
    if len({len(part) for part in values.values()}) > 1:
        sizes = ", ".join(f"{name} {len(part)}" for name, part in list(values.items())[:5])
        raise invalid(caller, "all columns must have the same length", sizes)
    return pandas.DataFrame(values)


def _column(value: Any, caller: str) -> Any:
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, list):
        raise invalid(caller, "a column must be a list", type(value).__name__)
    kinds = {type(part) for part in value} - {type(None)}
    if kinds <= {int, float}:
        return _array(value, caller, np.float64)  # null is NaN; the method refuses it or fills it
    if kinds == {str} and None not in value:
        return value
    raise invalid(
        caller, "a column must contain numbers, or texts", ", ".join(sorted(k.__name__ for k in kinds))
    )


def _with_dates(table: Any, before: Given | None, caller: str) -> Any:
    """Return a table of a series with its column of texts as dates, where the clock of the fit has dates."""
    if before is None or getattr(before, "clock", STEPS) == STEPS:
        return table
    pandas = require("pandas", by="serve")
    for name in table.columns:
        if table[name].dtype.kind not in "fiub":
            try:
                table = table.set_index(pandas.DatetimeIndex(pandas.to_datetime(table[name])).rename(None))
            except (ValueError, TypeError) as error:
                raise invalid(
                    caller, f"column {name} must contain dates, as 2026-01-31", str(error)[:200]
                ) from error
            return table.drop(columns=[name])
    raise invalid(caller, "a column must contain the dates of the series", "numbers only")


_READERS = {"condition": _condition, "labels": _condition, "tokens": _tokens, "known": _truths}


def read_npy(body: bytes, caller: str) -> np.ndarray[Any, Any]:
    """Return the array of a .npy file, in the byte order of this machine; nothing is unpickled.

    Raises:
        InvalidInputError: If the file is damaged, or does not have the size of its header.
    """
    stream = BytesIO(body)
    try:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(stream)
    except (ValueError, SyntaxError, EOFError, TypeError) as error:
        raise invalid(caller, "the body must be a .npy file", str(error)[:200]) from error
    if not all(isinstance(part, int) and part >= 0 for part in shape):
        raise invalid(caller, "the body must be a .npy file", f"shape {shape}")
    if dtype.kind not in "fiub" or dtype.itemsize > 8:
        raise invalid(caller, "the array must contain numbers of at most 64 bits", str(dtype))
    available, size = len(body) - stream.tell(), dtype.itemsize * _product(shape)
    if available != size:
        raise invalid(caller, f"the file must contain the {size} bytes of its header", available)
    array = np.frombuffer(body, dtype, offset=stream.tell()).reshape(shape, order="F" if fortran else "C")
    return np.ascontiguousarray(array, dtype=dtype.newbyteorder("="))


def _product(shape: tuple[int, ...]) -> int:
    size = 1
    for part in shape:
        size *= part
    return size
