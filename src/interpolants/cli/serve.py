"""Command that serves a model over HTTP."""

from typing import Annotated

import typer

from interpolants.cli.shared import RUN_HELP, screen_for


def serve(
    folder: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP, show_default=False)],
    task: Annotated[str | None, typer.Option("--task", help="Task of a run with several tasks.")] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; by default only this machine can reach it.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on.")] = 8000,
    names: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="NAME", help="Host name that clients use, with --host. Repeatable."),
    ] = None,
    rows: Annotated[
        int, typer.Option("--max-rows", min=1, help="Maximum number of rows per request.")
    ] = 100_000,
    seconds: Annotated[
        float, typer.Option("--timeout", min=1, help="Time limit of a request in seconds.")
    ] = 60.0,
    device: Annotated[
        str,
        typer.Option("--device", help="Device of the model: cpu, cuda, or auto for a GPU if available."),
    ] = "cpu",
) -> None:
    """Serve a trained model over HTTP: each verb is an endpoint, with JSON or .npy bodies.

    \b
    Example:
    interpolants serve runs/a
    interpolants serve pretrained:digits --port 9000
    curl 127.0.0.1:9000/sample -H 'content-type: application/json' -d '{"n": 2, "cond": 3, "seed": 0}'
    interpolants serve runs/a --host 0.0.0.0 --name gpu1.example.org
    """
    import signal
    from pathlib import Path

    from interpolants.foundations.extras import require
    from interpolants.framework.method import load
    from interpolants.runs.models import find_model
    from interpolants.web.http_server import HOSTS, listen
    from interpolants.web.model_requests import Limits
    from interpolants.web.model_server import serve_model

    for package in ("fastapi", "uvicorn"):
        require(package, by="serve")
    screen = screen_for(False)
    model = load(find_model(folder, task))
    if device != "cpu":
        model.to(device)
    listener = listen(port, host, "serve")
    shown_host = f"[{host}]" if ":" in host else host
    if host not in HOSTS:
        screen.say(
            f"warning: everyone who can reach {host} can use this model, without a password and without encryption"
        )
    screen.say(f"serving {folder}: http://{shown_host}:{listener.getsockname()[1]}/   (Ctrl-C stops it)")
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn stops gracefully, and then sends the signal on
    serve_model(
        model, listener, Path(folder).name, names=names or (), limits=Limits(rows=rows, seconds=seconds)
    )
    screen.say("stopped")
