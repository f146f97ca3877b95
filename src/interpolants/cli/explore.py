"""Command that serves the explorer."""

from pathlib import Path
from typing import Annotated

import typer

from interpolants.cli.shared import Quiet, screen_for


def explore(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUN]...", help="Run folders, saved methods, or a folder that contains them."
        ),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            metavar="PLACE",
            help="Additional file or folder that the recipes of the runs may read. Repeatable.",
        ),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on.")] = 8000,
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
    quiet: Quiet = False,
) -> None:
    """Explore bridges, runs (also during training) and comparisons of two runs in the browser. Works offline.

    \b
    Example:
    interpolants explore
    interpolants explore runs/a
    interpolants explore runs/a runs/b
    interpolants explore runs
    interpolants explore runs/a --data rows.csv
    interpolants explore --port 9000 --no-open
    """
    from interpolants.foundations.extras import require
    from interpolants.web.app import serve
    from interpolants.web.http_server import listen
    from interpolants.web.run_registry import first_page, open_runs

    require("uvicorn", by="explore")
    screen, problems = screen_for(quiet), list[str]()
    runs = open_runs(folders or (), problems, data or ())
    own = listen(port)
    address = f"http://127.0.0.1:{own.getsockname()[1]}/{first_page(folders or (), runs)}"
    for problem in problems:
        screen.say(f"skipped: {problem}")
    screen.say(f"explorer: {address}   (Ctrl-C stops it)")
    if show:
        import threading
        import webbrowser

        threading.Timer(1.5, webbrowser.open, (address,)).start()
    serve(own, runs)
