"""Command that serves the explorer."""

from pathlib import Path
from typing import Annotated

import typer

from interpolants.cli.shared import Quiet, screen_for


def explore(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN]...", help="Run folders, or folders of saved methods, to look at."),
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
