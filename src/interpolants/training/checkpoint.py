"""Checkpoints: one stored folder per step, the newest whole one counts."""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations import trees
from interpolants.foundations.errors import InterpolantsError, invalid
from interpolants.foundations.records import record
from interpolants.foundations.storage import Choose, StorageError
from interpolants.foundations.temporaries import TEMPORARY, sweep
from interpolants.training.slices import OwnRows, Slice

_STEP = re.compile(r"step-(\d{8,18})")


@record("training_checkpoint")
@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Checkpoint from which a run continues bitwise identically: randomness is (seed, step), so no generator is stored.

    Attributes:
        step: Completed steps.
        model: Parameters and buffers, by name.
        ema: Averaged parameters, by name; ``None`` when the run keeps none.
        optimizer: Optimizer state, ``<parameter>::<quantity>``.
        state: Settings, skipped steps, number of processes: numbers and strings, and neither times nor dates.
        aggregate: Tensors of the aggregate's state, by name.
        best: The best weights by validation, by name; empty when none are kept.
    """

    step: int
    model: Mapping[str, Tensor]
    ema: Mapping[str, Tensor] | None
    optimizer: Mapping[str, Tensor]
    state: Mapping[str, Any] = field(default_factory=dict)
    aggregate: Mapping[str, Tensor] = field(default_factory=dict)
    best: Mapping[str, Tensor] = field(default_factory=dict)

    def save(self, root: Path, *, keep: int) -> Path:
        """Write ``root/step-<n>`` atomically, then delete all but the ``keep`` newest."""
        path = root / f"step-{self.step:08d}"
        trees.write(path, self, blocks=True)
        done = [entry for entry in _folders(root) if _number(entry) <= self.step]
        for old in done[keep:]:
            # Renamed first: a kill while deleting must not leave half a folder under a name that counts.
            dying = root / f"{TEMPORARY}{old.name}-old"
            old.rename(dying)
            shutil.rmtree(dying, ignore_errors=True)
            shutil.rmtree(_pieces(old), ignore_errors=True)
        return path

    def save_piece(self, root: Path, rank: int) -> None:
        """Write the slices of a process that does not lead, before `save` of the one that does."""
        trees.write(_pieces(root / f"step-{self.step:08d}") / f"rank-{rank:05d}", self, blocks=True)

    def _joined(self, path: Path) -> "Checkpoint":
        """Return the checkpoint with the slices of all processes joined; itself if there are none."""
        others = [_pieces(path) / f"rank-{rank:05d}" for rank in range(1, self.state.get("pieces", 1))]
        if not others:
            return self
        every = [self, *map(_read, others)]
        parts: dict[str, Any] = {}
        for part, names in self.state["cut"].items():
            own = dict(getattr(self, part) or {})
            own |= {name: torch.cat([getattr(one, part)[name] for one in every]) for name in names}
            parts[part] = own
        parts["ema"] = parts["ema"] if self.ema is not None else None
        state = {key: value for key, value in self.state.items() if key not in ("pieces", "cut")}
        return replace(self, **parts, state=state)

    def copied(self) -> "Checkpoint":
        """The same with tensors of its own: those of a run change."""
        parts = {f.name: _copied(getattr(self, f.name)) for f in fields(self)}
        return Checkpoint(**parts)

    @classmethod
    def load(cls, path: str | Path) -> "Checkpoint":
        """Read one checkpoint folder, with its pieces if it has some; every file is checked against its manifest."""
        return _read(path)._joined(Path(path))

    @classmethod
    def head(cls, path: str | Path) -> "Checkpoint":
        """A checkpoint without the rows of its tensors: step, state and names."""
        return _read(path, lambda _, shape: slice(0, 0))

    @classmethod
    def load_own(cls, path: str | Path, slice_of: "SliceOf", reads: "Reads | None" = None) -> "Checkpoint":
        """Read what a process needs that trains with cut weights: whole tensors, and its rows of those that are cut.

        The rows are read from the pieces that hold them, and every block of bytes that is read is checked against its
        hash. Any number of processes may have written the checkpoint, with whole weights or cut ones.

        Args:
            path: The folder of the step.
            slice_of: ``slice_of(part, name)`` -> this process's slice of a tensor, None where it holds all of it.
            reads: ``reads(part, name)`` -> whether a tensor is read at all; all are if None.

        Returns:
            The checkpoint, with an :class:`~interpolants.training.slices.OwnRows` for each slice.

        Raises:
            InvalidInputError: If a folder that is read is damaged.
            StorageError: If the disk refuses to read.
        """
        path = Path(path)
        head = cls.head(path)
        pieces = int(head.state.get("pieces", 1))
        cut_names = {part: set(names) for part, names in head.state.get("cut", {}).items()}
        folders = [path, *(_pieces(path) / f"rank-{rank:05d}" for rank in range(1, pieces))]
        if gone := [folder for folder in folders if not folder.is_dir()]:
            raise invalid("Checkpoint", f"{path} must have all of its pieces", f"none in {gone[0]}")
        read = [
            _read(folder, _Piece(slice_of, reads, cut_names, rank, pieces).rows)
            for rank, folder in enumerate(folders)
        ]
        parts: dict[str, Any] = {
            part: _own_tensors(part, read, slice_of, cut_names.get(part, set())) for part in _TENSORS
        }
        state = {key: value for key, value in head.state.items() if key not in ("pieces", "cut")}
        ema = parts.pop("ema") if head.ema is not None else None
        parts.pop("ema", None)
        return replace(read[0], **parts, ema=ema, state=state)

    @classmethod
    def latest(cls, root: str | Path) -> tuple["Checkpoint | None", dict[Path, str]]:
        """The newest whole checkpoint in ``root``, and the newer ones that were passed over, with reasons.

        Raises:
            StorageError: If the disk refuses to read one; it may be whole.
        """
        passed: dict[Path, str] = {}
        for path in _folders(Path(root)):
            try:
                return cls.load(path), passed
            except StorageError:  # the disk does not read it now; that is no damage
                raise
            except InterpolantsError as error:
                passed[path] = str(error)
        return None, passed


# This process's slice of a tensor of a part of a checkpoint; None where it holds all of it.
SliceOf = Callable[[str, str], Slice | None]
Reads = Callable[[str, str], bool]
_TENSORS = ("model", "ema", "optimizer", "best")


@dataclass(frozen=True)
class _Piece:
    """Rows of the tensors of a piece that a process reads.

    Attributes:
        slice_of: Slices of the process.
        reads: Whether a tensor is read; all are if None.
        cut_names: By part, the names of the tensors that are cut among the pieces.
        rank: Number of the piece.
        pieces: Number of pieces.
    """

    slice_of: SliceOf
    reads: "Reads | None"
    cut_names: Mapping[str, set[str]]
    rank: int
    pieces: int

    def rows(self, key: str, shape: tuple[int, ...]) -> slice | None:
        """The rows of a tensor, by its key in the tree; all of them where it is whole here, none where it is not."""
        part, _, name = key.partition(".")
        is_cut = name in self.cut_names.get(part, ())
        mine = self.slice_of(part, name) if part in _TENSORS else None
        left_out = self.reads is not None and part in _TENSORS and not self.reads(part, name)
        if left_out or (not is_cut and self.rank):
            return slice(0, 0)  # the first piece has what is not cut
        pieces = self.pieces if is_cut else 1
        if mine is None or not mine.is_of(shape, self.rank, pieces):
            return None
        return mine.within(self.rank, pieces)


def _own_tensors(
    part: str, read: Sequence[Checkpoint], slice_of: SliceOf, cut_names: set[str]
) -> dict[str, Any]:
    """The tensors of a part: rows of a slice as such, others whole."""
    result: dict[str, Any] = {}
    for name, value in (getattr(read[0], part) or {}).items():
        rows = torch.cat([getattr(piece, part)[name] for piece in read]) if name in cut_names else value
        mine = slice_of(part, name)
        is_slice = mine is not None and mine.holds(rows)
        result[name] = OwnRows(rows, mine.shape) if mine is not None and is_slice else rows
    return result


def _read(path: str | Path, rows: Choose | None = None) -> Checkpoint:
    result = trees.read(path) if rows is None else trees.read_rows(path, rows)
    if not isinstance(result, Checkpoint):
        raise invalid("Checkpoint", f"{path} must be a training checkpoint", type(result).__name__)
    return result


def _pieces(step: Path) -> Path:
    """Folder of the slices of the processes that do not lead."""
    return step.with_name(step.name.replace("step-", "pieces-"))


def _copied(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: part.clone() if isinstance(part, Tensor) else part for name, part in value.items()}


def prepare(root: Path) -> None:
    """Make the folder of checkpoints and clear what a killed process left in it."""
    root.mkdir(parents=True, exist_ok=True)
    sweep(root)


def _folders(root: Path) -> list[Path]:
    """Step folders, newest first."""
    if not root.is_dir():
        return []
    found = [entry for entry in root.iterdir() if _STEP.fullmatch(entry.name) and not entry.is_symlink()]
    return sorted(found, key=_number, reverse=True)


def steps_in(root: Path) -> list[int]:
    """Steps of the checkpoints in a folder, the newest first."""
    return [_number(folder) for folder in _folders(root)]


def _number(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))
