"""Every card keeps its word, and every public method has a card.

What counts as a method is decided by what an object can do, so no list of methods is kept here. In a
subpackage's `__all__`, a method is

- a class that fulfils a contract: a concrete subclass of an exported class, or a class with the members and
  the arguments of an exported protocol (or of one in `foundations.types`, such as a field called ``f(x, t)``);
- a function with the arguments and the result of an exported protocol that is called, such as a metric;
- a function `load_...`.

Results, contracts themselves, factories by name and helpers fulfil none, and need no card.
"""

import dataclasses
import difflib
import functools
import importlib
import inspect
import re
import tomllib
import typing
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import interpolants
from interpolants.foundations import types
from interpolants.foundations.card_defaults import SUFFIX, card_files
from interpolants.foundations.card_file import parse_card
from interpolants.foundations.cards import load_cards
from rings import ABSENT

ROOT = Path(__file__).parents[1]
SOURCE = Path(interpolants.__file__).parent
# Place in the package, without the suffix -> card.
CARDS = {
    one.place.removesuffix(SUFFIX): parse_card(one.file.read_text("utf-8"), one.place, one.fill)
    for one in card_files("interpolants")
}

# The subpackages whose public methods must all have a card.
SUBPACKAGES = (
    "paths",
    "couplings",
    "solvers",
    "nets",
    "metrics",
    "data",
    "problems",
    "objectives",
    "operators",
    *(() if "generative" in ABSENT else ("generative.tokens.discrete",)),
)


def bibliography():
    return (ROOT / "docs" / "references.bib").read_text("utf-8")


def test_the_files_are_what_load_cards_finds():
    cards = load_cards("interpolants")
    assert sorted(card.id for card in cards) == sorted(card.id for card in CARDS.values())
    assert len(CARDS) == len(cards)


def misspelt_kinds(found):
    """Kinds with exactly one member that are spelt almost like another kind, each with that kind."""
    lonely = [kind for kind, members in Counter(found).items() if members == 1]
    others = {kind: sorted(set(found) - {kind}) for kind in lonely}
    near = {kind: difflib.get_close_matches(kind, others[kind], n=1, cutoff=0.8) for kind in lonely}
    return {kind: match[0] for kind, match in near.items() if match}


def test_no_kind_is_another_one_misspelt():
    found = [card.kind for card in CARDS.values()]
    assert misspelt_kinds(found) == {}
    assert misspelt_kinds([*found, "envelop", "paths"]) == {"envelop": "envelope", "paths": "path"}


@functools.cache
def entry(place):
    return CARDS[place].load_entry()


def faults(*rules):
    """What each rule says against each card; a rule gives an empty text where it is kept."""
    return [f"{place}: {found}" for place in CARDS for rule in rules if (found := rule(place))]


def test_every_card_keeps_its_word():
    """One test that names all faults: a test for each card and rule is thousands, most of their time overhead."""
    found = faults(says_what_it_is, lies_in_its_place, is_public, proved, sourced, offered)
    assert not found, "\n".join(found)


def says_what_it_is(place):
    return "" if callable(entry(place)) and inspect.getdoc(entry(place)) else "the entry has no docstring"


def lies_in_its_place(place):
    """Beside its module, under its own name or the module's."""
    module, _, _ = CARDS[place].entry.partition(":")
    path, file = SOURCE.parent.joinpath(*module.split(".")), SOURCE / f"{place}{SUFFIX}"
    near = file.parent == path.parent and file.name.removesuffix(SUFFIX) in (CARDS[place].id, path.name)
    return "" if near else f"{module} is elsewhere, or called otherwise"


def is_public(place):
    module, _, attribute = CARDS[place].entry.partition(":")
    subpackage = importlib.import_module(".".join(module.split(".")[:2]))
    private = hasattr(subpackage, "__path__") and getattr(subpackage, attribute, None) is not entry(place)
    return f"{subpackage.__name__} does not export it" if private else ""


