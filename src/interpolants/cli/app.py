"""The command line: parse, call, show. PyTorch is imported by the commands that need it, so that help is fast."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interpolants.cli import complete
from interpolants.cli.group import Commands
from interpolants.foundations.errors import invalid, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from interpolants.cli.show import Screen
    from interpolants.estimator.bridge import Bridge
    from interpolants.runs.config import RunConfig, TaskConfig

app = typer.Typer(
    cls=Commands,
    help="Bridge two arbitrary distributions: learn from samples, transport, generate and score, by ODE or SDE.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

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


def main() -> None:
    """Entry point of the command ``interpolants``."""
    # Threads that wait by spinning make small networks some fifty times slower as soon as another process
    # wants a core. OpenMP reads this when PyTorch is loaded, hence here; a user's own setting stands.
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


@app.command()
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
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Learn a bridge, judge it on held-out data, and write a report.

    \b
    Example:
    interpolants run --config digits_demo --out runs/demo
    interpolants run --x0 a.npy --x1 b.csv --out runs/mine --steps 3000
    interpolants run --out runs/mine --resume
    """
    from interpolants.runs.run import execute

    settings = _settings(config, sets, x0, x1, cond, steps, path, out if resume else None)
    screen = _screen(quiet or as_json)
    done = execute(settings, out, progress=not (quiet or as_json), resume=resume, command=_typed())
    for task in done.results["tasks"]:
        screen.metrics(task)
    if as_json:
        screen.json({"out": str(out), "report": done.report and str(done.report), "results": done.results})
    if done.report is not None:
        screen.say(f"report: {done.report}")
    bridges = [task.name for task in settings.tasks if task.method is None]
    texts = [task["name"] for task in done.results["tasks"] if task.get("texts")]
    choice = f" --task {(bridges or texts)[0]}" if (bridges or texts) and len(settings.tasks) > 1 else ""
    if bridges:
        screen.following(f"interpolants sample {out}{choice} -n 1000 --eps 0.5 --out samples.npz")
    elif texts:
        screen.following(f"interpolants text {out}{choice} -n 5")
    else:
        screen.following("interpolants methods", "the other methods, and what they cost")


@app.command()
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
    """Learn a bridge and save it, without evaluation.

    \b
    Example:
    interpolants train --config moons_to_rings --out runs/a
    interpolants train --resume runs/a
    """
    from interpolants.runs.run import train_only

    folder = resume if out is None else out
    if folder is None:
        raise invalid("train", "a run folder is needed", "none", "Add --out DIR, or --resume DIR.")
    if resume is not None and out is not None and resume != out:
        raise invalid(
            "train", "--resume and --out must name one folder", f"{resume} and {out}", "Drop --out."
        )
    settings = _settings(config, sets, x0, x1, cond, steps, path, resume)
    quiet = quiet or as_json
    train_only(settings, folder, progress=not quiet, resume=resume is not None)
    screen = _screen(quiet)
    if as_json:
        screen.json({"out": str(folder), "bridges": [str(folder / task.name) for task in settings.tasks]})
    if not quiet:
        _picture(screen, folder, settings.tasks[0])
    screen.following(f"interpolants run --out {folder} --resume", "evaluates it and writes the report")


