"""Rows of users' files with their labels, and files to write that never replace another by accident."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from torch import Tensor

from interpolants.data.files import FileArray, read_array
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.extras import require
from interpolants.foundations.storage import replacing
from interpolants.runs.first_rows import warn_of_first_rows

Array = npt.NDArray[Any]
WRITES = (".npz", ".npy", ".csv", ".parquet", ".safetensors")


@dataclass(frozen=True)
class Table:
    """Contents of a file: finite rows, labels, what was changed on the way, which rows were kept, names of columns."""

    x: Tensor
    labels: Tensor | None = None
    notes: tuple[str, ...] = ()
    kept: Tensor | None = None
    columns: tuple[str, ...] = ()


def read_texts(path: str, who: str) -> list[str]:
    """Texts from a file, one a line.

    Raises:
        InvalidInputError: If the file is not there, or is no text.
    """
    try:
        return Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise invalid(who, "the file must be a text in UTF-8", path, str(error)) from error


def read_table(
    path: str,
    who: str,
    *,
    key: str | None = None,
    columns: Sequence[str] | None = None,
    order: Sequence[str] = (),
    labels: str | None = None,
    limit: int | None = None,
    minimum: int = 1,
    drop_nan: bool = False,
    gaps: bool = False,
    exact: bool = False,
) -> Table:
    """Read samples, and labels beside them, from a file.

    Args:
        path: An npy, npz, csv, tsv, parquet or safetensors file.
        who: The key of the settings that named it, for messages.
        key: Name of the array in an npz or safetensors file.
        columns: Columns of a table to use; all but the labels by default.
        order: The same, for a file that may have no header: then its columns are taken as they come.
        labels: Column, or name of the array, with labels 0, 1, 2, ...
        limit: Keep at most this many rows, the first.
        minimum: Fewest rows that will do.
        drop_nan: Leave out rows with gaps instead of refusing them.
        gaps: Keep gaps as NaN.
        exact: Read float64 rather than float32.

    Raises:
        InvalidInputError: If the file is missing or of another kind, is not one row of finite numbers per
            sample, or lacks a column or array.
    """
    found = read_array(path, who, key=key, drop_nan=drop_nan, gaps=gaps, exact=exact)
    where = f"{who}: {Path(path).name}"
    if found.columns:
        x, codes, names = _choose(found, where, columns or list(order) or None, labels)
    else:
        if columns is not None:
            raise invalid(where, "columns can be chosen in a table with a header only", list(columns))
        if labels is not None and Path(path).suffix.lower() not in (".npz", ".safetensors"):
            raise invalid(where, "labels can be chosen where columns or arrays have names only", repr(labels))
        x, names = found.x, []
        codes = (
            None
            if labels is None
            else beside(whole_numbers(where, read_array(path, who, key=labels).x), found.kept)
        )
    if codes is not None and len(codes) != len(x):
        raise invalid(where, f"labels must have {len(x)} entries, one per row", len(codes))
    if len(x) < minimum:
        raise invalid(
            where, f"the file must have at least {minimum} samples, one per row", f"shape {tuple(x.shape)}"
        )
    if limit is not None and limit < minimum:
        raise invalid(where, f"limit must be at least {minimum} samples", limit)
    warn_of_first_rows(where, x, limit, None if codes is None else codes.tolist(), names)
    notes = tuple(f"{Path(path).name}: {note}" for note in found.notes)
    return Table(x[:limit], None if codes is None else codes[:limit], notes, found.kept, tuple(names))


def beside(values: Tensor, kept: Tensor | None) -> Tensor:
    """Per-row values for the rows of a file that were kept; unchanged if they belong to other rows."""
    return values if kept is None or len(values) != len(kept) else values[kept]


def labels_if_whole(x: Tensor) -> Tensor:
    """Conditions from a file: labels ``(N,)`` int64 where there is one whole number >= 0 per row, else as they are."""
    single = x.is_floating_point() and x.shape[1:] == (1,)
    whole = single and bool(((x == x.round()) & (x >= 0) & (x < 1 << 24)).all())
    return x[:, 0].long() if whole else x


def whole_numbers(where: str, values: Tensor) -> Tensor:
    """Labels ``(N,)`` int64 from ``(N, 1)`` numbers.

    Raises:
        InvalidInputError: If there is more than one per row, or one is not a whole number >= 0.
    """
    flat = values.reshape(len(values), -1)
    if flat.shape[1] != 1 or not bool(((flat == flat.round()) & (flat >= 0) & (flat < 1 << 24)).all()):
        got = (
            f"shape {tuple(values.shape)}"
            if flat.shape[1] != 1
            else f"values from {flat.min():g} to {flat.max():g}"
        )
        raise invalid(
            where, "labels must be whole numbers >= 0, one per row", got, "Number the classes 0, 1, 2, ..."
        )
    return flat[:, 0].long()


def _choose(
    found: FileArray, where: str, columns: Sequence[str] | None, labels: str | None
) -> tuple[Tensor, Tensor | None, list[str]]:
    names = list(found.columns)
    for name in [*(columns or ()), *([labels] if labels else ())]:
        if name not in names:
            raise invalid(where, "the column must be in the table", repr(name), nearest(name, names))
    wanted = list(columns) if columns is not None else [name for name in names if name != labels]
    if not wanted:
        raise invalid(
            where, "a column of samples must be left beside the labels", f"columns {', '.join(names)}"
        )
    x = found.x[:, [names.index(name) for name in wanted]]
    if labels is None:
        return x, None, wanted
    return x, whole_numbers(f"{where}: column {labels!r}", found.x[:, [names.index(labels)]]), wanted


def write_table(
    path: str | Path, arrays: Mapping[str, Array], *, columns: Sequence[str] = (), force: bool = False
) -> Path:
    """Write arrays with one row per sample as npz, safetensors, npy (the first only), csv or parquet.

    Args:
        path: The file; an existing one is refused.
        arrays: Name -> array, the main one first.
        columns: Names of the columns of the first array, for a table.
        force: Replace an existing file.

    Raises:
        InvalidInputError: If the file exists or its ending is unknown.
        MissingExtraError: If parquet is written without pandas.
        StorageError: If the disk refuses; nothing is left then.
    """
    target = Path(path)
    check_free(target, force=force)
    with replacing(target) as temporary:
        _write_arrays(temporary, target.suffix.lower(), arrays, columns)
    return target


def _write_arrays(file: Path, kind: str, arrays: Mapping[str, Array], columns: Sequence[str]) -> None:
    if kind == ".csv":
        file.write_text(_csv_text(arrays, columns), encoding="utf-8")
    elif kind == ".parquet":
        _write_parquet(file, arrays, columns)
    elif kind == ".safetensors":  # written by Python: an error of the disk is then an OSError
        file.write_bytes(safetensors.numpy.save({k: np.ascontiguousarray(v) for k, v in arrays.items()}))
    else:
        _write_numpy(file, kind, arrays)


def _write_numpy(file: Path, kind: str, arrays: Mapping[str, Array]) -> None:
    for name, values in arrays.items():
        if values.dtype.hasobject:  # numpy would pickle them
            raise invalid("write", f"{name} must be of plain numbers or texts", f"dtype {values.dtype}")
    with file.open("wb") as stream:
        if kind == ".npy":
            np.save(stream, next(iter(arrays.values())))
        else:
            np.savez(stream, **dict[str, Any](arrays))


def check_free(target: Path, *, force: bool = False, endings: Sequence[str] = WRITES) -> None:
    """Refuse a file that exists or has an ending that cannot be written; asked before any work is done."""
    if target.suffix.lower() not in endings:
        rule = f"the file to write must end in {', '.join(endings)}"
        raise invalid(str(target), rule, repr(target.suffix))
    if os.path.lexists(target) and not force:
        raise invalid(
            str(target),
            "the file to write must not exist",
            "an existing file",
            "Choose another name or --force.",
        )


def _write_parquet(file: Path, arrays: Mapping[str, Array], columns: Sequence[str]) -> None:
    """A table with the columns of the csv file, each in its own precision."""
    pandas = require("pandas", by="write for .parquet")
    names, parts = _columns(arrays, columns)
    named = [pandas.DataFrame(part, columns=own) for part, own in zip(parts, names, strict=True)]
    table = pandas.concat(named, axis=1)
    try:
        table.to_parquet(file, index=False)
    except ImportError as error:
        remedy = "Install it with: pip install pyarrow"
        raise invalid("write", "writing .parquet needs an engine", "none", remedy) from error


def _columns(arrays: Mapping[str, Array], columns: Sequence[str]) -> tuple[list[list[str]], list[Array]]:
    """Names by array, ``x_0, x_1, ...`` for a matrix and its name alone for a vector; and the arrays as matrices."""
    names: list[list[str]] = []
    flat = [values.reshape(len(values), -1) for values in arrays.values()]
    for (name, values), part in zip(arrays.items(), flat, strict=True):
        known = list(columns) if not names and values.ndim > 1 and len(columns) == part.shape[1] else []
        names.append(known or ([name] if values.ndim == 1 else [f"{name}_{i}" for i in range(part.shape[1])]))
    return names, flat


def _csv_text(arrays: Mapping[str, Array], columns: Sequence[str]) -> str:
    """Columns with their names; digits keep floats exact."""
    names, flat = _columns(arrays, columns)
    parts: list[list[list[str]]] = []
    for part in flat:
        digits = {"float32": ".9g", "float64": ".17g"}.get(part.dtype.name, "")
        parts.append([[format(v, digits) for v in row] for row in part.tolist()])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([name for own in names for name in own])
    writer.writerows([cell for part in row for cell in part] for row in zip(*parts, strict=True))
    return text.getvalue()
