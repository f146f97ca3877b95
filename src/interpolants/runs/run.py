"""A run from settings to report: load, learn, judge, write; task by task."""

import datetime
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from interpolants.foundations.errors import InterpolantsError
from interpolants.foundations.registry import describe
from interpolants.framework.stages import InterruptedFitError
from interpolants.methods.bridge.bridge import Bridge
from interpolants.methods.bridge.held_out import count_aside
from interpolants.nets.build import choose_net
from interpolants.runs.config import RunConfig, TaskConfig
from interpolants.runs.evaluate import evaluate
from interpolants.runs.folder import ARRAYS, RESULTS, machine, open_folder, versions, write_arrays, write_json
from interpolants.runs.sources import TaskData, load_data
from interpolants.training.logging import training_seconds

FORMAT = 1

Say = Callable[[str], None]


class InterruptedRunError(InterpolantsError):
    """A signal stopped the run; everything up to then is saved.

    Attributes:
        signal: Number of the signal; a shell expects the exit code 128 + signal.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


@dataclass(frozen=True)
class RunResult:
    """Result of a run.

    Attributes:
        out: The run folder.
        results: Content of ``results.json``.
        report: The report, or None if it could not be made.
    """

    out: Path
    results: dict[str, Any]
    report: Path | None


def execute(
    config: RunConfig,
    out: str | Path,
    *,
    progress: bool = True,
    resume: bool = False,
    command: str | None = None,
) -> RunResult:
    """Learn, judge and report every task of a configuration.

    Args:
        config: The settings.
        out: The run folder; see `interpolants.runs.folder` for what is in it.
        progress: Show what is being done, on standard error.
        resume: Go on with the run in ``out``; trained tasks are not trained again, but for a leg to rho0 whose
            ``evaluate.leg_steps`` has changed.
        command: What the user typed, for the record.

    Returns:
        The results, as they are in ``results.json``.

    Raises:
        InvalidInputError: If data or settings do not fit, or ``out`` holds something else.
        InterruptedRunError: If a signal stopped the training; call again with ``resume=True`` to go on.
        DivergedError: If training left the finite numbers.
    """
    folder, began = Path(out), time.perf_counter()
    say = _teller(progress)
    # All data first: a missing file of the last task should not be found after an hour of training.
    data = [load_data(task.data) for task in config.tasks]
    _check_bridges(config, data)
    if open_folder(config, folder, resume=resume):
        say(f"Going on with the run in {folder}")
    records = []

    def say_part(name: str) -> None:
        say(f"    {name} ...")

    for number, (task, sets) in enumerate(zip(config.tasks, data, strict=True), start=1):
        say(f"[{number}/{len(config.tasks)}] {task.title or task.name}: {_sizes(sets)}")
        bridge, status = train_task(task, sets, folder, progress=progress)
        _drop_another_leg(bridge, task)
        with _interruptible(folder, "the trained bridge is saved"):
            leg, choice = bridge.state["leg"], bridge.eps_choice
            found = evaluate(bridge, sets, task.evaluate, say_part, progress=progress)
            if bridge.state["leg"] is not leg or bridge.eps_choice is not choice:
                bridge.save(folder / task.name / "bridge")  # with what the evaluation had to find out
            (folder / task.name).mkdir(parents=True, exist_ok=True)
            write_arrays(folder / task.name / ARRAYS, found.arrays)
            records.append(_record(task, sets, bridge, status, found))
    results = {
        "format": FORMAT,
        "title": config.title,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command if command is not None else " ".join(sys.argv),
        "seed": config.seed,
        "versions": versions(),
        "machine": machine(),
        "seconds": time.perf_counter() - began,
        "tasks": records,
    }
    write_json(folder / RESULTS, results)
    return RunResult(folder, results, make_report(folder, say))


def train_only(config: RunConfig, out: str | Path, *, progress: bool = True, resume: bool = False) -> Path:
    """The first half of `execute`: learn and save every bridge, judge none.

    Raises:
        InvalidInputError, InterruptedRunError, DivergedError: As `execute`.
    """
    folder = Path(out)
    data = [load_data(task.data) for task in config.tasks]
    _check_bridges(config, data)
    open_folder(config, folder, resume=resume)
    for task, sets in zip(config.tasks, data, strict=True):
        train_task(task, sets, folder, progress=progress)
    return folder


def train_task(
    task: TaskConfig, data: TaskData, folder: Path, *, progress: bool
) -> tuple[Bridge, dict[str, Any]]:
    """The trained bridge of a task and how training went; read from the folder if it is there already."""
    place = folder / task.name
    if (place / "bridge").is_dir():
        bridge = Bridge.load(place / "bridge")
        return bridge, _training(bridge, place)
    bridge = make_bridge(task)
    x0 = None if data.x0 is None else data.x0.train.x
    try:
        bridge.fit(
            x0, data.x1.train.x, cond=data.cond_train, progress=progress, out=place / "train", resume=True
        )
    except InterruptedFitError as interrupted:
        told = _how_to_go_on(folder, "what was learnt is saved")
        raise InterruptedRunError(told, interrupted.signal) from interrupted
    bridge.save(place / "bridge")
    return bridge, _training(bridge, place)


def _check_bridges(config: RunConfig, data: list[TaskData]) -> None:
    """Refuse what a bridge or its network would refuse before there is a folder that keeps the mistake."""
    for task, sets in zip(config.tasks, data, strict=True):
        for side in (sets.x0, sets.x1):
            if side is not None and task.bridge.held_out:
                count_aside(task.bridge.held_out, len(side.train))
        heads = make_bridge(task).heads
        if heads != ("log_density",):
            x = sets.x1.train.x
            choose_net(task.bridge.net, tuple(x.shape[1:]), len(heads), sets.cond_train, task.train.seed)


def make_bridge(task: TaskConfig) -> Bridge:
    """An untrained bridge with a task's settings."""
    own = task.bridge
    heads = own.heads if isinstance(own.heads, str) else tuple(own.heads)
    return Bridge(
        own.path,
        coupling=own.coupling,
        net=own.net,
        heads=heads,
        times=own.times,
        standardize=own.standardize,
        drop_condition=own.drop_condition,
        precondition=own.precondition,
        perturb=own.perturb,
        penalties=own.penalties,
        held_out=own.held_out,
        **task.train.model_dump(),
    )