@app.command()
def sample(
    folder: Run,
    out: Out,
    n: Annotated[int, typer.Option("-n", min=1, help="Number of samples.")] = 1000,
    eps: Annotated[
        str,
        typer.Option(
            "--eps", metavar="LEVEL|auto", help="Noise level; 0 is the ODE, auto what held-out data chose."
        ),
    ] = "0",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of starts and noise.")] = 0,
    label: Label = None,
    cond: Cond = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="From t = 1 to t = 0.")] = False,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Steps of the solver.")] = 100,
    method: Annotated[str | None, typer.Option("--method", help="Solver, e.g. heun, dopri5, sra1.")] = None,
    guidance: Annotated[
        float | None, typer.Option("--guidance", help="Strength of classifier-free guidance; 1 is none.")
    ] = None,
    interval: Annotated[
        tuple[float, float],
        typer.Option("--guidance-interval", help="Times between which there is guidance."),
    ] = (0.0, 1.0),
    task: Task = None,
    batch_size: Rows = 10_000,
    nproc: Annotated[
        int, typer.Option("--nproc", min=1, max=256, help="Processes; changes time, not results.")
    ] = 1,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Draw samples from a trained bridge.

    \b
    Example:
    interpolants sample runs/demo -n 1000 --eps 0.5 --seed 1 --label 3 --out threes.npz
    interpolants sample runs/demo -n 1000 --label 3 --guidance 2 --out clear_threes.npz
    """
    from interpolants.runs.files import check_free, write_table
    from interpolants.runs.folder import find_bridge
    from interpolants.runs.shards import sampled, sampled_by_processes

    check_free(out, force=force)
    bridge = _bridge(folder, task)
    given = _conditions(bridge, label, cond, n)
    how: dict[str, Any] = {
        "eps": _level(eps),
        "seed": seed,
        "reverse": reverse,
        "n_steps": steps,
        "method": method,
    }
    how |= {"guidance": guidance, "guidance_interval": interval}
    shown = not (quiet or as_json)
    if nproc > 1:
        where = find_bridge(folder, task)
        x = sampled_by_processes(where, n, given, batch_size, how, nproc, progress=shown)
    else:
        x = sampled(bridge, n, given, batch_size, how, progress=shown)
    arrays = {"x": x.numpy()}
    if given is not None:
        arrays["label" if given.ndim == 1 else "condition"] = given.numpy()
    write_table(out, arrays, force=force)
    screen = _screen(quiet or as_json)
    if as_json:
        screen.json({"out": str(out), "n": n, "shape": list(x.shape[1:]), "eps": how["eps"], "seed": seed})
    screen.say(f"{n} samples of shape {arrays['x'].shape[1:]} in {out}")
    if not reverse:
        choice = f" --task {task}" if task else ""
        screen.following(
            f"interpolants log-prob {folder}{choice} --data {out}{' --key x' if given is not None else ''}"
        )


@app.command()
def text(
    folder: Run,
    n: Annotated[int, typer.Option("-n", min=1, help="Number of texts.")] = 5,
    prompt: Annotated[
        str | None, typer.Option("--prompt", "-p", help="Text to go on from, or with _ for what to fill in.")
    ] = None,
    length: Annotated[
        int | None,
        typer.Option("--length", min=1, help="Length; that of the prompt, or of the training data."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draws.")] = 0,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="Network calls; left out, one per token, which is exact."),
    ] = None,
    task: Task = None,
    as_json: Json = False,
) -> None:
    """Write text with a trained model of tokens, or fill the gaps of a prompt.

    \b
    Example:
    interpolants text runs/masked_text -n 3 --length 128
    interpolants text runs/masked_text --prompt "and god said let there be ______"
    """
    from interpolants.estimator.tokens import TokenBridge
    from interpolants.runs.folder import find_tokens

    model = TokenBridge.load(find_tokens(folder, task))
    if prompt is None:
        lines = model.texts(model.sample(n, length, seed=seed, steps=steps))
    else:
        lines = model.infill(prompt, n, length=length, seed=seed, steps=steps)
    screen = _screen(False)
    if as_json:
        screen.json(lines)
    else:
        screen.lines(lines)


@app.command("log-prob")
def log_prob(
    folder: Run,
    data: Annotated[str, typer.Option("--data", "-d", metavar="FILE", help="Points, one per row.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="File to write.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Array of an npz or safetensors file.")] = None,
    label: Label = None,
    cond: Cond = None,
    probes: Annotated[
        int, typer.Option("--probes", min=0, help="Probes of a Hutchinson estimate; 0: exact divergence.")
    ] = 0,
    task: Task = None,
    batch_size: Rows = 1000,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Log density of points under a trained bridge, in nats.

    \b
    Example:
    interpolants log-prob runs/demo --data new.csv --out lp.csv
    """
    from interpolants.runs.files import check_free, write_table
    from interpolants.runs.shards import scored

    if out is not None:
        check_free(out, force=force)
    bridge = _bridge(folder, task)
    points = _points(bridge, data, key)
    given = _conditions(bridge, label, cond, len(points))
    divergence: dict[str, Any] = {"divergence": "hutchinson", "probes": probes} if probes else {}
    values = scored(bridge, points, given, batch_size, divergence, progress=not (quiet or as_json))
    screen, mean = _screen(quiet or as_json), float(values.mean())
    error = float(values.std()) / len(values) ** 0.5 if len(values) > 1 else 0.0
    dims = points[0].numel()
    if out is not None:
        write_table(out, {"log_prob": values.numpy()}, force=force)
    if as_json:
        screen.json(
            {"mean": mean, "error": error, "mean_per_dim": mean / dims, "n": len(values), "unit": "nats"}
        )
    screen.say(f"{mean:.6g} ± {error:.2g} nats, {mean / dims:.6g} nats/dim, mean of {len(values)} points")
    screen.following(f"interpolants check {folder}{f' --task {task}' if task else ''}")


