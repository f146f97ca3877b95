"""Running a recipe of a method from the command line: scores and verdicts as tables, then the report."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from interpolants.foundations.errors import MissingExtraError

if TYPE_CHECKING:
    from interpolants.cli.show import Screen
    from interpolants.framework.scores import Answered, Score
    from interpolants.reports.facts import RunFacts
    from interpolants.runs.recipe_files import RecipeFolder


def folder_of(
    config: str | None, sets: list[str] | None, stored: Path | None, out: Path, *, quick: bool
) -> "RecipeFolder | None":
    """The run that is asked for, if its settings are a recipe of a method."""
    from interpolants.runs.config import find_config, read_settings
    from interpolants.runs.recipe_files import CONFIG, RecipeFolder, changed_recipe, is_recipe

    if config is None:
        return RecipeFolder.stored(stored) if stored is not None and (stored / CONFIG).is_file() else None
    file = find_config(Path(config))
    tables = read_settings(file)
    if not is_recipe(tables):
        return None
    return RecipeFolder(out, changed_recipe(tables, sets or (), place=file.name, quick=quick))


def run_folder(
    folder: "RecipeFolder", *, resume: bool, workers: int, screen: "Screen", as_json: bool
) -> None:
    """Run, show, report.

    Raises:
        InterruptedFitError: If a signal stopped a fit; it says how to go on.
    """
    from interpolants.cli.shared import typed
    from interpolants.runs.run_facts import keep_command, run_facts

    with _told_how_to_go_on(folder):
        found = folder.run(resume=resume, workers=workers, progress=not screen.quiet)
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
    screen.following(
        f"interpolants methods show {folder.recipe.tasks[0].method['kind']}", "what it can be asked for"
    )


def train_folder(folder: "RecipeFolder", *, resume: bool, screen: "Screen", as_json: bool) -> None:
    """Fit and store the methods of all tasks; ask nothing."""
    with _told_how_to_go_on(folder):
        models = folder.train(resume=resume, progress=not screen.quiet)
    if as_json:
        screen.json({"out": str(folder.out), "models": [str(place) for place in models]})
    for place in models:
        screen.say(f"model: {place}")
    screen.following(
        f"interpolants run --out {folder.out} --resume", "asks its questions and writes the report"
    )


def report_folder(out: Path, screen: "Screen") -> None:
    """Write the report of a finished run again."""
    from interpolants.framework.experiment import gather
    from interpolants.runs.recipe_files import RecipeFolder
    from interpolants.runs.recipe_run import RecipeRun
    from interpolants.runs.run_facts import run_facts

    folder = RecipeFolder.stored(out)
    facts = run_facts(folder, gather(RecipeRun(folder.recipe), out))
    if (page := _report(folder, facts, screen)) is not None:
        screen.say(f"report: {page}")


def _show_findings(facts: "RunFacts", screen: "Screen") -> None:
    """The worst of the run, as the report has it."""
    from interpolants.reports.findings import findings_of

    grave = [one.text for one in findings_of(facts) if one.grave]
    for text in grave[:_FINDINGS]:
        screen.say(f"! {text}")
    if len(grave) > _FINDINGS:
        screen.say(f"! and {len(grave) - _FINDINGS} more, see the report")


@contextmanager
def _told_how_to_go_on(folder: "RecipeFolder") -> Iterator[None]:
    """Say after a signal how the run goes on."""
    from interpolants.framework.stages import InterruptedFitError

    try:
        yield
    except InterruptedFitError as stopped:
        told = f"Stopped; what was learnt is saved. Go on with: interpolants run --out {folder.out} --resume"
        raise InterruptedFitError(told, stopped.signal) from stopped


def show_answers(found: "Answered", screen: "Screen") -> None:
    """Scores beside floor and rivals, question by question, and the verdicts on claims."""
    from interpolants.framework.claims import verdict_lines

    asked: dict[str, list[Score]] = {}
    for score in found.scores:
        asked.setdefault(score.name.rpartition(".")[0], []).append(score)
    for question, scores in asked.items():
        _show_question(question, scores, screen)
    if found.verdicts:
        rows = [(says.strip("`"), *rest) for says, *rest in verdict_lines(found.verdicts)]
        screen.numbers("claims", ("", "beside", "seeds", "gap", "verdict"), rows)


# Most findings that are told on the terminal.
_FINDINGS = 5
# Most rivals that are columns; more are rows below the score.
_COLUMNS = 3


def _show_question(question: str, scores: "Sequence[Score]", screen: "Screen") -> None:
    from interpolants.cli.show import number
    from interpolants.reports.readings import floor_of, title_of

    rivals = list(dict.fromkeys(name for score in scores for name in score.rivals))
    columns = rivals if len(rivals) <= _COLUMNS else []
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
    header = ["", "value", *(["floor"] if floors else []), *columns, *(["better"] if better else [])]
    screen.numbers(question.replace("/", ": "), header, rows)


def _report(folder: "RecipeFolder", facts: "RunFacts", screen: "Screen") -> str | None:
    from interpolants.reports.answers_page import write_answers

    try:
        return str(write_answers(folder.out, facts))
    except MissingExtraError as error:
        screen.say(f"No report: {error}")
        return None
