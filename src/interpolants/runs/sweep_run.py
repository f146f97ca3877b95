"""A sweep in its folder: rungs of successive halving, the table of all settings, and the one that was chosen."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from interpolants.executors.executor import Executor
from interpolants.foundations.errors import invalid
from interpolants.foundations.storage import write_text
from interpolants.framework.answered import Answered
from interpolants.framework.experiment import Progress, conduct, stored_answers
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.scores import mean_and_error, paired_gap
from interpolants.runs.recipe import make_method
from interpolants.runs.recipe_files import tables_of
from interpolants.runs.sweep import VALIDATION, Setting, Sweep, cell_id

TABLE, BEST, FOLDER = "sweep.csv", "best.json", "rung-{}"
_NOT_WORSE = 2.0  # standard errors within which two settings are not told apart
_LINES = 8


@dataclass(frozen=True)
class Row:
    """One setting at one rung.

    Attributes:
        setting: Key path -> value.
        rung: Number of the rung, from 1.
        steps: Steps of training; 0 for those of the recipe.
        values: Validation by seed.
        better: Which way is better.
    """

    setting: Setting
    rung: int
    steps: int
    values: tuple[float, ...]
    better: str = "lower"

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return mean_and_error(self.values)[0]

    @property
    def error(self) -> float:
        """Standard error of the mean; NaN for one seed."""
        return mean_and_error(self.values)[1]

    @property
    def rank(self) -> float:
        """What is least for the best; what is not finite is worst."""
        value = -self.mean if self.better == "higher" else self.mean
        return value if math.isfinite(value) else math.inf


@dataclass(frozen=True)
class SweepRun:
    """A sweep, with what stops settings early.

    Attributes:
        sweep: The settings and the recipe.
        halving: 0 for no stop; otherwise each rung keeps one in so many of its settings and trains so many times
            longer, the last one with all the steps of the recipe.
    """

    sweep: Sweep
    halving: int = 0

    def __post_init__(self) -> None:
        if self.halving and (self.halving < 2 or not self._full):
            rule = "--halving must be at least 2, for a method that is trained by steps"
            raise invalid("sweep", rule, f"{self.halving}, steps {self._full or 'none'}")
        if self.halving and any("method.steps" in setting for setting in self.sweep.chosen):
            rule, remedy = (
                "--halving chooses the steps of each rung",
                "Leave it out to compare numbers of steps.",
            )
            raise invalid("sweep", rule, "--over method.steps", remedy)

    @property
    def _full(self) -> int:
        (task,) = self.sweep.recipe(self.sweep.chosen[0]).tasks
        return int(getattr(make_method(task, self.sweep.seed), "steps", 0))

    @property
    def rungs(self) -> list[int]:
        """Steps of each rung; a 0 alone without halving."""
        if not self.halving:
            return [0]
        most = int(math.log(len(self.sweep.chosen), self.halving) + 1e-9)
        return [max(1, round(self._full / self.halving**k)) for k in range(most, -1, -1)]

    def run(self, out: Path, workers: int | Executor = 1, *, progress: Progress | None = None) -> list[Row]:
        """Run what is missing; the rows of all rungs. The same call goes on after an interruption.

        Args:
            out: Folder of the sweep.
            workers: As in :func:`interpolants.framework.experiment.conduct`.
            progress: Likewise.
        """
        rows: list[Row] = []
        alive = list(self.sweep.chosen)
        for number, steps in enumerate(self.rungs, start=1):
            rung = replace(self.sweep, chosen=alive, steps=steps)
            place = out / FOLDER.format(number)
            conduct(rung, place, workers=workers, progress=progress)
            own = rung_rows(rung, stored_answers(rung, place), number)
            rows += own
            alive = [row.setting for row in sorted(own, key=lambda row: row.rank)]
            alive = alive[: max(1, len(own) // max(self.halving, 1))]
        write_text(out / TABLE, as_csv(rows))
        write_text(out / BEST, _json(self.chosen_tables(rows)))
        return rows

    def chosen_tables(self, rows: Sequence[Row]) -> dict[str, Any]:
        """The recipe with the setting that was chosen: ``interpolants run`` judges it on the test part."""
        return tables_of(replace(self.sweep.recipe(best_of(rows).setting), seeds=self.sweep.seeds))


def rung_rows(rung: Sweep, answers: Mapping[str, Answered], number: int) -> list[Row]:
    """The settings of one rung with their validations.

    Args:
        rung: The settings.
        answers: Answers of its cells.
        number: Number of the rung.
    """
    seeds = range(rung.seed, rung.seed + rung.seeds)
    rows = []
    for setting in rung.chosen:
        found = [answers[cell_id(setting, seed)][VALIDATION] for seed in seeds]
        values = tuple(score.value for score in found)
        rows.append(Row(setting, number, rung.steps, values, found[0].better))
    return rows


def best_of(rows: Sequence[Row]) -> Row:
    """The best setting of the last rung.

    Raises:
        InvalidInputError: If no setting had a finite validation.
    """
    best = min(_last(rows), key=lambda row: row.rank)
    if not math.isfinite(best.mean):
        raise invalid("sweep", "a setting must have a finite validation", f"{best.mean} at best")
    return best


def as_good(rows: Sequence[Row]) -> list[Row]:
    """Settings of the last rung whose difference to the best one, seed by seed, is within two standard errors."""
    best = best_of(rows)
    if len(best.values) < 2:
        return []
    gaps = {id(row): paired_gap(row.values, best.values) for row in _last(rows) if row is not best}
    return [row for row in _last(rows) if id(row) in gaps and _within(*gaps[id(row)][:2])]


def _within(gap: float, error: float) -> bool:
    return math.isfinite(gap) and abs(gap) <= _NOT_WORSE * error


def _last(rows: Sequence[Row]) -> list[Row]:
    most = max(row.rung for row in rows)
    return [row for row in rows if row.rung == most]


# --- table and figure ----------------------------------------------------------------------------------------


def table_rows(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and cells, the best of the last rung first."""
    keys, seeds, several = list(rows[0].setting), len(rows[0].values), any(row.steps for row in rows)
    header = [*keys, *(["rung", "steps"] if several else []), "mean", "error"]
    header += [f"seed {k}" for k in range(seeds)]
    order = sorted(rows, key=lambda row: (-row.rung, row.rank))
    cells = [
        [
            *(_word(row.setting[key]) for key in keys),
            *([str(row.rung), str(row.steps)] if several else []),
            f"{row.mean:.6g}",
            f"{row.error:.2g}" if math.isfinite(row.error) else "",
            *(f"{value:.6g}" for value in row.values),
        ]
        for row in order
    ]
    return header, cells


