"""The JSON schema of recipes, from what the classes declare: editors complete settings and mark wrong ones.

An editor that reads TOML schemas (Even Better TOML, Taplo) takes it from the first line of a recipe::

    #:schema ./interpolants.schema.json
"""

import dataclasses
import inspect
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, TypeAdapter

from interpolants.foundations.card_file import Card
from interpolants.foundations.cards import load_cards
from interpolants.foundations.errors import MissingExtraError
from interpolants.foundations.kinds import checker
from interpolants.foundations.said import arguments_of
from interpolants.framework.claims import Claim
from interpolants.framework.task import Split
from interpolants.runs.recipe import BUDGETS, Recipe, TaskTables
from interpolants.runs.trackers import TRACKERS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
# Kind of member -> the key that names one in a table. Tables of other kinds do not say their kind, and are not checked.
_KINDS = {"method": "kind", "question": "question"}


def recipe_schema() -> dict[str, Any]:
    """The schema of a recipe file, JSON Schema 2020-12.

    Members whose packages are not installed are known by name, and any of their settings is allowed.
    """
    task: dict[str, dict[str, Any]] = {
        "name": {"type": "string"},
        "title": {"type": "string"},
        "data": {"type": "object"},
        "split": _table(Split),
        "method": {"$ref": "#/$defs/method"},
        "ask": {"type": "array", "items": {"$ref": "#/$defs/question"}},
        "claim": {"type": "array", "items": _table(Claim, needed=("says",))},
        "probe": {"type": "object"},
    }
    said = arguments_of(TaskTables)
    for name, schema in task.items():
        schema.setdefault("description", said.get(name, ""))
    head: dict[str, dict[str, Any]] = {
        "title": {"type": "string"},
        "seed": {"type": "integer", "minimum": 0},
        "seeds": {"type": "integer", "minimum": 1},
        "budget": {"enum": list(BUDGETS)},
        "track": {"type": "object", "properties": {"kind": {"enum": list(TRACKERS)}}, "required": ["kind"]},
        "quick": {"type": "object", "description": "What is other in a run of seconds."},
    }
    said = arguments_of(Recipe)
    head = {
        name: {**schema, "description": said[name]} if name in said else schema
        for name, schema in head.items()
    }
    tasks = {"type": "array", "items": {"type": "object", "properties": task, "additionalProperties": False}}
    return {
        "$schema": _DIALECT,
        "title": "Recipe of interpolants",
        "type": "object",
        "properties": {**task, **head, "tasks": tasks},
        "additionalProperties": False,
        "$defs": {kind: _members(kind, key) for kind, key in _KINDS.items()},
    }


def _members(kind: str, key: str) -> dict[str, Any]:
    """Tables of all members of a kind: the settings that are allowed follow from the id."""
    cards = [card for card in load_cards() if card.kind == kind]
    more = {"rivals": {"type": "array"}, "name": {"type": "string"}} if kind == "question" else {}
    return {
        "type": "object",
        "required": [key],
        "properties": {key: {"enum": [card.id for card in cards]}},
        "allOf": [
            {"if": {"properties": {key: {"const": card.id}}}, "then": _member(card, key, more)}
            for card in cards
        ],
    }


def _member(card: Card, key: str, more: Mapping[str, Any]) -> dict[str, Any]:
    try:
        entry: Any = card.load_entry()
    except MissingExtraError:
        return {"description": card.title}
    table = _table(entry)
    return {**table, "description": card.title, "properties": {**more, **table["properties"], key: {}}}


def _table(kind: Any, needed: Iterable[str] = ()) -> dict[str, Any]:
    """The table of the settings of a class."""
    said = arguments_of(kind)
    properties = {}
    for name, parameter in inspect.signature(kind.__init__).parameters.items():
        if name != "self" and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            properties[name] = _setting(parameter, said.get(name, ""))
    table = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**table, "required": list(needed)} if needed else table


def _setting(parameter: inspect.Parameter, sentence: str) -> dict[str, Any]:
    """The schema of one setting; of one whose kind is not declared, its sentence and default alone."""
    found: dict[str, Any] = {}
    if checker(parameter.annotation) is not None:
        try:
            found = TypeAdapter(parameter.annotation).json_schema()
        except (
            PydanticSchemaGenerationError,
            PydanticInvalidForJsonSchema,
        ):  # a class of ours among its members
            found = {}
    if sentence:
        found["description"] = sentence.replace("``", "`")
    if parameter.default is not parameter.empty and _is_json(parameter.default):
        found["default"] = json.loads(json.dumps(parameter.default))  # a tuple is a list there
    return found


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return value is not None and not dataclasses.is_dataclass(value)
