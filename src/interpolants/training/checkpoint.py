"""Checkpoints: one stored folder per step, the newest whole one counts."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations import trees
from interpolants.foundations.errors import InterpolantsError, invalid
from interpolants.foundations.records import record
from interpolants.foundations.storage import StorageError
from interpolants.foundations.temporaries import TEMPORARY, sweep

_STEP = re.compile(r"step-(\d{8,18})")


@record("training_checkpoint")
@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Everything a run needs to go on to the bit: randomness is (seed, step), so no generator is stored.

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
        trees.write(path, self)
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
        trees.write(_pieces(root / f"step-{self.step:08d}") / f"rank-{rank:05d}", self)

    def _joined(self, path: Path) -> "Checkpoint":
        """With the slices of all processes put together; itself where there are none."""
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


def _read(path: str | Path) -> Checkpoint:
    found = trees.read(path)
    if not isinstance(found, Checkpoint):
        raise invalid("Checkpoint", f"{path} must be a training checkpoint", type(found).__name__)
    return found


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


def _number(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))
