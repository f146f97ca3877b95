"""Tables and hints for the terminal."""

import json
import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from interpolants.foundations.plain_json import finite
from interpolants.foundations.printable import printable

_STYLES = {"pass": "green", "warn": "yellow", "fail": "red"}
# Width of the longest number with its error, and minimum width of text next to numbers, in characters.
_NUMBER = 24
# Width of columns that have more, such as a verdict.
_WORDS = 20


class Screen:
    """Output of a command: answers to standard output, hints to standard error.

    Args:
        quiet: Omit hints and tables; results requested as JSON are still written.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._out = Console(highlight=False, soft_wrap=False)
        self._hints = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Print a status line on standard error."""
        if not self.quiet:
            self._hints.print(Text(printable(text)))

    def following(self, command: str, why: str = "") -> None:
        """Print a suggested next command."""
        if not self.quiet:
            why = f"  {printable(why)}" if why else ""
            self._hints.print(Text.assemble("next: ", (printable(command), "bold cyan"), why))

    def drawing(self, title: str, lines: Sequence[str]) -> None:
        """Print a plot made of characters, if the terminal can show them."""
        if not self.quiet and self._hints.encoding.startswith("utf"):
            self._hints.print(Text(printable("\n".join([title, *lines]))))

    def table(self, title: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """A table on standard output."""
        if self.quiet:
            return
        shown = Table(title=_text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for name in header:
            shown.add_column(_text(name), overflow="fold")
        for row in rows:
            shown.add_row(*[_text(str(cell), _STYLES.get(str(cell), "")) for cell in row])
        self._out.print(shown)

    def numbers(self, title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table of numbers on standard output: words wrap, numbers stay whole."""
        if self.quiet:
            return
        rows = list(rows)
        shown = Table(
            title=_text(title),
            title_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        for k, name in enumerate(header):
            head = name.replace(".", ".\n")
            head = head.replace("_", "\n").replace("-", "\n") if k else head
            longest = max((len(row[k]) for row in rows), default=0)
            shown.add_column(
                _text(head),
                no_wrap=k > 0 and longest <= _NUMBER,
                # Number columns would leave no room for the first column.
                min_width=min(longest, _WORDS),
                max_width=_WORDS if k and longest > _NUMBER else None,
                overflow="fold",
                justify="right" if k else "left",
                vertical="bottom" if k else "top",
            )
        for row in rows:
            shown.add_row(*[_text(cell, _STYLES.get(cell, "")) for cell in row])
        self._out.print(shown)

    def fits(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
        """Whether a table of numbers leaves room for the words of its first column."""
        parts = [name.replace("-", "_").split("_") for name in header[1:]]
        heads = [max(map(len, words)) for words in parts]
        cells = [max(map(len, column)) for column in list(zip(*rows, strict=True))[1:]]
        return sum(1 + max(pair) for pair in zip(heads, cells, strict=True)) + _NUMBER <= self._out.width

    def columns(self, rows: Sequence[Sequence[str]], *, title: str) -> None:
        """Print columns without a frame on standard output; the last column is wrapped.

        Args:
            rows: Cells of every row, as many in each.
            title: Line above.
        """
        if self.quiet:
            return
        widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
        indent = sum(widths) + 2 * len(widths) + 2
        self._line(Text(title, style="bold"))
        for *first, last in rows:
            start = "".join(cell.ljust(width + 2) for cell, width in zip(first, widths, strict=True))
            for number, line in enumerate(self._wrapped(last, indent)):
                self._line(Text(f"  {'' if number else start}".ljust(indent) + line))
        self._line(Text())

    def _wrapped(self, text: str, indent: int) -> list[str]:
        """Wrap a text next to an indent; return one line if the output is not a terminal."""
        if not (self._out.is_terminal or "COLUMNS" in os.environ):
            return [text]
        width = max(self._out.width - indent, 24)
        return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]

    def _line(self, text: Text) -> None:
        text.plain = printable(text.plain)
        self._out.print(text, soft_wrap=True)

    @staticmethod
    def lines(texts: Iterable[str]) -> None:
        """Print lines on standard output: unchanged in a pipe or file, control characters escaped on a terminal."""
        for text in texts:
            sys.stdout.write((printable(text) if sys.stdout.isatty() else text) + "\n")

    @staticmethod
    def json(value: Any) -> None:
        """Print JSON on standard output, also if ``quiet``; values that JSON cannot represent become null."""
        sys.stdout.write(json.dumps(finite(value), ensure_ascii=False, indent=1, default=str) + "\n")


def _text(words: str, style: str = "") -> Text:
    """Escape strings from data, recipes and files for a table, so that no markup is interpreted."""
    return Text(printable(words), style=style)


def number(value: float | None, error: float | None = None) -> str:
    """Format a value with four digits, and its standard error if it has one."""
    if value is None:
        return ""
    return f"{value:.4g}" if error is None else f"{value:.4g} ± {error:.2g}"
