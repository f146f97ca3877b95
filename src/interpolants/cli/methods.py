"""The command ``methods``: list all members in groups, or print one card in full."""

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interpolants.cli import complete
from interpolants.cli.shared import Json, Quiet, installed_cards, screen_for
from interpolants.foundations.errors import invalid, nearest, suggestion
from interpolants.runs.search import bare, card_scores

if TYPE_CHECKING:
    from interpolants.cli.show import Screen
    from interpolants.foundations.bibliography import Work
    from interpolants.foundations.card_file import Card

_SHOW = "show"


def methods(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WORD]... | show ID",
            help="Members whose cards contain these words; or: show ID, to print one card in full.",
            autocompletion=complete.method_words,
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind", "-k", help="Members of this kind, for example path.", autocompletion=complete.kinds
        ),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option("--family", "-f", help="Members of families with these words, for example diffusion."),
    ] = None,
    paper: Annotated[
        str | None,
        typer.Option("--paper", "-p", help="Members from this source: its key, arXiv number, or an author."),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List all methods and other members of the library, or print the card of one.

    \b
    Examples:
    interpolants methods
    interpolants methods --kind path diffusion
    interpolants methods --paper 2303.08797
    interpolants methods show flow_map
    """
    from interpolants.foundations.bibliography import read_works

    screen = screen_for(quiet or as_json)
    found = installed_cards(screen)
    works = read_works(found.packages)
    asked = " ".join(words or ()).split()
    if asked[:1] == [_SHOW]:
        _refuse_filters(asked[1:], family, paper)
        _show(screen, asked[1], kind, works, as_json=as_json)
        return
    cards = _of_kind(found.cards, kind)
    cards = _of_family(cards, family)
    cards = _of_paper(cards, paper, works)
    cards = _with_words(cards, asked, works)
    if as_json:
        screen.json([asdict(card) for card in cards])
    _list(screen, cards)


def _refuse_filters(ids: list[str], family: str | None, paper: str | None) -> None:
    if len(ids) != 1:
        remedy = "For example: interpolants methods show linear."
        raise invalid("methods show", "exactly one id is required", " ".join(ids) or "none", remedy)
    for option, value in (("--family", family), ("--paper", paper)):
        if value is not None:
            raise invalid("methods show", f"{option} is for the list only", value, f"Omit {option}.")


def _of_kind(cards: tuple["Card", ...], kind: str | None) -> tuple["Card", ...]:
    kinds = {card.kind for card in cards}
    if kind is not None and kind not in kinds:
        raise invalid("methods", "--kind must be a kind of members", repr(kind), nearest(kind, kinds))
    return tuple(card for card in cards if kind in (None, card.kind))


def _of_family(cards: tuple["Card", ...], family: str | None) -> tuple["Card", ...]:
    if family is None:
        return cards
    found = tuple(card for card in cards if bare(family) in bare(card.family))
    if not found:
        remedy = nearest(family, {card.family for card in cards})
        raise invalid("methods", "--family must match the name of a family", repr(family), remedy)
    return found


def _of_paper(
    cards: tuple["Card", ...], paper: str | None, works: Mapping[str, "Work"]
) -> tuple["Card", ...]:
    if paper is None:
        return cards
    meant = {key for card in cards for key in card.sources if _is_meant(paper, key, works)}
    if not meant:
        remedy = nearest(paper, {key for card in cards for key in card.sources})
        rule = "--paper must be the key, the arXiv number or an author of a source"
        raise invalid("methods", rule, repr(paper), remedy)
    return tuple(card for card in cards if meant & set(card.sources))


def _is_meant(paper: str, key: str, works: Mapping[str, "Work"]) -> bool:
    """Return True if a key, an arXiv number in any form, or an author's name matches a source."""
    query = bare(paper)
    work = works.get(key)
    if query == key or work is None:
        return query == key
    names = bare(" ".join(work.authors)).replace(",", " ").split()
    is_number = bool(work.arxiv) and _arxiv_number(paper) == work.arxiv
    return is_number or (bool(query) and all(word in names for word in query.split()))


def _with_words(
    cards: tuple["Card", ...], words: list[str], works: Mapping[str, "Work"]
) -> tuple["Card", ...]:
    if not words:
        return cards
    by_key = card_scores(" ".join(words))
    scores = {key: score for key, (score, _) in by_key.items()}
    matched = {key for key, (_, complete) in by_key.items() if complete}
    matching = [c for c in cards if (c.kind, c.id) in matched or _tells_of(c, words, works)]
    if not matching and scores:  # no card has all words: those that have the most
        threshold = max(scores.values()) / 2
        matching = [c for c in cards if scores.get((c.kind, c.id), 0.0) >= threshold]
    if cards and not matching:
        known = {card.id for card in cards} | {card.kind for card in cards}
        remedy = suggestion(words[0], known) or "interpolants methods lists all of them."
        raise invalid("methods", "the search words must occur in a card", repr(" ".join(words)), remedy)
    return _ranked(matching, scores)


def _ranked(cards: list["Card"], scores: Mapping[tuple[str, str], float]) -> tuple["Card", ...]:
    """The kind of the best card first, data sets last; within a kind the best card first."""
    of_card = {id(card): scores.get((card.kind, card.id), 0.0) for card in cards}
    of_kind: dict[str, float] = {}
    for card in cards:
        of_kind[card.kind] = max(of_kind.get(card.kind, 0.0), of_card[id(card)])
    ranks = {id(c): (c.kind == "data", -of_kind[c.kind], c.kind, -of_card[id(c)], c.id) for c in cards}
    return tuple(sorted(cards, key=lambda card: ranks[id(card)]))


def _tells_of(card: "Card", words: list[str], works: Mapping[str, "Work"]) -> bool:
    own = [card.id, card.title, *card.also, card.kind, card.family, card.shapes, card.cost, card.limits]
    text = bare(" ".join([*own, *card.sources, *(str(works.get(key, "")) for key in card.sources)]))
    numbers = {works[key].arxiv for key in card.sources if key in works} - {""}
    return all(bare(word) in text or _arxiv_number(word) in numbers for word in words)


def _arxiv_number(text: str) -> str:
    """Return the arXiv number, without its version, from any of its forms."""
    return bare(text).rpartition("/abs/")[2].removeprefix("arxiv:").partition("v")[0]


def _list(screen: "Screen", cards: tuple["Card", ...]) -> None:
    for kind, members in groupby(cards, key=lambda card: card.kind):
        screen.columns([(card.id, card.status, card.title) for card in members], title=kind)
    if cards:
        screen.following(f"interpolants methods {_SHOW} {cards[0].id}", "all about one of them")


def _show(
    screen: "Screen", name: str, kind: str | None, works: Mapping[str, "Work"], *, as_json: bool
) -> None:
    from interpolants.foundations.registry import find_card

    card = find_card(name, kind, who="methods show")
    entry, missing = _entry(card)
    settings, formula = _settings(entry), _formula(entry)
    sources = [works[key] for key in card.sources if key in works]
    if as_json:
        more = {"formula": formula, "settings": settings, "works": [asdict(work) for work in sources]}
        screen.json(asdict(card) | more)
    facts = [
        ("id", f"{card.kind}/{card.id}, {card.status}"),
        ("also", ", ".join(card.also)),
        ("family", card.family),
        ("what", _opening(entry)),
        ("formula", formula),
        *_labelled("sources", [_told(key, works) for key in card.sources]),
        ("verbs", ", ".join(card.verbs)),
        ("shapes", card.shapes),
        ("cost", card.cost),
        ("limits", card.limits),
        *_labelled("settings", [f"{key} = {value}" for key, value in settings.items()]),
        ("", missing),
        ("proof", f"{card.proof.answer}: {card.proof.test}"),
        ("recipe", _recipe(card)),
        ("rows", "" if card.scopes is None else card.scopes.rows),
        ("resume", "" if card.scopes is None else card.scopes.resume),
        ("needs", card.extra and f"pip install 'interpolants[{card.extra}]'"),
        ("entry", card.entry),
    ]
    screen.columns([(label, text) for label, text in facts if text], title=card.title)
    screen.following(f"interpolants methods --kind {card.kind}", "its neighbours")


def _labelled(label: str, texts: list[str]) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(texts):
        yield "" if number else label, text


def _told(key: str, works: Mapping[str, "Work"]) -> str:
    if key not in works:
        return key
    return f"{works[key]} [{key}] {works[key].link}".rstrip()


def _entry(card: "Card") -> tuple[object, str]:
    """Return the member, or None and the package that its import needs."""
    try:
        return card.load_entry(), ""
    except ImportError as error:
        return None, f"its settings cannot be listed: {error}"


def _opening(entry: object) -> str:
    """Return the first line of a member's docstring, without markup."""
    return (inspect.getdoc(entry) or "").partition("\n")[0].replace("`", "") if entry is not None else ""


def _formula(entry: object) -> str:
    found = getattr(entry, "formula", "")
    return found if isinstance(found, str) else ""


def _settings(entry: object) -> dict[str, str]:
    """Return the parameters of a member, each with its default in Python syntax, or ``(required)``."""
    if not callable(entry):
        return {}
    parameters = inspect.signature(entry).parameters.values()
    factories = _factories(entry)
    return {
        p.name: factories.get(p.name, "(required)" if p.default is p.empty else _value(p.default))
        for p in parameters
        if not p.name.startswith("_") and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }


def _factories(entry: object) -> dict[str, str]:
    """Return the defaults that a dataclass creates for each instance."""
    fields = dataclasses.fields(entry) if isinstance(entry, type) and dataclasses.is_dataclass(entry) else ()
    return {f.name: _value(f.default_factory()) for f in fields if callable(f.default_factory)}


def _value(value: Any) -> str:
    return getattr(value, "__qualname__", None) or repr(value)


def _recipe(card: "Card") -> str:
    from interpolants.runs.recipes import recipes

    return f"interpolants run --config {card.recipe} --out DIR" if card.recipe in recipes() else ""