def proved(place):
    """The proof is a test file that knows the method: by name, or because it runs over all cards of a kind."""
    card = CARDS[place]
    path = ROOT / card.proof.test
    if not (path.is_relative_to(ROOT / "tests") and path.is_file()):
        return f"{card.proof.test} is no test file"
    text = text_of(path)
    known = (rf"\b{card.entry.rpartition(':')[2]}\b", rf"\b{card.id}\b", r"\bload_cards\b", r"\bnames\(")
    if re.search(r"^\s*def test_", text, re.MULTILINE) and any(re.search(pattern, text) for pattern in known):
        return ""
    return f"{card.proof.test} has no test, or never names it"


@functools.cache
def text_of(path):
    return path.read_text("utf-8")


def sourced(place):
    unknown = set(CARDS[place].sources) - bibliography_keys()
    return f"not in the bibliography: {sorted(unknown)}" if unknown else ""


@functools.cache
def bibliography_keys():
    return set(re.findall(r"^@\w+\{([^,\s]+),", bibliography(), re.MULTILINE))


def offered(place):
    return "" if CARDS[place].extra in ("", *extras()) else f"no extra is called {CARDS[place].extra}"


@functools.cache
def extras():
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]


def test_every_rule_sees_a_card_that_breaks_it(monkeypatch):
    place, card = next(iter(CARDS.items()))
    bad = dataclasses.replace(
        card,
        id="nobody_names_this",
        extra="none_such",
        sources=("nobody2026",),
        entry="interpolants.paths.bases:dataclass",
        proof=dataclasses.replace(card.proof, test="tests/test_none_such.py"),
    )
    monkeypatch.setitem(CARDS, place, bad)
    entry.cache_clear()
    try:
        found = [rule(place) for rule in (lies_in_its_place, is_public, proved, sourced, offered)]
    finally:
        entry.cache_clear()
    assert all(found), found


@pytest.mark.parametrize("kind", ["path", "envelope"])
def test_every_path_and_envelope_states_its_formula(kind):
    without = [card.id for card in CARDS.values() if card.kind == kind and not card.load_entry().formula]
    assert not without


def test_bibliography_entries_are_whole_and_unique():
    text = re.sub(r"^%.*$", "", bibliography(), flags=re.MULTILINE)
    entries = re.findall(r"^@(\w+)\{([^,\s]+),\n(.*?)^\}$", text, re.MULTILINE | re.DOTALL)
    keys = [key for _, key, _ in entries]
    assert len(keys) == text.count("\n@") == len(set(keys))
    assert keys == sorted(keys)
    for _, key, body in entries:
        assert body.count("{") == body.count("}"), key
        given = set(re.findall(r"^  (\w+) = ", body, re.MULTILINE))
        assert {"author", "title", "year"} <= given, f"{key} has only {sorted(given)}"


@pytest.mark.parametrize("subpackage", SUBPACKAGES)
def test_every_public_method_has_a_card(subpackage):
    found = methods(importlib.import_module(f"interpolants.{subpackage}"))
    assert found, f"nothing in {subpackage} is recognised as a method: does it export its contract?"
    carded = {card.load_entry() for card in CARDS.values()}
    missing = sorted(name for name, thing in found.items() if thing not in carded)
    assert not missing, f"in {subpackage} without a card: {', '.join(missing)}"


@pytest.mark.parametrize("subpackage", SUBPACKAGES)
def test_the_rule_knows_every_kind_that_has_cards(subpackage):
    """Otherwise the rule above would be too weak to notice that a card is missing."""
    found = methods(importlib.import_module(f"interpolants.{subpackage}")).values()
    inside = [card for card in CARDS.values() if card.entry.startswith(f"interpolants.{subpackage}.")]
    recognised = {card.kind for card in inside if card.load_entry() in found}
    assert {card.kind for card in inside} == recognised


# The rule ---------------------------------------------------------------------------------------------------


