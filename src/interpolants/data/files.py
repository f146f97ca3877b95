"""Loading of users' files as tensors, with errors that name the faulty line."""

import csv
import difflib
import io
import math
import re
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interpolants.data.medical_images import read_volume
from interpolants.data.picture_pixels import COLOURS, colours_of, read_picture, told_of
from interpolants.data.picture_sets import Pictures, is_picture_folder
from interpolants.data.pictures import PICTURES
from interpolants.data.shards import is_sharded, open_shards
from interpolants.data.table_files import parquet_frame
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.extras import require
from interpolants.foundations.unpacking import check_zip, refusing_content

# Cells of a file, in lower case, that stand for a missing value.
MISSING_WORDS = frozenset({"", "nan", "na", "n/a", "null", "none", "nil", "?"})
_PICKLES = frozenset({".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt", ".bin"})
_EXACT_INT = 2**53  # float64 holds every integer up to here
# A header may state more numbers than any memory holds.
_DAMAGED = (
    ValueError, EOFError, OSError, SyntaxError, MemoryError, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
_SHOWN = 5  # rows, columns or keys listed in an error


@dataclass(frozen=True)
class FileArray:
    """Contents of a data file.

    Attributes:
        x: (N, *D), float32 where the file is no finer (and not read as exact), else float64; finite.
        columns: Names of the columns of a table; empty if the file names none.
        notes: What was changed on the way, one sentence each, for people to read.
        kept: Which of the file's rows are in ``x``, truth values; None where none was left out.
    """

    x: Tensor
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    kept: Tensor | None = None


def read_array(
    path: str | Path,
    who: str = "read_array",
    *,
    key: str | None = None,
    drop_nan: bool = False,
    gaps: bool = False,
    ndim: int | None = None,
    exact: bool = False,
) -> FileArray:
    """Read samples, one per row, from .npy, .npz, .csv, .tsv, .parquet or .safetensors; slices from NIfTI and DICOM;
    pixels from one .jpg or .png; shards from a .tar, or a folder of .npy or .tar; pictures of a folder.

    Nothing is unpickled, and nothing is rounded: numbers of single precision and integers of up to 16 bits become
    float32, everything else (text, too) float64. A one-dimensional array of N numbers is N samples in one dimension.
    Rows are numbered from 0 in messages, lines of a text file from 1.

    Args:
        path: The file; the ending says the format.
        who: Name of the caller, used in error messages.
        key: Which array of a .npz or .safetensors file that holds several; the plane of a scan's slices, axial if not
            given.
        drop_nan: Leave out rows with NaN or infinite values instead of refusing them.
        gaps: Keep NaN, and the empty cells of a text, which mean "not seen".
        ndim: Number of dimensions that ``x`` must have, rows included; None for any.
        exact: Read float64 whatever the file holds, for coordinates and other numbers that are reckoned with further.

    Returns:
        The array, column names, and notes on every conversion.

    Raises:
        InvalidInputError: If the file is missing, empty, ragged, of another format, not numeric, not
            finite, or of another number of dimensions.
        MissingExtraError: If .parquet is read without pandas.
    """
    path = Path(path)
    check_file(path, who)
    read = _reader(path, who)
    with refusing_content(who, f"{path.name} must be a whole file of its format"):
        array, columns, notes = read(path, who, key)
    where = f"{who}: {path.name}"
    array, more = _as_floats(array, where, exact=exact)
    if ndim is not None and array.ndim != ndim:
        rule = f"the array must have {ndim} dimensions"
        raise invalid(where, rule, f"shape {array.shape}", "Reshape it; the first dimension counts samples.")
    judged = np.where(np.isnan(array), 0.0, array) if gaps else array
    kept, dropped = _finite_rows(judged, where, columns, drop_nan)
    x = torch.from_numpy(array if kept is None else array[kept])
    return FileArray(x, columns, (*notes, *more, *dropped), None if kept is None else torch.from_numpy(kept))


# --- the file --------------------------------------------------------------------------------------


def check_file(path: Path, who: str) -> None:
    """Check that a path is a file with content.

    Raises:
        InvalidInputError: With the nearest name in its folder.
    """
    if path.is_dir():
        _check_folder(path, who)
    elif not path.exists():
        if not path.parent.is_dir():
            remedy = f"The folder {path.parent} does not exist."
        else:
            names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
            close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.4)
            remedy = (
                f"Did you mean {close[0]!r}?" if close else f"{path.parent} has {len(names)} other files."
            )
        raise invalid(who, "the file must exist", str(path), remedy)
    elif path.stat().st_size == 0:
        raise invalid(who, "the file must not be empty", f"0 bytes in {path}", "Check what wrote it.")


