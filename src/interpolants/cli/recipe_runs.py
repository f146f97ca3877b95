"""Running a recipe of a method from the command line: scores and verdicts as tables, then the report."""

import json
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpolants.foundations.errors import InterpolantsError, MissingExtraError, invalid

if TYPE_CHECKING:
    from interpolants.cli.show import Screen
    from interpolants.executors.executor import Executor
    from interpolants.framework.answered import Answered
    from interpolants.framework.scores import Score
    from interpolants.reports.facts import RunFacts
    from interpolants.runs.recipe_files import RecipeFolder


@dataclass(frozen=True)
class Asked:
    """Run requested on the command line.

    Attributes:
        config: A settings file or the name of a recipe.
        sets: Changes of settings, ``key=value``.
        files: Files of the command line, by role.
        steps: Training steps.
        path: Id of a path.
        quick: Whether to use the recipe's quick settings.
        more: Steps by which a run is trained longer.
        device: Where to learn.
        track: Kind of tracker.
    """

    config: str | None
    sets: Sequence[str]
    files: Mapping[str, str | None]
    steps: int | None = None
    path: str | None = None
    quick: bool = False
    more: int | None = None
    device: str | None = None
    track: str | None = None

    def folder(self, out: Path, *, stored: bool) -> "RecipeFolder":
        """Return the run folder with its recipe; for a resumed run, the stored recipe with the changes.

        Raises:
            InvalidInputError: If nothing says what to run, or a setting is unknown.
        """
        from interpolants.runs.models import CONFIG
        from interpolants.runs.recipe_files import RecipeFolder, changed_recipe

        if self.more is not None:
            if self.config is not None or any(self.files.values()) or self._changes:
                remedy = "Pass only --out DIR and --more STEPS."
                raise invalid("run", "--more continues a run without other changes", "other settings", remedy)
            return RecipeFolder.stored(out).longer(self.more)
        if self.config is None and stored and not any(self.files.values()):
            before = RecipeFolder.stored(out)
            if not self._changes:
                return before
            tables, place = tables_in(out / CONFIG), str(out / CONFIG)
        else:
            tables, place = self._tables()
        return RecipeFolder(out, changed_recipe(tables, self._changes, place=place, quick=self.quick))

    @property
    def _changes(self) -> list[str]:
        own = {"steps": self.steps, "path": self.path, "device": self.device}
        named = [f"method.{name}={value}" for name, value in own.items() if value is not None]
        named += [
            f"data.{role}={json.dumps(file)}" for role, file in self.files.items() if file and self.config
        ]
        named += [f"track.kind={self.track}"] if self.track else []
        return [*named, *self.sets]

    def _tables(self) -> tuple[Any, str]:
        from interpolants.runs.own_files import own_tables
        from interpolants.runs.settings_files import find_config

        if self.config is not None:
            file = find_config(Path(self.config))
            return tables_in(file), file.name
        if not self.files.get("x1") and not any(text.startswith("data.x1") for text in self.sets):
            self._refuse_without_x1()
        if self.quick:
            raise invalid("run", "--quick needs a recipe with a [quick] table", "data only", "Omit --quick.")
        return own_tables(self.files, overrides=self._changes), "command line"

    def _refuse_without_x1(self) -> None:
        """Name the other file if it does not exist, else the missing x1."""
        from interpolants.data.files import check_file

        remedy = "Pass --config FILE, or data with --x1 FILE (and --x0 FILE)."
        for role, file in self.files.items():
            if file:
                if Path(file).suffix:
                    check_file(Path(file), f"data.{role}")
                raise invalid("run", "x1 is required: the training data", f"{role} = {file} only", remedy)
        raise invalid("run", "settings or data are required", "none", remedy)


def tables_in(file: Path) -> Any:
    """Tables of a settings file."""
    from interpolants.runs.settings_files import read_settings

    return read_settings(file)


