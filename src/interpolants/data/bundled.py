"""Data sets inside installed packages: located, verified by hash, split by a fixed seed."""

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interpolants.foundations.checks import one_of
from interpolants.foundations.equal_rows import copies
from interpolants.foundations.errors import MissingExtraError, invalid
from interpolants.foundations.extras import require

Split: TypeAlias = Literal["train", "test", "all"]

_SPLIT_SEED = 20231127
_TEST_EVERY = 5  # one row in five is held out
_DPKG_STATUS = Path("/var/lib/dpkg/status")


@dataclass(frozen=True)
class DataInfo:
    """Origin of a data set.

    Attributes:
        name: Name for ``load``.
        shape: Shape of ``x``, rows first.
        split: Which rows these are.
        source: Package and version that the bytes were read from, or the path of a file of the user's own.
        licence: Licence of the data as its package states it; empty for a file of the user's own.
        sha256: File name -> SHA-256 of the bytes that were read; empty for a file of the user's own.
        columns: Names of the columns of ``x``; empty for images.
        classes: Names of the labels 0, 1, ...; empty where labels are no classes.
        scaling: What was done to the stored numbers.
        symbols: What the tokens 0, 1, ... stand for; empty where ``x`` are no tokens.
        start: Time of the first row of a series; empty where rows have no times.
        frequency: Pandas' word for the distance of two times of a series.
        gridded: Grid and dates of fields, a :class:`~interpolants.data.gridded.Gridded` whose values are ``x``.
        picture: The whole picture whose pixels are the rows, ``(H, W, 3)`` uint8; None if rows are not pixels.
    """

    name: str
    shape: tuple[int, ...]
    split: Split
    source: str
    licence: str
    sha256: Mapping[str, str]
    columns: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    scaling: str = "none"
    symbols: tuple[str, ...] = ()
    start: str = ""
    frequency: str = ""
    gridded: Any = None
    picture: Any = None


@dataclass(frozen=True)
class Dataset:
    """Samples, their labels and their origin.

    Attributes:
        x: (N, *D), float32; int64 for tokens.
        labels: (N,), int64; None where there are none.
        info: Origin, names and hashes.
    """

    x: Tensor
    labels: Tensor | None
    info: DataInfo

    def table(self) -> Any:
        """A DataFrame of a series, with its times for an index.

        Raises:
            InvalidInputError: If the rows have no times.
            MissingExtraError: If pandas is not installed.
        """
        pandas = require("pandas", by="Dataset.table")
        if not self.info.frequency:
            raise invalid("Dataset.table", "rows must have times", f"{self.info.name}, whose rows have none")
        index = pandas.date_range(self.info.start, periods=len(self.x), freq=self.info.frequency, name="time")
        return pandas.DataFrame(self.x.numpy(), index=index, columns=list(self.info.columns))


