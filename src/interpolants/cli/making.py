"""Commands that start a run, write its report, and list the recipes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interpolants.cli import complete
from interpolants.cli.option_groups import grouped
from interpolants.cli.shared import (
    Address,
    Config,
    ExecutorName,
    Json,
    Quiet,
    Sets,
    executor_for,
    screen_for,
)
from interpolants.foundations.errors import invalid, nearest

if TYPE_CHECKING:
    from interpolants.cli.recipe_runs import Asked

Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Run folder to create.")]
X0 = Annotated[
    str | None, typer.Option("--x0", metavar="FILE", help="Samples at t = 0 (default: Gaussian noise).")
]
X1 = Annotated[str | None, typer.Option("--x1", metavar="FILE", help="Samples at t = 1.")]
Condition = Annotated[
    str | None,
    typer.Option("--cond", metavar="FILE", help="Condition: labels or vectors, one row per row of x1."),
]
Weights = Annotated[
    str | None,
    typer.Option("--weights", metavar="FILE|COLUMN", help="Weight of each row of x1, or its column in --x1."),
]
Weights0 = Annotated[
    str | None,
    typer.Option(
        "--weights0", metavar="FILE|COLUMN", help="Weight of each row of x0, or its column in --x0."
    ),
]
Steps = Annotated[int | None, typer.Option("--steps", help="Training steps.")]
PathName = Annotated[
    str | None,
    typer.Option(
        "--path",
        help="Path, for example linear; see: interpolants methods --kind path.",
        autocompletion=complete.path_ids,
    ),
]
More = Annotated[
    int | None,
    typer.Option(
        "--more",
        min=1,
        metavar="STEPS",
        help="Continue the training of the run in --out for STEPS more steps.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device", help="Device of the training: cpu, cuda, cuda:1, or auto for a GPU if available."
    ),
]
Quick = Annotated[
    bool, typer.Option("--quick", help="Use the recipe's quick settings (seconds instead of minutes).")
]
Track = Annotated[
    str | None,
    typer.Option(
        "--track", metavar="NAME", help="Log losses, scores and figures to tensorboard, mlflow or wandb."
    ),
]


@dataclass(frozen=True)
class Learning:
    """Options of the method, the data and the training."""

    config: Config = None
    sets: Sets = None
    x0: X0 = None
    x1: X1 = None
    cond: Condition = None
    weights: Weights = None
    weights0: Weights0 = None
    steps: Steps = None
    path: PathName = None
    quick: Quick = False
    more: More = None
    device: Device = None
    track: Track = None

    def requested(self) -> "Asked":
        """Return the requested run."""
        from interpolants.cli.recipe_runs import Asked

        files = {name: getattr(self, name) for name in ("x0", "x1", "cond", "weights", "weights0")}
        return Asked(
            self.config,
            self.sets or [],
            files,
            self.steps,
            self.path,
            self.quick,
            self.more,
            self.device,
            self.track,
        )


@grouped
def run(
    out: Out,
    learning: Learning,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, max=100_000, help="Number of processes for tasks and seeds."),
    ] = None,
    executor: ExecutorName = "local",
    address: Address = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a method, evaluate it on held-out data, and write a report.

    \b
    Example:
    interpolants run --config demo --out runs/demo
    interpolants run --x0 a.jpg --x1 b.jpg --out runs/colours
    interpolants run --x0 a.npy --x1 b.csv --out runs/mine --steps 3000
    interpolants run --out runs/mine --resume
    interpolants run --out runs/mine --more 5000
    interpolants run --config demo --track tensorboard --out runs/tracked
    """
    from interpolants.cli.recipe_runs import run_folder

    resume = resume or learning.more is not None
    folder = learning.requested().folder(out, stored=resume)
    chosen = executor_for(executor, workers, address)
    run_folder(folder, resume=resume, workers=chosen, screen=screen_for(quiet or as_json), as_json=as_json)


@grouped
def train(
    learning: Learning,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Run folder to create.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="DIR", help="Run folder to continue.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a method and save it, without evaluation.

    \b
    Example:
    interpolants train --config checkerboard --out runs/a
    interpolants train --resume runs/a
    interpolants train --resume runs/a --more 5000
    """
    from interpolants.cli.recipe_runs import train_folder

    folder = resume if out is None else out
    if folder is None:
        raise invalid("train", "a run folder is needed", "none", "Add --out DIR, or --resume DIR.")
    if resume is not None and resume != folder:
        raise invalid(
            "train", "--resume and --out must name the same folder", f"{resume} and {out}", "Drop --out."
        )
    goes_on = resume is not None or learning.more is not None
    run = learning.requested().folder(folder, stored=goes_on)
    train_folder(run, resume=goes_on, screen=screen_for(quiet or as_json), as_json=as_json)


def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")], quiet: Quiet = False
) -> None:
    """Rewrite the report of a finished run, one self-contained HTML page.

    \b
    Example:
    interpolants report runs/demo
    """
    from interpolants.cli.recipe_runs import report_folder

    report_folder(folder, screen_for(quiet))


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Recipe to print.", autocompletion=complete.recipe_names),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List the recipes, complete settings files, or print one as a template.

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
    screen.table("Recipes", ("id", "description"), rows)
    screen.following("interpolants train --config checkerboard --out runs/a")


def schema(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="File to write.")] = Path(
        "interpolants.schema.json"
    ),
    quiet: Quiet = False,
) -> None:
    """Write the JSON schema of settings files, for completion and checks in editors.

    \b
    Example:
    interpolants schema
    """
    import json

    from interpolants.foundations.storage import write_text
    from interpolants.runs.schema import recipe_schema

    write_text(out, json.dumps(recipe_schema(), indent=1) + "\n")
    screen = screen_for(quiet)
    screen.say(
        f"{out}: to use it, start a settings file in the same folder with the line  #:schema ./{out.name}"
    )
