"""Experiments: many fits or calls as cells. A finished cell is whole on the disk or absent, so work resumes.

Files of an experiment's folder: ``results/`` is the sealed answers of all cells, ``gathered/`` what they say together
(both without a time or a date), ``manifest.json`` what the numbers depend on, ``log.json`` seconds and dates of cells.
While cells are missing, finished ones lie in ``cells/``. What a cell writes itself, such as checkpoints and models, is
in its folder in ``work/``.
"""

import hashlib
import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from interpolants.executors.executor import Executor
from interpolants.executors.local import Local
from interpolants.foundations import trees
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.folder_lock import locked
from interpolants.foundations.links import refuse_links
from interpolants.foundations.storage import read_document, write_text
from interpolants.foundations.temporaries import TEMPORARY, sweep
from interpolants.framework.answered import Answered
from interpolants.framework.machine import code_commit, manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS, GATHERED, CELLS, LOG, MANIFEST = "results", "gathered", "cells", "log.json", "manifest.json"
RUN = "seconds of the run"  # the timing that every cell has
Progress = Callable[[str, float], None]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


class Experiment(Protocol):
    """An experiment. It must be picklable to run in several processes: made of settings and module-level functions.

    Attributes:
        name: Its name.
        settings: What all cells share; plain values. Results of other settings are refused.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def settings(self) -> Mapping[str, Any]: ...  # noqa: D102

    def cells(self) -> Mapping[str, Mapping[str, Any]]:
        """Settings of the cells by id; an id is of letters, digits, ``_`` and ``-``."""
        ...

    def run(self, cell: Mapping[str, Any], folder: Path) -> Answered:
        """One cell. It depends on its settings alone; ``folder`` is its own, for checkpoints of fits inside."""
        ...

    def gather(self, answers: Mapping[str, Answered]) -> Answered:
        """Combined results of the finished cells; missing cells are omitted."""
        ...


def conduct(
    experiment: Experiment,
    out: str | os.PathLike[str],
    *,
    workers: int | Executor = 1,
    resume: bool = True,
    only: Sequence[str] = (),
    progress: Progress | None = None,
) -> Answered:
    """Run the cells that are missing, then gather. Interrupted and resumed, in any number of processes: the same bytes.

    Args:
        experiment: What is run.
        out: Folder of the results, gone on with if it has some.
        workers: 1 for this process, more for that many separate processes, or an `executors.Executor`.
        resume: Whether finished cells are kept; otherwise the requested cells are run again.
        only: Ids of the cells to run; all if empty.
        progress: Called with the id of each cell that is done, and its seconds.

    Raises:
        InvalidInputError: If ids are not valid folder names, ``only`` names an unknown cell, another process works in
            the folder, or it holds results of another experiment or of other settings.
    """
    place, cells = Path(out), experiment.cells()
    refuse_links(experiment.name, place)
    _check_names(experiment, cells, only)
    with locked(experiment.name, place):
        sweep(place)
        sweep(place / CELLS)
        return _conduct(experiment, place, cells, workers, resume, only, progress)


def _conduct(
    experiment: Experiment,
    place: Path,
    cells: Mapping[str, Mapping[str, Any]],
    workers: int | Executor,
    resume: bool,
    only: Sequence[str],
    progress: Progress | None,
) -> Answered:
    done = stored_answers(experiment, place)
    wanted = [name for name in cells if name in (only or cells)]
    missing = [name for name in wanted if not (resume and name in done)]
    if missing:
        _begin(experiment, place)
        for name in () if resume else missing:
            shutil.rmtree(place / "work" / name, ignore_errors=True)
        _run_all(experiment, {name: cells[name] for name in missing}, place, workers, progress)
    return gather(experiment, place)


def gather(experiment: Experiment, out: str | os.PathLike[str]) -> Answered:
    """Seal the finished cells as one folder, and gather their answers; nothing is run.

    Raises:
        InvalidInputError: If there are no results, or results of another experiment or of other settings.
    """
    place = Path(out)
    refuse_links(experiment.name, place)
    if not place.is_dir():
        raise invalid(experiment.name, f"{place} must contain results", "none")
    with locked(experiment.name, place):
        answers = stored_answers(experiment, place)
        answers = {name: answers[name] for name in experiment.cells() if name in answers}
        if not answers:
            raise invalid(experiment.name, f"{place} must contain results", "none")
        _seal(experiment, place)
        found = experiment.gather(answers)
        trees.write(place / GATHERED, found)
        return found


def stored_answers(experiment: Experiment, out: str | os.PathLike[str]) -> dict[str, Answered]:
    """Answers of the finished cells in a folder, with their timings.

    Raises:
        InvalidInputError: If they are of another experiment or of other settings.
    """
    return {name: answered for name, (_, answered) in _finished(experiment, Path(out)).items()}


def stored_cells(out: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Settings of the finished cells in a folder, by id, of whatever experiment."""
    found = (stored["cells"] for stored in _stored(Path(out)))
    return {name: stored["cell"] for cells in found for name, stored in cells.items()}


