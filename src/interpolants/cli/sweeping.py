"""The command ``sweep``: compare settings on validation rows, and choose one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interpolants.cli.shared import Address, Config, ExecutorName, Json, Quiet, Sets, executor_for, screen_for

if TYPE_CHECKING:
    from interpolants.cli.show import Screen
    from interpolants.reports.sweep_page import SweepFacts
    from interpolants.runs.sweep_run import Row, SweepRun


_OF_LOSSES = (
    "The loss compares settings of the training and of the network. Paths, weightings and units change what it "
    "measures: choose these by a question, --by."
)


def sweep(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the sweep.")],
    over: Annotated[
        list[str],
        typer.Option(
            "--over", metavar="KEY=A,B,...", help="A setting and its values. Repeatable: all combinations."
        ),
    ],
    config: Config = None,
    sets: Sets = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=1000, help="Fits of each setting.")] = 1,
    by: Annotated[
        str,
        typer.Option(
            "--by", metavar="QUESTION.SCORE", help="What decides, on validation rows; left out: the loss."
        ),
    ] = "",
    halving: Annotated[
        int,
        typer.Option(
            "--halving",
            min=0,
            help="Stop settings early: each rung keeps one in so many, for so many times the steps.",
        ),
    ] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="The recipe's size of seconds.")] = False,
    workers: Annotated[int | None, typer.Option("--workers", min=1, max=100_000, help="Processes.")] = None,
    executor: ExecutorName = "local",
    address: Address = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compare settings of a recipe over seeds, on validation rows, and choose one; the test part stays untouched.

    The same command goes on where it was stopped.

    \b
    Example:
    interpolants sweep -c checkerboard --over method.lr=1e-3,3e-3 --over method.batch_size=128,512 --seeds 3 -o runs/s
    interpolants sweep -c mine.toml --over method.lr=1e-4,1e-3,1e-2 --halving 3 --workers 4 -o runs/s
    interpolants run --config runs/s/best.json --out runs/best
    """
    from tqdm import tqdm

    from interpolants.foundations.errors import invalid
    from interpolants.foundations.folder_lock import locked
    from interpolants.runs.sweep_run import best_of, table_rows

    if config is None:
        raise invalid("sweep", "there must be settings", "none", "Give --config FILE.")
    screen, chosen = screen_for(quiet or as_json), executor_for(executor, workers, address)
    run = _sweep_run(config, sets or [], over, seeds, by, halving, quick=quick)
    with locked("sweep", out):
        with tqdm(total=_most(run), unit="fit", desc="sweep", disable=screen.quiet) as bar:
            rows = run.run(out, chosen, progress=lambda name, seconds: bar.update())
        facts = _facts(run, rows, out)
        report = _report(out, facts, screen)
    header, cells = table_rows(rows)
    screen.numbers(f"by {facts.by}", header, cells)
    screen.say(f"chosen: {facts.chosen}")
    for note in facts.notes[1:]:
        screen.say(note)
    if as_json:
        best = best_of(rows)
        chosen_one = {"chosen": dict(best.setting), "validation": best.mean}
        screen.json({"out": str(out), "report": report, **chosen_one})
    if report is not None:
        screen.say(f"report: {report}")
    screen.following(facts.following, "learns it again and judges it on the test part")


def _sweep_run(
    config: str, sets: list[str], over: list[str], seeds: int, by: str, halving: int, *, quick: bool
) -> "SweepRun":
    """The sweep that a command line asks for; every setting is tried as far as is possible without data."""
    from interpolants.runs.recipe_files import changed_recipe, tables_of
    from interpolants.runs.settings_files import find_config, read_settings
    from interpolants.runs.sweep import Sweep, read_grid, settings_of_grid
    from interpolants.runs.sweep_run import SweepRun

    file = find_config(Path(config))
    recipe = changed_recipe(read_settings(file), sets, place=file.name, quick=quick)
    chosen = settings_of_grid(read_grid(over))
    made = Sweep(tables_of(recipe), chosen, recipe.seed, seeds, by, place=file.name)
    made.cells()
    return SweepRun(made, halving)


def _most(run: "SweepRun") -> int:
    """Fits of all rungs."""
    settings, total = len(run.sweep.chosen), 0
    for _ in run.rungs:
        total += settings * run.sweep.seeds
        settings = max(1, settings // max(run.halving, 1))
    return total


def _facts(run: "SweepRun", rows: "list[Row]", out: Path) -> "SweepFacts":
    from interpolants.reports import words
    from interpolants.reports.sweep_page import SweepFacts
    from interpolants.runs.sweep import VALIDATION
    from interpolants.runs.sweep_run import as_good, best_of, figure_of, table_rows, told

    best, by = best_of(rows), run.sweep.by or "loss on held-out rows"
    header, cells = table_rows(rows)
    notes = [f"Settings were compared on {VALIDATION} rows; the test rows took no part in the choice."]
    notes += ["With one seed a setting may win by chance: add --seeds 3."] if run.sweep.seeds == 1 else []
    notes += [] if run.sweep.by else [_OF_LOSSES]
    return SweepFacts(
        title=run.sweep.recipe(best.setting).title or "A sweep",
        chosen=told(best.setting),
        value=words.with_error(best.mean, best.error),
        by=by,
        as_good=[told(row.setting) for row in as_good(rows)],
        seeds=run.sweep.seeds,
        notes=notes,
        header=header,
        rows=cells,
        settings=len(best.setting),
        figure=figure_of(rows, by),
        following=f"interpolants run --config {out / 'best.json'} --out {out}-best",
    )


def _report(out: Path, facts: "SweepFacts", screen: "Screen") -> str | None:
    from interpolants.foundations.errors import MissingExtraError
    from interpolants.reports.sweep_page import write_sweep

    try:
        return str(write_sweep(out, facts))
    except MissingExtraError as error:
        screen.say(f"No report: {error}")
        return None
