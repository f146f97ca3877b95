"""Commands that start a run, write its report, and list the recipes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interpolants.cli import complete
from interpolants.cli.shared import (
    X0,
    X1,
    Condition,
    Config,
    Json,
    PathName,
    Quiet,
    Sets,
    Steps,
    load_bridge,
    screen_for,
    settings_from,
    typed,
)
from interpolants.foundations.errors import invalid, nearest

if TYPE_CHECKING:
    from interpolants.cli.show import Screen
    from interpolants.runs.config import TaskConfig


def run(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Run folder to make.")],
    config: Config = None,
    sets: Sets = None,
    x0: X0 = None,
    x1: X1 = None,
    cond: Condition = None,
    steps: Steps = None,
    path: PathName = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="The recipe's size of seconds.")] = False,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=256, help="Processes for tasks and seeds.")
    ] = 1,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Learn a method, judge it on held-out data, and write a report.

    \b
    Example:
    interpolants run --config digits_demo --out runs/demo
    interpolants run --x0 a.npy --x1 b.csv --out runs/mine --steps 3000
    interpolants run --out runs/mine --resume
    """
    from interpolants.cli.recipe_runs import folder_of, run_folder
    from interpolants.runs.folder import finite
    from interpolants.runs.run import execute

    if (folder := folder_of(config, sets, out if resume else None, out, quick=quick)) is not None:
        run_folder(
            folder, resume=resume, workers=workers, screen=screen_for(quiet or as_json), as_json=as_json
        )
        return
    if quick:
        raise invalid("run", "--quick needs a recipe with a [quick] table", str(config), "Leave it out.")
    settings = settings_from(config, sets, x0, x1, cond, steps, path, out if resume else None)
    screen = screen_for(quiet or as_json)
    done = execute(settings, out, progress=not (quiet or as_json), resume=resume, command=typed())
    for task in done.results["tasks"]:
        screen.metrics(task)
    if as_json:
        results = finite(done.results)
        screen.json({"out": str(out), "report": done.report and str(done.report), "results": results})
    if done.report is not None:
        screen.say(f"report: {done.report}")
    choice = f" --task {settings.tasks[0].name}" if len(settings.tasks) > 1 else ""
    screen.following(f"interpolants sample {out}{choice} -n 1000 --eps 0.5 --out samples.npz")


def train(
    config: Config = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Run folder to make.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="DIR", help="Go on with this run.")
    ] = None,
    sets: Sets = None,
    x0: X0 = None,
    x1: X1 = None,
    cond: Condition = None,
    steps: Steps = None,
    path: PathName = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Learn a method and save it, without evaluation.

    \b
    Example:
    interpolants train --config checkerboard --out runs/a
    interpolants train --resume runs/a
    """
    from interpolants.cli.recipe_runs import folder_of, train_folder
    from interpolants.runs.run import train_only

    folder = resume if out is None else out
    if folder is None:
        raise invalid("train", "a run folder is needed", "none", "Add --out DIR, or --resume DIR.")
    if resume is not None and out is not None and resume != out:
        raise invalid(
            "train", "--resume and --out must name one folder", f"{resume} and {out}", "Drop --out."
        )
    if (run := folder_of(config, sets, resume, folder, quick=False)) is not None:
        train_folder(run, resume=resume is not None, screen=screen_for(quiet or as_json), as_json=as_json)
        return
    settings = settings_from(config, sets, x0, x1, cond, steps, path, resume)
    quiet = quiet or as_json
    train_only(settings, folder, progress=not quiet, resume=resume is not None)
    screen = screen_for(quiet)
    if as_json:
        bridges = [str(folder / task.name / "bridge") for task in settings.tasks]
        screen.json({"out": str(folder), "bridges": bridges})
    if not quiet:
        _picture(screen, folder, settings.tasks[0])
    screen.following(f"interpolants run --out {folder} --resume", "evaluates it and writes the report")


def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")], quiet: Quiet = False
) -> None:
    """Write the report of a finished run again: one self-contained HTML page.

    \b
    Example:
    interpolants report runs/demo
    """
    from interpolants.cli.recipe_runs import report_folder
    from interpolants.reports.report import write_report
    from interpolants.runs.folder import read_results
    from interpolants.runs.recipe_files import CONFIG

    if (folder / CONFIG).is_file():
        report_folder(folder, screen_for(quiet))
        return
    results = read_results(folder)
    page = write_report(folder)
    screen = screen_for(quiet)
    screen.say(f"report: {page}")
    choice = f" --task {results['tasks'][0]['name']}" if len(results["tasks"]) > 1 else ""
    screen.following(f"interpolants sample {folder}{choice} -n 1000 --out samples.npz")


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Print this one.", autocompletion=complete.recipe_names),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List the settings files that run as they are, or print one, to be changed into your own.

    \b
    Example:
    interpolants recipes
    interpolants recipes checkerboard > mine.toml
    """
    from interpolants.runs import recipes as kept

    found = kept.recipes()
    if name is not None:
        if name not in found:
            raise invalid(
                "recipes", "the recipe must be one of the library's", repr(name), nearest(name, found)
            )
        typer.echo(found[name].read_text(encoding="utf-8", errors="replace"), nl=False)
        return
    screen = screen_for(quiet or as_json)
    rows = [(key, kept.told(file)) for key, file in found.items()]
    if as_json:
        screen.json([{"id": key, "what": what} for key, what in rows])
    screen.table("Recipes", ("id", "what it does"), rows)
    screen.following("interpolants train --config checkerboard --out runs/a")


def _picture(screen: "Screen", folder: Path, task: "TaskConfig") -> None:
    """Text plot of a bridge in the plane; nothing for other dimensions."""
    from interpolants.cli.dots import scatter

    bridge = load_bridge(folder, task.name)
    if bridge.shape == (2,) and task.data.condition is None:
        x = bridge.sample(1500, n_steps=25, seed=0)
        screen.drawing("1,500 samples of the flow", scatter(x.numpy()))
