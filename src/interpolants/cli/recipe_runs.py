"""Running a recipe of a method from the command line: scores and verdicts as tables, then the report."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from interpolants.foundations.errors import MissingExtraError

if TYPE_CHECKING:
    from interpolants.cli.show import Screen
    from interpolants.framework.scores import Answered
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
    with _told_how_to_go_on(folder):
        found = folder.run(resume=resume, workers=workers, progress=not screen.quiet)
    report = _report(folder, found, screen)
    show_answers(found, screen)
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

    folder = RecipeFolder.stored(out)
    if (page := _report(folder, gather(RecipeRun(folder.recipe), out), screen)) is not None:
        screen.say(f"report: {page}")


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
    """Scores beside floor and rivals, and the verdicts on claims."""
    from interpolants.cli.show import number
    from interpolants.framework.claims import verdict_lines

    rivals = list(dict.fromkeys(name for score in found.scores for name in score.rivals))
    rows = [
        (
            score.title or score.name,
            number(score.value, None if score.error != score.error else score.error),
            score.floor if isinstance(score.floor, str) else number(score.floor),
            *(number(score.rivals.get(name)) for name in rivals),
            score.better,
        )
        for score in found.scores
    ]
    screen.table("On held-out rows", ("", "value", "floor", *rivals, "better"), rows)
    if found.verdicts:
        header = ("claim", "beside", "seeds", "gap", "verdict")
        screen.table("Claims", header, verdict_lines(found.verdicts))


def _report(folder: "RecipeFolder", found: "Answered", screen: "Screen") -> str | None:
    from interpolants.reports.answers_page import write_answers
    from interpolants.runs.folder import versions
    from interpolants.runs.recipe_files import tables_of

    recipe = folder.recipe
    methods = ", ".join(str(task.method["kind"]) for task in recipe.tasks)
    about = {"Method": methods, "Seed": str(recipe.seed), "Seeds": str(recipe.seeds), "Budget": recipe.budget}
    about |= {"Versions": ", ".join(f"{k} {v}" for k, v in versions().items())}
    title = recipe.title or methods
    try:
        return str(write_answers(folder.out, title, found, about=about, settings=tables_of(recipe)))
    except MissingExtraError as error:
        screen.say(f"No report: {error}")
        return None