@app.command()
def check(folder: Run, task: Task = None, quiet: Quiet = False, as_json: Json = False) -> None:
    """Test a trained bridge against identities that it must fulfil, and against its data.

    Exit code 1 if a test fails.

    \b
    Example:
    interpolants check runs/demo
    """
    report = _bridge(folder, task).check()
    screen = _screen(quiet or as_json)
    rows = [
        (item.verdict, item.name, f"{item.value:.4g}", f"{item.limit:.4g}", item.message)
        for item in report.checks
    ]
    if as_json:
        header = ("verdict", "name", "value", "limit", "message")
        screen.json([dict(zip(header, row, strict=True)) for row in rows])
    screen.table("Self-test", ("", "test", "value", "limit", "what it says"), rows)
    remedy = "" if report.ok else "train longer, and read what failed"
    screen.following(f"interpolants report {folder}", remedy)
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")], quiet: Quiet = False
) -> None:
    """Write the report of a finished run again: one self-contained HTML page.

    \b
    Example:
    interpolants report runs/demo
    """
    from interpolants.reports.report import write_report
    from interpolants.runs.folder import read_results

    results = read_results(folder)
    page = write_report(folder)
    screen = _screen(quiet)
    screen.say(f"report: {page}")
    choice = f" --task {results['tasks'][0]['name']}" if len(results["tasks"]) > 1 else ""
    screen.following(f"interpolants sample {folder}{choice} -n 1000 --out samples.npz")


@app.command()
def explore(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN]...", help="Run folders, or folders of saved bridges, to look at."),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on.")] = 8000,
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
    quiet: Quiet = False,
) -> None:
    """Play with bridges in the browser, look at runs, also while they train, and compare two of them. Works offline.

    \b
    Example:
    interpolants explore
    interpolants explore runs/a runs/b
    interpolants explore --port 9000 --no-open
    """
    from interpolants.foundations.extras import require
    from interpolants.web.app import listen, serve
    from interpolants.web.shelf import open_runs

    require("uvicorn", by="explore")
    runs = open_runs(folders or ())
    own = listen(port)
    view = "" if not runs else "run" if len(runs) == 1 else "compare"
    address = f"http://127.0.0.1:{own.getsockname()[1]}/{view}"
    _screen(quiet).say(f"explorer: {address}   (Ctrl-C stops it)")
    if show:
        import threading
        import webbrowser

        threading.Timer(1.5, webbrowser.open, (address,)).start()
    serve(own, runs)


@app.command()
def methods(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="All about this one.", autocompletion=complete.method_ids),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option("--family", "-f", help="Only this family, e.g. path.", autocompletion=complete.families),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List the methods that the library has, or tell all about one, from their cards.

    \b
    Example:
    interpolants methods --family path
    interpolants methods flow_map
    """
    from interpolants.foundations.cards import FAMILIES, load_cards

    if family is not None and family not in FAMILIES:
        raise invalid("methods", "--family must be a family", repr(family), nearest(family, FAMILIES))
    cards = [card for card in load_cards() if family is None or card.family == family]
    ids = [card.id for card in cards]
    if name is not None and name not in ids:
        raise invalid("methods", "the method must be one of the library's", repr(name), nearest(name, ids))
    cards = [card for card in cards if name in (None, card.id)]
    screen = _screen(quiet or as_json)
    if as_json:
        screen.json([_card(card) for card in cards])
    if name is not None:
        screen.table(
            cards[0].title, ("", ""), [(key, _told(value)) for key, value in _card(cards[0]).items()]
        )
        screen.following(f"interpolants methods --family {cards[0].family}", "its neighbours")
        return
    rows = [
        (c.family, c.id, c.title, c.status, c.cost, c.limits, ", ".join(c.sources), c.extra) for c in cards
    ]
    header = ("family", "id", "method", "status", "cost", "limits", "sources", "extra")
    screen.table("Methods", header, rows)
    screen.following(f"interpolants methods {ids[0]}", "all about one of them")


@app.command()
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
    interpolants recipes moons_to_rings > mine.toml
    """
    from interpolants.runs import recipes as kept

    found = kept.recipes()
    if name is not None:
        if name not in found:
            raise invalid(
                "recipes", "the recipe must be one of the library's", repr(name), nearest(name, found)
            )
        typer.echo(found[name].read_text(encoding="utf-8"), nl=False)
        return
    screen = _screen(quiet or as_json)
    rows = [(key, kept.told(file)) for key, file in found.items()]
    if as_json:
        screen.json([{"id": key, "what": what} for key, what in rows])
    screen.table("Recipes", ("id", "what it does"), rows)
    screen.following("interpolants train --config moons_to_rings --out runs/a")


