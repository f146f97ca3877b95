"""A run of a recipe: tasks and seeds as cells of an experiment, each of which fits, stores and questions a method."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm

from interpolants.executors.executor import Executor
from interpolants.foundations.errors import invalid
from interpolants.framework.answered import Answered
from interpolants.framework.claims import Verdict
from interpolants.framework.experiment import Progress, conduct, settings_hash
from interpolants.framework.method import MODEL, Method, load
from interpolants.framework.questions import ask
from interpolants.framework.stored import is_tree, read, write
from interpolants.framework.task import Task
from interpolants.runs.data_facts import keep_data
from interpolants.runs.recipe import (
    Recipe,
    TaskTables,
    as_lists,
    cell_name,
    make_claims,
    make_method,
    make_questions,
    make_task,
    roles_of,
)
from interpolants.runs.result_cards import data_names, keep_results
from interpolants.runs.trackers import Tracker, make_tracker
from interpolants.runs.tracking import FitTracking, tracked
from interpolants.runs.values import Place, Value

TRAIN, ASKED = "train", "asked"


@dataclass(frozen=True)
class RecipeRun:
    """A recipe as an experiment.

    Attributes:
        recipe: The recipe.
        progress: Show progress bars of fits.
    """

    recipe: Recipe
    progress: bool = field(default=False, compare=False)

    @property
    def tracker(self) -> Tracker | None:
        """Tracker of the cells, if the recipe has one."""
        return make_tracker(self.recipe.track) if self.recipe.track else None

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return "recipe"

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings that all cells share."""
        return {"budget": self.recipe.budget, "seeds": self.recipe.seeds, "seed": self.recipe.seed}

    def cells(self) -> dict[str, dict[str, Any]]:
        """One cell per task and seed: its tables."""
        seeds = range(self.recipe.seed, self.recipe.seed + self.recipe.seeds)
        return {
            cell_name(task.name, seed, self.recipe.seeds): {"task": as_lists(asdict(task)), "seed": seed}
            for seed in seeds
            for task in self.recipe.tasks
        }

    def run(self, cell: Mapping[str, Any], folder: Path) -> Answered:
        """Fit, store, ask."""
        work = CellWork(TaskTables(**cell["task"]), cell["seed"], self.recipe.seeds, folder, self.progress)
        with tracked(self.tracker, folder, {**cell, "budget": self.recipe.budget}) as tracking:
            return _answered(work, tracking)

    def gather(self, answers: Mapping[str, Answered]) -> Answered:
        """All scores and pictures by cell, and the verdicts on the claims."""
        several = len(self.cells()) > 1
        named = {cell: _prefixed(found, f"{cell}/" if several else "") for cell, found in answers.items()}
        return Answered(
            scores=tuple(score for found in named.values() for score in found.scores),
            figures=tuple(figure for found in named.values() for figure in found.figures),
            texts={key: lines for found in named.values() for key, lines in found.texts.items()},
            findings=tuple(finding for found in named.values() for finding in found.findings),
            verdicts=tuple(verdict for task in self.recipe.tasks for verdict in self.verdicts(task, answers)),
        )

    def verdicts(self, task: TaskTables, answers: Mapping[str, Answered]) -> list[Verdict]:
        """Verdicts on the claims of a task over its seeds."""
        seeds = range(self.recipe.seed, self.recipe.seed + self.recipe.seeds)
        cells = [cell_name(task.name, seed, self.recipe.seeds) for seed in seeds]
        found = [by_question(answers[cell]) for cell in cells if cell in answers]
        return [claim.judge(found, budget=self.recipe.budget) for claim in make_claims(task)]


@dataclass(frozen=True)
class CellWork:
    """One cell: its data, its fitted method, its answers; each made when it is asked for.

    Attributes:
        tables: The task.
        seed: Seed of the fit.
        seeds: Number of seeds of the recipe.
        folder: Folder of the cell.
        progress: Show progress bars.
        fit_options: Further options of the fit, such as ``callbacks``. Results must not depend on them.
    """

    tables: TaskTables
    seed: int
    seeds: int
    folder: Path
    progress: bool = False
    fit_options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def unfitted(self) -> Method:
        """The method with its settings."""
        return make_method(self.tables, self.seed)

    @cached_property
    def data(self) -> tuple[Task, dict[str, Value]]:
        """The task and the values it was made of."""
        work = self.folder.parent
        place = Place(
            seed=self.seed, models=lambda task: work / cell_name(task, self.seed, self.seeds) / MODEL
        )
        return make_task(self.tables, self.unfitted, place)

    @property
    def task(self) -> Task:
        """The data, parted."""
        return self.data[0]

    @cached_property
    def method(self) -> Method:
        """The fitted method; read from the folder if it is there."""
        place = self.folder / MODEL
        if is_tree(place):
            found: Method = load(place)
            return found
        self._check_judged()
        options = {"out": self.folder / TRAIN, "resume": True, "progress": self.progress, **self.fit_options}
        fitted = self.task.fit(self.unfitted, **options)
        fitted.save(place, datasets=data_names(self.data[1]))
        keep_data(self.folder, *self.data, roles_of(self.tables, fitted), self.tables.split, fitted)
        return fitted

    def _check_judged(self) -> None:
        """Check before the fit that no role has a single test row: no distance between samples is defined for it."""
        kinds = {role.name: role.kind for role in roles_of(self.tables, self.unfitted)}
        for role, axis in self.task.axes.items():
            parts = self.task.rows[axis]
            if self.tables.ask and kinds.get(role) == "rows" and len(parts["test"]) == 1:
                rule, rows = "scores need at least 2 test rows", sum(map(len, parts.values()))
                remedy = "Pass more rows, or more of them as the test: split.test = 0.5."
                raise invalid(f"split of {role}", rule, f"1 of {rows}", remedy)

    @property
    def answers(self) -> Answered:
        """Results of the questions, scores and arrays under ``question.name``.

        Each is kept as soon as it is found, so that a question that fails or is interrupted costs no other.
        """
        assert self.method.is_fitted  # a recipe without questions still trains
        parts, questions = [], make_questions(self.tables)
        # Tqdm's estimate is that of questions of equal cost.
        with tqdm(total=len(questions), unit="question", disable=not self.progress) as bar:
            for (name, question, rivals), table in zip(questions, self.tables.ask, strict=True):
                bar.set_description(f"{self.tables.name}: {name}")
                place = self.folder / ASKED / self._identity(table)
                if not is_tree(place):
                    write(place, ask(question, self.method, self.task, rivals, out=self.folder / "rivals"))
                parts.append(under(name, read(place)))
                bar.update()
        return joined(parts)

    def _identity(self, table: Mapping[str, Any]) -> str:
        """The same for the same question on the same task; its other questions do not matter."""
        task = {
            name: value
            for name, value in asdict(self.tables).items()
            if name not in ("title", "ask", "claim")
        }
        return settings_hash({"task": as_lists(task), "seed": self.seed, "ask": as_lists(table)})