@dataclass(frozen=True)
class BundledFile:
    """A file inside a package, and the hash of the bytes that its loader was written for.

    Attributes:
        package: Distribution name on the package index, or Debian package.
        path: Path below the site directory (``sklearn/...``), or absolute for Debian.
        sha256: Expected hash, lower-case hex.
        version: Package version that the hash was taken from.
        install: Command that installs the package.
        older: Hashes of the file in older releases, of the same values to the rounding of their text.
    """

    package: str
    path: str
    sha256: str
    version: str
    install: str
    older: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the file."""
        return Path(self.path).name

    @property
    def is_debian(self) -> bool:
        """Whether the file belongs to a system package."""
        return self.path.startswith("/")

    def locate(self) -> Path | None:
        """The file on this machine, or None; nothing is imported."""
        if self.is_debian:
            path = Path(self.path)
            return path if path.is_file() else None
        return self._from_record() or self._from_import_path()

    def _from_record(self) -> Path | None:
        try:
            files = importlib.metadata.files(self.package) or []
        except importlib.metadata.PackageNotFoundError:
            return None
        for file in files:
            if file.as_posix() == self.path:
                path = Path(str(file.locate()))
                return path if path.is_file() else None
        return None

    def _from_import_path(self) -> Path | None:
        """Packages of conda or a distribution may carry no list of files."""
        top, _, rest = self.path.partition("/")
        spec = importlib.util.find_spec(top)  # a top-level name: found without running its code
        for folder in (spec.submodule_search_locations or []) if spec is not None else []:
            if (path := Path(folder) / rest).is_file():
                return path
        return None

    def installed_version(self) -> str:
        """Version of the package on this machine, or ``unknown``."""
        if self.is_debian:
            return _debian_version(self.package)
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return "unknown"

    def read(self, who: str) -> bytes:
        """The bytes, after their hash was checked.

        Args:
            who: Public name of the loader.

        Raises:
            MissingExtraError: If the package is not installed.
            InvalidInputError: If the bytes are not those that the loader was written for.
        """
        path = self.locate()
        if path is None:
            raise MissingExtraError(f"{who} needs {self.package}. Install it with: {self.install}")
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if digest not in (self.sha256, *self.older):
            rule = f"{path.name} must be the file of {self.package} {self.version}, sha256 {self.sha256[:12]}"
            got = f"{self.package} {self.installed_version()}, sha256 {digest[:12]}"
            remedy = f"Reinstall the package, or install version {self.version}."
            raise invalid(who, rule, got, remedy)
        return data


Loader = TypeVar("Loader", bound=Callable[..., Dataset])
_CARRIERS: dict[Callable[..., Dataset], tuple[BundledFile, ...]] = {}


def reads(*files: BundledFile) -> Callable[[Loader], Loader]:
    """Decorator of a loader: the files without which it has nothing to read, one of each package."""

    def declare(loader: Loader) -> Loader:
        _CARRIERS[loader] = files
        return loader

    return declare


def carriers(loader: Callable[..., Dataset]) -> tuple[BundledFile, ...]:
    """Files without which a loader has nothing to read, as :func:`reads` declares them."""
    return _CARRIERS.get(loader, ())


def is_there(loader: Callable[..., Dataset]) -> bool:
    """Whether the files that a loader reads are on this machine; true for one that reads none."""
    return all(file.locate() is not None for file in carriers(loader))


def _debian_version(package: str) -> str:
    if _DPKG_STATUS.is_file():
        for block in _DPKG_STATUS.read_text(encoding="utf-8", errors="replace").split("\n\n"):
            lines = block.splitlines()
            if lines and lines[0] == f"Package: {package}":
                return next((line[9:] for line in lines if line.startswith("Version: ")), "unknown")
    return "unknown"


def check_split(who: str, split: str) -> None:
    """Refuse a split that is none of train, test and all."""
    one_of(who, "split", split, get_args(Split))


def held_out(rows: int, labels: NDArray[np.int64] | None) -> NDArray[np.bool_]:
    """Test rows: one in five, drawn at random with a fixed seed, stratified by label."""
    # RandomState, not Generator: NumPy promises its streams for good.
    order = np.random.RandomState(_SPLIT_SEED).permutation(rows)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    mask = np.zeros(rows, dtype=np.bool_)
    mask[order[::_TEST_EVERY]] = True
    return mask


def firsts(x: NDArray[np.generic]) -> NDArray[np.int64]:
    """The number of the first row that each row is a copy of, its own where it is none, ``(N,)``."""
    own = np.array(x, dtype=np.float64, order="C")  # x may be read-only
    found = copies(torch.from_numpy(own))
    return np.arange(len(x)) if found is None else found.numpy()


def quantisation_noise(shape: tuple[int, ...], seed: int) -> NDArray[np.float64]:
    """Uniform numbers on (0, 1) from a fixed seed; made for all rows, so a row has one noise in every split.

    They are the middles of 2^15 cells: a level below 256 and its noise then fit float32 exactly, and no
    rounding lifts a value into the next level.
    """
    cell = np.floor(np.random.RandomState(seed).random_sample(shape) * 2**15)
    return (cell + 0.5) / 2**15
