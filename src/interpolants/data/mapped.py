"""Rows on disk that are read as they are needed: memory-mapped arrays, and .npy, Zarr, Parquet and shards by path.

Zarr and Parquet keep rows compressed in pieces, of which random rows cannot be read one by one. They are unpacked once,
piece by piece, into a temporary file (in ``TMPDIR``) that is mapped in their place and gone with the fit.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interpolants.data.arrays import Kind
from interpolants.data.picture_sets import Pictures, as_pictures
from interpolants.data.shards import ShardedArray, is_sharded, mapped_npy, open_shards
from interpolants.data.unpacked_rows import unpacked_rows
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.row_access import LazyRows, pieces
from interpolants.foundations.unpacking import check_unpacked, refusing_content, size_on_disk

# What is smaller is read at once.
SMALL = 16 * 2**20
_ENDINGS = (".npy", ".zarr", ".parquet")


@dataclass(frozen=True)
class OnDisk:
    """An array on disk, and how answers about its rows come back.

    Attributes:
        array: ``(N, *D)``, memory-mapped, in shards or in picture files.
        columns: Names of the columns of a table.
    """

    array: NDArray[Any] | ShardedArray | Pictures
    columns: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        """A table comes back as one, all else as NumPy arrays."""
        flat = self.array.ndim == 1
        if self.columns:
            return Kind("pandas", self.array.dtype, columns=self.columns)
        return Kind("numpy", self.array.dtype.newbyteorder("="), flat=flat)


def on_disk(value: Any, who: str, name: str) -> OnDisk | None:
    """What lies on disk: a memory-mapped array, a Zarr array, pictures, or the path of a .npy, .zarr, .parquet, .tar or
    a folder of shards or pictures; else None.

    Args:
        value: Anything.
        who: Name of the caller, used in error messages.
        name: Name of the argument, used in error messages.

    Raises:
        InvalidInputError: If a path leads to nothing, to another format, or to no numbers.
        MissingExtraError: If Zarr, pyarrow or Pillow is needed and not installed.
    """
    if isinstance(value, np.memmap):
        return OnDisk(value)
    if (pictures := as_pictures(value)) is not None:
        return OnDisk(pictures)
    if type(value).__module__.partition(".")[0] == "zarr":
        return _unpacked_zarr(value, who, name)
    if not isinstance(value, str | Path):
        return None
    path = Path(value)
    if path.exists() and is_sharded(path):
        return OnDisk(open_shards(path, f"{who}: {name}"))
    if path.suffix not in (*_ENDINGS, ".tar"):
        rule = (
            f"a path given as {name} must end in {', '.join(_ENDINGS)}, .tar, "
            "or be a folder of .npy, .tar or pictures"
        )
        raise invalid(who, rule, str(path), "Other files: read_array(path).x, or the command line.")
    if not path.exists():
        raise invalid(who, f"the file given as {name} must exist", str(path))
    return {".npy": _mapped_npy, ".zarr": _opened_zarr, ".parquet": _unpacked_parquet}[path.suffix](
        path, who, name
    )


def mapped_rows(found: OnDisk, who: str, name: str) -> LazyRows | None:
    """Rows of an array on disk as they are asked for, once seen to be finite; None for what is read at once.

    Raises:
        InvalidInputError: If rows are not finite.
    """
    array = found.array
    if isinstance(array, Pictures):
        return array.rows() if array.variation or array.nbytes > SMALL else None
    if array.dtype.kind != "f" or array.nbytes <= SMALL or array.ndim == 0 or array.dtype.itemsize > 8:
        return None
    shape = torch.Size(array.shape if array.ndim > 1 else (len(array), 1))
    native = array.dtype.newbyteorder("=")

    def read(rows: Any) -> Tensor:
        index = rows if isinstance(rows, slice) else rows.cpu().numpy()
        part = np.array(array[index], dtype=native, order="C")
        return torch.as_tensor(part.reshape(-1, *shape[1:]))

    lazy = LazyRows(read, shape, read(slice(0, 1)).dtype)
    _check_finite(lazy, who, name)
    return lazy


def _check_finite(rows: LazyRows, who: str, name: str) -> None:
    at = 0
    for piece in pieces(rows):
        finite = torch.isfinite(piece).flatten(1).all(1)
        if not bool(finite.all()):
            row = at + int((~finite).nonzero()[0])
            rule, got = f"{name} must be finite", f"NaN or infinite values, first in row {row}"
            raise invalid(who, rule, got, "Drop or repair these rows.")
        at += len(piece)


# --- formats -------------------------------------------------------------------------------------------------


def _mapped_npy(path: Path, who: str, name: str) -> OnDisk:
    return OnDisk(mapped_npy(path, who))


def _opened_zarr(path: Path, who: str, name: str) -> OnDisk:
    zarr = require("zarr", by=f"{who} for .zarr")
    with refusing_content(who, f"{path.name} must be a Zarr array"):
        array = zarr.open(str(path), mode="r")
        if hasattr(array, "nbytes"):  # a value that fills it takes no bytes of the file
            check_unpacked(who, path.name, size_on_disk(path), array.nbytes)
        return _unpacked_zarr(array, who, name)


def _unpacked_zarr(array: Any, who: str, name: str) -> OnDisk:
    if not hasattr(array, "dtype") or not hasattr(array, "chunks"):
        remedy = "Pass one array of the group, group['name']."
        raise invalid(who, f"{name} must be a Zarr array", type(array).__name__, remedy)
    shape, step = tuple(array.shape), max(1, array.chunks[0] if array.chunks else 1)
    parts = (np.asarray(array[start : start + step]) for start in range(0, shape[0] if shape else 0, step))
    return OnDisk(_checked_rows(parts, shape, np.dtype(array.dtype), who, name))


def _unpacked_parquet(path: Path, who: str, name: str) -> OnDisk:
    parquet = require("pyarrow.parquet", by=f"{who} for .parquet")
    rule = f"{path.name} must be a whole Parquet file"
    with refusing_content(who, rule), parquet.ParquetFile(str(path), memory_map=True) as file:
        numbers = 8 * file.metadata.num_rows * file.metadata.num_columns
        check_unpacked(who, path.name, path.stat().st_size, numbers)
        return _unpacked_columns(file, path, who, name)


def _unpacked_columns(file: Any, path: Path, who: str, name: str) -> OnDisk:
    fields = [field for field in file.schema_arrow if not str(field.name).startswith("__index_level_")]
    types = [_numeric(field, path, who) for field in fields]
    single = all(dtype in (np.float16, np.float32) for dtype in types)
    dtype, names = np.dtype(np.float32 if single else np.float64), [str(field.name) for field in fields]

    def parts() -> Iterator[NDArray[Any]]:
        for batch in file.iter_batches(batch_size=2**14, columns=names):
            columns = [batch.column(k).to_numpy(zero_copy_only=False) for k in range(len(names))]
            yield np.stack([np.asarray(column, dtype=dtype) for column in columns], 1)

    shape = (file.metadata.num_rows, len(names))
    return OnDisk(_checked_rows(parts(), shape, dtype, who, name), tuple(names))


def _numeric(field: Any, path: Path, who: str) -> np.dtype[Any]:
    dtype: np.dtype[Any]
    try:
        dtype = np.dtype(field.type.to_pandas_dtype())
    except (NotImplementedError, TypeError):
        dtype = np.dtype(object)
    if dtype.kind not in "fiub":
        got = f"column {field.name!r} of type {field.type}"
        raise invalid(f"{who}: {path.name}", "columns must be numeric", got, "Drop it or encode it.")
    return dtype


def _checked_rows(
    parts: Iterator[NDArray[Any]], shape: tuple[int, ...], dtype: np.dtype[Any], who: str, name: str
) -> NDArray[Any]:
    if not math.prod(shape) or not shape:
        raise invalid(who, f"{name} must not be empty", f"shape {shape}")
    if dtype.kind not in "fiub":
        raise invalid(who, f"{name} must be numeric", f"type {dtype}", "Convert it to numbers.")
    return unpacked_rows(parts, shape, dtype)
