"""Sweeps: one recipe with many settings and seeds, judged on validation rows; the test part is not looked at.

A setting and a seed are a cell of an experiment, so that a sweep resumes, and runs in any executor to the same bytes.
The cell's id is made of its setting: a sweep may later be widened in the same folder.
"""

import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from interpolants.foundations.errors import invalid, nearest
from interpolants.framework.answered import Answered
from interpolants.framework.experiment import settings_hash
from interpolants.framework.questions import ask
from interpolants.framework.scores import Score
from interpolants.framework.stage_logs import stage_logs
from interpolants.framework.task import Task
from interpolants.runs.file_hashes import file_hashes
from interpolants.runs.overrides import literal, parse
from interpolants.runs.recipe import Recipe, TaskTables, as_lists, make_questions
from interpolants.runs.recipe_files import changed_recipe
from interpolants.runs.recipe_run import TRAIN, CellWork

VALIDATION = "validation"
HELD = 0.2  # share of the rows that a sweep holds out where the recipe holds out none
_LOSS = "held_out_loss"
_MOST = 10_000

Setting = Mapping[str, Any]


def read_grid(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Values by key, from ``key.path=value,value,...``; commas inside brackets and quotes part nothing.

    Raises:
        InvalidInputError: If a key comes twice or a value does, or there is no key.
    """
    grid: dict[str, list[Any]] = {}
    for text in texts:
        name, _, words = text.partition("=")
        values = [literal(word.strip()) for word in _parted(words)]
        parse(text)
        if name in grid or len({json.dumps(value) for value in values}) < len(values):
            raise invalid("--over", "every key and every value must come once", repr(text))
        grid[name.strip()] = values
    if not grid:
        raise invalid(
            "--over",
            "at least one setting must be varied",
            "none",
            "For example, use --over method.lr=1e-3,3e-4.",
        )
    if math.prod(map(len, grid.values())) > _MOST:
        most = math.prod(map(len, grid.values()))
        raise invalid("--over", f"the grid must have at most {_MOST:,} combinations of settings", most)
    return grid


def _parted(words: str) -> list[str]:
    """Parts between commas outside of brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in words:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        depth += 0 if quote else (letter in "[{") - (letter in "]}")
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def settings_of_grid(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """All combinations, the last key fastest."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


@dataclass(frozen=True)
class Sweep:
    """Settings of one recipe as an experiment.

    Attributes:
        tables: The recipe as tables.
        chosen: The settings to compare: key path -> value.
        seed: First seed.
        seeds: Fits of each setting.
        by: ``"question.score"`` on the validation rows; the loss on held-out rows if empty.
        steps: Steps of training instead of the recipe's; 0 for those.
        place: Where the recipe comes from, for errors.
        fit_options: Further options of each fit, such as ``callbacks``. Results must not depend on them.
    """

    tables: Mapping[str, Any]
    chosen: Sequence[Setting]
    seed: int = 0
    seeds: int = 1
    by: str = ""
    steps: int = 0
    place: str = field(default="recipe", compare=False)
    fit_options: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        for key in dict.fromkeys(key for setting in self.chosen for key in setting):
            _check_key(key)

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return "sweep"

    @property
    def settings(self) -> Mapping[str, Any]:
        """What all cells share."""
        return {"by": self.by or _LOSS}

    def cells(self) -> dict[str, dict[str, Any]]:
        """One cell per setting and seed: its setting, its task, what its files hold, and its seed."""
        found = {}
        for setting in self.chosen:
            task = self.task(setting)
            shared = {"setting": dict(setting), "task": task, "files": file_hashes(task["data"])}
            for seed in range(self.seed, self.seed + self.seeds):
                found[cell_id(setting, seed)] = {**shared, "seed": seed}
        return found

    def recipe(self, setting: Setting) -> Recipe:
        """The recipe with a setting, and with rows to validate on.

        Raises:
            InvalidInputError: If the setting is refused, or the recipe has several tasks or no rows to hold out.
        """
        changes = {**setting, **({"method.steps": self.steps} if self.steps else {})}
        recipe = changed_recipe(self.tables, place=self.place, options=changes)
        if len(recipe.tasks) != 1:
            rule = "a sweep is over the settings of one task"
            raise invalid("sweep", rule, f"{len(recipe.tasks)} tasks in {self.place}")
        (task,) = recipe.tasks
        split = dict(task.split)
        if split.get("by") == "none":
            rule = "settings are chosen on rows that nothing is learnt from"
            raise invalid("sweep", rule, 'split by = "none"', "Use another [split].")
        if split.get("by") != "given" and not split.get("held"):
            split["held"] = HELD
        return replace(recipe, tasks=(replace(task, split=split),))

    def task(self, setting: Setting) -> dict[str, Any]:
        """Tables of the task with a setting, but for what is asked at the end."""
        (task,) = self.recipe(setting).tasks
        return dict(as_lists(asdict(replace(task, ask=self._question(task), claim=[], probe={}))))

    def _question(self, task: TaskTables) -> list[dict[str, Any]]:
        """The question to choose by, as the recipe asks it or by its id; without rivals."""
        if not self.by:
            return []
        wanted = self.by.partition(".")[0]
        named = {str(table.get("name", table["question"])): table for table in task.ask}
        table = named.get(wanted, {"question": wanted})
        return [{key: value for key, value in table.items() if key != "rivals"}]

    def run(self, cell: Mapping[str, Any], folder: Path) -> Answered:
        """Fit, and measure on the validation rows."""
        work = CellWork(TaskTables(**cell["task"]), cell["seed"], 1, folder, fit_options=self.fit_options)
        return Answered(scores=(self._asked(work) if self.by else _held_out_loss(work),))

    def _asked(self, work: CellWork) -> Score:
        ((name, question, _),) = make_questions(work.tables)
        found = ask(question, work.method, validation_task(work.task))
        scores = {score.name: score for score in found.scores}
        wanted = self.by.partition(".")[2] or next(iter(scores), "")
        if wanted not in scores:
            raise invalid("--by", f"{name} must have this score", repr(wanted), nearest(wanted, scores))
        if scores[wanted].better == "neither":
            able = [one for one, score in scores.items() if score.better != "neither"]
            rule, told = "the score must define whether higher or lower is better", f"{name}.{wanted}"
            raise invalid("--by", rule, told, f"Known: {', '.join(able)}.")
        return Score(name=VALIDATION, value=scores[wanted].value, better=scores[wanted].better, title=self.by)

    def gather(self, answers: Mapping[str, Answered]) -> Answered:
        """Nothing beyond the cells: settings are compared over several rungs, by `sweep_run`."""
        return Answered()


def _check_key(key: str) -> None:
    """Refuse keys that change nothing of a cell, or the rows by which settings are compared."""
    path = key.split(".")
    path = path[2:] if path[0] == "tasks" else path
    if path == ["seed"] or path == ["seeds"] or path == ["method", "seed"]:
        remedy = "--seeds 3 fits each setting with three seeds, and compares seed by seed."
        raise invalid("--over", "seeds are no setting to choose", repr(key), remedy)
    if path[:1] == ["split"]:
        rule, remedy = "settings are compared on the same validation rows", "Change [split] for all by --set."
        raise invalid("--over", rule, repr(key), remedy)
    if path[:1] not in (["method"], ["data"]):
        raise invalid(
            "--over",
            "a setting must be one of the method or of its data",
            repr(key),
            "For example, use method.lr.",
        )


def cell_id(setting: Setting, seed: int) -> str:
    """Id of a cell."""
    return f"{settings_hash(setting)}_seed{seed}"


def validation_task(task: Task) -> Task:
    """The task with its validation rows in the place of the test rows, which are gone."""
    rows = {axis: {**parts, "test": parts["held"]} for axis, parts in task.rows.items()}
    return replace(task, rows=rows)


def _held_out_loss(work: CellWork) -> Score:
    """Least loss on held-out rows of the last stage that was followed; that of the initial weights does not count."""
    assert work.method.is_fitted
    logs: Iterable[Any] = stage_logs(work.folder / TRAIN).values()
    found = [[row[_LOSS] for row in log.held_out if _LOSS in row and row["step"] > 0] for log in logs]
    losses = [value for rows in found[-1:] for value in rows if math.isfinite(value)]
    if not losses:
        rule, remedy = (
            "the method must log a loss on held-out rows",
            "Choose by a question: --by QUESTION.SCORE.",
        )
        raise invalid("sweep", rule, str(work.tables.method["kind"]), remedy)
    return Score(name=VALIDATION, value=min(losses), better="lower", title="Loss on held-out rows")
