"""Command that follows a series live: a line in, a line out."""

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer

from interpolants.cli.shared import Json


def follow(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, or saved method.")],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="CSV file with one row per time step (default: standard input)."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Number of time steps to predict.")] = None,
    members: Annotated[int | None, typer.Option("--members", help="Number of ensemble members.")] = None,
    window: Annotated[
        int | None, typer.Option("--window", help="Number of last time steps that each update fits.")
    ] = None,
    iterations: Annotated[
        int | None, typer.Option("--iterations", help="Optimisation steps per update.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Random seed of the noise.")] = 0,
    task: Annotated[str | None, typer.Option("--task", help="Task of a run with several tasks.")] = None,
    run_seed: Annotated[
        int | None, typer.Option("--run-seed", help="Seed of the run, if the task has several seeds.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read a series row by row; print the surprise of each row and a prediction of the next rows.

    \b
    Example:
    tail -f sensor.csv | interpolants follow runs/regimes --steps 3
    interpolants follow runs/regimes past.csv > told.csv
    """
    from interpolants.foundations.errors import invalid
    from interpolants.runs.live_rows import follow_lines
    from interpolants.runs.models import load

    method = load(folder, task=task, seed=run_seed)
    if not callable(getattr(method, "follow", None)):
        remedy = (
            "Forecast the complete series: interpolants forecast RUN FILE."
            if "forecast" in dir(method)
            else ""
        )
        raise invalid(
            "follow", f"the model in {folder} must be able to follow a series", type(method).__name__, remedy
        )
    given = {"steps": steps, "members": members, "window": window, "iterations": iterations, "seed": seed}
    session = method.follow(**{name: value for name, value in given.items() if value is not None})
    writer = csv.writer(sys.stdout, lineterminator="\n")
    with _opened(file) as lines:
        for row in follow_lines(session, lines, method.columns("series")):
            told = row.fields()
            if as_json:
                sys.stdout.write(json.dumps(told) + "\n")
            else:
                if row.step == 1:
                    writer.writerow(told)
                writer.writerow(f"{value:.6g}" for value in told.values())
            sys.stdout.flush()


@contextmanager
def _opened(file: Path | None) -> Iterator[TextIO]:
    if file is None or str(file) == "-":
        yield sys.stdin
        return
    with open(file, newline="", encoding="utf-8-sig") as opened:
        yield opened
