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
# Characters of the longest number with its error, and of the least room for words beside numbers.
_NUMBER = 24
# Width of columns that have more, such as a verdict.
_WORDS = 20


class Screen:
    """Output of a command: answers to standard output, hints to standard error.

    Args:
        quiet: Leave out hints and tables; answers asked for as JSON are still written.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._out = Console(highlight=False, soft_wrap=False)
        self._hints = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """A line about what happened."""
        if not self.quiet:
            self._hints.print(Text(printable(text)))

    def following(self, command: str, why: str = "") -> None:
        """The command that makes sense after this one."""
        if not self.quiet:
            why = f"  {printable(why)}" if why else ""
            self._hints.print(Text.assemble("next: ", (printable(command), "bold cyan"), why))

    def drawing(self, title: str, lines: Sequence[str]) -> None:
        """A picture made of letters, where the terminal has them."""
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
                # Numbers beside it would leave the first column no room at all.
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
        """Columns without a frame on standard output; the last one goes on below itself where the line ends.

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
        """Lines of a text beside an indent; one line where nobody looks, such as in a pipe."""
        if not (self._out.is_terminal or "COLUMNS" in os.environ):
            return [text]
        width = max(self._out.width - indent, 24)
        return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]

    def _line(self, text: Text) -> None:
        text.plain = printable(text.plain)
        self._out.print(text, soft_wrap=True)

    @staticmethod
    def lines(texts: Iterable[str]) -> None:
        """Lines on standard output: as they are in a pipe or file, with control characters written out for eyes."""
        for text in texts:
            sys.stdout.write((printable(text) if sys.stdout.isatty() else text) + "\n")

    @staticmethod
    def json(value: Any) -> None:
        """JSON on standard output, whatever ``quiet`` says; null for what it has no words for."""
        sys.stdout.write(json.dumps(finite(value), ensure_ascii=False, indent=1, default=str) + "\n")


def _text(words: str, style: str = "") -> Text:
    """Words of data, recipes and files for a table, in which nothing acts."""
    return Text(printable(words), style=style)


def number(value: float | None, error: float | None = None) -> str:
    """Four digits, and the standard error if there is one."""
    if value is None:
        return ""
    return f"{value:.4g}" if error is None else f"{value:.4g} ± {error:.2g}"
