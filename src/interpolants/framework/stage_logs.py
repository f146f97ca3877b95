"""Logs of the stages of a fit, read from its folder of checkpoints: after the fit, and while it runs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interpolants.foundations import trees
from interpolants.foundations.errors import invalid
from interpolants.foundations.storage import read_document
from interpolants.framework.stages import PLAN
from interpolants.training.logging import TIMES, read_log


@dataclass(frozen=True)
class StageLog:
    """Log of one stage.

    Attributes:
        rows: Its rows, each with a ``step``.
        written: When the last one was written, in seconds of the epoch.
        seconds: Training time at each row; NaN where it is not known.
        steps: Maximum number of steps of the stage; None if unknown.
        held_out: What its validations measured on rows that training does not see, each with a ``step``.
    """

    rows: list[dict[str, Any]]
    written: float = 0.0
    seconds: tuple[float, ...] = ()
    steps: int | None = None
    held_out: tuple[dict[str, Any], ...] = ()


def stage_logs(out: Path) -> dict[str, StageLog]:
    """Logs by stage, the last written one at the end; stages of a method inside are ``outer/inner``.

    Args:
        out: What ``fit(out=...)`` was given.

    Raises:
        InvalidInputError: If a checkpoint of a loop cannot be read, for instance as it was just replaced.
    """
    found = dict(_logs(out))
    return dict(sorted(found.items(), key=lambda pair: pair[1].written))


def _logs(out: Path) -> Iterator[tuple[str, StageLog]]:
    for plan in out.rglob(PLAN):
        found = read_document(plan)
        steps = found.get("steps") if isinstance(found, dict) else None
        if type(steps) is not int:
            raise invalid("fit", f"{plan} must contain the number of steps", str(found)[:80])
        log = _of_gradients(plan.parent, steps) or _of_loop(plan.parent, steps)
        if log is not None and log.rows:
            yield plan.parent.relative_to(out).as_posix(), log


def _of_gradients(folder: Path, steps: int) -> StageLog | None:
    file = folder / "log.jsonl"
    if not file.is_file():
        return None
    rows = read_log(file)
    spent = {row["step"]: row["seconds"] for row in read_log(folder / f"{TIMES}.jsonl")}
    seconds = tuple(spent.get(row["step"], math.nan) for row in rows)
    held_out = tuple(read_log(folder / "validation.jsonl"))
    return StageLog(rows, file.stat().st_mtime, seconds, steps, held_out)


def _of_loop(folder: Path, steps: int) -> StageLog | None:
    """The newest checkpoint of a loop holds all its rows."""
    newest = max(folder.glob("step-*"), default=None)
    if newest is None:
        return None
    return StageLog(trees.read(newest)["rows"], newest.stat().st_mtime, (), steps)
