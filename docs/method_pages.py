"""Expansion of lines about methods on the pages of the documentation, from cards and from the pages themselves.

``{{ cards of light_sb, bridge }}``  a table of these methods, and their pages in the menu
``{{ class light_sb }}``             a class: what its card says, an example from a page, its documentation
``{{ other pages }}``                pages and classes of methods that no family names, in the menu
``{{ list of classes }}``            links to the classes of all methods
``{{ other names }}``                what ``interpolants.methods`` shows beside the classes that have pages
"""

import re
from collections.abc import Iterator
from pathlib import Path

import interpolants.methods
from interpolants.foundations.cards import Card, load_cards
from interpolants.runs.recipes import recipes

DOCS = Path(__file__).parent
_LINE = re.compile(
    r"^\{\{ (cards of|class|list of classes|other pages|other names) ?([\w, ]*)\}\}$", re.MULTILINE
)
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PLACES = ("families/two_distributions.md", "families/*.md", "methods/*.md", "*.md", "reference/rivals.md")
_RIVALS = "interpolants.methods.rivals."


def expand(text: str) -> str:
    """The page with tables, classes and entries of the menu in place of the lines."""
    makers = {
        "cards of": _cards_of,
        "class": _class,
        "list of classes": _list,
        "other pages": _others,
        "other names": _names,
    }
    return _LINE.sub(lambda line: "\n".join(makers[line[1]](line[2].replace(" ", "").split(","))), text)


def methods() -> dict[str, Card]:
    """Methods that have a page of their own in the reference, by id: all but the rivals."""
    cards = load_cards("interpolants")
    return {card.id: card for card in cards if card.kind == "method" and not card.entry.startswith(_RIVALS)}


def example(name: str) -> tuple[str, Path] | None:
    """The first block of Python that makes a class, and its page: the class's own page, or another."""
    pages = [page for place in _PLACES for page in sorted(DOCS.glob(place))]
    pages.sort(
        key=lambda page: page.stem.replace("_", "") != name.lower()
    )  # its own first, the others in order
    for page in pages:
        for block in _BLOCK.findall(page.read_text("utf-8")):
            if re.search(rf"\b{name}\(", block):
                return block, page
    return None


def unnamed() -> list[str]:
    """Pages and classes that no family names, from ``docs/methods``."""
    told = "\n".join(page.read_text("utf-8") for page in sorted((DOCS / "families").glob("*.md")))
    named = {id for line in _LINE.findall(told) for id in line[1].replace(" ", "").split(",")}
    pages = [page.stem for page in sorted((DOCS / "methods").glob("[a-z]*.md"))]
    left = [page for page in pages if f"../methods/{page}\n" not in told]
    return left + [f"../reference/classes/{id}" for id in methods() if id not in named]


def _name(card: Card) -> str:
    return card.entry.partition(":")[2]


def _cards_of(ids: list[str]) -> Iterator[str]:
    yield "| class | what | answers to | cost | limits |\n| --- | --- | --- | --- | --- |"
    for card in map(methods().__getitem__, ids):
        link = f"[`{_name(card)}`](../reference/classes/{card.id}.md)"
        verbs = ", ".join(f"`{verb}`" for verb in card.verbs)
        yield f"| {link} | {card.title} | {verbs} | {card.cost} | {card.limits} |".replace("\\", "")
    yield "\n```{toctree}\n:hidden:\n"
    yield from (f"{_name(methods()[id])} <../reference/classes/{id}>" for id in ids)
    yield "```\n"


def _class(ids: list[str]) -> Iterator[str]:
    card = methods()[ids[0]]
    name, module = _name(card), card.entry.partition(":")[0]
    yield f"{card.title}. `import` it from `{_public(name, module)}`.\n"
    verbs = ", ".join(f"`{verb}`" for verb in card.verbs)
    yield f"- Answers to: {verbs}\n- Shapes: `{card.shapes}`\n- Cost: {card.cost}\n- Limits: {card.limits}"
    yield f"- Compared with: [{card.proof.answer}](../../../{card.proof.test})\n"
    found = example(name)
    if found is not None:
        block, page = found
        where = f"../../{page.relative_to(DOCS).as_posix()}"
        yield f"## Example\n\nFrom [a page where it is explained]({where}):\n\n```python\n{block}```\n"
    if card.recipe in recipes():
        yield f"From a shell: `interpolants run --config {card.recipe} --quick --out runs/{card.id}`.\n"
    yield f"## The class\n\n```{{eval-rst}}\n{_directive(name, module)}\n```\n"


def _public(name: str, module: str) -> str:
    return "interpolants.methods" if hasattr(interpolants.methods, name) else module


def _directive(name: str, module: str) -> str:
    """A class that the subpackage shows goes by that name; others come with what else their module has, once."""
    if name == "Bridge":  # its settings and most of its methods are written in its parents
        return f".. autoclass:: {module}.{name}\n   :inherited-members: Trained"
    if name in interpolants.methods.__all__:
        return f".. autoclass:: interpolants.methods.{name}"
    if sum(card.entry.startswith(f"{module}:") for card in methods().values()) > 1:
        return f".. autoclass:: {module}.{name}"
    return f".. automodule:: {module}"


def _list(_: list[str]) -> Iterator[str]:
    ordered = sorted(methods().values(), key=_name)
    yield ", ".join(f"[{_name(card)}](classes/{card.id}.md)" for card in ordered) + ".\n"


def _names(_: list[str]) -> Iterator[str]:
    paged = ", ".join(_name(card) for card in methods().values())
    yield "```{eval-rst}\n.. automodule:: interpolants.methods\n   :imported-members:"
    yield f"   :exclude-members: {paged}\n```\n"


def _others(_: list[str]) -> Iterator[str]:
    left = unnamed()
    if left:
        yield "```{toctree}\n:hidden:\n"
        yield from left
        yield "```\n"
