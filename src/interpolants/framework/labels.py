"""Kinds of roles for conditions of rows: labels as strings or integers, and conditions of any kind."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.data.arrays import Kind as Given
from interpolants.data.arrays import is_table
from interpolants.foundations.errors import InvalidInputError, invalid, nearest
from interpolants.foundations.tell import AssumptionWarning, tell
from interpolants.framework.far_values import spread_of, warn_if_unlike
from interpolants.framework.role import Reading, Role

# Labels as numbers are refused where there are so many times fewer of them, and so many would have an entry.
_SPARSE, _FEW = 4, 10_000
# Rows from which a name for every row is told, labels from which numbers are hardly names, and rows of each of these.
_SOME, _MEASURE, _MEASURE_ROWS = 10, 30, 20
# Different labels that have a column each beside other conditions.
_MOST_BESIDE = 256


class Labels:
    """Names of groups or classes, one per row: codes ``(N,)`` int64; the names are kept in ``Given.columns``.

    Attributes:
        has_rows: True.
        takes_words: Whether a value may be a word, or a file with one in each row.
    """

    has_rows = True
    takes_words = True

    def read(self, value: Any, role: Role, reading: Reading) -> tuple[Tensor, Given]:
        """Read integers, strings or categories; integers >= 0 are their own codes."""
        array = _plain_array(value, role, reading)
        if array.ndim != 1:
            raise invalid(reading.who, f"{role.name} must be one label per row, (N,)", array.shape)
        if array.dtype.kind in "iub":
            return _own_codes(array, role, reading), Given("labels", "int64")
        if array.dtype.kind == "f":
            remedy = "Convert them on purpose: x.astype(int)."
            raise invalid(
                reading.who, f"{role.name} must be labels, integers or strings", str(array.dtype), remedy
            )
        _check_whole_names(array, role, reading)
        return _named_codes(array.astype(str), role, reading)


def _plain_array(value: Any, role: Role, reading: Reading) -> np.ndarray[Any, Any]:
    plain = (
        value.detach().cpu().numpy()
        if isinstance(value, Tensor)
        else getattr(value, "to_numpy", lambda: value)()
    )
    try:
        return np.asarray(plain)
    except ValueError as error:
        raise invalid(reading.who, f"{role.name} must be one label per row", str(error)) from error


def _own_codes(array: np.ndarray[Any, Any], role: Role, reading: Reading) -> Tensor:
    if array.size and int(array.min()) < 0:
        raise invalid(
            reading.who, f"{role.name} as numbers must be >= 0", int(array.min()), "Number the groups from 0."
        )
    return torch.from_numpy(array.astype(np.int64))


def counted(codes: Tensor, given: Given, role: Role, reading: Reading) -> Given:
    """Labels that are their own codes: a network has an entry for each up to the highest, so they must be dense."""
    highest, seen = int(codes.max()), set(codes.tolist())
    different = len(seen)
    if highest >= max(_SPARSE * different, _FEW):
        rule = f"{role.name} as numbers must be labels 0, 1, 2, ..., with few left out"
        remedy = "Number them: np.unique(labels, return_inverse=True)[1]. What measures is passed as floats."
        raise invalid(reading.who, rule, f"{different} different ones up to {highest}", remedy)
    absent = tuple(label for label in range(highest + 1) if label not in seen)
    return replace(given, columns=tuple(range(highest + 1)), absent=absent)


def _warn_of_own_names(codes: Tensor, given: Given, role: Role, reading: Reading) -> None:
    """Warn of names that differ in every row, such as names of persons or files."""
    if len(codes) >= _SOME and len(given.columns) == len(codes):
        words = f"{role.name} has a different name in each of {len(codes)} rows, and each is read as a label"
        remedy = "Nothing is learnt that other rows share: omit it, or pass numbers that describe the rows"
        tell(AssumptionWarning, f"{reading.who}: {words}. {remedy}.")


def _warn_of_many_labels(codes: Tensor, role: Role, reading: Reading) -> None:
    """Warn of integers with few rows for each of many values, such as ages."""
    different = len(torch.unique(codes))
    if different >= _MEASURE and len(codes) < _MEASURE_ROWS * different:
        words = f"{role.name} holds integers, {different} different ones in {len(codes)} rows"
        rule = "integers in an array or a Series are labels without an order, and numbers in a table"
        remedy = "Pass floats for a measure, such as an age: x.astype('float64')"
        tell(AssumptionWarning, f"{reading.who}: {words}; {rule}. {remedy}.")


def _check_whole_names(array: np.ndarray[Any, Any], role: Role, reading: Reading) -> None:
    """Raise an error for missing names, which would become groups called nan or None."""
    missing = [
        i for i, name in enumerate(array.tolist()) if name is None or str(name) == "<NA>" or name != name
    ]
    if missing:
        shown = f"{len(missing)} missing (row {missing[0]})"
        raise invalid(reading.who, f"{role.name} must have a label in every row", shown, "Drop these rows.")


def _named_codes(names: np.ndarray[Any, Any], role: Role, reading: Reading) -> tuple[Tensor, Given]:
    known = sorted(set(names.tolist())) if reading.before is None else list(reading.before.columns)
    absent = () if reading.before is None else reading.before.absent
    codes = {str(name): code for code, name in enumerate(known)}  # the label 1, which a file has as text
    codes |= {name: code for code, name in enumerate(known)}
    for name in names.tolist():
        if name not in codes:
            rule = f"{role.name} must be labels of the fit"
            raise invalid(
                reading.who, rule, repr(name), nearest(name, [str(n) for n in known if n not in absent])
            )
    coded = torch.tensor([codes[name] for name in names.tolist()], dtype=torch.long)
    return coded, Given("labels", "int64", columns=tuple(known))


class Conditions:
    """Condition of each row: labels ``(N,)``, vectors ``(N, C)`` or fields ``(N, C, *D)``."""

    has_rows = True
    takes_words = True

    def read(self, value: Any, role: Role, reading: Reading) -> tuple[Tensor, Given]:
        """Read a condition: integers and names as labels, floats as vectors or fields; one value may hold for all rows.

        A dict of these, or a table, becomes one vector or field, with a column for each name of labels. Columns of
        tables are identified by name, and their integers are numbers, such as an age.

        Warns:
            AssumptionWarning: If each of at least 10 rows has a different name, or integers outside of a table
                have 30 different values or more with fewer than 20 rows for each.
        """
        if repeated := _repeated(value):
            raise invalid(reading.who, f"columns of {role.name} must have different names", repr(repeated))
        _check_no_dates(value, role, reading)
        if (parts := _parts(value)) is not None and (reading.before is None or reading.before.forms):
            return _joined(self, parts, role, reading)
        if isinstance(value, Mapping):
            raise _not_single(parts or {}, role, reading)
        if reading.before is not None and any(form[1] == "labels" for form in reading.before.forms):
            return _checked_whole(value, role, reading), reading.before
        named = is_named(value)
        if reading.before is not None:
            return self._asked(value, role, reading, named=named)
        if named:
            codes, given = Labels().read(value, role, reading)
            _warn_of_own_names(codes, given, role, reading)
            return codes, given if given.columns else counted(codes, given, role, reading)
        tensor = _numbers(value, role, reading)
        if tensor.ndim < 1:
            raise invalid(
                reading.who, f"{role.name} must have one row per row of the data", "a single number"
            )
        if not tensor.is_floating_point():
            codes, given = Labels().read(tensor, role, reading)
            _warn_of_many_labels(codes, role, reading)
            return codes, counted(codes, given, role, reading)
        tensor = tensor[:, None] if tensor.ndim == 1 else tensor
        shape = tuple(map(int, tensor.shape[1:]))
        return tensor, Given("condition", str(tensor.dtype), columns=shape, spread=spread_of(tensor))

    def _asked(self, value: Any, role: Role, reading: Reading, *, named: bool) -> tuple[Tensor, Given]:
        given = reading.before
        assert given is not None
        if given.container == "labels":
            return _asked_labels(value, role, reading, given, named=named), given
        wanted = (reading.rows or 1, *given.columns)
        tensor = _numbers(value, role, reading).to(given.torch_dtype)
        if tensor.shape == wanted[:1] and wanted[1:] == (1,):
            tensor = tensor[:, None]
        elif tuple(tensor.shape) == (1, *wanted[1:]) or (tensor.ndim < len(wanted) and _fits(tensor, wanted)):
            tensor = tensor.expand(wanted)
        if tuple(tensor.shape) != wanted:
            raise invalid(reading.who, f"{role.name} must have shape {wanted}", tuple(tensor.shape))
        if given.spread:
            warn_if_unlike(reading.who, role.name, tensor, given.spread)
        return tensor.contiguous(), given


# --- several conditions at once


def _parts(value: Any) -> dict[str, Any] | None:
    """Conditions by name, of a dict, or of a table; None for a single condition."""
    if isinstance(value, Mapping):
        return {str(name): part for name, part in value.items()}
    if is_table(value):
        # What tables count is measured, such as an age: words alone are labels.
        columns = {name: value[name] for name in value.columns}
        return {
            str(n): part if is_named(part) else part.to_numpy(dtype="float64", na_value=np.nan)
            for n, part in columns.items()
        }
    return None


def _check_no_dates(value: Any, role: Role, reading: Reading) -> None:
    """Check that no column is a date or duration, whose ticks would be read as numbers."""
    columns = {str(name): value[name] for name in value.columns} if is_table(value) else {"": value}
    for name, column in columns.items():
        dtype = getattr(column, "dtype", None)
        if getattr(dtype, "kind", "") in ("m", "M"):
            received = f"column {name!r} of type {dtype}" if name else f"type {dtype}"
            remedy = "Pass what matters of a date as a number, e.g. table['date'].dt.dayofyear, or fit TableBridge."
            raise invalid(reading.who, f"{role.name} must be numbers or labels", received, remedy)


def _repeated(value: Any) -> str:
    """A name that two columns of a table have, or nothing."""
    names = [str(name) for name in getattr(value, "columns", ())]
    return next((name for name in names if names.count(name) > 1), "")


def _joined(kind: Conditions, parts: Mapping[str, Any], role: Role, reading: Reading) -> tuple[Tensor, Given]:
    """Vectors, fields and labels as one vector or field per row, ``(N, C)`` or ``(N, C, *D)``."""
    forms = None if reading.before is None else {form[0]: form for form in reading.before.forms}
    if forms is not None and set(forms) != set(parts):
        rule = f"{role.name} must be what it was in the fit, a dict of {', '.join(forms)}"
        raise invalid(reading.who, rule, f"a dict of {', '.join(parts)}")
    if not parts:
        raise invalid(reading.who, f"{role.name} must contain a condition", "an empty dict")
    found: list[Tensor] = []
    told: list[tuple[Any, ...]] = []
    for name in forms or parts:
        before = None if forms is None else _given_of(forms[name])
        own = replace(role, name=f"{role.name}[{name!r}]")
        tensor, given = kind.read(parts[name], own, replace(reading, before=before))
        columns = tuple(given.columns)
        told.append((name, given.container, str(given.dtype), columns, given.absent, given.spread))
        found.append(_columns_of(tensor, given, own, reading))
    _check_sizes(parts, found, role, reading)
    whole = _in_one(found, role, reading)
    if reading.before is not None:
        return whole.to(reading.before.torch_dtype), reading.before
    shape = tuple(map(int, whole.shape[1:]))
    return whole, Given("condition", str(whole.dtype), columns=shape, forms=tuple(told))


def _not_single(parts: Mapping[str, Any], role: Role, reading: Reading) -> InvalidInputError:
    rule = f"{role.name} must be what it was in the fit, a single condition"
    return invalid(reading.who, rule, f"a dict of {', '.join(parts)}")


def _given_of(form: tuple[Any, ...]) -> Given:
    _, container, dtype, columns, *told = form
    absent, spread = told or ((), ())  # files of older versions do not have them
    return Given(container, dtype, columns=tuple(columns), absent=tuple(absent), spread=tuple(spread))


def _columns_of(tensor: Tensor, given: Given, role: Role, reading: Reading) -> Tensor:
    """Labels as one column of zeros and ones for each name; vectors and fields unchanged."""
    if given.container != "labels":
        return tensor
    if len(given.columns) > _MOST_BESIDE:
        rule = f"{role.name} must be at most {_MOST_BESIDE} different labels next to other conditions"
        raise invalid(reading.who, rule, len(given.columns), "Pass vectors that describe them.")
    if bool((tensor < 0).any()):
        rule = f"{role.name} must be a label of the fit"
        raise invalid(reading.who, rule, -1, f"To omit all conditions, omit {role.name}.")
    return torch.nn.functional.one_hot(tensor, len(given.columns)).to(torch.float32)


def _check_sizes(parts: Mapping[str, Any], found: list[Tensor], role: Role, reading: Reading) -> None:
    sizes = {name: len(tensor) for name, tensor in zip(parts, found, strict=True)}
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise invalid(reading.who, f"the conditions in {role.name} must have as many rows", shown)


def _in_one(found: list[Tensor], role: Role, reading: Reading) -> Tensor:
    """Concatenate conditions; next to a field, numbers of the row are constant channels."""
    spaces = {tuple(tensor.shape[2:]) for tensor in found if tensor.ndim > 2}
    if len(spaces) > 1:
        raise invalid(
            reading.who,
            f"fields in {role.name} must have the same shape after their channels",
            sorted(spaces),
        )
    space = next(iter(spaces), ())
    wide = [
        t if t.ndim > 2 else t.reshape(*t.shape, *[1] * len(space)).expand(*t.shape, *space) for t in found
    ]
    dtype = torch.float64 if any(tensor.dtype == torch.float64 for tensor in found) else torch.float32
    return torch.cat([tensor.to(dtype) for tensor in wide], 1)


def _checked_whole(value: Any, role: Role, reading: Reading) -> Tensor:
    """A joined condition, which is passed on unchanged."""
    assert reading.before is not None
    wanted = (reading.rows or 1, *reading.before.columns)
    if not isinstance(value, Tensor) or tuple(value.shape) != wanted or not value.is_floating_point():
        names = ", ".join(form[0] for form in reading.before.forms)
        rule = f"{role.name} must be a dict of {names}, as in the fit"
        raise invalid(reading.who, rule, type(value).__name__)
    return value.to(reading.before.torch_dtype)


def column_names(given: Given) -> list[str]:
    """Names of the columns of a role as networks see it: a joined condition has some for each of its parts.

    Args:
        given: How the role came to the fit.
    """
    if given.container != "condition":
        return [str(name) for name in given.columns]
    found: list[str] = []
    for name, container, _, columns, *_ in given.forms:
        if container == "labels":
            found += [f"{name} = {label}" for label in columns]
        else:
            width = columns[0] if columns else 1
            found += [name] if width == 1 else [f"{name}[{k}]" for k in range(width)]
    return found


# --- one condition


def _asked_labels(value: Any, role: Role, reading: Reading, given: Given, *, named: bool) -> Tensor:
    rows = reading.rows or 1
    if named:
        codes, _ = Labels().read(np.atleast_1d(_plain_array(value, role, reading)), role, reading)
    else:
        codes = _codes_of(_numbers(value, role, reading).reshape(-1), role, reading, given)
    labels = [code for code in range(len(given.columns)) if code not in given.absent]
    if unknown := set(codes.tolist()).difference(labels, [-1]):  # -1 is "no label", for guidance
        rule = f"{role.name} must be labels of the fit, {listed_labels(labels)}"
        raise invalid(reading.who, rule, max(unknown))
    codes = codes.expand(rows) if len(codes) == 1 else codes
    if len(codes) != rows:
        raise invalid(reading.who, f"{role.name} must be one label, or {rows}", len(codes))
    return codes.contiguous()


def listed_labels(labels: Sequence[int]) -> str:
    """Text of ascending integer labels: ``1 to 3``, or ``0, 2`` with gaps."""
    if len(labels) == labels[-1] - labels[0] + 1:
        return f"{labels[0]} to {labels[-1]}"
    text = ", ".join(map(str, labels[:_SOME]))
    return text if len(labels) <= _SOME else f"{text}, ... {labels[-1]}"


def _codes_of(numbers: Tensor, role: Role, reading: Reading, given: Given) -> Tensor:
    """Codes of labels requested by number: matched by name if the names are numbers, as in categories."""
    words = [name for name in given.columns if isinstance(name, str)]
    named = {
        number: code for code, name in enumerate(given.columns) if (number := _number_in(name)) is not None
    }
    if not named:  # numbers count the words
        return _whole_numbers(numbers, role, reading)
    if len(named) < len(words):
        rule = f"{role.name} must be words, as in the fit: {', '.join(words)}"
        raise invalid(
            reading.who, rule, "numbers", "Some of them read as numbers, and 1 could be two labels."
        )
    for number in numbers.tolist():
        if number not in named and number != -1:
            rule = f"{role.name} must be labels of the fit, {', '.join(map(str, given.columns))}"
            raise invalid(reading.who, rule, number)
    return torch.tensor([named.get(number, -1) for number in numbers.tolist()], dtype=torch.long)


def _number_in(name: object) -> float | None:
    """The number that a word reads as."""
    try:
        return float(name) if isinstance(name, str) else None
    except ValueError:
        return None


def _whole_numbers(tensor: Tensor, role: Role, reading: Reading) -> Tensor:
    whole = tensor.long()
    if not torch.equal(whole.to(tensor.dtype), tensor):
        shown = str(tensor.flatten()[:4].tolist())
        raise invalid(reading.who, f"{role.name} must be labels, integers", shown)
    return whole


def is_named(value: Any) -> bool:
    """Whether a value holds words rather than numbers."""
    if isinstance(value, str):
        return True
    if isinstance(value, list | tuple):
        return bool(value) and isinstance(value[0], str)
    dtype = getattr(value, "dtype", None)
    return getattr(dtype, "kind", "none") in "OUS" or str(dtype) in ("category", "string", "str")


def _numbers(value: Any, role: Role, reading: Reading) -> Tensor:
    """A copy of real, finite numbers as a tensor of float or int64."""
    plain = _without_na(getattr(value, "to_numpy", lambda: value)())
    try:
        # NumPy's copy has positive strides and may be written to, as PyTorch requires.
        tensor = plain.detach().clone() if isinstance(plain, Tensor) else torch.as_tensor(np.array(plain))
    except (TypeError, ValueError, RuntimeError) as error:
        raise invalid(
            reading.who, f"{role.name} must be numbers", type(value).__name__, str(error)
        ) from error
    if tensor.is_complex():
        remedy = "Stack real and imaginary parts."
        raise invalid(reading.who, f"{role.name} must be real", str(tensor.dtype), remedy)
    return _finite(tensor, role, reading) if tensor.is_floating_point() else tensor.long()


def _finite(tensor: Tensor, role: Role, reading: Reading) -> Tensor:
    """Numbers without NaN and infinity; rows that have some are counted."""
    rows = tensor[None] if tensor.ndim == 0 else tensor
    whole = torch.isfinite(rows).flatten(1).all(1) if rows.ndim > 1 else torch.isfinite(rows)
    if not bool(whole.all()):
        off = (~whole).nonzero().flatten()
        got = f"NaN or infinite values in {len(off)} of {len(whole)} rows (row {int(off[0])})"
        raise invalid(reading.who, f"{role.name} must be finite", got, "Drop these rows, or fill the values.")
    return tensor


def _without_na(plain: Any) -> Any:
    """Numbers with ``pandas.NA`` or None among them as float64 with NaN, which is refused by its row."""
    if not isinstance(plain, np.ndarray) or plain.dtype.kind != "O":
        return plain
    gaps = np.array([one is None or str(one) == "<NA>" for one in plain.flat]).reshape(plain.shape)
    return np.where(gaps, np.nan, plain).astype(np.float64) if gaps.any() else plain


def _fits(tensor: Tensor, wanted: tuple[int, ...]) -> bool:
    """Whether one condition can stand for all: one number is not a vector of several."""
    if len(wanted) == 2 and tuple(tensor.shape[-1:]) != wanted[1:]:
        return wanted[1] == 1 and tensor.numel() == 1
    return all(size in (1, full) for size, full in zip(tensor.shape[::-1], wanted[::-1], strict=False))