def settings_hash(settings: Mapping[str, Any]) -> str:
    """The same for equal settings in whatever order, 12 hexadecimal digits."""
    text = json.dumps(dict(settings), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# --- running ---------------------------------------------------------------------------------------------


def _check_names(experiment: Experiment, cells: Mapping[str, Any], only: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in cells:
        if not _NAME.fullmatch(name) or name.lower() in seen:
            rule = "ids of cells must be different names of letters, digits, _ and -"
            raise invalid(experiment.name, rule, repr(name))
        seen.add(name.lower())
    for name in only:
        if name not in cells:
            raise invalid(
                experiment.name, "the cell must be one of the experiment", repr(name), nearest(name, cells)
            )


def _run_all(
    experiment: Experiment,
    cells: Mapping[str, Mapping[str, Any]],
    place: Path,
    workers: int | Executor,
    progress: Progress | None,
) -> None:
    commit, executor = code_commit(), _executor(workers)
    items = {name: (experiment, name, cell, place.absolute(), commit) for name, cell in cells.items()}
    for name, seconds in executor.each(_run_cell, items):
        _tell(progress, name, seconds)


def _tell(progress: Progress | None, name: str, seconds: float) -> None:
    if progress is not None:
        progress(name, seconds)


def _executor(workers: int | Executor) -> Executor:
    if not isinstance(workers, int):
        if not workers.one_driver:
            rule, remedy = "one process must distribute the cells", "Use Local or RayCluster."
            raise invalid("conduct", rule, type(workers).__name__, remedy)
        return workers
    if workers < 1:
        raise invalid("conduct", "workers must be >= 1", workers)
    return Local(workers)


def _run_cell(experiment: Experiment, name: str, cell: Mapping[str, Any], place: Path, commit: str) -> float:
    """Run one cell and store it; first its log, so that a finished cell is never without."""
    work = place / "work" / name
    begun = time.perf_counter()
    answered = experiment.run(cell, work)
    seconds = round(time.perf_counter() - begun, 1)
    # Infinity and NaN as words, which float() reads back.
    seen = {key: float(value) for key, value in answered.timings.items()}
    timings = {key: value if math.isfinite(value) else str(value) for key, value in seen.items()}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    log = {"seconds": seconds, "finished": now, "commit": commit, **({"timings": timings} if timings else {})}
    (place / CELLS).mkdir(parents=True, exist_ok=True)
    write_text(place / CELLS / f"{name}.log.json", json.dumps(log))
    _write(experiment, {name: (cell, answered)}, place / CELLS / name)
    return seconds


# --- files -----------------------------------------------------------------------------------------------


def _write(
    experiment: Experiment, found: Mapping[str, tuple[Mapping[str, Any], Answered]], target: Path
) -> None:
    """Store some cells as one sealed folder."""
    cells = {name: {"cell": dict(cell), "answer": answered} for name, (cell, answered) in found.items()}
    head = {"experiment": experiment.name, "settings_hash": settings_hash(experiment.settings)}
    trees.write(target, {**head, "cells": cells})


def _stored(place: Path) -> "Iterator[dict[str, Any]]":
    """Trees of the finished cells: first those sealed together, then newer ones."""
    folders = [place / RESULTS] if (place / RESULTS).is_dir() else []
    folders += sorted(f for f in (place / CELLS).glob("*") if f.is_dir() and _NAME.fullmatch(f.name))
    return map(trees.read, folders)


def _finished(experiment: Experiment, place: Path) -> dict[str, tuple[dict[str, Any], Answered]]:
    """Settings and answers of the finished cells, those that the experiment knows first and in its order."""
    log, found, known = _read_log(place), {}, experiment.cells()
    for tree in _stored(place):
        _check_same(experiment, tree, known, place)
        for name, stored in tree["cells"].items():
            entry = log.get(name, {})
            timings = {key: float(value) for key, value in entry.get("timings", {}).items()}
            timings |= {RUN: float(entry["seconds"])} if "seconds" in entry else {}
            found[name] = stored["cell"], replace(stored["answer"], timings=timings)
    order = [
        *(name for name in known if name in found),
        *(name for name in sorted(found) if name not in known),
    ]
    return {name: found[name] for name in order}


def _check_same(
    experiment: Experiment, tree: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]], place: Path
) -> None:
    shared = {name: stored["cell"] for name, stored in tree["cells"].items() if name in known}
    other = [name for name, cell in shared.items() if settings_hash(cell) != settings_hash(known[name])]
    now = (experiment.name, settings_hash(experiment.settings))
    before = (tree["experiment"], tree["settings_hash"])
    if before != now or other:
        rule = f"{place} must contain results of {experiment.name} with these settings"
        found = f"another cell {other[0]}" if before == now else f"{before[0]} ({before[1]}, not {now[1]})"
        raise invalid(experiment.name, rule, found, "Choose another folder, or delete that one.")


