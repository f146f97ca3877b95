"""Search over tasks, members and recipes.

Every entry is a bag of tokens with weights: ids and titles weigh more than the limits on a card. A token of the query
counts by its rarity over all entries, a synonym of it less. Entries that match all tokens come before entries that
match some, tasks and methods before data sets and parts. The search imports no member and needs no network.
"""

import math
import re
import tomllib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from interpolants.foundations.card_file import Card
from interpolants.foundations.cards import load_cards
from interpolants.foundations.errors import invalid
from interpolants.runs import recipes

_TOKEN = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
# Words of questions that do not describe their subject.
_STOP_WORDS = frozenset(
    ("a", "about", "am", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "could",
     "did", "do", "does", "for", "from", "get", "give", "given", "go", "had", "has", "have", "how", "i", "if",
     "in", "into", "is", "it", "its", "just", "like", "make", "many", "me", "much", "my", "need", "no", "of",
     "on", "or", "our", "out", "please", "should", "show", "so", "some", "than", "that", "the", "their",
     "them", "then", "there", "these", "they", "this", "to", "too", "up", "us", "use", "used", "using",
     "want", "was", "way", "we", "were", "what", "when", "where", "which", "who", "why", "will", "with",
     "without", "would", "you", "your")
)  # fmt: skip
_SUFFIXES = (("ies", "y"), ("ing", ""), ("ers", ""), ("er", ""), ("ed", ""), ("es", ""), ("s", ""), ("e", ""))
# Factors of the score for the kinds of entries; _OTHER_KINDS for the remainder.
_KINDS = {"topic": 1.5, "method": 1.4, "recipe": 0.9, "data": 0.6, "question": 0.6, "problem": 0.6}
_OTHER_KINDS, _SYNONYM = 0.7, 0.6


@dataclass(frozen=True)
class Result:
    """Result of a search.

    Attributes:
        kind: ``"topic"`` for a task, ``"recipe"``, or the kind of a member.
        id: Id among its kind.
        title: Title for people.
        call: Call or command to type.
        page: Section of the documentation, or the command that prints the member or the recipe.
        score: Score by which results are ordered.
    """

    kind: str
    id: str
    title: str
    call: str
    page: str
    score: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class _Entry:
    """Entry of the index: a result, the weights of its tokens, and a factor of its score."""

    result: Result
    weights: dict[str, float]
    factor: float


def find(query: str, *, limit: int = 10) -> list[Result]:
    """Return the tasks, methods, other members and recipes that match a query, best first.

    Args:
        query: Question, or words of one, in English.
        limit: Maximum number of results.

    Raises:
        InvalidInputError: If the query is empty, or nothing matches.
    """
    if not isinstance(query, str) or not query.strip():
        raise invalid(
            "find", "query must be a text that is not empty", repr(query), "For example, 'restore image'."
        )
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise invalid("find", "limit must be an integer >= 1", limit)
    scores = [(score, result) for score, _, result in _scores(query)]
    if not scores:
        remedy = "Use the terms of your field, or list all members with interpolants methods."
        raise invalid("find", "query must contain a word of a task, a card or a recipe", repr(query), remedy)
    scores.sort(key=lambda pair: (-pair[0], pair[1].kind, pair[1].id))
    return [Result(r.kind, r.id, r.title, r.call, r.page, score) for score, r in scores[:limit]]


def card_scores(query: str) -> dict[tuple[str, str], tuple[float, bool]]:
    """Return the score of each result of a query, and whether it matches all tokens, by kind and id."""
    return {(result.kind, result.id): (score, complete) for score, complete, result in _scores(query)}


def index() -> dict[str, Any]:
    """Return what the ranking of :func:`find` consists of, for a search without Python.

    Returns:
        Stop words, suffixes, synonyms as stems, rarities of stems, the factor of a synonym, and the entries as pairs
        of a result and ``{"weights": ..., "factor": ...}``.
    """
    entries = list(_entries())
    return {
        "stop_words": sorted(_STOP_WORDS),
        "suffixes": _SUFFIXES,
        "synonyms": {token: _stems(token) for token in _table()["synonyms"]},
        "synonym": _SYNONYM,
        "rarity": _rarity(entries),
        "entries": [(e.result, {"weights": e.weights, "factor": e.factor}) for e in entries],
    }


