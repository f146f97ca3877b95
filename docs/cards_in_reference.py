"""Expansion of a line such as ``{{ modules of interpolants.sciml }}`` in the reference: modules with cards.

A new member needs no line of its own there. A family, a subpackage with cards, becomes a section named after the first
words of its docstring. A method has a page of its own, to which it is a link.
"""

import ast
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from docs.method_pages import methods

from interpolants.foundations.cards import load_cards

SOURCE = Path(__file__).parents[1] / "src"
PAGES = Path(__file__).parent / "methods"
_LINE = re.compile(r"^\{\{ modules of ([\w.]+) \}\}$", re.MULTILINE)


def expand(text: str) -> str:
    """The page with sections in place of the line; one without such a line is unchanged."""
    return _LINE.sub(lambda line: "\n".join(_sections(line[1])), text)


def _sections(package: str) -> Iterator[str]:
    for family, modules in groupby(_modules(package), key=lambda module: _family(package, module)):
        if family != package:
            yield f"## {_title(family)}\n"
            yield from _pages(family)
        paged = {card.entry.partition(":")[0]: card for card in methods().values()}
        listed = list(modules)
        for card in (paged[module] for module in listed if module in paged):
            yield f"The class: [{card.entry.partition(':')[2]}](classes/{card.id}.md).\n"
        yield "```{eval-rst}"
        yield from (f".. automodule:: {module}" for module in listed if module not in paged)
        yield "```\n"


def _pages(family: str) -> Iterator[str]:
    """Links to the pages of a family's members."""
    for card in load_cards("interpolants"):
        if card.entry.startswith(f"{family}.") and (PAGES / f"{card.id}.md").is_file():
            yield f"Its page: [{card.title}](../methods/{card.id}.md).\n"


def _modules(package: str) -> list[str]:
    entries = {card.entry.partition(":")[0] for card in load_cards("interpolants")}
    found = {module for module in entries if module.startswith(f"{package}.")}
    return sorted(found, key=lambda module: (_family(package, module), module))


def _family(package: str, module: str) -> str:
    """The subpackage of a ring that a module is in; the package itself where it has none."""
    inner = module.removeprefix(f"{package}.").split(".")
    return f"{package}.{inner[0]}" if len(inner) > 1 else package


def _title(family: str) -> str:
    file = SOURCE.joinpath(*family.split("."), "__init__.py")
    opening = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or family
    return re.split(r"[:.]", opening, maxsplit=1)[0]