def _drop_another_leg(bridge: Bridge, task: TaskConfig) -> None:
    """Settings of the evaluation may change when a run goes on, and the leg's are among them: it is trained anew."""
    steps = bridge.steps if task.evaluate.leg_steps is None else task.evaluate.leg_steps
    leg = bridge.state["leg"]
    if leg is not None and leg.steps != steps:
        bridge.state["leg"] = None


def make_report(folder: Path, say: Say) -> Path | None:
    """Write the report of a finished run; without its optional packages there is none, and the reason is said."""
    from interpolants.foundations.errors import MissingExtraError
    from interpolants.reports.report import write_report

    try:
        return Path(write_report(folder))
    except MissingExtraError as error:
        say(f"No report: {error}")
        return None


class _interruptible:  # noqa: N801
    """Ctrl-C outside of training loses only the evaluation, which is made again."""

    def __init__(self, folder: Path, told: str) -> None:
        self.folder, self.told = folder, told

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, KeyboardInterrupt):
            by = error.signal if isinstance(error, InterruptedFitError) else None
            raise InterruptedRunError(_how_to_go_on(self.folder, self.told), by or 2) from error


def _how_to_go_on(folder: Path, told: str) -> str:
    return f"Stopped; {told}. Go on with: interpolants run --out {folder} --resume"


def _teller(progress: bool) -> Say:
    console = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(text: str) -> None:
        if progress:
            console.print(text, markup=False)

    return say


def _sizes(data: TaskData) -> str:
    shape = "x".join(map(str, data.x1.train.x.shape[1:]))
    start = "noise" if data.x0 is None else f"{data.x0.name} ({len(data.x0.train)} rows)"
    return f"{start} -> {data.x1.name} ({len(data.x1.train)} rows of shape {shape})"


def _training(bridge: Bridge, place: Path) -> dict[str, Any]:
    last = bridge.history[-1] if bridge.history else {}
    settings = bridge.training().model_dump(mode="json")
    return {
        **settings,
        "steps": int(last.get("step", settings["steps"])),
        "seconds": training_seconds(place / "train" / "match"),
        "skipped": last.get("skipped", 0),
        "final_loss": last.get("loss"),
    }


def _record(
    task: TaskConfig, data: TaskData, bridge: Bridge, status: dict[str, Any], found: Any
) -> dict[str, Any]:
    return {
        "name": task.name,
        "title": task.title or task.name,
        "kind": data.kind,
        "conditional": data.cond_train is not None,
        "path": describe(bridge.state["path"]),
        "learn": list(bridge.heads),
        "parameters": sum(p.numel() for p in bridge.state["net"].parameters()),
        "train": status,
        "data": {
            "x0": _drawn(data, bridge) if data.x0 is None else data.x0.describe(),
            "x1": data.x1.describe(),
            "heldout n": len(data.x1.test),
        },
        "metrics": found.metrics,
        "table_eps": found.table,
        "eps_choice": found.eps_choice,
        "checks": found.checks,
        "history": [dict(row) for row in bridge.history],
        "classes": list(data.x1.classes),
        "warnings": found.warnings,
        "arrays": f"{task.name}/{ARRAYS}",
    }


def _drawn(data: TaskData, bridge: Bridge) -> dict[str, Any]:
    """A start that is no sample set."""
    shape = list(data.x1.train.x.shape[1:])
    name = "Gaussian" if bridge.state["path"].base is None else bridge.state["path"].base.title
    return {"name": name, "n": None, "shape": shape, "source": "drawn", "licence": ""}


__all__ = [
    "InterruptedRunError",
    "RunResult",
    "execute",
    "make_bridge",
    "make_report",
    "train_only",
    "train_task",
]