def run_folder(
    folder: "RecipeFolder", *, resume: bool, workers: "int | Executor", screen: "Screen", as_json: bool
) -> None:
    """Run a recipe, print the scores, and write the report.

    Raises:
        InterruptedFitError: If a signal stopped a fit or a question; the message contains the command that resumes.
    """
    from interpolants.cli.shared import as_typed_here, typed
    from interpolants.runs.run_facts import keep_command, run_facts

    _say_pictures(folder, screen)
    with _told_how_to_go_on(folder):
        pages = Pages(folder, screen)
        found = folder.run(
            resume=resume, workers=workers, progress=not screen.quiet, after_cell=pages.after_cell
        )
    keep_command(folder.out, typed())
    facts = run_facts(folder, found)
    report = _report(folder, facts, screen)
    show_answers(found, screen)
    _show_findings(facts, screen)
    if as_json:
        scores = {
            s.name: {"value": s.value, "floor": s.floor, "rivals": dict(s.rivals)} for s in found.scores
        }
        verdicts = {v.claim.says: v.outcome for v in found.verdicts}
        screen.json({"out": str(folder.out), "report": report, "scores": scores, "verdicts": verdicts})
    if report is not None:
        screen.say(f"report: {report}")
    if facts.use:
        screen.following(as_typed_here(facts.use))
    screen.following(as_typed_here(_explore(folder)), "shows the run in the browser")


def _explore(folder: "RecipeFolder") -> str:
    """The command that opens a run in the explorer, with the files that its data name outside of its folder."""
    from interpolants.runs.file_hashes import named_files

    files = dict.fromkeys(file for task in folder.recipe.tasks for file in named_files(task.data).values())
    inside = folder.out.resolve()
    outside = [str(file) for file in files if not file.resolve().is_relative_to(inside)]
    options = [part for file in outside for part in ("--data", file)]
    return shlex.join(["interpolants", "explore", str(folder.out), *options])


def _say_pictures(folder: "RecipeFolder", screen: "Screen") -> None:
    """Print a line for each picture file among the data: its pixels are the rows."""
    from interpolants.data.picture_pixels import is_picture, read_picture, told_of
    from interpolants.runs.file_hashes import named_files

    for task in folder.recipe.tasks:
        for role, file in named_files(task.data).items():
            if is_picture(file):
                screen.say(f"{role} = {told_of(file, read_picture(file, f'data.{role}'))}")


@dataclass
class Pages:
    """The report of an unfinished run, written after each cell as long as that takes little of the time.

    Attributes:
        folder: The run.
        screen: Screen that prints the path of the first page.
        spent: Seconds that pages took.
    """

    folder: "RecipeFolder"
    screen: "Screen"
    spent: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def after_cell(self, name: str, seconds: float) -> None:
        """Write the page with what is finished; the last one is written when all is gathered."""
        from interpolants.cli.shared import typed
        from interpolants.framework.experiment import stored_answers
        from interpolants.runs.recipe_run import RecipeRun
        from interpolants.runs.run_facts import keep_command, run_facts

        started, run = time.monotonic(), RecipeRun(self.folder.recipe)
        answers = stored_answers(run, self.folder.out)
        if len(answers) == len(run.cells()) or self.spent > _PAGES * (started - self.began):
            return
        keep_command(self.folder.out, typed())
        page = _report(self.folder, run_facts(self.folder, run.gather(answers)), self.screen)
        if page is not None and not self.spent:
            note = (
                f"{len(answers)} of {len(run.cells())} parts are finished; the report is updated after each"
            )
            self.screen.say(f"report: {page}   ({note})")
        self.spent += time.monotonic() - started


def train_folder(folder: "RecipeFolder", *, resume: bool, screen: "Screen", as_json: bool) -> None:
    """Fit and save the methods of all tasks, without evaluation."""
    with _told_how_to_go_on(folder):
        models = folder.train(resume=resume, progress=not screen.quiet)
    if as_json:
        screen.json({"out": str(folder.out), "models": [str(place) for place in models]})
    for place in models:
        screen.say(f"model: {place}")
    if not screen.quiet:
        _picture(models[0], screen)
    screen.following(
        f"interpolants run --out {folder.out} --resume", "evaluates the questions and writes the report"
    )


def _picture(place: Path, screen: "Screen") -> None:
    """Text plot of a model that draws points in the plane; nothing for others."""
    import numpy as np

    from interpolants.cli.dots import scatter
    from interpolants.framework.capabilities import capabilities_of
    from interpolants.framework.method import load

    method = load(place)
    one = capabilities_of(type(method)).get("sample")
    if one is None or not method.can("sample") or method.shapes.get(one.source(one.like)) != (2,):
        return
    if not any(role.kind == "condition" and role.name in method.given for role in one.roles(method)):
        x = np.asarray(method.sample(1500, seed=0))
        screen.drawing("1,500 samples", scatter(x))


