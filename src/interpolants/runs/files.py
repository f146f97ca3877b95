"""Arrays in users' files: read without running code, checked row by row, and written without overwriting."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.extras import require

Array = npt.NDArray[Any]
READS = (".npy", ".npz", ".csv", ".tsv", ".parquet", ".safetensors")
WRITES = (".npz", ".npy", ".csv", ".safetensors")


@dataclass(frozen=True)
class Table:
    """What a file held.

    Attributes:
        x: Numbers, one sample per row, ``(N, *D)``, all finite.
        labels: Integer labels ``(N,)`` if some were asked for.
        columns: Names of the columns of a table.
        left_out: Columns that were passed over because they hold text.
    """

    x: Array
    labels: Array | None = None
    columns: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def read_table(
    path: str | Path,
    *,
    key: str | None = None,
    columns: Sequence[str] | None = None,
    labels: str | None = None,
    limit: int | None = None,
    minimum: int = 1,
) -> Table:
    """Read samples from an npy, npz, csv, tsv, parquet or safetensors file.

    Args:
        path: The file.
        key: Name of the array in an npz or safetensors file.
        columns: Columns of a table to use; by default all that hold numbers.
        labels: Column, or name of the array, with integer labels.
        limit: Read at most this many rows.
        minimum: Fewest rows that will do.

    Raises:
        InvalidInputError: If the file is missing or of another kind, or its numbers are not one row per sample,
            all finite. The message names the file and the row.
        MissingExtraError: If a parquet file is given and pandas is not installed.
    """
    file = _existing(Path(path))
    kind = file.suffix.lower()
    if kind in (".csv", ".tsv", ".parquet"):
        if key is not None:
            raise invalid(str(file), "key must be left out for a table", repr(key), "Choose columns instead.")
        found = _from_columns(file, _columns(file), columns, labels)
    else:
        if columns is not None:
            raise invalid(str(file), "columns must be left out for an array", list(columns))
        found = _from_arrays(file, _arrays(file), key, labels)
    x, codes = found.x[:limit], None if found.labels is None else found.labels[:limit]
    return Table(_checked(file, x, minimum), codes, found.columns, found.left_out)


def write_table(path: str | Path, arrays: Mapping[str, Array], *, force: bool = False) -> Path:
    """Write arrays with one row per sample as npz, safetensors, npy (the first only) or csv.

    Args:
        path: The file; an existing one is refused.
        arrays: Name -> array, the main one first.
        force: Replace an existing file.

    Raises:
        InvalidInputError: If the file exists or its ending is unknown.
    """
    target = Path(path)
    check_free(target, force=force)
    temporary = target.with_name(f".{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    kind = target.suffix.lower()
    if kind == ".csv":
        temporary.write_text(_csv_text(arrays), encoding="utf-8")
    elif kind == ".safetensors":
        safetensors.numpy.save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, temporary)
    else:
        with temporary.open("wb") as stream:
            if kind == ".npy":
                np.save(stream, next(iter(arrays.values())))
            else:
                np.savez(stream, allow_pickle=False, **arrays)
    temporary.replace(target)
    return target


def check_free(target: Path, *, force: bool = False) -> None:
    """Refuse a file that exists or has an ending that cannot be written; asked before any work is done."""
    if target.suffix.lower() not in WRITES:
        rule = f"the file to write must end in {', '.join(WRITES)}"
        raise invalid(str(target), rule, repr(target.suffix))
    if target.exists() and not force:
        raise invalid(
            str(target),
            "the file to write must not exist",
            "an existing file",
            "Choose another name or --force.",
        )


# --- reading ---------------------------------------------------------------------------------------------


def _existing(file: Path) -> Path:
    if file.suffix.lower() not in READS:
        rule = f"a data file must end in {', '.join(READS)}"
        raise invalid(str(file), rule, repr(file.suffix), "Pickles are not read: they can run code.")
    if file.is_file():
        return file
    folder = file.parent
    near = [str(folder / f.name) for f in folder.iterdir() if f.suffix in READS] if folder.is_dir() else []
    remedy = nearest(str(file), near) if near else f"There is no data file in {folder}."
    raise invalid("data", "the file must exist", str(file), remedy)


def _arrays(file: Path) -> dict[str, Array]:
    """Named arrays of a file; the only one of an npy file is called ``x``."""
    try:
        if file.suffix.lower() == ".safetensors":
            return dict(safetensors.numpy.load_file(file))
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"x": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, OSError, KeyError, TypeError, SafetensorError, SyntaxError) as error:
        what = " ".join(str(error).split())[:160]
        remedy = "Arrays of Python objects are not read."
        raise invalid(
            str(file), f"must be a whole {file.suffix[1:]} file of numbers", what, remedy
        ) from error
    except Exception as error:
        # A damaged zip may raise zipfile.BadZipFile, zlib.error or struct.error, depending on where it is cut.
        if type(error).__module__.partition(".")[0] not in ("zipfile", "zlib", "struct"):
            raise
        raise invalid(str(file), f"must be a whole {file.suffix[1:]} file", str(error)[:160]) from error


def _from_arrays(file: Path, arrays: dict[str, Array], key: str | None, labels: str | None) -> Table:
    known = [name for name in arrays if name != labels]
    if key is None and len(known) > 1 and "x" in known:
        key = "x"
    if key is None and len(known) != 1:
        raise invalid(
            str(file), "must hold one array, or key must choose one", f"arrays {', '.join(known) or 'none'}"
        )
    chosen = key if key is not None else known[0]
    for name in (chosen, labels):
        if name is not None and name not in arrays:
            raise invalid(str(file), "the array must be in the file", repr(name), nearest(name, arrays))
    codes = None if labels is None else whole_numbers(f"{file}: {labels}", arrays[labels])
    if codes is not None and len(codes) != len(arrays[chosen]):
        raise invalid(
            f"{file}: {labels}", f"there must be {len(arrays[chosen])} labels, one per row", len(codes)
        )
    return Table(arrays[chosen], codes)


def _columns(file: Path) -> dict[str, list[Any]]:
    if file.suffix.lower() == ".parquet":
        pandas = require("pandas", by=f"Reading {file.name}")
        try:
            frame = pandas.read_parquet(file)
        except ImportError as error:
            what = "no parquet reader"
            raise invalid(
                str(file), "pyarrow must be installed", what, "Install it with: pip install pyarrow"
            ) from error
        except (ValueError, OSError) as error:
            raise invalid(str(file), "must be a parquet file", str(error)[:160]) from error
        return {str(name): frame[name].tolist() for name in frame.columns}
    return _csv_columns(file)


def _csv_columns(file: Path) -> dict[str, list[Any]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=_delimiter(file, text)) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise invalid(str(file), "must be a table in UTF-8", str(error)[:160]) from error
    if not rows:
        raise invalid(str(file), "must hold rows", "an empty file")
    header = any(_number(cell) is None for cell in rows[0])
    width = len(rows[0])
    for number, row in enumerate(rows, start=1):
        if len(row) != width:
            raise invalid(
                str(file), f"every row must have {width} values like the first", f"{len(row)} in row {number}"
            )
    titles = [cell.strip() for cell in rows[0]] if header else [f"column {i + 1}" for i in range(width)]
    if len(set(titles)) != width:
        raise invalid(str(file), "columns must have different names", f"{', '.join(titles)[:120]}")
    return {title: [row[i] for row in rows[header:]] for i, title in enumerate(titles)}


def _delimiter(file: Path, text: str) -> str:
    if file.suffix.lower() == ".tsv":
        return "\t"
    first = text.partition("\n")[0]
    return ";" if ";" in first and "," not in first else ","


def _number(cell: Any) -> float | None:
    """A cell as a number; an empty one is NaN, text is None."""
    if isinstance(cell, str) and not cell.strip():
        return math.nan
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None


def _from_columns(
    file: Path, table: dict[str, list[Any]], columns: Sequence[str] | None, labels: str | None
) -> Table:
    for name in [*(columns or ()), *([labels] if labels else ())]:
        if name not in table:
            raise invalid(str(file), "the column must be in the table", repr(name), nearest(name, table))
    wanted = list(columns) if columns is not None else [name for name in table if name != labels]
    numbers, left_out = {}, []
    for name in wanted:
        values = [_number(cell) for cell in table[name]]
        texts = [row for row, value in enumerate(values) if value is None]
        if texts and columns is None and len(texts) == len(values):
            left_out.append(name)
        elif texts:
            got = f"{str(table[name][texts[0]])[:40]!r} in data row {texts[0] + 1}"
            raise invalid(str(file), f"column {name!r} must hold numbers", got)
        else:
            numbers[name] = values
    if not numbers:
        raise invalid(str(file), "must have a column of numbers", f"columns {', '.join(table)}"[:160])
    x = np.array(list(numbers.values()), dtype=np.float64).T
    codes = (
        None if labels is None else whole_numbers(f"{file}: column {labels!r}", _to_numbers(table[labels]))
    )
    return Table(x, codes, tuple(numbers), tuple(left_out))


def _to_numbers(cells: list[Any]) -> Array:
    values = [_number(cell) for cell in cells]
    return np.array([math.nan if value is None else value for value in values])


def whole_numbers(who: str, values: Array) -> Array:
    """Labels as int64: one whole number >= 0 per row.

    Raises:
        InvalidInputError: If there is anything else.
    """
    flat = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
    good = flat.shape[1] == 1 and flat.dtype.kind in "iufb"
    if good:
        flat = flat[:, 0].astype(np.float64)
        good = bool(np.isfinite(flat).all() and (flat == np.round(flat)).all() and (flat >= 0).all())
    if not good:
        remedy = "Number the classes 0, 1, 2, ..."
        raise invalid(who, "labels must be whole numbers >= 0, one per row", _shown(values), remedy)
    return flat.astype(np.int64)


def _shown(values: Array) -> str:
    return f"{values.dtype} of shape {values.shape}"


def _checked(file: Path, x: Array, minimum: int) -> Array:
    """Rows of finite real numbers, float32 as networks want them; one number per row becomes a column."""
    if x.dtype.kind not in "iufb":
        raise invalid(str(file), "samples must be real numbers", f"an array of {x.dtype}")
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim == 0 or x[:1].size == 0 or len(x) < minimum:
        rule = f"there must be at least {minimum} samples, one per row of an array (N, ...)"
        raise invalid(str(file), rule, f"shape {x.shape}")
    with np.errstate(over="ignore"):
        values = x.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(1))
    if len(bad):
        got = f"NaN, infinity or a gap in {len(bad)} of {len(x)} rows, first in row {bad[0] + 1}"
        raise invalid(str(file), "all numbers must be finite", got, "Drop these rows or fill them in.")
    return values


# --- writing ---------------------------------------------------------------------------------------------


def _csv_text(arrays: Mapping[str, Array]) -> str:
    """Columns ``x_0, x_1, ...`` for a matrix, its name alone for a vector; 9 digits keep float32 exact."""
    names, parts = [], []
    for name, values in arrays.items():
        flat = values.reshape(len(values), -1)
        names += [name] if values.ndim == 1 else [f"{name}_{i}" for i in range(flat.shape[1])]
        parts.append(
            [[f"{v:.9g}" if flat.dtype.kind == "f" else str(v) for v in row] for row in flat.tolist()]
        )
    lines = [",".join(cell for part in row for cell in part) for row in zip(*parts, strict=True)]
    return "\n".join([",".join(names), *lines]) + "\n"