def _check_folder(path: Path, caller: str) -> None:
    if not (is_sharded(path) or is_picture_folder(path)):
        rule = "the path must be a file, or a folder of pictures or shards"
        remedy = "Name a file inside it." if any(path.iterdir()) else "It is empty."
        raise invalid(caller, rule, f"the folder {path}", remedy)


def _reader(path: Path, who: str) -> "Callable[[Path, str, str | None], _Read]":
    ending = path.suffix.lower()
    if path.is_dir():
        return _read_shards if is_sharded(path) else _read_pictures
    if ending in _READERS:
        return _READERS[ending]
    if ending in _PICKLES:
        remedy = "Save the tensor with numpy.save(path, x.numpy()) or safetensors.torch.save_file instead."
        raise invalid(who, "the file must not be a pickle, which can run code", path.name, remedy)
    known = ", ".join(sorted(_READERS))
    raise invalid(who, f"the file must end in one of {known}", path.name, "Convert it, e.g. to .npy or .csv.")


_Read = tuple[NDArray[Any], tuple[str, ...], tuple[str, ...]]


def _read_npy(path: Path, who: str, key: str | None) -> _Read:
    check_zip(who, path)
    with path.open("rb") as file:
        loaded = _numpy_load(file, path, who)
        if isinstance(loaded, np.ndarray):
            return loaded, (), ()
        with loaded:  # an archive, whatever its ending says
            name = _choose(loaded.files, key, path, who)
            rule = f"{path.name}[{name!r}] must be plain numbers"
            remedy = "Save x.astype('float32') with numpy.savez."
            try:
                array = loaded[name]
            except _DAMAGED as error:
                raise invalid(who, rule, "objects or damaged bytes", remedy) from error
            if not isinstance(array, np.ndarray):
                raise invalid(who, rule, "a file that is no array", remedy)
            return array, (), ()


def _numpy_load(file: IO[bytes], path: Path, who: str) -> Any:
    try:
        return np.load(file, allow_pickle=False)
    except _DAMAGED as error:
        if "Object arrays" in str(error) or "pickled" in str(error):
            rule = f"{path.name} must be a NumPy file of plain numbers"
            remedy = "Save x.astype('float32') with numpy.save."
            raise invalid(who, rule, "objects or a pickle", remedy) from error
        rule = f"{path.name} must be a whole NumPy file"
        raise invalid(who, rule, f"a damaged one ({error})", "Save it again with numpy.save.") from error


def _choose(names: Sequence[str], key: str | None, path: Path, who: str) -> str:
    if key is not None:
        if key not in names:
            raise invalid(who, f"key must be an array of {path.name}", key, nearest(key, names))
        return key
    if len(names) != 1:
        rule = f"{path.name} must contain one array, or key must name one"
        raise invalid(who, rule, f"{len(names)} arrays", f"Known: {', '.join(sorted(names)[: 2 * _SHOWN])}.")
    return names[0]


def _read_safetensors(path: Path, who: str, key: str | None) -> _Read:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(path.read_bytes())
    except SafetensorError as error:
        rule = f"{path.name} must be a whole safetensors file"
        raise invalid(who, rule, f"a damaged one ({error})") from error
    tensor = tensors[_choose(list(tensors), key, path, who)]
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    return tensor.numpy(), (), ()


def _read_parquet(path: Path, who: str, key: str | None) -> _Read:
    require("pandas", by=f"{who} for .parquet")
    try:
        frame = parquet_frame(who, path)
    except ImportError as error:
        raise invalid(
            who,
            "reading .parquet needs an engine",
            "none",
            "Install it with: pip install 'interpolants[files]'",
        ) from error
    columns = tuple(str(column) for column in frame.columns)
    for column in frame.columns:
        kind = getattr(frame[column].dtype, "kind", "O")
        if kind not in "fiub":
            got = f"column {column!r} of type {frame[column].dtype}"
            raise invalid(f"{who}: {path.name}", "columns must be numeric", got, "Drop it or encode it.")
    return np.array(frame.to_numpy(dtype=np.float64, na_value=np.nan)), columns, ()  # pandas gives a view


# --- text ------------------------------------------------------------------------------------------


def _read_text(path: Path, who: str, key: str | None) -> _Read:
    where = f"{who}: {path.name}"
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        got = f"byte {error.start} that is not"
        raise invalid(where, "the file must be UTF-8 text", got, "Save it as UTF-8.") from error
    lines, rows = cells(text, _delimiter(path, text), where)
    if not rows:
        raise invalid(where, "the file must have at least one row", "none")
    names: tuple[str, ...] = ()
    if _is_header(rows):
        names, rows, lines = tuple(rows[0]), rows[1:], lines[1:]
        if not rows:
            raise invalid(where, "the file must have at least one row below its header", "none")
    width = len(names) or len(rows[0])
    for line, row in zip(lines, rows, strict=True):
        if len(row) != width:
            rule = f"every line must have {width} cells, as the first one"
            raise invalid(where, rule, f"{len(row)} in line {line}", "Check the delimiter and the quotes.")
    array = _numbers(rows, lines, names, where)
    return _without_index(array, names)