def _seal(experiment: Experiment, place: Path) -> None:
    """Write ``results/``, the log and the manifest, if there are new cells; then drop ``cells/``."""
    if not (place / CELLS).exists():
        return
    found, log = _finished(experiment, place), _read_log(place)
    write_text(place / LOG, _json({name: log[name] for name in found if name in log}))
    _write(experiment, found, place / RESULTS)
    head = _read_object(place / MANIFEST)
    head["seconds"] = round(sum(log[name]["seconds"] for name in found if name in log), 1)
    seeds = sorted({cell["seed"] for cell, _ in found.values() if "seed" in cell})
    write_text(place / MANIFEST, _json({**head, **({"seeds": seeds} if seeds else {})}))
    # First out of the way as a whole: half a folder of cells would be read as damaged ones.
    sweep(place)
    (place / CELLS).rename(place / f"{TEMPORARY}{CELLS}")
    sweep(place)


def _begin(experiment: Experiment, place: Path) -> None:
    """Write what the numbers depend on; the first start is kept."""
    place.mkdir(parents=True, exist_ok=True)
    head = {
        "experiment": experiment.name,
        **manifest(),
        "settings_hash": settings_hash(experiment.settings),
        "settings": dict(experiment.settings),
    }
    if (place / MANIFEST).exists():
        head["started"] = _read_object(place / MANIFEST).get("started", "")
    write_text(place / MANIFEST, _json(head))


def _read_log(place: Path) -> dict[str, Any]:
    log = _read_object(place / LOG) if (place / LOG).exists() else {}
    for file in sorted((place / CELLS).glob("*.log.json")):
        log[file.name.removesuffix(".log.json")] = _read_object(file)
    return dict(log)


def _read_object(file: Path) -> dict[str, Any]:
    found = read_document(file)
    if not isinstance(found, dict):
        raise invalid("run", f"{file} must contain a JSON object", type(found).__name__)
    return found


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
