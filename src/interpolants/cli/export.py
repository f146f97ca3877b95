"""Command that writes a stored model as a program for other tools."""

from pathlib import Path
from typing import Annotated

import typer

from interpolants.cli.shared import Json, Quiet, screen_for


def export(
    folder: Annotated[Path, typer.Argument(metavar="MODEL", help="Saved method, or run folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="File to write: .pt2 or .onnx.")],
    what: Annotated[
        str,
        typer.Option(
            "--what", help="sampler, jumps (flow maps), or a field: velocity, score, denoised, noise."
        ),
    ] = "sampler",
    method: Annotated[
        str | None,
        typer.Option("--solver", "--method", help="Solver with fixed steps: euler, heun, rk4, ..."),
    ] = None,
    n_steps: Annotated[
        int | None, typer.Option("--steps", "--n-steps", help="Number of solver steps [20].")
    ] = None,
    eps: Annotated[
        float, typer.Option("--eps", help="Noise level; above 0 with euler_maruyama or stochastic_heun.")
    ] = 0.0,
    reverse: Annotated[bool, typer.Option("--reverse", help="Run in reverse, from t = 1 to t = 0.")] = False,
    guidance: Annotated[
        str | None, typer.Option("--guidance", metavar="W", help="Strength of guidance, or 'input'.")
    ] = None,
    dtype: Annotated[str, typer.Option("--dtype", help="float32, or float64 for .pt2.")] = "float32",
    task: Annotated[str | None, typer.Option("--task", help="Task of a run with several tasks.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a trained model as a program that runs without this library: PyTorch's .pt2, or .onnx.

    \b
    Example:
    interpolants export runs/mine --solver heun --steps 20 --out sampler.onnx
    interpolants export runs/mine --what velocity --out velocity.pt2
    """
    from interpolants.exchange.export import export as write
    from interpolants.foundations.errors import invalid
    from interpolants.runs.models import load

    screen = screen_for(quiet or as_json)
    try:
        strength = None if guidance is None else guidance == "input" or float(guidance)
    except ValueError as error:
        raise invalid("--guidance", "it must be a number or 'input'", repr(guidance)) from error
    screen.say("Tracing and checking; every step of the solver is written out, which takes a while ...")
    done = write(
        load(folder, task=task),
        out,
        what=what,
        method=method,
        n_steps=n_steps,
        eps=eps,
        reverse=reverse,
        guidance=strength,
        dtype=dtype,
        force=force,
    )
    if as_json:
        screen.json({"file": str(done.file), "about": dict(done.about), "gaps": done.gaps})
    screen.say(f"{done}\nwrote {done.file}")