# First line by which a file names its delimiter, as Excel does.
_SEP = re.compile(r"\Asep=([,;\t])\r?\n")


def _delimiter(path: Path, text: str) -> str:
    if named := _SEP.match(text):
        return named[1]
    if path.suffix.lower() == ".tsv":
        return "\t"
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    first = re.sub(r'"[^"]*"', "", first)
    for mark in "\t;":  # with decimal commas there are as many of them as cells
        if mark in first and all(_number(cell.replace(",", ".")) is not None for cell in first.split(mark)):
            return mark
    return max(",;\t", key=first.count) if any(mark in first for mark in ",;\t") else ","


def cells(text: str, delimiter: str, where: str) -> tuple[list[int], list[list[str]]]:
    """Rows of a text in cells, with the numbers of their lines, without comments and blank lines.

    In a text of one column, a blank line between two rows is a missing value: without it, the rows below would move up
    and pair with the wrong rows of another file. So is a quoted empty cell anywhere.

    Raises:
        InvalidInputError: If the text is not in cells.
    """
    written = io.StringIO(_SEP.sub("\n", text), newline="").readlines()
    reader = csv.reader(written, delimiter=delimiter, skipinitialspace=True)
    lines: list[int] = []
    rows: list[list[str]] = []
    blank = []
    try:
        for row in reader:
            if not row or (row == [""] and not written[reader.line_num - 1].strip()):
                blank.append((len(rows), reader.line_num))
            elif not row[0].startswith("#"):
                lines.append(reader.line_num)
                rows.append([cell.strip() for cell in row])
    except csv.Error as error:
        raise invalid(where, "the file must be text in cells", f"line {reader.line_num}: {error}") from error
    if all(len(row) == 1 for row in rows):
        for index, line in reversed([b for b in blank if 0 < b[0] < len(rows)]):
            lines.insert(index, line)
            rows.insert(index, [""])
        return lines, rows
    filled = [k for k, row in enumerate(rows) if row != [""]]
    return [lines[k] for k in filled], [rows[k] for k in filled]


def _number(cell: str) -> float | None:
    """The cell as a number, NaN where it says that none is there, None where it is something else."""
    cell = cell.strip()
    if cell.lower() in MISSING_WORDS:
        return math.nan
    try:
        return float(cell) if "_" not in cell else None
    except ValueError:
        return None


def _is_header(rows: list[list[str]]) -> bool:
    """Whether the first row holds names: a cell that is no number above one that is, or no number at all."""
    words = [i for i, cell in enumerate(rows[0]) if _number(cell) is None]
    if not words:
        return False
    below = rows[1] if len(rows) > 1 else []
    return len(words) == len(rows[0]) or all(i < len(below) and _number(below[i]) is not None for i in words)


def _numbers(rows: list[list[str]], lines: list[int], names: tuple[str, ...], where: str) -> NDArray[Any]:
    try:  # the usual file, in one pass; float() would take 1_000
        if not any("_" in cell for row in rows for cell in row):
            return np.array([[float(cell) for cell in row] for row in rows])
    except ValueError:
        pass
    array = np.empty((len(rows), len(rows[0])))
    for r, (line, row) in enumerate(zip(lines, rows, strict=True)):
        for c, cell in enumerate(row):
            value = _number(cell)
            if value is None:
                column = repr(names[c]) if names else f"number {c + 1}"
                remedy = "Encode or remove the column."
                if _number(cell.replace(".", "").replace(",", ".")) is not None:  # 1,5 or 1.234,5
                    remedy = "Write decimals with a point."
                raise invalid(
                    where, f"column {column} must be numeric", f"{cell!r} in row {r} (line {line})", remedy
                )
            array[r, c] = value
    return array


def _without_index(array: NDArray[Any], names: tuple[str, ...]) -> _Read:
    """Drop the row numbers that pandas writes as a first column without a name."""
    unnamed = len(names) > 1 and names[0].lower() in ("", "unnamed: 0")
    if unnamed and np.array_equal(array[:, 0], np.arange(len(array))):
        return array[:, 1:], names[1:], ("The first column, unnamed row numbers, was left out.",)
    return array, names, ()


# --- the numbers -----------------------------------------------------------------------------------


