"""The command ``sweep``: compare settings on validation rows, and choose one."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interpolants.cli.option_groups import grouped
from interpolants.cli.shared import Address, Config, ExecutorName, Json, Quiet, Sets, executor_for, screen_for

if TYPE_CHECKING:
    from interpolants.cli.show import Screen
    from interpolants.executors.executor import Executor
    from interpolants.framework.experiment import Progress
    from interpolants.framework.figures import Figure
    from interpolants.reports.sweep_page import SweepFacts
    from interpolants.runs.optuna_sweep import OptunaSweep
    from interpolants.runs.sweep_run import Row, SweepRun


_OF_LOSSES = (
    "The loss compares settings of the training and of the network. Paths, weightings and units change what it "
    "measures: choose these by a question, --by."
)


@dataclass(frozen=True)
class Search:
    """Options of the compared settings and of the comparison."""

    over: Annotated[
        list[str],
        typer.Option(
            "--over",
            metavar="KEY=A,B,...",
            help="Setting and its values. Repeatable: all combinations are fitted. With --trials also LOW..HIGH[:log].",
        ),
    ]
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=1000, help="Number of seeds per setting.")] = 1
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="QUESTION.SCORE",
            help="Score that ranks the settings, on validation rows (default: the loss).",
        ),
    ] = ""
    halving: Annotated[
        int,
        typer.Option(
            "--halving",
            min=0,
            help="Successive halving: each rung keeps 1/N of the settings and trains N times as many steps [0: off].",
        ),
    ] = 0
    trials: Annotated[
        int,
        typer.Option(
            "--trials",
            min=0,
            help="Number of settings that Optuna proposes, instead of all combinations.",
        ),
    ] = 0
    prune: Annotated[
        bool,
        typer.Option(
            "--prune/--no-prune", help="Stop trials whose loss on held-out rows is worse than the median."
        ),
    ] = True


@grouped
def sweep(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Output folder of the sweep.")],
    search: Search,
    config: Config = None,
    sets: Sets = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Use the recipe's quick settings (seconds instead of minutes).")
    ] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, max=100_000, help="Number of processes.")
    ] = None,
    executor: ExecutorName = "local",
    address: Address = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compare settings of a recipe over seeds, on validation rows, and choose one; test rows are not used.

    The same command resumes a stopped sweep.

    \b
    Example:
    interpolants sweep -c checkerboard --over method.lr=1e-3,3e-3 --over method.batch_size=128,512 --seeds 3 -o runs/s
    interpolants sweep -c mine.toml --over method.lr=1e-4,1e-3,1e-2 --halving 3 --workers 4 -o runs/s
    interpolants sweep -c mine.toml --over method.lr=1e-4..1e-2:log --over method.ema=none,0.99 --trials 30 -o runs/s
    interpolants run --config runs/s/best.json --out runs/best
    """
    from tqdm import tqdm

    from interpolants.foundations.errors import invalid
    from interpolants.foundations.folder_lock import locked
    from interpolants.runs.sweep_run import best_of, table_rows

    if config is None:
        raise invalid("sweep", "settings are required", "none", "Pass --config FILE.")
    screen, chosen = screen_for(quiet or as_json), executor_for(executor, workers, address)
    if search.trials and getattr(chosen, "workers", None) != 1:
        remedy = "Remove --workers and --executor: each proposal depends on the trials before it."
        raise invalid("sweep", "--trials runs one fit at a time", f"--executor {executor}", remedy)
    run = _sweep_run(config, sets or [], search, quick=quick)
    with locked("sweep", out):
        with tqdm(total=_most(run), unit="fit", desc="sweep", disable=screen.quiet) as bar:
            rows = _rows(run, out, chosen, lambda name, seconds: bar.update())
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
    screen.following(facts.following, "trains it again and evaluates it on the test rows")


def _sweep_run(config: str, sets: list[str], search: Search, *, quick: bool) -> "SweepRun | OptunaSweep":
    """Return the sweep that a command line requests, with as many settings checked as possible without data."""
    from interpolants.foundations.errors import invalid
    from interpolants.foundations.extras import require
    from interpolants.runs.recipe_files import changed_recipe, tables_of
    from interpolants.runs.search_space import has_range, read_space
    from interpolants.runs.settings_files import find_config, read_settings
    from interpolants.runs.sweep import Sweep, read_grid, settings_of_grid
    from interpolants.runs.sweep_run import SweepRun

    file = find_config(Path(config))
    recipe = changed_recipe(read_settings(file), sets, place=file.name, quick=quick)
    template = Sweep(tables_of(recipe), (), recipe.seed, search.seeds, search.by, place=file.name)
    if search.trials:
        if search.halving:
            remedy = "Remove --halving: trials are pruned by --prune."
            raise invalid("sweep", "--trials and --halving exclude each other", "both", remedy)
        require("optuna", by="sweep --trials")
        from interpolants.runs.optuna_sweep import OptunaSweep

        return OptunaSweep(template, read_space(search.over), search.trials, search.prune)
    if has_range(search.over):
        remedy = "Add --trials 30, or list values: --over KEY=A,B."
        raise invalid("sweep", "ranges require --trials", ", ".join(search.over), remedy)
    grid = replace(template, chosen=settings_of_grid(read_grid(search.over)))
    grid.cells()
    return SweepRun(grid, search.halving)


def _rows(run: "SweepRun | OptunaSweep", out: Path, chosen: "Executor", progress: "Progress") -> "list[Row]":
    from interpolants.runs.sweep_run import SweepRun

    if isinstance(run, SweepRun):
        return run.run(out, chosen, progress=progress)
    return run.run(out, progress=progress)


def _most(run: "SweepRun | OptunaSweep") -> int:
    """Return the largest number of fits: those of all rungs, or of all trials."""
    from interpolants.runs.sweep_run import SweepRun

    if not isinstance(run, SweepRun):
        return run.trials * run.sweep.seeds
    settings, total = len(run.sweep.chosen), 0
    for _ in run.rungs:
        total += settings * run.sweep.seeds
        settings = max(1, settings // max(run.halving, 1))
    return total


def _figure(
    run: "SweepRun | OptunaSweep", rows: "list[Row]", by: str, out: Path
) -> "tuple[Figure, list[str]]":
    """Return the figure of a sweep, and notes on its trials."""
    from interpolants.runs.sweep_run import SweepRun, figure_of

    if isinstance(run, SweepRun):
        return figure_of(rows, by), []
    from interpolants.runs.optuna_sweep import trials_figure

    trials = run.finished_trials(out)
    lost = [trial for trial in trials if trial.reason]
    notes = [f"{len(trials)} trials, of which {len(trials) - len(lost)} were completed; see trials.csv."]
    return trials_figure(trials, by, higher=rows[0].better == "higher"), notes


def _facts(run: "SweepRun | OptunaSweep", rows: "list[Row]", out: Path) -> "SweepFacts":
    from interpolants.reports import words
    from interpolants.reports.sweep_page import SweepFacts
    from interpolants.runs.sweep import VALIDATION
    from interpolants.runs.sweep_run import as_good, best_of, table_rows, told

    best, by = best_of(rows), run.sweep.by or "loss on held-out rows"
    header, cells = table_rows(rows)
    notes = [f"Settings were compared on {VALIDATION} rows; the test rows were not used for the choice."]
    notes += ["With one seed a setting may win by chance: add --seeds 3."] if run.sweep.seeds == 1 else []
    notes += [] if run.sweep.by else [_OF_LOSSES]
    figure, of_trials = _figure(run, rows, by, out)
    notes += of_trials
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
        figure=figure,
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
