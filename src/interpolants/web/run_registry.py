"""Runs of a server, in the order given; unfinished runs are read again on request."""

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, overload

from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.foundations.registry import describe
from interpolants.methods.bridge.bridge import Bridge
from interpolants.reports import sentences
from interpolants.reports.record import read_run
from interpolants.runs.config import TaskConfig
from interpolants.runs.folder import RESULTS, find_bridge, read_config
from interpolants.training.logging import TIMES, Row, read_log, training_seconds
from interpolants.web.runs import Shown

# A training that has written nothing for ten times its usual pace, and for so many seconds, has probably ended.
_SILENT = 30.0


class Shelf(Sequence[Shown]):
    """Every task of some run folders, finished or not, and bridges that were saved by themselves; for several threads.

    Args:
        folders: The folders.

    Raises:
        InvalidInputError: If a folder holds neither, or is damaged.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._lock = Lock()
        self._places = [_Place(folder) for folder in folders]
        names = [name for place in self._places for name in place.names]
        if len(set(names)) < len(names):
            numbers = iter(range(1, len(names) + 1))
            for place in self._places:
                place.names = [f"{next(numbers)}: {name}" for name in place.names]
        for place in self._places:
            place.look()

    def __len__(self) -> int:
        return sum(len(place.names) for place in self._places)

    def __iter__(self) -> Iterator[Shown]:
        return iter(self[:])

    @overload
    def __getitem__(self, index: int) -> Shown: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Shown]: ...

    def __getitem__(self, index: int | slice) -> Shown | Sequence[Shown]:
        with self._lock:
            for place in self._places:
                place.look_again()
            return [shown for place in self._places for shown in place.shown][index]


def open_runs(folders: Sequence[Path]) -> Shelf:
    """Every task of these run folders, and every bridge that was saved by itself, in order.

    Raises:
        InvalidInputError: If a folder holds neither, or is damaged.
    """
    return Shelf(folders)


class _Place:
    """One folder, and what was in it when it was last looked at."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.shown = folder, list[Shown]()
        self.is_alone = (folder / "tree.json").is_file()
        self.tasks = () if self.is_alone else read_config(folder).tasks
        one, name = len(self.tasks) < 2, folder.resolve().name  # "." has none of its own
        self.names = [name] if one else [f"{name}, {task.name}" for task in self.tasks]
        self._is_final = False
        self._trained: dict[str, Shown] = {}

    def look(self) -> None:
        """Read what is there."""
        if self.is_alone:
            self.shown, self._is_final = [self._bridge(self.names[0], self.folder)], True
        elif (self.folder / RESULTS).is_file():
            found = read_run(self.folder).tasks
            if len(found) != len(self.names):
                rule = f"{RESULTS} must tell of the {len(self.names)} tasks of the run's settings"
                remedy = "Were they written by another run? Evaluate this one again."
                raise invalid(f"explorer: {self.folder}", rule, len(found), remedy)
            self.shown = [self._judged(*pair) for pair in zip(self.names, found, strict=True)]
            self._is_final = True
        else:
            self.shown = [self._unfinished(*pair) for pair in zip(self.names, self.tasks, strict=True)]

    def look_again(self) -> None:
        """Read what has come since; what cannot be read now stays as it was."""
        if self._is_final:
            return
        try:
            self.look()
        except (InvalidInputError, OSError):
            return

    def _judged(self, name: str, task: Any) -> Shown:
        own = str(task.facts.get("name"))
        bridge = None if task.facts.get("method") else Bridge.load(find_bridge(self.folder, own))
        return Shown(name, task.facts, task.arrays, bridge)

    def _unfinished(self, name: str, task: TaskConfig) -> Shown:
        place = self.folder / task.name
        if task.name not in self._trained and (place / "bridge").is_dir():
            self._trained[task.name] = self._bridge(name, place / "bridge")
        return self._trained.get(task.name) or Shown(name, _growing(place, task), {}, None)

    @staticmethod
    def _bridge(name: str, folder: Path) -> Shown:
        bridge = Bridge.load(folder)
        net, spent = bridge.state["net"], training_seconds(folder.parent / "train" / "match")
        facts = {
            "path": describe(bridge.state["path"]),
            "learn": list(bridge.heads),
            "parameters": 0 if net is None else sum(p.numel() for p in net.parameters()),
            "train": {**bridge.training().model_dump(mode="json"), "seconds": spent},
            "history": bridge.history,
        }
        return Shown(name, facts, {}, bridge)


def _growing(place: Path, task: TaskConfig) -> dict[str, Any]:
    """Facts of a task that is not trained yet."""
    log = place / "train" / "match" / "log.jsonl"
    history = read_log(log)
    if not history:
        return {"growing": "Training has not written its first line yet.", "history": []}
    silent = time.time() - log.stat().st_mtime
    spent = {row["step"]: row["seconds"] for row in read_log(log.with_name(f"{TIMES}.jsonl"))}
    timed = [{"seconds": spent.get(row["step"], math.nan), **row} for row in history]
    return {"growing": how_far(timed, task.train.steps, silent), "history": history}


def how_far(history: list[Row], steps: int, silent: float) -> str:
    """Progress of a training, in words.

    Args:
        history: Rows of its log, at least one, with ``seconds`` where they are known.
        steps: Steps that it shall make.
        silent: Seconds since the last row was written.
    """
    step, spent = history[-1]["step"], history[-1].get("seconds", math.nan)
    before = history[-2].get("seconds", math.nan) if len(history) > 1 else 0.0
    timed = math.isfinite(spent)
    told = f"In training: step {int(step):,} of {steps:,}" + (
        f", {sentences.duration(spent)} so far" if timed else ""
    )
    if silent > max(_SILENT, 10 * (spent - before)):  # the former where a time is not known
        told += f". Nothing was written for {sentences.duration(silent)}: it has probably been stopped. "
        return told + "Go on with: interpolants run --resume, with the same configuration and folder."
    left = sentences.duration(spent / max(1, step) * (steps - step))
    return f"{told}, about {left} left." if timed else f"{told}."