def _as_floats(array: NDArray[Any], where: str, *, exact: bool) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The numbers as float32 where that rounds none of them away, else as float64."""
    _check_numeric(array, where)
    notes = []
    if array.ndim == 1:
        array = array[:, None]
        notes.append("One-dimensional: taken as samples of one number.")
    if array.dtype.kind in "iub":
        notes.append(_integer_note(array, where))
    single = not exact and np.can_cast(array.dtype, np.float32)
    return np.ascontiguousarray(array, dtype=np.float32 if single else np.float64), tuple(notes)


def _check_numeric(array: NDArray[Any], where: str) -> None:
    kind = array.dtype.kind
    if kind not in "fiub":
        remedies = {
            "c": "Stack its real and imaginary parts.",
            "V": "Save the fields as columns of one array.",
            "M": "Convert times to numbers first.",
        }
        remedy = remedies.get(kind, "Encode it as numbers first.")
        raise invalid(where, "the array must be numeric", f"type {array.dtype}", remedy)
    if array.ndim == 0:
        raise invalid(where, "the array must have a dimension of samples", "a single number")
    if array.size == 0:
        raise invalid(where, "the array must not be empty", f"shape {array.shape}")


def _integer_note(array: NDArray[Any], where: str) -> str:
    if array.dtype.kind == "b":
        return "Booleans were taken as 0 and 1."
    largest = max(abs(int(array.min())), abs(int(array.max())))
    if largest > _EXACT_INT:
        remedy = "Subtract an offset, or leave identifiers out."
        raise invalid(where, f"integers must be at most {_EXACT_INT} for float64", largest, remedy)
    if array.dtype == np.uint8:
        return "uint8 levels 0 .. 255 were kept as floats; without added noise they have no density."
    return "Integers were taken as floats; if they are labels, pass them as a condition instead."


def _finite_rows(
    array: NDArray[Any], where: str, columns: tuple[str, ...], drop: bool
) -> tuple[NDArray[np.bool_] | None, tuple[str, ...]]:
    """Rows to keep, None for all, and a message about the rows left out."""
    finite = np.isfinite(array.reshape(len(array), -1))
    kept: NDArray[np.bool_] = np.asarray(finite.all(axis=1))
    bad = ~finite
    rows = np.flatnonzero(~kept)
    if not len(rows):
        return None, ()
    shown = ", ".join(map(str, rows[:_SHOWN])) + (", ..." if len(rows) > _SHOWN else "")
    count = f"{len(rows)} of {len(array)} rows with NaN or infinite values (row {shown})"
    if columns:
        touched = [columns[i] for i in np.flatnonzero(bad.any(0))]
        count += f" in {', '.join(touched[:_SHOWN])}" + (", ..." if len(touched) > _SHOWN else "")
    if not drop:
        raise invalid(
            where,
            "values must be finite",
            count,
            "Correct these rows, or leave them out with drop_nan = true.",
        )
    if len(rows) == len(array):
        raise invalid(where, "at least one row must be finite", count)
    return kept, (f"Dropped {count}.",)


def _read_scan(path: Path, who: str, key: str | None) -> _Read:
    """Slices of a NIfTI or DICOM file, ``(N, 1, H, W)``; the key names the plane."""
    plane = key or "axial"
    slices = read_volume(path).slices(plane)[:, None]
    span = f"{slices.min():g} to {slices.max():g}"
    return (
        slices,
        (),
        (f"{plane.capitalize()} slices in the radiological view, intensities as stored, {span}.",),
    )


def _read_pixels(path: Path, caller: str, key: str | None) -> _Read:
    """Pixels of one picture, row by row from the upper left."""
    picture = read_picture(path, caller)
    note = f"{told_of(path, picture)}, red, green and blue in [0, 1]."
    return colours_of(picture.levels).reshape(-1, len(COLOURS)), COLOURS, (note, *picture.notes)


def _read_pictures(path: Path, caller: str, key: str | None) -> _Read:
    pictures = Pictures(path)
    return np.asarray(pictures), (), pictures.notes


def _read_shards(path: Path, who: str, key: str | None) -> _Read:
    whole = open_shards(path, who)
    return np.asarray(whole), (), ()


_READERS: dict[str, Callable[[Path, str, str | None], _Read]] = {
    ".npy": _read_npy,
    ".npz": _read_npy,
    ".csv": _read_text,
    ".tsv": _read_text,
    ".parquet": _read_parquet,
    ".safetensors": _read_safetensors,
    ".nii": _read_scan,
    ".gz": _read_scan,
    ".dcm": _read_scan,
    ".tar": _read_shards,
    **dict.fromkeys(PICTURES, _read_pixels),
}