def methods(module):
    """Name -> object, for what a module exports and the rule at the top calls a method."""
    exported = {name: getattr(module, name) for name in module.__all__}
    classes = {name: thing for name, thing in exported.items() if inspect.isclass(thing)}
    protocols = [c for c in (*classes.values(), *vars(types).values()) if is_protocol(c)]
    found = {}
    for name, thing in exported.items():
        if inspect.isclass(thing):
            bases = [base for base in classes.values() if base is not thing and not is_protocol(base)]
            concrete = not (is_protocol(thing) or inspect.isabstract(thing))
            member = any(issubclass(thing, base) for base in bases) or any(
                fulfils(thing, p) for p in protocols
            )
            if concrete and member:
                found[name] = thing
        elif name.startswith("load_") or any(is_like(thing, protocol) for protocol in protocols):
            found[name] = thing
    return found


def is_protocol(thing):
    return inspect.isclass(thing) and getattr(thing, "_is_protocol", False) and thing is not typing.Protocol


def fulfils(cls, protocol):
    """Whether a class has every member of a protocol, and its methods take the protocol's arguments."""
    members = [name for name in vars(protocol) if name == "__call__" or not name.startswith("_")]
    return bool(members) and all(_has(cls, name, vars(protocol)[name]) for name in members)


def is_like(function, protocol):
    """Whether a function could stand for a protocol that is called: the same arguments and the same result."""
    call = vars(protocol).get("__call__")
    if call is None or not (inspect.isfunction(function) and takes(function, call)):
        return False
    return typing.get_type_hints(function).get("return") == typing.get_type_hints(call).get("return")


def takes(function, model):
    """Whether `function` can be called as `model` must be: its required arguments, by name, and no others."""
    ours, theirs = (_parameters(f) for f in (function, model))
    needed = [name for name, parameter in theirs.items() if parameter.default is parameter.empty]
    required = [name for name, parameter in ours.items() if parameter.default is parameter.empty]
    return list(ours)[: len(needed)] == needed and required == needed


def _has(cls, name, model):
    if name == "__call__" and issubclass(cls, torch.nn.Module):
        name = "forward"
    if inspect.isfunction(model):
        return inspect.isfunction(getattr(cls, name, None)) and takes(getattr(cls, name), model)
    return hasattr(cls, name) or name in typing.get_type_hints(cls)


def _parameters(function):
    parameters = inspect.signature(function).parameters
    return {
        name: p
        for name, p in parameters.items()
        if name != "self" and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }


# The rule itself can fail ------------------------------------------------------------------------------------


class Halver(typing.Protocol):
    def halve(self, x: float, *, digits: int = 3) -> float: ...


class Judge(typing.Protocol):
    def __call__(self, x: float, y: float, *, seed: int = 0) -> bool: ...


class Exact:
    def halve(self, x: float, *, digits: int = 3) -> float:
        return x / 2


class OtherArguments:
    def halve(self, apple: object) -> object:
        return apple


class Result:
    value: float = 0.0


class Finer(Exact):
    pass


class Network(torch.nn.Module):
    def forward(self, x, t, cond=None):
        return x


class TimeFeatures(torch.nn.Module):
    def forward(self, t):
        return t


def closer(x: float, y: float, *, seed: int = 0, scale: float = 1.0) -> bool:
    return x < y


def distance(x: float, y: float, *, seed: int = 0) -> float:
    return y - x


def load_apples():
    return []


def test_the_rule_tells_methods_from_what_lies_beside_them():
    exported = [Halver, Judge, Exact, OtherArguments, Result, Finer, Network, TimeFeatures]
    exported += [closer, distance, load_apples]
    names = {thing.__name__: thing for thing in exported}
    assert set(methods(SimpleNamespace(__all__=list(names), **names))) == {
        "Exact",
        "Finer",
        "Network",
        "closer",
        "load_apples",
    }


def test_a_kind_is_declared_as_stored_once():
    """One card of the kind says so; which kinds these are is checked by a law over the files of all methods."""
    declared = Counter(card.kind for card in CARDS.values() if card.stored)
    assert set(declared.values()) == {1}
    assert not set(declared) & {"data", "executor", "recordings", "question", "diagnostic", "metric"}