def report_folder(out: Path, screen: "Screen") -> None:
    """Write the report of a finished run again."""
    from interpolants.foundations.folder_lock import locked
    from interpolants.framework.experiment import gather
    from interpolants.runs.recipe_files import RecipeFolder
    from interpolants.runs.recipe_run import RecipeRun
    from interpolants.runs.run_facts import run_facts

    folder = RecipeFolder.stored(out)
    try:
        with locked("report", out):
            facts = run_facts(folder, gather(RecipeRun(folder.recipe), out))
            page = _report(folder, facts, screen)
    except (InterpolantsError, OSError):
        raise
    except Exception as error:  # answers of a folder that nobody here wrote may be anything
        told = f"{type(error).__name__}: {str(error)[:200]}"
        raise invalid("report", f"answers in {out} must be what a run wrote", told) from error
    if page is not None:
        screen.say(f"report: {page}")


def _show_findings(facts: "RunFacts", screen: "Screen") -> None:
    """Print the most serious findings of the report."""
    from interpolants.reports.findings import findings_of

    grave = [one.text for one in findings_of(facts) if one.grave]
    for text in grave[:_FINDINGS]:
        screen.say(f"! {text}")
    if len(grave) > _FINDINGS:
        screen.say(f"! and {len(grave) - _FINDINGS} more, see the report")


@contextmanager
def _told_how_to_go_on(folder: "RecipeFolder") -> Iterator[None]:
    """Print the command that resumes a run stopped by a signal, or by Ctrl-C during a question."""
    import signal

    from interpolants.cli.shared import as_typed_here
    from interpolants.framework.stages import InterruptedFitError

    try:
        yield
    except KeyboardInterrupt as stopped:
        command = as_typed_here(f"interpolants run --out {folder.out} --resume")
        told = f"Stopped; finished work is saved. Resume with: {command}"
        raise InterruptedFitError(told, getattr(stopped, "signal", signal.SIGINT)) from stopped


def show_answers(found: "Answered", screen: "Screen") -> None:
    """Print scores, floors and rivals by question, and the verdicts on claims."""
    from interpolants.framework.claims import verdict_lines

    asked: dict[str, list[Score]] = {}
    for score in found.scores:
        asked.setdefault(score.name.rpartition(".")[0], []).append(score)
    for question, scores in asked.items():
        _show_question(question, scores, screen)
    if found.verdicts:
        rows = [(says.strip("`"), *rest) for says, *rest in verdict_lines(found.verdicts)]
        screen.numbers("claims", ("", "beside", "seeds", "gap", "verdict"), rows)


# Maximum fraction of a run's time that may be spent on pages before the last one.
_PAGES = 0.1
# Maximum number of findings printed on the terminal.
_FINDINGS = 5
# Most rivals that are columns; more are rows below the score.
_COLUMNS = 3


def _show_question(question: str, scores: "Sequence[Score]", screen: "Screen") -> None:
    rivals = list(dict.fromkeys(name for score in scores for name in score.rivals))
    header, rows = _beside(scores, rivals if len(rivals) <= _COLUMNS else [])
    if not screen.fits(header, rows):
        header, rows = _beside(scores, [])
    screen.numbers(question.replace("/", ": "), header, rows)


def _beside(scores: "Sequence[Score]", columns: "Sequence[str]") -> tuple[list[str], list[list[str]]]:
    """Return header and rows: rivals are columns, or rows below the score."""
    from interpolants.cli.show import number
    from interpolants.reports.readings import floor_of, title_of

    floors = any(floor_of(score) is not None for score in scores)
    better = any(score.better != "neither" for score in scores)
    rows = []
    for score in scores:
        error = None if score.error != score.error else score.error
        row = [title_of(score), number(score.value, error), *([number(floor_of(score))] if floors else [])]
        row += [number(score.rivals.get(name)) for name in columns]
        rows.append([*row, *([score.better.replace("neither", "")] if better else [])])
        below = {} if columns else score.rivals
        rows += [[f"  {name}", number(value), *[""] * (len(rows[-1]) - 2)] for name, value in below.items()]
    return ["", "value", *(["floor"] if floors else []), *columns, *(["better"] if better else [])], rows


def _report(folder: "RecipeFolder", facts: "RunFacts", screen: "Screen") -> str | None:
    from interpolants.reports.answers_page import write_answers

    try:
        return str(write_answers(folder.out, facts))
    except MissingExtraError as error:
        screen.say(f"No report: {error}")
        return None
