"""Command that fits a solver of few evaluations to a stored bridge."""

from pathlib import Path
from typing import Annotated

import typer

from interpolants.cli.shared import RUN_HELP


def fit_solver(
    folder: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="File to write: .json.")],
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="Evaluations of the network per sample.")] = 4,
    on: Annotated[str | None, typer.Option("--on", metavar="PATH", help="Path to sample on.")] = None,
    guidance: Annotated[
        float | None, typer.Option("--guidance", metavar="W", help="Strength of guidance to sample with.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the start points and of the fit.")] = 0,
    task: Annotated[str | None, typer.Option("--task", help="Task of a run that has several.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Fit a solver of few evaluations to a trained bridge, for --method of sample and transport.

    \b
    Example:
    interpolants fit-solver runs/mine -n 4 --on one_sided_linear --out fast.json
    interpolants sample runs/mine -n 1000 --on one_sided_linear --method fast.json --out x.npy
    """
    from interpolants.foundations.errors import invalid
    from interpolants.runs.files import check_free
    from interpolants.runs.models import load
    from interpolants.runs.overrides import literal

    check_free(out, force=force, endings=(".json",))
    bridge = load(folder, task=task)
    if not callable(getattr(bridge, "fit_solver", None)):
        remedy = "Use dynamics.fit_solver with its fields."
        raise invalid("fit-solver", f"the model in {folder} must be a bridge", type(bridge).__name__, remedy)
    solver = bridge.fit_solver(n, on=None if on is None else literal(on), guidance=guidance, seed=seed)
    solver.save(out)
    errors = ", ".join(f"{name} {error:.3g}" for name, error in solver.errors.items())
    typer.echo(f"root mean square error per entry on held-out starts: {errors}\nwrote {out}")
