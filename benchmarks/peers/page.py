"""The page: a summary over all items, their tables, and what was left out."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.peers.bench import By, Listing, Measured
from benchmarks.timing import Row, table

BEGIN, END = "<!-- peers: written by make bench-peers -->", "<!-- peers: end -->"
_THEME = re.compile(r"<!-- theme: (\w+) -->")


def measured_table(found: Measured) -> str:
    """One item."""
    return "#" + table(found.item.title, found.rows, found.item.columns)


def listing_table(found: Listing) -> str:
    """One listing."""
    return f"#### {found.title}\n\n" + _rows(found.heads, found.rows)


def summary(found: Sequence[Measured]) -> str:
    """Our cases with a goal: ratio of minima to the bare arithmetic, beside the loop by hand and the fastest peer."""
    heads = ("item", "ours / bare", "goal", "by hand / bare", "ours / fastest peer", "fastest peer")
    lines = [line for one in found for line in _summary_lines(one)]
    behind = [f"* {line}" for one in found for line in _behind(one)]
    told = "Behind a peer:\n\n" + "\n".join(behind) if behind else "No peer is ahead in any item."
    note = "Ratios are of the fastest bursts, the figure to read on a shared machine.\n"
    return f"#### Together\n\n{_rows(heads, lines)}\n{note}\n{told}\n"


def ratios_to_peers(found: Sequence[Measured]) -> str:
    """Every peer's time over ours, item by item: above 1 ours is faster."""
    lines: list[tuple[str, str]] = []
    for one in found:
        told = [f"{row.case} {row.least / ours.least:.2f}" for ours, row in _against_peers(one)]
        if told:
            lines.append((one.item.title, ", ".join(told)))
    return "#### Peers over ours\n\n" + _rows(("item", "time of the peer / ours, of minima"), lines)


def _summary_lines(one: Measured) -> Iterator[tuple[str, ...]]:
    for case, row in zip(one.cases, one.rows, strict=True):
        if case.by == "ours" and case.goal is not None:
            hand, peer = _fastest(one, "hand", case.kind), _fastest(one, "peer", case.kind)
            yield (
                f"{one.item.title}: {row.case}",
                f"{row.of_minima:.3f}",
                f"{case.goal:.2f}",
                "" if hand is None else f"{hand.of_minima:.3f}",
                "" if peer is None else f"{row.least / peer.least:.2f}",
                "" if peer is None else peer.case,
            )


def _behind(one: Measured) -> Iterator[str]:
    ahead = [(ours, row) for ours, row in _against_peers(one) if row.least < ours.least]
    if ahead:
        told = ", ".join(f"{row.case} takes {row.least / ours.least:.2f} of our time" for ours, row in ahead)
        yield f"{one.item.title}: {told}"


def _against_peers(one: Measured) -> Iterator[tuple[Row, Row]]:
    """Every peer beside the fastest of ours of its kind."""
    for case, row in zip(one.cases, one.rows, strict=True):
        ours = _fastest(one, "ours", case.kind)
        if case.by == "peer" and ours is not None:
            yield ours, row


def _fastest(one: Measured, by: By, kind: str) -> Row | None:
    pairs = zip(one.cases, one.rows, strict=True)
    rows = [row for case, row in pairs if case.by == by and case.kind == kind]
    return min(rows, key=lambda row: row.least, default=None)


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def put_into(file: Path, theme: str, text: str) -> None:
    """Put the text of a theme between the two marks of the section, which the file must have.

    What stands there of the theme goes; other themes stay, and all are in alphabetical order.
    """
    page = file.read_text("utf-8")
    before, found, rest = page.partition(BEGIN)
    inside, closed, after = rest.partition(END)
    if not (found and closed):
        raise SystemExit(
            f"peers: {file} must have the lines {BEGIN!r} and {END!r}; add them where the section belongs"
        )
    parts = _THEME.split(inside)
    kept = {**dict(zip(parts[1::2], parts[2::2], strict=True)), theme: text}
    told = [f"<!-- theme: {name} -->\n\n{kept[name].strip()}" for name in sorted(kept)]
    file.write_text("\n\n".join([before + BEGIN, *told, END + after]), "utf-8")