@app.command()
def problems(quiet: Quiet = False, as_json: Json = False) -> None:
    """List problems with known answers, and data sets, to use as x0 and x1.

    \b
    Example:
    interpolants problems
    """
    from interpolants.data.catalogue import available
    from interpolants.foundations.cards import load_cards

    cards = [card for card in load_cards() if card.family == "problem"]
    sets = available()
    screen = _screen(quiet or as_json)
    if as_json:
        screen.json({"problems": [_card(card) for card in cards], "datasets": sets})
    screen.table("Problems", ("id", "problem", "shapes"), [(c.id, c.title, c.shapes) for c in cards])
    screen.table(
        "Data sets",
        ("id", "on this machine"),
        [(name, "yes" if there else "no") for name, there in sets.items()],
    )
    screen.following(
        "interpolants run --set 'data.x1={problem = \"moons\"}' --out runs/moons", 'or dataset = "digits"'
    )


@app.command()
def doctor(quiet: Quiet = False, as_json: Json = False) -> None:
    """Show versions, devices and optional packages, and how to install what is missing.

    \b
    Example:
    interpolants doctor
    """
    from interpolants.cli.doctor import diagnose

    found = diagnose()
    screen = _screen(quiet or as_json)
    if as_json:
        screen.json(found)
    facts = [
        ("interpolants", found["interpolants"]),
        ("python", f"{found['python']} on {found['platform']}"),
        *((name, version or "missing") for name, version in found["core"].items()),
        ("devices", ", ".join(found["torch"]["devices"])),
        ("threads", f"{found['torch']['threads']} of {found['cpus']} processors"),
    ]
    screen.table("Installation", ("", ""), facts)
    rows = [
        (extra, package, version or "missing")
        for extra, packages in found["extras"].items()
        for package, version in packages.items()
    ]
    screen.table("Optional packages", ("extra", "package", "version"), rows)
    for command in found["missing"]:
        screen.say(f"to add: {command}")
    screen.following("interpolants problems", "what there is to try")


# --- what the commands share ----------------------------------------------------------------------------


def _screen(quiet: bool) -> "Screen":
    from interpolants.cli.show import Screen

    return Screen(quiet=quiet)


def _typed() -> str:
    """What the user typed."""
    return shlex.join(["interpolants", *sys.argv[1:]])


def _settings(
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


def _bridge(folder: Path, task: str | None) -> "Bridge":
    from interpolants.estimator.bridge import Bridge
    from interpolants.runs.folder import find_bridge

    return Bridge.load(find_bridge(folder, task))


def _picture(screen: "Screen", folder: Path, task: "TaskConfig") -> None:
    """What a bridge in the plane has learnt, as text; nothing for others."""
    from interpolants.cli.dots import scatter

    bridge = _bridge(folder, task.name)
    if bridge.shape == (2,) and task.data.condition is None:
        x = bridge.sample(1500, n_steps=25, seed=0)
        screen.drawing("1,500 samples of the flow", scatter(x.numpy()))


def _conditions(bridge: "Bridge", label: int | None, cond: str | None, n: int) -> "Tensor | None":
    """One condition per row, from a label for all or from a file."""
    import torch

    from interpolants.runs.sources import read_condition

    if label is not None and cond is not None:
        raise invalid("--label", "a label or a file of conditions must be given, not both", label)
    if cond is None:
        return None if label is None else torch.full((n,), label)
    rows = read_condition(cond)
    if len(rows) != n:
        raise invalid("--cond", f"{cond} must have {n} rows", len(rows))
    return rows


def _level(text: str) -> float | str:
    """A noise level as typed."""
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise invalid(
            "sample", "--eps must be a number >= 0, or auto", repr(text), "E.g. --eps 0.5; 0 is the ODE."
        ) from None


def _points(bridge: "Bridge", file: str, key: str | None) -> "Tensor":
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


def _told(value: Any) -> str:
    """An entry of a card for people."""
    if isinstance(value, dict):
        return "; ".join(f"{key}: {entry}" for key, entry in value.items())
    return ", ".join(value) if isinstance(value, tuple | list) else str(value)


def _card(card: Any) -> dict[str, Any]:
    """A card as JSON-able values."""
    from dataclasses import asdict

    return asdict(card)
