"""Tracking of a fit in a run: settings, losses, scores with their floors, and figures.

Each cell of a run, a task and a seed, is one tracked run. Its id and the last logged step of each stage are stored in
the folder of the cell: a resumed fit continues the same tracked run, and logs no step twice.
"""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interpolants.foundations.errors import MissingExtraError
from interpolants.foundations.storage import read_document, write_text
from interpolants.framework.answered import Answered
from interpolants.framework.machine import manifest
from interpolants.framework.stage_logs import StageLog, stage_logs
from interpolants.runs.trackers import TrackedRun, Tracker, as_text
from interpolants.training.results import Moment
from interpolants.training.world import leads

FILE = "tracked.json"  # in the folder of a cell
_VERSIONS = ("library", "python", "torch", "commit")


class FitTracking:
    """Callbacks of one fit, which log its losses; and scores and figures after it.

    Args:
        run: The tracked run.
        folder: Folder of the cell.
        interval: Steps between two logged rows.
        logged: Last logged step by stage.
    """

    def __init__(self, run: TrackedRun, folder: Path, interval: int, logged: Mapping[str, int]) -> None:
        self.run, self.folder, self.interval, self.logged = run, folder, interval, dict(logged)
        self._row: tuple[int, dict[str, float]] | None = None

    @property
    def fit_options(self) -> dict[str, Any]:
        """Options of the fit."""
        return {"callbacks": [self._after_step], "watch": self._after_callbacks}

    def _after_step(self, moment: Moment) -> None:
        """Keep the row of a step. The name of its stage follows from ``_after_callbacks``."""
        due = moment.step % self.interval == 0 or moment.step == 1
        if not (due or moment.validation):
            self._row = None
            return
        values = {name: float(loss.mean()) for name, loss in moment.losses.items()} | {"lr": moment.lr}
        self._row = moment.step, {**(values if due else {}), **(moment.validation or {})}

    def _after_callbacks(self, stage: str, step: int, steps: int) -> None:
        if self._row is not None and self._row[0] == step:
            self._log(stage, *self._row[::-1])
        self._row = None

    def _log(self, stage: str, values: Mapping[str, float], step: int) -> None:
        if step <= self.logged.get(stage, 0):
            return
        self.run.scalars(stage, _finite(values), step)
        self.logged[stage] = step
        self.keep()

    def keep(self) -> None:
        """Write id and steps to the folder of the cell."""
        write_text(self.folder / FILE, json.dumps({"id": self.run.id, "logged": self.logged}))

    def log_stages(self, folder: Path) -> None:
        """Log stages whose steps had no callback, such as loops and methods inside, from their logs.

        Args:
            folder: Folder of the fit.
        """
        for stage, log in stage_logs(folder).items():
            if stage not in self.logged:
                self._log_rows(stage, log)

    def _log_rows(self, stage: str, log: StageLog) -> None:
        rows: dict[int, dict[str, float]] = {}
        for row in (*log.rows, *log.held_out):
            numbers = {name: value for name, value in row.items() if isinstance(value, int | float)}
            step = int(numbers.pop("step"))
            rows.setdefault(step, {}).update(numbers)
        for step in sorted(rows):
            self.run.scalars(stage, _finite(rows[step]), step)
            self.logged[stage] = step
        self.keep()

    def log_answers(self, answers: Answered) -> None:
        """Log scores with their standard errors, floors and rivals, and figures if matplotlib is installed."""
        for score in answers.scores:
            values = {"value": score.value, "error": score.error, **score.rivals}
            values |= {} if isinstance(score.floor, str) else {"floor": score.floor}
            self.run.scalars(f"score/{score.name}", _finite(values), 0)
        try:
            from interpolants.reports.draw import draw

            for figure in answers.figures:
                self.run.image(figure.name, draw(figure))
        except MissingExtraError:  # scores need no figures
            return


@contextmanager
def tracked(
    tracker: Tracker | None, folder: Path, settings: Mapping[str, Any]
) -> Iterator[FitTracking | None]:
    """Open the tracked run of a cell, and close it as finished or as interrupted.

    Args:
        tracker: The backend; None for no tracking.
        folder: Folder of the cell.
        settings: Settings of the cell.
    """
    if tracker is None or not leads():
        yield None
        return
    stored = read_document(folder / FILE) if (folder / FILE).is_file() else {}
    before = stored if isinstance(stored, dict) else {}
    folder.mkdir(parents=True, exist_ok=True)
    run = tracker.open(
        folder.absolute(), f"{folder.parent.parent.name}-{folder.name}", str(before.get("id", ""))
    )
    tracking = FitTracking(run, folder, tracker.interval, before.get("logged", {}))
    finished = False
    try:
        tracking.keep()
        if not before:
            versions = manifest()
            run.settings(_flat({**settings, **{name: versions[name] for name in _VERSIONS}}))
        yield tracking
        finished = True
    finally:
        run.close(finished=finished)


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    """Return the finite values: not every backend stores the others."""
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}


def _flat(value: Any, name: str = "") -> dict[str, str]:
    """Return settings by dotted name."""
    if not isinstance(value, Mapping) or not value:
        return {name: as_text(value)}
    pairs = [_flat(part, f"{name}.{key}".lstrip(".")) for key, part in value.items()]
    return {key: text for pair in pairs for key, text in pair.items()}
