"""A small instance of every method: the ``[quick]`` part of its recipe, its room's, or one on toy values by role."""

import functools
import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from interpolants.fields.learned import LearnedFields
from interpolants.foundations.card_file import Card
from interpolants.foundations.cards import load_cards
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import generator
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.settings import settings_of
from interpolants.framework.task import Split, Task
from interpolants.nets import MLP
from interpolants.paths import VP
from interpolants.runs.settings_files import find_config, read_settings
from interpolants.testing.trial import Instance, of_recipe

ROWS = 120
# Settings that make a fit take seconds, for those methods that have them.
SMALL = {
    "steps": 24,
    "batch_size": 32,
    "checkpoint_every": 10,
    "net": {"kind": "mlp", "width": 16, "depth": 2},
}
# What a method is made of, where it is not trained here.
MADE_OF: dict[str, Callable[[], dict[str, Any]]] = {
    "imported": lambda: {"source": learned_fields()},
}
# Where these are not what a method takes, or its default would train more when it is asked.
OTHER = {
    "bridge": {"path": "one_sided_linear"},
    "token_bridge": {"net": {"kind": "token_transformer", "width": 16, "depth": 1, "attention_heads": 2}},
}


# Bridges beside that of the recipe, which leads from rows to rows without a condition: settings, and further roles.
BRIDGES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "of_numbers": ({"path": "one_sided_linear", "drop_condition": 0.2}, ("x1", "cond")),
    "of_masks": ({"path": "one_sided_linear", "masks": True}, ("x1",)),
    "of_labels": (
        {"path": "linear", "coupling": "minibatch_ot", "transform": "quantile"},
        ("x0", "x1", "cond", "cond0"),
    ),
}


def method_cards() -> list[Card]:
    """Cards of kind method whose entry has the form of one: of the library, of the rooms, of more bridges."""
    cards = [card for package in ("interpolants", "rooms") for card in load_cards(package)]
    found = [card for card in cards if card.kind == "method" and _is_method(card.load_entry())]
    bridge = next(card for card in found if card.id == "bridge")
    return found + [replace(bridge, id=f"bridge {name}") for name in BRIDGES]


def _is_method(entry: object) -> bool:
    return isinstance(entry, type) and issubclass(entry, Method)


def instance(card: Card) -> Instance:
    """A fresh instance of a method."""
    if card.entry.startswith("rooms."):
        return _of_room(card)
    if card.id.startswith("bridge "):
        return _bridge(card, *BRIDGES[card.id.removeprefix("bridge ")])
    made = _of_recipe(card)
    return _by_role(card) if made is None else made()


@functools.cache  # data of some take seconds to make, and no fit may change them
def _of_recipe(card: Card) -> Callable[[], Instance] | None:
    """What makes instances by its recipe, if that has a quick size."""
    try:
        tables = read_settings(find_config(Path(card.recipe)))
    except InvalidInputError:
        return None
    return of_recipe(card.id, tables) if "quick" in tables else None


def _of_room(card: Card) -> Instance:
    room = importlib.import_module(card.entry.partition(":")[0])
    method, values, *split = getattr(room, f"quick_{card.id}", room.quick)()
    task = Task.of(method.roles(), values, *split)
    return Instance(method, task, dict(getattr(room, "PROBE", {})))


def _bridge(card: Card, settings: dict[str, Any], roles: tuple[str, ...]) -> Instance:
    """A bridge between toy rows; conditions are three labels, or a number."""
    method = card.load_entry()(**SMALL, **settings)
    labels = torch.arange(ROWS) % 3
    toys = {"cond": labels if "cond0" in roles else labels.double()[:, None] / 2, "cond0": labels}
    values = {
        role.name: toys[role.name] if role.name in toys else _toy(role)
        for role in method.roles()
        if role.name in roles
    }
    return Instance(method, Task.of(method.roles(), values, Split(test=0.5)))


def learned_fields() -> LearnedFields:
    """Fields of a small network with the weights that it begins with."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LearnedFields(VP(), noise=MLP((2,), width=16, depth=2))


def _by_role(card: Card) -> Instance:
    kind: Any = card.load_entry()
    small = {f.name: SMALL[f.name] for f in settings_of(kind) if f.name in SMALL}
    own = MADE_OF[card.id]() if card.id in MADE_OF else OTHER.get(card.id, {})
    method = kind(**{**small, **own})
    values = {role.name: _toy(role) for role in method.roles() if not role.optional}
    kinds = {role.name: role.kind for role in method.roles()}
    timed = "series" in kinds.values()
    task = Task.of(method.roles(), values, Split(by="time" if timed else "random", test=0.5))
    gridded = [name for name in values if kinds[name] == "ensemble"]
    return Instance(method, task, {"seeds": values[gridded[0]][:9, :2]} if gridded else {})


def _toy(role: Role) -> Any:
    """Gaussian rows about a mean of the role's own; tokens that mostly follow each other; ensembles; frames."""
    g = generator(0, "toy rows", role.name)
    if role.kind == "tokens":
        steps = (torch.rand(ROWS, 8, generator=g) < 0.2).long() + 1
        return steps.cumsum(1) % 5
    if role.kind == "series":
        wave = torch.sin(torch.arange(ROWS) / 2)[:, None] + torch.randn(ROWS, 2, generator=g)
        return torch.where(torch.rand(ROWS, 2, generator=g) < 0.1, torch.nan, wave) if role.gaps else wave
    if role.kind == "ensemble":
        return torch.randn(ROWS, 1, 6, generator=g) + torch.randn(ROWS, 4, 6, generator=g)
    if role.kind == "frames":
        return torch.randn(ROWS, 1, 6, 7, generator=g) + torch.randn(ROWS, 6, 6, 7, generator=g)
    if role.kind != "rows":
        raise InvalidInputError(f"no toy values of kind {role.kind}: give its recipe a [quick] part")
    return torch.randn(2, generator=g) + torch.randn(ROWS, 2, generator=g)