def _fitted(cell: CellWork, tracking: FitTracking | None) -> CellWork:
    """Fit the method of a cell, or read it, and log its training."""
    if tracking is None:
        assert cell.method.is_fitted
        return cell
    logged = replace(cell, fit_options=tracking.fit_options)
    assert logged.method.is_fitted
    tracking.log_stages(logged.folder / TRAIN)
    return logged


def _answered(cell: CellWork, tracking: FitTracking | None) -> Answered:
    """Fit and evaluate the method of a cell, and log both."""
    fitted = _fitted(cell, tracking)
    answers = fitted.answers
    keep_results(fitted.folder, fitted.method, answers)
    if tracking is not None:
        tracking.log_answers(answers)
    return answers


def by_question(found: Answered) -> dict[str, Answered]:
    """Answers taken apart by question again, for claims."""
    questions = dict.fromkeys(score.name.partition(".")[0] for score in found.scores)
    return {
        question: Answered(
            scores=tuple(
                replace(score, name=score.name.partition(".")[2])
                for score in found.scores
                if score.name.partition(".")[0] == question
            )
        )
        for question in questions
    }


def under(name: str, found: Answered) -> Answered:
    """Return answers with the name of their question before each score, figure, array and text."""
    return Answered(
        scores=tuple(replace(score, name=f"{name}.{score.name}") for score in found.scores),
        figures=tuple(replace(figure, name=f"{name}-{figure.name}") for figure in found.figures),
        arrays={f"{name}/{key}": value for key, value in found.arrays.items()},
        texts={f"{name}/{heading}": lines for heading, lines in found.texts.items()},
        findings=found.findings,
    )


def _prefixed(found: Answered, prefix: str) -> Answered:
    if not prefix:
        return found
    return replace(
        found,
        scores=tuple(replace(score, name=prefix + score.name) for score in found.scores),
        figures=tuple(
            replace(figure, name=prefix.replace("/", "-") + figure.name) for figure in found.figures
        ),
        texts={prefix + key: lines for key, lines in found.texts.items()},
        findings=tuple(replace(one, text=f"{prefix[:-1]}: {one.text}") for one in found.findings),
    )


def joined(parts: list[Answered]) -> Answered:
    """Return the answers to several questions as one."""
    return Answered(
        scores=tuple(score for part in parts for score in part.scores),
        figures=tuple(figure for part in parts for figure in part.figures),
        arrays={key: value for part in parts for key, value in part.arrays.items()},
        texts={key: lines for part in parts for key, lines in part.texts.items()},
        findings=tuple(finding for part in parts for finding in part.findings),
    )


def run_recipe(
    recipe: Recipe,
    out: Path,
    *,
    workers: int | Executor = 1,
    progress: bool = False,
    after_cell: Progress | None = None,
) -> Answered:
    """Run the missing cells of a recipe in a folder, and gather.

    Args:
        recipe: The recipe.
        out: The run folder; results of other settings in it are refused.
        workers: Processes, or an executor.
        progress: Show progress bars.
        after_cell: Called with the name of each finished cell, and its seconds.
    """
    return conduct(RecipeRun(recipe, progress), out, workers=workers, progress=after_cell)


def train_recipe(recipe: Recipe, out: Path, *, progress: bool = False) -> list[Path]:
    """Fit the methods of a recipe that are not there yet, and store them; folders of the models."""
    run, models = RecipeRun(recipe, progress), []
    for name, cell in run.cells().items():
        work = CellWork(TaskTables(**cell["task"]), cell["seed"], recipe.seeds, out / "work" / name, progress)
        with tracked(run.tracker, work.folder, {**cell, "budget": recipe.budget}) as tracking:
            _fitted(work, tracking)
        models.append(work.folder / MODEL)
    return models
