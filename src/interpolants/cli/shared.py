"""Options that several commands share, and the conversion of their values."""

import shlex
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interpolants.cli import complete
from interpolants.foundations.errors import invalid

if TYPE_CHECKING:
    from torch import Tensor

    from interpolants.cli.show import Screen
    from interpolants.foundations.cards import Catalogue
    from interpolants.methods.bridge.bridge import Bridge
    from interpolants.runs.config import RunConfig

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
        help="Change a setting, e.g. train.steps=500. Repeatable.",
        autocompletion=complete.settings,
    ),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or the folder of a saved bridge.")]
Task = Annotated[str | None, typer.Option("--task", help="Which task, if the run has several.")]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="FILE", help="File to write: npz, npy, csv, safetensors.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Label = Annotated[int | None, typer.Option("--label", help="Condition: this label for every row.")]
Cond = Annotated[
    str | None, typer.Option("--cond", metavar="FILE", help="Condition: a file, one row per sample.")
]
Rows = Annotated[
    int, typer.Option("--batch-size", min=1, help="Rows at a time; changes memory, not results.")
]
X0 = Annotated[
    str | None, typer.Option("--x0", metavar="FILE", help="Samples at t = 0; left out: a Gaussian.")
]
X1 = Annotated[str | None, typer.Option("--x1", metavar="FILE", help="Samples at t = 1.")]
Condition = Annotated[
    str | None, typer.Option("--cond", metavar="FILE", help="Labels or vectors, a row per row of x1.")
]
Steps = Annotated[int | None, typer.Option("--steps", help="Training steps.")]
PathName = Annotated[
    str | None,
    typer.Option(
        "--path", help="Path, e.g. linear; see: interpolants methods.", autocompletion=complete.path_ids
    ),
]


# As many as a file of labels may have.
_MOST_LABELS = 1 << 24


def screen_for(quiet: bool) -> "Screen":
    """Console of a command."""
    from interpolants.cli.show import Screen

    return Screen(quiet=quiet)


def installed_cards(screen: "Screen") -> "Catalogue":
    """All cards; the screen says in a line each what is wrong with those of other distributions."""
    from interpolants.foundations.cards import CardWarning, catalogue, load_cards

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CardWarning)
        load_cards()  # its warning is shown once, and this was the time
    for fault in catalogue().faults:
        screen.say(f"note: cards left out, {fault}")
    return catalogue()


def typed() -> str:
    """The command line as typed."""
    return shlex.join(["interpolants", *sys.argv[1:]])


def settings_from(
    config: str | None,
    sets: list[str] | None,
    x0: str | None,
    x1: str | None,
    cond: str | None,
    steps: int | None,
    path: str | None,
    stored: Path | None,
) -> "RunConfig":
    """Settings from a file, from a run that is to go on, or from options alone; options change what a file says."""
    from interpolants.runs.config import find_config, make_config, read_settings
    from interpolants.runs.folder import CONFIG, read_config

    place = "command line"
    base: Any = {}
    if config is not None:
        file = find_config(Path(config))
        base, place = read_settings(file), str(file)
    elif stored is not None and (stored / CONFIG).is_file():
        base, place = read_settings(stored / CONFIG), str(stored / CONFIG)
    elif stored is not None and x1 is None and not sets:
        read_config(stored)  # raises, and names the nearest run
    elif x1 is None and not sets:
        remedy = "Give --config FILE, or data by --x1 FILE (and --x0 FILE)."
        raise invalid("run", "there must be settings or data", "none", remedy)
    own: list[tuple[str, Any]] = [
        ("data.x0", x0),
        ("data.x1", x1),
        ("data.condition", cond),
        ("train.steps", steps),
        ("bridge.path", path),
    ]
    given = {name: value for name, value in own if value is not None}
    if config is None and isinstance(base, dict) and not base and x1 is not None:
        base = {"title": f"{x0 or 'Gaussian'} to {x1}"}
    return make_config(base, sets or (), options=given, place=place)


def load_bridge(folder: Path, task: str | None) -> "Bridge":
    """The trained bridge of a run, or of one of its tasks."""
    from interpolants.methods.bridge.bridge import Bridge
    from interpolants.runs.folder import find_bridge

    return Bridge.load(find_bridge(folder, task))


def conditions_from(bridge: "Bridge", label: int | None, cond: str | None, n: int) -> "Tensor | None":
    """One condition per row, from a label for all or from a file."""
    import torch

    from interpolants.runs.sources import read_condition

    if label is not None and cond is not None:
        raise invalid("--label", "a label or a file of conditions must be given, not both", label)
    if cond is None:
        if label is not None and bridge.is_conditional and not bridge.classes:
            remedy = "Give --cond FILE, one row per sample."
            raise invalid("--label", "the bridge must have been trained with labels", label, remedy)
        if label is not None and abs(label) >= _MOST_LABELS:
            raise invalid("--label", f"a label must be below {_MOST_LABELS}", label)
        return None if label is None else torch.full((n,), label)
    rows = read_condition(cond, "--cond")
    if len(rows) != n:
        raise invalid("--cond", f"{cond} must have {n} rows", len(rows))
    return rows


def level_from(text: str) -> float | str:
    """A noise level as typed."""
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise invalid(
            "sample", "--eps must be a number >= 0, or auto", repr(text), "E.g. --eps 0.5; 0 is the ODE."
        ) from None


def points_from(bridge: "Bridge", file: str, key: str | None) -> "Tensor":
    """Rows of a file in the shape that the bridge knows; flattened rows are given their shape back."""
    from interpolants.runs.files import read_table

    x = read_table(file, "--data", key=key).x
    if x.shape[1:] != bridge.shape and x[0].numel() == _size(bridge.shape):
        return x.reshape(-1, *bridge.shape)
    return x


def _size(shape: tuple[int, ...]) -> int:
    product = 1
    for length in shape:
        product *= length
    return product