def _scores(query: str) -> list[tuple[float, bool, Result]]:
    """Return the score of each entry that matches a token, whether it matches all, and its result."""
    tokens = [token for token in _tokens(query) if token not in _STOP_WORDS] or _tokens(query)
    entries = list(_entries())
    rarity = _rarity(entries)
    scores = []
    for entry in entries:
        values = [_value(token, entry.weights, rarity) for token in tokens]
        matched = sum(value > 0 for value in values) / max(len(values), 1)
        if matched:
            scores.append((sum(values) * matched**2 * entry.factor, matched == 1, entry.result))
    return scores


def _rarity(entries: list[_Entry]) -> dict[str, float]:
    """Rarity of each stem over all entries."""
    counts = Counter(stem for entry in entries for stem in entry.weights)
    return {stem: round(math.log(1 + len(entries) / n), 4) for stem, n in counts.items()}


def _value(token: str, weights: dict[str, float], rarity: dict[str, float]) -> float:
    """Weight times rarity of a token in an entry, or of its best synonym."""
    direct = weights.get(_stem(token), 0.0) * rarity.get(_stem(token), 0.0)
    similar = (weights.get(stem, 0.0) * rarity.get(stem, 0.0) for stem in _stems(token))
    return max([direct, *(_SYNONYM * value for value in similar)])


@cache
def _stems(token: str) -> list[str]:
    """Stems of the synonyms of a token."""
    return [_stem(synonym) for synonym in _tokens(_table()["synonyms"].get(token, ""))]


def bare(text: str) -> str:
    """Return a text in lower case without accents: Schrödinger is found by schrodinger."""
    return "".join(
        char for char in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(char)
    )


def _tokens(text: str) -> list[str]:
    """Bare tokens of a text; hyphenated tokens in full and in parts."""
    matches = _TOKEN.findall(bare(text).replace("_", " "))
    return [part for token in matches for part in ([token, *token.split("-")] if "-" in token else [token])]


@cache
def _stem(token: str) -> str:
    """Token without its suffix: forecasts, forecasting and forecast have the same stem."""
    for suffix, replacement in _SUFFIXES:
        if token.endswith(suffix) and len(token) - len(suffix) >= 4 - bool(replacement):
            return token.removesuffix(suffix) + replacement
    return token


@cache
def _weights(*parts: tuple[float, str]) -> dict[str, float]:
    """Weights of the tokens of an entry: the largest of its parts, plus a tenth of the sum of the others."""
    values: dict[str, list[float]] = defaultdict(list)
    for weight, text in parts:
        for stem in {_stem(token) for token in _tokens(text)}:
            values[stem].append(weight)
    return {stem: round(0.9 * max(group) + 0.1 * sum(group), 4) for stem, group in values.items()}


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files("interpolants.runs") / "topics.toml").read_text("utf-8"))


def topics() -> list[Result]:
    """Return the tasks of ``topics.toml``."""
    return [
        Result("topic", topic["id"], topic["title"], topic["call"], topic["page"])
        for topic in _table()["topic"]
    ]


def _entries() -> Iterator[_Entry]:
    """Yield the entries of the index."""
    for result, topic in zip(topics(), _table()["topic"], strict=True):
        weights = _weights((3.0, result.title), (2.0, topic["words"]), (2.0, result.id))
        yield _Entry(result, weights, _KINDS["topic"])
    for card in load_cards():
        weights = _weights(
            (3.0, card.id), (3.0, card.title), (3.0, " ".join(card.also)), (2.0, card.family), (1.0, card.kind),
            (1.5, " ".join([*card.verbs, *card.verb_help.values()])), (0.5, f"{card.shapes} {card.limits}"),
        )  # fmt: skip
        yield _Entry(_member(card), weights, _KINDS.get(card.kind, _OTHER_KINDS) * _standing(card))
    for name, file in recipes.recipes().items():
        text = recipes.told(file)
        call = f"interpolants run --config {name} --out runs/{name}"
        result = Result(
            "recipe", name, text.partition(". ")[0].rstrip(".") or name, call, f"interpolants recipes {name}"
        )
        yield _Entry(result, _weights((2.0, name), (1.0, text)), _KINDS["recipe"])


def _member(card: Card) -> Result:
    """Result for a member of the library or of another distribution."""
    module, _, name = card.entry.partition(":")
    call = (
        f"interpolants.{name}(...)"
        if card.kind == "method"
        else f"from {module} import {name.partition('.')[0]}"
    )
    return Result(
        card.kind, card.id, card.title, call, f"interpolants methods show {card.id} --kind {card.kind}"
    )


def _standing(card: Card) -> float:
    """Factor of a method: half for baselines, slightly less for methods without another name in the field."""
    if card.kind != "method":
        return 1.0
    if card.family == "rivals" or not card.sources:
        return 0.5
    return 1.0 if card.also else 0.9
