"""A part lives with its room until a second room, or the core, uses it.

A user of a module is whoever imports it, a recipe that names its member, and a test, study, page or script that
lies outside rooms and names it. Front doors (``__init__``) are nobody's users. A room is a folder of a ring.
"""

import re
from functools import cache
from pathlib import Path

import pytest
from benchmarks import structure
from mutants import drawing

from interpolants.foundations.cards import load_cards
from interpolants.foundations.rings import RINGS
from rings import ABSENT
from source_trees import MODULES, SOURCE, module_name, tree_of
from test_import_contract import imported_modules

ROOT = Path(__file__).parents[1]
CORE = "the core"
OUTSIDE = ("tests", "studies", "benchmarks", "gallery", "torture")


def room_of(place: str) -> str | None:
    """``apps.weather`` of a module of that room or of a path below ``tests/apps/weather``, else None."""
    found = re.search(rf"\b({'|'.join(RINGS)})[./](\w+)[./]", place)
    return f"{found[1]}.{found[2]}" if found else None


def rooms_by_module(graph: dict[str, set[str]], recipes: dict[str, set[str]]) -> dict[str, set[str]]:
    """Rooms that use each module, directly or through modules of the core; ``CORE`` where a core recipe does.

    Args:
        graph: What each module imports.
        recipes: Modules whose members each recipe names.
    """
    users: dict[str, set[str]] = {name: set() for name in graph}
    for name, others in graph.items():
        for other in others - {name}:
            users[other].add(name)
    in_recipes = {name: {room_of(r) or CORE for r, used in recipes.items() if name in used} for name in graph}

    @cache
    def rooms(name: str) -> frozenset[str]:
        if room := room_of(f"{name}."):
            return frozenset({room})
        return frozenset(in_recipes[name]).union(*map(rooms, users[name]))

    return {name: set(rooms(name)) for name in graph}


def homeless(
    graph: dict[str, set[str]], recipes: dict[str, set[str]], named_outside: set[str]
) -> dict[str, str]:
    """Modules of the core that one room alone uses, each with that room."""
    found = rooms_by_module(graph, recipes)
    own = {
        name: min(r) for name, r in found.items() if len(r) == 1 and CORE not in r and not room_of(f"{name}.")
    }
    kept = {name for name in own if name in named_outside}
    while more := {n for k in kept for n in graph[k] if n in own} - kept:
        kept |= more  # what a part of the core imports is the core's
    return {name: room for name, room in own.items() if name not in kept}


@pytest.fixture(scope="module")
def cards():
    return load_cards("interpolants")


@pytest.fixture(scope="module")
def recipes(cards):
    """Recipe -> modules whose members it names."""
    homes: dict[str, set[str]] = {}
    for card in cards:
        homes.setdefault(card.id, set()).add(card.entry.partition(":")[0])
    files = [*(ROOT / "recipes").glob("*.toml"), *SOURCE.glob("*/*/recipes/*.toml")]
    words = {f.relative_to(ROOT).as_posix(): set(re.findall(r'"(\w+)"', f.read_text("utf-8"))) for f in files}
    return {file: set().union(*(homes.get(word, ()) for word in found)) for file, found in words.items()}


@pytest.fixture(scope="module")
def graph():
    files = {module_name(path): path for path in MODULES if path.name != "__init__.py"}
    trees = {name: tree_of(path) for name, path in files.items()}
    return {name: set(imported_modules(tree, trees)) for name, tree in trees.items()}


@pytest.fixture(scope="module")
def named_outside(cards, graph):
    """Modules that something outside rooms names, by their path or by a member's name."""
    places = [
        f
        for place in OUTSIDE
        for f in (ROOT / place).rglob("*.py")
        if not room_of(f.relative_to(ROOT).as_posix())
    ]
    words = set().union(*(re.findall(r"[\w.]+", file.read_text("utf-8")) for file in places))
    words |= {word.rpartition(".")[2] for word in words}
    entries = {name: {name} for name in graph}
    for card in cards:
        module, _, name = card.entry.partition(":")
        entries[module].add(name)
    return {module for module, names in entries.items() if names & words}


def test_all_know_the_same_rings():
    assert {file.parent.name for file in SOURCE.glob("*/_defaults.toml")} == {*RINGS} - {*ABSENT}
    assert set(drawing.ROOMS) == {"methods", *RINGS}
    assert [structure.ring_of(f"interpolants.{ring}.room.part") for ring in RINGS] == list(RINGS)


def test_a_part_lives_with_its_room(graph, recipes, named_outside):
    assert homeless(graph, recipes, named_outside) == {}


def test_a_part_that_one_room_uses_is_seen():
    graph = {"i.apps.sea.m": {"i.nets.a"}, "i.nets.a": {"i.nets.b"}, "i.nets.b": set(), "i.nets.c": set()}
    assert homeless(graph, {}, set()) == {"i.nets.a": "apps.sea", "i.nets.b": "apps.sea"}
    assert homeless(graph, {}, {"i.nets.a"}) == {}
    assert homeless(graph, {"recipes/x.toml": {"i.nets.b"}}, set()) == {"i.nets.a": "apps.sea"}
    assert homeless(graph, {"apps/sea/recipes/x.toml": {"i.nets.c"}}, set())["i.nets.c"] == "apps.sea"
    assert homeless(graph | {"i.sciml.fish.m": {"i.nets.a"}}, {}, set()) == {}


def test_tests_of_the_core_import_no_room():
    files = [f for f in (ROOT / "tests").rglob("*.py") if not room_of(f.relative_to(ROOT).as_posix())]
    takes = re.compile(rf"^\s*(?:from|import) interpolants\.(?:{'|'.join(RINGS)})\.", re.MULTILINE)
    assert [f.relative_to(ROOT).as_posix() for f in files if takes.search(f.read_text("utf-8"))] == []


def test_every_room_has_a_folder_of_tests():
    rooms = {
        f"{ring}/{place.name}"
        for ring in RINGS
        if ring not in ABSENT
        for place in (SOURCE / ring).iterdir()
        if place.is_dir()
    }
    assert [
        room for room in rooms - {f"{r}/__pycache__" for r in RINGS} if not (ROOT / "tests" / room).is_dir()
    ] == []
