"""Sentences about the training of a method, from the logs of its stages."""

import math
import time
from collections.abc import Mapping

from interpolants.framework.stage_logs import StageLog
from interpolants.reports.words import duration

# A training that has written nothing for ten times its usual pace, and for so many seconds, has probably ended.
_SILENT = 30.0


def growing(logs: Mapping[str, StageLog], now: float | None = None) -> str:
    """How far a training is, by the stage that wrote last.

    Args:
        logs: Logs of its stages, the one that was written last at the end.
        now: The time in seconds of the epoch; that of the clock when None.
    """
    logs = {stage: log for stage, log in logs.items() if log.rows}
    if not logs:
        return "Training has not written its first line yet."
    stage, log = list(logs.items())[-1]
    silent = (time.time() if now is None else now) - log.written
    step, spent = int(log.rows[-1]["step"]), _seconds(log, -1)
    before = _seconds(log, -2) if len(log.rows) > 1 else 0.0
    timed = math.isfinite(spent)
    told = f"In training, stage {stage}: step {step:,}{f' of {log.steps:,}' if log.steps else ''}"
    told += f", {duration(spent)} so far" if timed else ""
    if silent > max(_SILENT, 10 * (spent - before)):  # the former where a time is not known
        told += f". Nothing was written for {duration(silent)}: it has probably been stopped. "
        return told + "Go on with: interpolants run --resume, with the same folder."
    left = duration(spent / max(1, step) * (log.steps - step)) if timed and log.steps else ""
    return f"{told}, about {left} left." if left else f"{told}."


def trained(logs: Mapping[str, StageLog]) -> str:
    """What a training took, by stage."""
    parts = []
    for stage, log in logs.items():
        if not log.rows:  # a stage that had nothing to do
            continue
        spent = _seconds(log, -1)
        took = f" in {duration(spent)}" if math.isfinite(spent) else ""
        parts.append(f"{stage}: {int(log.rows[-1]['step']):,} steps{took}")
    return "; ".join(parts)


def _seconds(log: StageLog, row: int) -> float:
    return log.seconds[row] if log.seconds else math.nan
