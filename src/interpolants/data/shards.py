"""Rows in many files: a folder of .npy arrays, or tar archives with one array or picture per sample (WebDataset).

The files of a folder are called alike but for a number, by which they follow each other, and the samples of an archive
follow as they lie in it. Any row is read by itself, without unpacking: an archive that is not compressed has each
member in one piece.
"""

import io
import math
import re
import tarfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.tell import FileWarning, tell
from interpolants.foundations.unpacking import check_unpacked, refusing_content

_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
# With fewer digits x0.npy and x1.npy, two data sets, would be taken for one.
_NUMBER = re.compile(r"\d{2,}")


class Shard(Protocol):
    """Rows of one file."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n, *D)``."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers."""
        ...

    def rows(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """Some rows, ``(k, *D)``."""
        ...


class ShardedArray:
    """The rows of several files as one array that is read when it is asked for.

    Attributes:
        shape: ``(N, *D)``.
        dtype: Type of the numbers.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = shards
        self._ends = np.cumsum([shard.shape[0] for shard in shards])
        self.shape = (int(self._ends[-1]), *shards[0].shape[1:])
        self.dtype = shards[0].dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions, that of rows included."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Memory that all rows would take."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | NDArray[Any]) -> NDArray[Any]:
        wanted = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else np.asarray(rows)
        wanted = (
            np.flatnonzero(wanted)
            if wanted.dtype == bool
            else np.where(wanted < 0, len(self) + wanted, wanted)
        )
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"rows must be below {len(self)}")
        found = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        homes = np.searchsorted(self._ends, wanted, side="right")
        for home in np.unique(homes):
            here = homes == home
            first = self._ends[home] - self._shards[home].shape[0]
            found[here] = self._shards[home].rows(wanted[here] - first)
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)


def is_sharded(path: Path) -> bool:
    """Whether a path is an archive of samples, or a folder that holds numbered shards."""
    if path.is_dir():
        found = [*_files(path, ".npy"), *_files(path, ".tar")]
        return path.suffix != ".zarr" and any(_NUMBER.search(file.stem) for file in found)
    return path.suffix == ".tar"


def open_shards(path: Path, who: str) -> ShardedArray:
    """The rows of an archive, or of all shards of a folder.

    Args:
        path: A .tar, or a folder with files .npy of rows, or with files .tar of samples, such as part-00.npy.
        who: Name of the caller, used in error messages.

    Returns:
        The rows; pictures have the shape (C, H, W) and values from 0 to 1, in float32.

    Raises:
        InvalidInputError: If shards differ in the shape or type of their rows, or in more than a number of their names;
            a file is damaged, a folder holds both kinds, or a sample is no single array or picture.
        MissingExtraError: If there are pictures, and Pillow is not installed.
    """
    found = [path] if path.is_file() else [*_files(path, ".npy"), *_files(path, ".tar")]
    endings = {file.suffix for file in found}
    if len(endings) > 1:
        raise invalid(
            who,
            f"the folder {path.name} must contain only .npy files or only .tar files",
            "both",
            "Keep one of them.",
        )
    if path.is_dir():
        _check_names(found, path, who)
    shards: list[Shard] = [
        _npy(file, who) if file.suffix == ".npy" else _archive(file, who) for file in found
    ]
    first = shards[0]
    for shard in shards[1:]:
        if (shard.shape[1:], shard.dtype) != (first.shape[1:], first.dtype):
            rule = f"all shards must have rows of shape {first.shape[1:]} and type {first.dtype}, as {first.path.name}"
            raise invalid(who, rule, f"{shard.shape[1:]} and {shard.dtype} in {shard.path.name}")
    return ShardedArray(shards)


def _files(folder: Path, ending: str) -> list[Path]:
    """In the order of their numbers, which need not be padded with zeros."""
    found = (file for file in folder.iterdir() if file.suffix == ending and not file.name.startswith("."))
    return sorted(found, key=lambda file: ([int(n) for n in _NUMBER.findall(file.stem)], file.name))


def _check_names(found: list[Path], path: Path, who: str) -> None:
    """What is called otherwise may be other data, such as labels, or rows for a test; a number left out, lost rows."""
    patterns = [_NUMBER.sub("*", file.stem) for file in found]
    for pattern, file in zip(patterns, found, strict=True):
        numbered = next(one for one in patterns if "*" in one)
        if pattern != numbered:
            rule = f"files of {path.name} must be called alike but for a number of two digits or more"
            raise invalid(
                who, rule, f"{file.name} beside {numbered}{file.suffix}", "Move other data elsewhere."
            )
    numbers = [[int(n) for n in _NUMBER.findall(file.stem)] for file in found]
    for before, after, file in zip(numbers, numbers[1:], found[1:], strict=False):
        if before[:-1] == after[:-1] and after[-1] > before[-1] + 1:
            told = f"{who}: the shards of {path.name} go from {before[-1]} to {after[-1]} ({file.name})"
            tell(FileWarning, f"{told}; a file may be missing")
            return


# --- arrays of rows ------------------------------------------------------------------------------------------


@dataclass
class _Array:
    path: Path
    whole: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.whole.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.whole.dtype

    def rows(self, index: NDArray[np.int64]) -> NDArray[Any]:
        return np.asarray(self.whole[index])


def mapped_npy(path: Path, who: str) -> NDArray[Any]:
    """The array of a .npy file, memory-mapped.

    Raises:
        InvalidInputError: If the file is damaged, or holds objects.
    """
    rule = f"{path.name} must be a whole NumPy file of plain numbers"
    with refusing_content(who, rule, "Save x.astype('float32') with numpy.save."):
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


def _npy(path: Path, who: str) -> _Array:
    whole = mapped_npy(path, who)
    if not isinstance(whole, np.ndarray) or not whole.ndim or not len(whole):
        raise invalid(who, f"{path.name} must contain an array of rows", f"shape {np.shape(whole)}")
    return _Array(path, whole)


# --- archives ------------------------------------------------------------------------------------------------


@dataclass
class _Samples:
    """Arrays of one form, each in one piece of the archive."""

    path: Path
    starts: NDArray[np.int64]
    form: tuple[int, ...]
    dtype: np.dtype[Any]

    def __post_init__(self) -> None:
        self.shape = (len(self.starts), *self.form)
        self._bytes = np.memmap(self.path, np.uint8, mode="r")

    def rows(self, index: NDArray[np.int64]) -> NDArray[Any]:
        size = math.prod(self.form) * self.dtype.itemsize
        parts = [self._bytes[at : at + size].tobytes() for at in self.starts[index]]
        return np.frombuffer(b"".join(parts), self.dtype).reshape(len(index), *self.form)


@dataclass
class _Pictures:
    """Pictures of one size, unpacked when they are asked for."""

    path: Path
    spans: list[tuple[int, int]]
    form: tuple[int, ...]
    mode: str

    dtype = np.dtype(np.float32)

    def __post_init__(self) -> None:
        self.shape = (len(self.spans), *self.form)
        self._bytes = np.memmap(self.path, np.uint8, mode="r")

    def rows(self, index: NDArray[np.int64]) -> NDArray[Any]:
        return np.stack([self._picture(*self.spans[k]) for k in index.tolist()])

    def _picture(self, at: int, size: int) -> NDArray[Any]:
        pillow = require("PIL.Image", by="pictures in a tar")
        with (
            refusing_content("pictures in a tar", f"pictures of {self.path.name} must be whole"),
            pillow.open(io.BytesIO(self._bytes[at : at + size].tobytes())) as image,
        ):
            values = np.asarray(image.convert(self.mode), np.float32) / np.float32(255)
        return values.reshape(*self.form[1:], self.form[0]).transpose(2, 0, 1)


def _archive(path: Path, who: str) -> _Samples | _Pictures:
    rule = f"{path.name} must be a whole tar archive without compression"
    with refusing_content(who, rule), tarfile.open(path, "r:") as archive:
        members = [member for member in archive if member.isfile()]
    if members and members[-1].offset_data + members[-1].size > path.stat().st_size:
        raise invalid(who, f"{path.name} must be whole", f"its last file, {members[-1].name}, is cut off")
    kinds = {kind: _of_kind(members, kind) for kind in (".npy", *_PICTURES)}
    arrays, pictures = kinds.pop(".npy"), [one for many in kinds.values() for one in many]
    if bool(arrays) == bool(pictures):
        rule = f"samples of {path.name} must be arrays (.npy) or pictures ({', '.join(_PICTURES)})"
        raise invalid(who, rule, "both" if arrays else "none of them")
    found = arrays or sorted(pictures, key=lambda member: member.offset)
    _check_single(found, path, who)
    return _read_arrays(found, path, who) if arrays else _read_pictures(found, path, who)


def _of_kind(members: list[tarfile.TarInfo], ending: str) -> list[tarfile.TarInfo]:
    return [member for member in members if member.name.lower().endswith(ending)]


def _check_single(members: list[tarfile.TarInfo], path: Path, who: str) -> None:
    """One member per sample: what is called ``key.x.npy`` and ``key.y.npy`` belongs to one sample."""
    parts = {Path(member.name).name.partition(".")[2] for member in members}
    if len(parts) > 1:
        rule = f"each sample of {path.name} must have one array or picture, under one ending"
        remedy = "Write an archive for each, with equal keys in one order."
        raise invalid(who, rule, ", ".join(sorted(parts)[:5]), remedy)


def _read_arrays(members: list[tarfile.TarInfo], path: Path, who: str) -> _Samples:
    starts, forms = [], []
    with path.open("rb") as file:
        for member in members:
            file.seek(member.offset_data)
            with refusing_content(who, f"{member.name} of {path.name} must be plain numbers"):
                form = _header(file)
            starts.append(file.tell())
            stated = math.prod(form[0]) * form[1].itemsize
            if starts[-1] + stated > member.offset_data + member.size:
                got = f"{stated} bytes of numbers stated in {member.size}"
                raise invalid(who, f"{member.name} of {path.name} must be whole", got)
            forms.append(form)
            if form != forms[0]:
                rule = f"arrays of {path.name} must have shape {forms[0][0]} and type {forms[0][1]}"
                raise invalid(who, rule, f"{form[0]} and {form[1]} in {member.name}")
    return _Samples(path, np.array(starts, np.int64), *forms[0])


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the array that a file goes on with, which is left at its numbers."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read(file)
    if dtype.hasobject or (by_columns and len(shape) > 1):
        raise ValueError("objects are not read, nor arrays in Fortran's order")
    return shape, dtype


def _read_pictures(members: list[tarfile.TarInfo], path: Path, who: str) -> _Pictures:
    pillow = require("PIL.Image", by=f"{who} for pictures in a tar")
    spans, sizes = [(member.offset_data, member.size) for member in members], []
    whole = np.memmap(path, np.uint8, mode="r")
    for (at, size), member in zip(spans, members, strict=True):
        with (
            refusing_content(who, f"{member.name} of {path.name} must be a whole picture"),
            _large_ones_allowed(),
            pillow.open(io.BytesIO(whole[at : at + size].tobytes())) as image,
        ):
            sizes.append((image.size, "L" if image.mode in ("L", "1") else "RGB"))
        check_unpacked(who, f"{member.name} of {path.name}", size, 3 * math.prod(sizes[-1][0]))
        if sizes[-1] != sizes[0]:
            rule = f"pictures of {path.name} must have {sizes[0][0][0]} x {sizes[0][0][1]} pixels in {sizes[0][1]}"
            got = f"{sizes[-1][0][0]} x {sizes[-1][0][1]} in {sizes[-1][1]}, {member.name}"
            raise invalid(who, rule, got, "Scale or crop them before they are packed.")
    (width, height), mode = sizes[0]
    return _Pictures(path, spans, (1 if mode == "L" else 3, height, width), mode)


@contextmanager
def _large_ones_allowed() -> Iterator[None]:
    """Without Pillow's warning of large pictures: their size is judged by that of the file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Image size", category=Warning)
        yield
