"""Text from data, files and settings as a terminal or a page of Markdown may show it: nothing in it acts."""

import re
from typing import Final

# Control characters but line breaks and tabs, and marks that turn the direction of what follows.
_ACTING: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_MARKS: Final = re.compile(r"[\\`*|$~\[\]]|(?<=\])\(")
_LONGEST: Final = 200


def printable(text: str) -> str:
    """The text with control characters written out, ``\\x1b``: a terminal would obey them.

    Args:
        text: Any text; line breaks and tabs stay.
    """
    return _ACTING.sub(lambda found: ascii(found[0])[1:-1], text)


def in_markdown(text: str) -> str:
    """The text as plain words of one line of Markdown: no link, picture, code or HTML.

    Args:
        text: Any text; of a long one the beginning is kept.
    """
    line = printable(" ".join(text.split()))
    line = line if len(line) <= _LONGEST else line[:_LONGEST] + " ..."
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKS.sub(lambda found: "\\" + found[0], line)
