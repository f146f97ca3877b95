"""The command ``compare``: whether two files hold the same distribution, and where they differ."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interpolants.cli.shared import Json, Quiet, screen_for

if TYPE_CHECKING:
    from interpolants.runs.compare_tables import Comparison, Difference


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="First file: .csv, .tsv, .parquet, .npy, .npz ...")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Second file, with columns of the same names.")],
    level: Annotated[float, typer.Option("--level", help="p value below which the files differ.")] = 0.05,
    permutations: Annotated[int, typer.Option("--permutations", help="Permutations of the rows.")] = 999,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the permutations.")] = 0,
    key: Annotated[str | None, typer.Option("--key", help="Array of a .npz that holds several.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compare two files column by column: which columns differ by more than sampling noise.

    \b
    Example:
    interpolants compare real.csv generated.csv
    """
    from interpolants.runs.compare_tables import compare as compare_tables

    screen = screen_for(quiet or as_json)
    comparison = compare_tables(a, b, level=level, permutations=permutations, seed=seed, key=key)
    if as_json:
        screen.json({"verdict": comparison.verdict, "differ": comparison.differ, **asdict(comparison)})
    head = ("column", "type", "distance", "floor", "p", a.name, b.name)
    rows = [
        (difference.name, _subject(difference), *_numbers(difference), difference.a, difference.b)
        for difference in comparison.columns
    ]
    screen.table(f"{comparison.n:,} and {comparison.m:,} rows; numbers: 5 %, median, 95 %", head, rows)
    if joint := [
        (difference.name, difference.about, *_numbers(difference))
        for difference in comparison.significant
        if difference in comparison.joint
    ]:
        screen.table("Columns together", head[:5], joint)
    for line in _remarks(comparison, a.name, b.name):
        screen.say(line)
    if not screen.quiet:
        screen.lines([comparison.verdict])


def _remarks(comparison: "Comparison", a: str, b: str) -> Iterator[str]:
    yield from (
        f"{difference.name}: {difference.hint}" for difference in comparison.significant if difference.hint
    )
    yield from (
        f"only in {file}: {', '.join(c)}" for file, c in ((a, comparison.only_a), (b, comparison.only_b)) if c
    )
    yield from (f"not compared: {name}, {reason}" for name, reason in comparison.skipped.items())
    yield from comparison.notes


def _subject(difference: "Difference") -> str:
    return difference.about if difference.about == "missing" else f"{difference.kind}s"


def _numbers(difference: "Difference") -> tuple[str, str, str]:
    return f"{difference.distance:.3f}", f"{difference.floor:.3f}", f"{difference.p_value:.3g}"
