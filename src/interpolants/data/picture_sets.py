"""Sets of picture files as rows of equal shape, with the names of their folders as labels.

The layout is that of torchvision's ``ImageFolder``: ``folder/cat/1.png``, ``folder/dog/1.png``, or pictures without
subfolders, which have no labels.
"""

import copy
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from interpolants.data.pictures import PICTURES, PictureSize, decode_picture, picture_size
from interpolants.data.unpacked_rows import unpacked_rows
from interpolants.foundations.checks import number, whole
from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.foundations.row_access import LazyRows

# Files and folders that operating systems add.
_OF_SYSTEMS = frozenset({"thumbs.db", "desktop.ini", "__macosx", "@eadir"})
_SHOWN = 5  # files listed in an error
_HALF = 0.5  # chance of a flip
# Settings of Pictures by name, which recipes take as options.
PICTURE_OPTIONS = ("size", "colour", "flip", "crop", "background")


@dataclass(frozen=True)
class _Files:
    """Picture files in the order of their rows."""

    count: int
    content: Callable[[int], tuple[bytes, str]]
    labels: NDArray[Any] | None
    origin: str


class Pictures:
    """Pictures of a folder, or of a Hugging Face data set, as rows ``(N, C, H, W)`` float32 from 0 to 1.

    ::

        pets = Pictures("pets/", size=32, flip=True)
        bridge = Bridge("one_sided_linear").fit(x1=pets, cond=pets)     # labels: names of the subfolders
        bridge.sample(16, cond="cat")

    Rows are in the order of the sorted paths. Each picture is scaled until it covers the size and cut in the middle.
    Flips and crops change a picture each time that a training step draws it, by the random stream of that step: a fit
    resumed from a checkpoint sees the same pictures. Everything else, such as held-out scores, sees the middle crop.

    Args:
        source: The folder, or a ``datasets.Dataset`` with one column of pictures.
        size: Side of a square in pixels, or (height, width); None if all pictures have the same size.
        colour: False for grey, True for red, green and blue; None for grey where all pictures are grey, else colours.
        flip: Mirror left and right with probability 1/2. Off by default: a mirrored digit is another digit.
        crop: Pixels by which pictures are larger than ``size``; a window of ``size`` is drawn at random. 0 for none.
        background: Level behind transparent pixels, from 0 (black) to 1 (white).

    Attributes:
        shape: ``(N, C, H, W)``.
        labels: Name of the subfolder or class of each picture, ``(N,)``; None without labels.
        classes: The names, sorted.
        notes: What was done to the pictures, one sentence each, for people to read.

    Raises:
        InvalidInputError: If the source has no pictures, a file in it is damaged or not a picture (all of them are
            listed), some pictures have a label and others none, or sizes differ and ``size`` is None.
        MissingExtraError: If Pillow is not installed.
    """

    dtype = np.dtype(np.float32)
    ndim = 4

    def __init__(
        self,
        source: Any,
        *,
        size: int | tuple[int, int] | None = None,
        colour: bool | None = None,
        flip: bool = False,
        crop: int = 0,
        background: float = 1.0,
    ) -> None:
        self.flip = _truth("flip", flip)
        self.crop = whole("Pictures", "crop", crop, at_least=0)
        self.background = number("Pictures", "background", background, at_least=0, at_most=1)
        sides = None if size is None else _sides(size)
        self._files = _hugging_face(source) if is_hugging_face(source) else _in_folder(Path(source))
        self._sizes = _checked_sizes(self._files)
        height, width = sides or self._one_size()
        self.colour = (
            any(picture.colour for picture in self._sizes) if colour is None else _truth("colour", colour)
        )
        self.shape = (self._files.count, 3 if self.colour else 1, height, width)
        self.labels = self._files.labels
        self.notes = self._notes_on(resized=sides is not None)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels, sorted."""
        return () if self.labels is None else tuple(sorted(set(self.labels.tolist())))

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def variation(self) -> str:
        """Description of the random changes in a training step; empty for none."""
        changes = [f"windows of {self.shape[2]} x {self.shape[3]} pixels"] if self.crop else []
        return " and ".join([*changes, *(["flips"] if self.flip else [])])

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        labels = f", {len(self.classes)} labels" if self.labels is not None else ""
        return f"Pictures({self._files.origin}: {self.shape}{labels})"

    def __getitem__(self, index: Any) -> NDArray[np.float32]:
        chosen = np.arange(len(self))[index]
        if np.ndim(chosen) == 0:
            picture: NDArray[np.float32] = self._middle(self._levels(int(chosen))[None])[0]
            return picture
        if not len(chosen):
            return np.empty((0, *self.shape[1:]), np.float32)
        return self._middle(np.stack([self._levels(int(k)) for k in chosen]))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self._middle(self._stored), dtype=dtype)

    def to_numpy(self, *, copy: bool = True) -> NDArray[Any]:
        """All rows as an array."""
        return self.__array__()

    def subset(self, index: Any) -> "Pictures":
        """A subset of the pictures, by index, with the same settings."""
        files, chosen = (
            self._files,
            np.arange(len(self))[index if isinstance(index, slice) else np.asarray(index)],
        )
        part = copy.copy(self)
        part.__dict__.pop("_stored", None)
        labels = None if files.labels is None else files.labels[chosen]
        part._files = replace(
            files, count=len(chosen), content=lambda k: files.content(int(chosen[k])), labels=labels
        )
        part._sizes = [self._sizes[k] for k in chosen]
        part.shape, part.labels = (len(chosen), *self.shape[1:]), labels
        return part

    def rows(self) -> LazyRows:
        """The pictures as a fit reads them: from a temporary file, flipped and cropped where training draws them."""
        shape = torch.Size(self.shape)

        def read(rows: Any) -> Tensor:
            index = rows if isinstance(rows, slice) else rows.cpu().numpy()
            return torch.as_tensor(np.array(self._middle(self._stored[index])))

        if not self.variation:
            return LazyRows(read, shape, torch.float32)
        return LazyRows(read, shape, torch.float32, self._varied, self.variation)

    def _varied(self, rows: Tensor, generator: Generator) -> Tensor:
        result = torch.as_tensor(np.array(self._stored[rows.cpu().numpy()]))
        if self.crop:
            height, width = self.shape[2:]
            at = torch.randint(self.crop + 1, (len(result), 2), generator=generator).tolist()
            windows = [x[:, i : i + height, j : j + width] for x, (i, j) in zip(result, at, strict=True)]
            result = torch.stack(windows)
        if self.flip:
            mirrored = torch.rand(len(result), generator=generator) < _HALF
            result = torch.where(mirrored[:, None, None, None], result.flip(-1), result)
        return result

    @cached_property
    def _stored(self) -> NDArray[np.float32]:
        """All pictures, decoded once, ``crop`` pixels larger than ``shape``."""
        height, width = (side + self.crop for side in self.shape[2:])
        shape = (*self.shape[:2], height, width)
        parts: Iterator[NDArray[Any]] = (self._levels(k) for k in range(len(self)))
        return unpacked_rows(parts, shape, self.dtype)

    def _levels(self, k: int) -> NDArray[np.float32]:
        content, name = self._files.content(k)
        picture = decode_picture(content, name, "Pictures", colour=self.colour, background=self.background)
        return _covering(picture.values, self.shape[2] + self.crop, self.shape[3] + self.crop)

    def _middle(self, stored: NDArray[np.float32]) -> NDArray[np.float32]:
        first, (height, width) = self.crop // 2, self.shape[2:]
        return stored[..., first : first + height, first : first + width]

    def _one_size(self) -> tuple[int, int]:
        counts = Counter((picture.height, picture.width) for picture in self._sizes)
        if len(counts) > 1:
            frequent = ", ".join(f"{n} of {h} x {w}" for (h, w), n in counts.most_common(_SHOWN))
            rule = "pictures must have the same size, unless size is set"
            received = f"{len(counts)} sizes: {frequent}" + (", ..." if len(counts) > _SHOWN else "")
            raise invalid("Pictures", rule, received, "Pass size=32, or the side that you want.")
        return next(iter(counts))

    def _notes_on(self, *, resized: bool) -> tuple[str, ...]:
        height, width = self.shape[2:]
        notes = [
            f"{len(self)} pictures of {height} x {width} pixels, {'RGB' if self.colour else 'grey'}, 0 to 1."
        ]
        if resized:
            notes += _resizing(self._sizes, height, width)
        mixed = sum(picture.colour != self.colour for picture in self._sizes)
        if mixed:
            change = (
                "Grey was repeated as red, green and blue" if self.colour else "Colours were averaged to grey"
            )
            notes.append(f"{change} in {mixed} of them.")
        if self.labels is not None:
            notes.append(
                f"Labels are the names of {len(self.classes)} classes: {', '.join(self.classes[:20])}."
            )
        notes.append(
            f"Training draws {self.variation} at random." if self.variation else "No flips and no crops."
        )
        return tuple(notes)


def is_hugging_face(value: Any) -> bool:
    """Whether a value is a ``datasets.Dataset``."""
    return type(value).__module__.partition(".")[0] == "datasets" and hasattr(value, "features")


def is_picture_folder(path: Path) -> bool:
    """Whether a path is a folder with a picture in it, or in one of its subfolders."""
    return path.is_dir() and any(_is_picture(file) for file in path.rglob("*"))


def as_pictures(value: Any) -> Pictures | None:
    """The pictures of a set, a Hugging Face data set or the path of a folder; None for anything else."""
    if isinstance(value, Pictures):
        return value
    folder = isinstance(value, str | Path) and is_picture_folder(Path(value))
    return Pictures(value) if folder or is_hugging_face(value) else None


def picture_labels(pictures: Pictures, caller: str, name: str) -> NDArray[Any]:
    """Names of the classes of a set that is given as a condition.

    Raises:
        InvalidInputError: If the set has no labels.
    """
    if pictures.labels is None:
        rule = f"pictures given as {name} must have labels, the names of subfolders"
        raise invalid(caller, rule, repr(pictures), f"Leave {name} out, or put the pictures into subfolders.")
    return pictures.labels


# --- sources -----------------------------------------------------------------------------------------


def _in_folder(folder: Path) -> _Files:
    """The files of a folder, in the order of their paths."""
    if not folder.is_dir():
        remedy = "One picture is read by read_picture." if folder.is_file() else "Check the path."
        raise invalid("Pictures", "the path must be a folder of pictures", str(folder), remedy)
    entries = sorted(file for file in folder.rglob("*") if not _is_hidden(file.relative_to(folder)))
    files = [entry for entry in entries if entry.is_file()]
    strange = [str(file.relative_to(folder)) for file in files if not _is_picture(file)]
    if strange:
        remedy = "Move them elsewhere; convert pictures of other formats, such as HEIC, to PNG."
        rule = f"{folder.name or folder} must contain pictures only ({', '.join(PICTURES)})"
        raise invalid("Pictures", rule, _listed(strange), remedy)
    if not files:
        rule = "the folder must contain pictures, perhaps in subfolders that name their labels"
        raise invalid("Pictures", rule, f"none in {folder}")
    labels = [file.relative_to(folder).parts[0] if file.parent != folder else "" for file in files]
    _check_labels(
        folder, labels, [entry.name for entry in entries if entry.is_dir() and entry.parent == folder]
    )
    names = np.array(labels) if labels[0] else None

    def content(k: int) -> tuple[bytes, str]:
        return files[k].read_bytes(), str(files[k].relative_to(folder))

    return _Files(len(files), content, names, f"folder {folder}")


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part.lower() in _OF_SYSTEMS for part in path.parts)


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in PICTURES and file.is_file() and not file.name.startswith(".")


def _check_labels(folder: Path, labels: Sequence[str], subfolders: Sequence[str]) -> None:
    if "" in labels and any(labels):
        rule = f"pictures of {folder.name or folder} must all lie in subfolders, or none"
        received = f"{labels.count('')} next to the subfolders {_listed(sorted(set(labels) - {''}))}"
        raise invalid("Pictures", rule, received, "Move those next to the subfolders into one of them.")
    if empty := sorted(set(subfolders) - set(labels)):
        rule = f"every subfolder of {folder.name or folder} must contain pictures"
        raise invalid("Pictures", rule, _listed(empty), "Remove empty subfolders.")


def _hugging_face(source: Any) -> _Files:
    """The only column of pictures of a data set, and its only column of class labels if there is one."""
    kinds = {name: type(feature).__name__ for name, feature in source.features.items()}
    columns = [name for name, kind in kinds.items() if kind == "Image"]
    if len(columns) != 1:
        listed = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        rule = "a Hugging Face data set must have one column of pictures (datasets.Image)"
        remedy = "Other columns: pass the array, data.with_format('numpy')['name']."
        raise invalid("Pictures", rule, f"columns {listed}", remedy)
    picture, classes = columns[0], [name for name, kind in kinds.items() if kind == "ClassLabel"]
    encoded = type(source.features[picture])(decode=False)
    files = source.with_format(None).select_columns([picture]).cast_column(picture, encoded)

    def content(k: int) -> tuple[bytes, str]:
        cell, name = files[k][picture], f"row {k} of column {picture!r}"
        if not cell:
            raise invalid("Pictures", f"{name} must be a picture", "none", "Filter such rows out.")
        return cell["bytes"] or Path(cell["path"]).read_bytes(), name

    if not len(source):
        raise invalid("Pictures", "the data set must contain pictures", "no rows")
    return _Files(len(source), content, _class_names(source, classes), "Hugging Face data set")


def _class_names(source: Any, classes: Sequence[str]) -> NDArray[Any] | None:
    if len(classes) != 1:
        return None
    names = source.features[classes[0]].names
    codes = list(source.with_format(None)[classes[0]])
    if None in codes or -1 in codes:
        rule = f"column {classes[0]!r} must have a label in every row"
        raise invalid("Pictures", rule, "rows without one", "Filter them out, or remove the column.")
    return np.array([names[code] for code in codes])


def _checked_sizes(files: _Files) -> list[PictureSize]:
    """Sizes of all pictures; every file that cannot be read is listed in one error."""
    sizes, wrong = [], []
    for k in range(files.count):
        content, name = files.content(k)
        try:
            sizes.append(picture_size(content, name, "Pictures"))
        except InvalidInputError as error:
            wrong.append(str(error).removeprefix("Pictures: "))
    if len(wrong) == 1:
        raise InvalidInputError(f"Pictures: {wrong[0]}")
    if wrong:
        rule = f"all {files.count} files must be pictures that can be read"
        raise invalid("Pictures", rule, f"{len(wrong)} that are not; " + "; ".join(wrong[:_SHOWN]))
    return sizes


def _listed(names: Sequence[str]) -> str:
    remainder = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + remainder


# --- sizes -------------------------------------------------------------------------------------------


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise invalid("Pictures", f"{name} must be True or False", value)
    return value


def _sides(size: Any) -> tuple[int, int]:
    sides = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(sides) != 2:
        raise invalid("Pictures", "size must be one side, or (height, width)", size)
    height, width = (whole("Pictures", "size", side, at_least=1) for side in sides)
    return height, width


def _covering(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Scale a picture ``(C, h, w)`` until it covers height x width pixels, and cut the middle out."""
    h, w = values.shape[1:]
    if (h, w) != (height, width):
        ratio = max(height / h, width / w)
        h, w = max(height, round(h * ratio)), max(width, round(w * ratio))
        image = torch.from_numpy(values)[None]
        scaled = torch.nn.functional.interpolate(image, (h, w), mode="bilinear", antialias=True)
        values = scaled[0].clamp(0, 1).numpy()
    top, start = (h - height) // 2, (w - width) // 2
    return values[:, top : top + height, start : start + width]


def _resizing(sizes: Sequence[PictureSize], height: int, width: int) -> list[str]:
    """Number of enlarged pictures, and the largest share of a picture that was cut off."""
    scales = [max(height / size.height, width / size.width) for size in sizes]
    visible = [
        height * width / (s * s * size.height * size.width) for s, size in zip(scales, sizes, strict=True)
    ]
    notes = []
    if (enlarged := sum(scale > 1 for scale in scales)) > 0:
        notes.append(f"{enlarged} of them were smaller and were enlarged.")
    if (hidden := 1 - min(visible)) > 0.01:
        notes.append(
            f"Pictures of other proportions were cut in the middle; up to {hidden:.0%} of one was cut off."
        )
    return notes
