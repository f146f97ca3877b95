"""The command ``find``: what answers a question."""

from dataclasses import asdict
from typing import Annotated

import typer

from interpolants.cli.shared import Json, Quiet, screen_for


def find(
    query: Annotated[
        list[str], typer.Argument(metavar="WORD...", help="Question, or search terms.", show_default=False)
    ],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of results.")] = 8,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Find the method, task or recipe that answers a question.

    \b
    Examples:
    interpolants find restore image
    interpolants find posterior
    """
    from interpolants.runs.search import find as search

    results = search(" ".join(query), limit=limit)
    screen = screen_for(quiet or as_json)
    if as_json:
        screen.json([asdict(result) for result in results])
    for result in results:
        rows = [(line,) for line in (result.call, result.page)]
        screen.columns(rows, title=f"{result.kind}/{result.id}: {result.title}")
