"""Options that several commands share, and their consoles."""

import shlex
import shutil
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interpolants.cli import complete
from interpolants.foundations.tell import FileWarning

if TYPE_CHECKING:
    from interpolants.cli.show import Screen
    from interpolants.executors.executor import Executor
    from interpolants.foundations.cards import Catalogue

Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Settings: a TOML, YAML or JSON file, or the name of a recipe.",
        autocompletion=complete.recipes,
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="KEY=VALUE",
        help="Change a setting, for example method.steps=500. Repeatable.",
        autocompletion=complete.settings,
    ),
]
ExecutorName = Annotated[
    str,
    typer.Option(
        "--executor",
        metavar="NAME",
        help="Executor: local, ray, ...; changes time, not results.",
        autocompletion=complete.executors,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="Address of a running Ray cluster (default: a new cluster on this machine).",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

RUN_HELP = "Run folder or saved method, its address (https, s3, hf), or pretrained:NAME."


def screen_for(quiet: bool) -> "Screen":
    """Console of a command."""
    from interpolants.cli.show import Screen

    return Screen(quiet=quiet)


def executor_for(name: str, workers: int | None, address: str | None) -> "Executor":
    """The executor that a command line names.

    Args:
        name: Its id.
        workers: Processes, if given.
        address: Of a cluster, if given.

    Raises:
        InvalidInputError: If no executor has this name, or it does not accept workers or an address.
    """
    from interpolants.foundations.registry import build

    given = {"workers": workers, "address": address}
    found: Any = build("executor", name, **{key: value for key, value in given.items() if value is not None})
    made: Executor = found
    return made


def installed_cards(screen: "Screen") -> "Catalogue":
    """Return all cards; print one line per invalid card of another distribution."""
    from interpolants.foundations.cards import catalogue, load_cards

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FileWarning)
        load_cards()  # its warning is shown once, and this was the time
    for fault in catalogue().faults:
        screen.say(f"note: cards skipped, {fault}")
    return catalogue()


def as_typed_here(command: str) -> str:
    """A command with the path of this program, if the shell finds no or a different program by its name."""
    program = Path(sys.argv[0])
    on_path = shutil.which("interpolants")
    if (
        program.name != "interpolants"
        or not program.is_file()
        or (on_path is not None and Path(on_path).samefile(program))
    ):
        return command
    return shlex.quote(str(program)) + command.removeprefix("interpolants")


def typed() -> str:
    """The command line as typed."""
    return shlex.join(["interpolants", *sys.argv[1:]])