def as_csv(rows: Sequence[Row]) -> str:
    """The table as CSV."""
    text = io.StringIO()
    header, cells = table_rows(rows)
    csv.writer(text, lineterminator="\n").writerows([header, *cells])
    return text.getvalue()


def figure_of(rows: Sequence[Row], title: str) -> Figure:
    """Validation against the first setting, a line for each combination of the others; with rungs, against steps.

    Args:
        rows: All rows.
        title: What the validation measures.
    """
    y = Axis(label=title, grid=True)
    if any(row.steps for row in rows):
        steps = sorted({row.steps for row in rows})
        ticks, names = tuple(map(float, steps)), tuple(map(str, steps))
        x = Axis(label="training steps", scale="log", ticks=ticks, names=names)
        lines = [_by_steps([row for row in rows if row.setting == one], one) for one in _shown(rows)]
        caption = "Validation of each setting at each rung; the lines that end were stopped."
    else:
        key = next(iter(rows[0].setting))
        values = list(dict.fromkeys(_word(row.setting[key]) for row in rows))
        x = Axis(label=key, ticks=tuple(map(float, range(len(values)))), names=tuple(values))
        others = dict.fromkeys(_told(row.setting, key) for row in rows)
        lines = [
            _points(
                [row for row in rows if _told(row.setting, key) == name], best_of(rows), key, values, name
            )
            for name in others
        ]
        caption = "Mean over the seeds, with its standard error."
        if len(rows[0].values) > 1:
            y = replace(y, label="difference to the chosen one")
            caption = f"{title}: difference to the chosen setting, seed by seed; mean and standard error."
            caption = caption[0].upper() + caption[1:]
    series = tuple(replace(line, hue=k if len(lines) <= _LINES else "muted") for k, line in enumerate(lines))
    legend = "below" if 1 < len(series) <= _LINES else ""
    panel = Panel(series=series, x=x, y=y, legend=legend)
    return Figure(name="sweep", panels=(panel,), caption=caption, width=480, height=330)


def _shown(rows: Sequence[Row]) -> list[Setting]:
    return [row.setting for row in rows if row.rung == 1]


def _by_steps(rows: Sequence[Row], setting: Setting) -> Series:
    errors = [row.error if math.isfinite(row.error) else 0.0 for row in rows]
    arrays = {"x": [float(row.steps) for row in rows], "y": [row.mean for row in rows], "error": errors}
    return Series(mark="line", arrays=arrays, name=_told(setting), symbol="o")


def _points(rows: Sequence[Row], best: Row, key: str, values: Sequence[str], name: str) -> Series:
    """A line over the values of one key; with several seeds, of paired differences to the best setting."""
    x = [float(values.index(_word(row.setting[key]))) for row in rows]
    if len(best.values) == 1:
        arrays = {"x": x, "y": [row.mean for row in rows]}
    else:
        gaps = [paired_gap(row.values, best.values) for row in rows]
        arrays = {"x": x, "y": [gap for gap, _, _ in gaps], "error": [error for _, error, _ in gaps]}
    return Series(mark="line", arrays=arrays, name=name, symbol="o")


def _told(setting: Setting, without: str = "") -> str:
    kept = {key.rpartition(".")[2]: _word(value) for key, value in setting.items() if key != without}
    return ", ".join(f"{key} {value}" for key, value in kept.items())


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def told(setting: Setting) -> str:
    """A setting in words, with whole key paths."""
    return ", ".join(f"{key} = {_word(value)}" for key, value in setting.items())


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
