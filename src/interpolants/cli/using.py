"""Commands that use a trained bridge."""

from pathlib import Path
from typing import Annotated, Any

import typer

from interpolants.cli.shared import (
    Cond,
    Force,
    Json,
    Label,
    Out,
    Quiet,
    Rows,
    Run,
    Task,
    conditions_from,
    level_from,
    load_bridge,
    points_from,
    screen_for,
)


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
    method: Annotated[
        str | None, typer.Option("--method", help="Solver, e.g. midpoint, dopri5, sra1.")
    ] = None,
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
    from interpolants.cli.verbs import ask_method, is_other_method
    from interpolants.runs.files import check_free, write_table
    from interpolants.runs.folder import find_bridge
    from interpolants.runs.shards import sampled, sampled_by_processes

    if is_other_method(folder, task):
        told = [] if label is None else ["--cond", str(label)]
        told += [] if cond is None else ["--cond", cond]
        ask_method("sample", folder, task, ["-n", str(n), "--seed", str(seed), "--out", str(out), *told])
        return

    check_free(out, force=force)
    bridge = load_bridge(folder, task)
    given = conditions_from(bridge, label, cond, n)
    how: dict[str, Any] = {
        "eps": level_from(eps),
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
    screen = screen_for(quiet or as_json)
    if as_json:
        screen.json({"out": str(out), "n": n, "shape": list(x.shape[1:]), "eps": how["eps"], "seed": seed})
    screen.say(f"{n} samples of shape {arrays['x'].shape[1:]} in {out}")
    if not reverse and (given is None or out.suffix.lower() != ".csv"):  # a csv has the conditions as columns
        choice = f" --task {task}" if task else ""
        screen.following(
            f"interpolants log-prob {folder}{choice} --data {out}{' --key x' if given is not None else ''}"
        )


def text(
    folder: Run,
    n: Annotated[int, typer.Option("-n", min=1, help="Number of texts.")] = 5,
    prompt: Annotated[
        str | None, typer.Option("--prompt", "-p", help="Text to go on from, or with _ for what to fill in.")
    ] = None,
    length: Annotated[
        int | None,
        typer.Option("--length", min=1, help="Length; that of a prompt with gaps, or of the training data."),
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
    from interpolants.data.alphabet import BLANK
    from interpolants.methods.token_bridge import TokenBridge
    from interpolants.runs.models import find_model

    model = TokenBridge.load(find_model(folder, task))
    if prompt is None:
        lines = model.texts(model.draw(n, length, seed=seed, steps=steps).x)
    else:
        if length is None and BLANK not in prompt:  # a beginning, which fills in nothing at its own length
            length = max(len(prompt), model.state["length"])
        lines = model.complete([prompt], n=n, length=length, seed=seed, steps=steps)
    screen = screen_for(False)
    if as_json:
        screen.json(lines)
    else:
        screen.lines(lines)


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
    from interpolants.cli.verbs import ask_method, is_other_method
    from interpolants.runs.files import check_free, write_table
    from interpolants.runs.folder import finite
    from interpolants.runs.shards import scored

    if is_other_method(folder, task):
        words = [data, *(["--out", str(out)] if out is not None else []), *(["--force"] if force else [])]
        words += [] if label is None else ["--cond", str(label)]
        words += [] if cond is None else ["--cond", cond]
        ask_method("log-prob", folder, task, words)
        return
    if out is not None:
        check_free(out, force=force)
    bridge = load_bridge(folder, task)
    points = points_from(bridge, data, key)
    given = conditions_from(bridge, label, cond, len(points))
    divergence: dict[str, Any] = {"divergence": "hutchinson", "probes": probes} if probes else {}
    values = scored(bridge, points, given, batch_size, divergence, progress=not (quiet or as_json))
    screen, mean = screen_for(quiet or as_json), float(values.mean())
    error = float(values.std()) / len(values) ** 0.5 if len(values) > 1 else 0.0
    dims = points[0].numel()
    if out is not None:
        write_table(out, {"log_prob": values.numpy()}, force=force)
    if as_json:
        told = {"mean": mean, "error": error, "mean_per_dim": mean / dims, "n": len(values), "unit": "nats"}
        screen.json(finite(told))
    screen.say(f"{mean:.6g} ± {error:.2g} nats, {mean / dims:.6g} nats/dim, mean of {len(values)} points")
    screen.following(f"interpolants check {folder}{f' --task {task}' if task else ''}")


def check(folder: Run, task: Task = None, quiet: Quiet = False, as_json: Json = False) -> None:
    """Test a trained bridge against identities that it must fulfil, and against its data.

    Exit code 1 if a test fails.

    \b
    Example:
    interpolants check runs/demo
    """
    report = load_bridge(folder, task).check()
    screen = screen_for(quiet or as_json)
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
    from interpolants.web.run_registry import open_runs

    require("uvicorn", by="explore")
    runs = open_runs(folders or ())
    own = listen(port)
    view = "" if not runs else "run" if len(runs) == 1 else "compare"
    address = f"http://127.0.0.1:{own.getsockname()[1]}/{view}"
    screen_for(quiet).say(f"explorer: {address}   (Ctrl-C stops it)")
    if show:
        import threading
        import webbrowser

        threading.Timer(1.5, webbrowser.open, (address,)).start()
    serve(own, runs)
