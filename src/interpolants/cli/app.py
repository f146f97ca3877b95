"""The command line: parse, call, show. PyTorch is imported by the commands that need it, so that help is fast."""

import os
from typing import Annotated

import typer

from interpolants.cli import listing, making
from interpolants.cli.compare import compare
from interpolants.cli.explore import explore
from interpolants.cli.export import export
from interpolants.cli.find import find
from interpolants.cli.fit_solver import fit_solver
from interpolants.cli.follow import follow
from interpolants.cli.group import Commands
from interpolants.cli.methods import methods
from interpolants.cli.serve import serve
from interpolants.cli.sweeping import sweep

app = typer.Typer(
    cls=Commands,
    help="Learn a bridge between two distributions from samples; transport, generate and score, by ODE or SDE.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Entry point of the command ``interpolants``."""
    # Threads that wait by spinning make small networks some fifty times slower as soon as another process
    # wants a core. OpenMP reads this when PyTorch is loaded, hence here; a value set by the user stays.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app(prog_name="interpolants")


def _print_version(asked: bool) -> None:
    if asked:
        import interpolants

        typer.echo(interpolants.__version__)
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Options before a command."""


# In the order in which the help lists them.
for command in (
    making.run,
    making.train,
    sweep,
    making.report,
    explore,
    serve,
    export,
    fit_solver,
    follow,
    compare,
    find,
    methods,
    making.recipes,
    making.schema,
    listing.problems,
    listing.doctor,
):
    app.command(command.__name__.replace("_", "-"))(command)
