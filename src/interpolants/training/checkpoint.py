"""Checkpoints: one stored folder per step, the newest whole one counts."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from interpolants.foundations.errors import InterpolantsError, invalid
from interpolants.foundations.storage import TEMPORARY, read_folder, sweep, write_folder

_STEP = re.compile(r"step-(\d{8,18})")


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
        tensors = {"model": self.model, "optim": self.optimizer}
        if self.ema is not None:
            tensors["ema"] = self.ema
        further = {"aggregate": self.aggregate, "best": self.best}
        tensors |= {stem: values for stem, values in further.items() if values}
        path = root / f"step-{self.step:08d}"
        write_folder(path, tensors, {"state.json": {"step": self.step, **self.state}})
        done = [entry for entry in _folders(root) if _number(entry) <= self.step]
        for old in done[keep:]:
            # Renamed first: a kill while deleting must not leave half a folder under a name that counts.
            dying = root / f"{TEMPORARY}{old.name}-old"
            old.rename(dying)
            shutil.rmtree(dying, ignore_errors=True)
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Checkpoint":
        """Read one checkpoint folder; every file is checked against its manifest."""
        stored = read_folder(path)
        state = stored.documents.get("state.json")
        step = state.get("step") if isinstance(state, dict) else None
        if not isinstance(state, dict) or type(step) is not int or step < 0 or "model" not in stored.tensors:
            raise invalid("Checkpoint", f"{path} must be a training checkpoint", sorted(stored.documents))
        return cls(
            step=step,
            model=stored.tensors["model"],
            ema=stored.tensors.get("ema"),
            optimizer=stored.tensors.get("optim", {}),
            state={key: value for key, value in state.items() if key != "step"},
            aggregate=stored.tensors.get("aggregate", {}),
            best=stored.tensors.get("best", {}),
        )

    @classmethod
    def latest(cls, root: str | Path) -> tuple["Checkpoint | None", dict[Path, str]]:
        """The newest whole checkpoint in ``root``, and the newer ones that were passed over, with reasons."""
        passed: dict[Path, str] = {}
        for path in _folders(Path(root)):
            try:
                return cls.load(path), passed
            except InterpolantsError as error:
                passed[path] = str(error)
        return None, passed


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
