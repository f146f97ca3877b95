"""Validation messages: what a settings schema allows, and what is wrong with a refused value."""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from interpolants.foundations.errors import nearest

Schema = Mapping[str, Any]
Location = Sequence[int | str]
_KINDS = {
    "integer": "an integer",
    "number": "a finite number",
    "string": "a string",
    "boolean": "true or false",
    "null": "none",
    "object": "a table",
}
_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
_SHOWN = 5


def explain(
    error: ValidationError,
    root: Schema,
    data: Any,
    *,
    hidden: Location = (),
    tagged: Sequence[str] = (),
) -> list[str]:
    """One line per broken rule: the key's path, what is allowed there, the value, the remedy.

    Args:
        error: What the models said.
        root: JSON schema of the outermost model.
        data: What was validated, to find the value.
        hidden: Leading part of the locations that the user did not write.
        tagged: Keys whose value is one of several tables; a location goes on with the name of the one taken.
    """
    lines: list[str] = []
    found = error.errors(include_url=False, include_context=False)
    # Unknown keys first: a misspelt key is often the reason why another one is missing.
    for item in sorted(found, key=lambda item: item["type"] != "extra_forbidden"):
        place = _place(_untagged(item["loc"], tagged), root)
        line = _line(item, place, list(hidden), root, data)
        if line not in lines:
            lines.append(line)
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], f"and {more} more"] if more > 0 else lines


def dotted(location: Location) -> str:
    """``("tasks", 0, "train")`` as ``tasks.0.train``."""
    return ".".join(map(str, location))


def keys(schema: Schema, root: Schema) -> tuple[str, ...]:
    """Names that a table may have."""
    return tuple(name for part in _parts(schema, root) for name in part.get("properties", {}))


def below(location: Location, root: Schema) -> list[Schema]:
    """The schemas that describe the value at a location; empty where there is none."""
    found: list[Schema] = list(_parts(root, root))
    for step in location:
        found = [inner for part in found for inner in _step(part, step, root)]
    return found


def every_key(root: Schema) -> Iterator[tuple[str, ...]]:
    """Path of every key, tables and their entries, lists skipped over."""
    yield from _walk(root, root, ())


def allowed(schemas: Sequence[Schema]) -> str:
    """Description of the allowed values, e.g. ``an integer >= 1 or none``."""
    return " or ".join(dict.fromkeys(filter(None, map(_words, schemas)))) or "something else"


def shorten(value: Any) -> str:
    """A value as the user would recognise it, at most 80 characters."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    except (ValueError, RecursionError):
        text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _line(item: Any, place: list[int | str], hidden: list[int | str], root: Schema, data: Any) -> str:
    kind = item["type"]
    shown = place[len(hidden) :] if place[: len(hidden)] == hidden else place
    name = dotted(shown)
    if kind == "extra_forbidden":
        return f"unknown key '{name}'. {_suggest(place, name, hidden, root)}"
    if kind == "missing":
        what = allowed(below(place, root))
        return f"'{name}' is required and missing" + ("" if "table" in what else f". It must be {what}")
    value = _value(place, data)
    if kind in ("value_error", "assertion_error"):
        reason = item["msg"].partition(", ")[2] or item["msg"]
        return f"'{name}' {reason}, got {shorten(value)}"
    return f"'{name or 'the file'}' must be {allowed(below(place, root))}, got {shorten(value)}"


def _suggest(place: list[int | str], name: str, hidden: list[int | str], root: Schema) -> str:
    """The nearest key beside it, or the same key where it belongs, or what there is."""
    siblings = {key for schema in below(place[:-1], root) for key in schema.get("properties", {})}
    if hidden and len(place) == 1:
        siblings |= {key for schema in below(hidden, root) for key in schema["properties"]}
        siblings -= {str(hidden[0])}
    wrong = str(place[-1])
    guess = nearest(wrong, siblings)
    if guess.startswith("Did you mean"):
        return guess.replace("mean '", f"mean '{name[: len(name) - len(wrong)]}")
    elsewhere = list(every_key(root))
    close = difflib.get_close_matches(wrong, [path[-1] for path in elsewhere], n=1, cutoff=0.8)
    homes = dict.fromkeys(dotted(path) for path in elsewhere if close and path[-1] == close[0])
    return f"Did you mean {' or '.join(map(repr, list(homes)[:3]))}?" if homes else guess


def _untagged(location: Location, tagged: Sequence[str]) -> list[int | str]:
    return [step for i, step in enumerate(location) if i == 0 or location[i - 1] not in tagged]


def _place(location: Location, root: Schema) -> list[int | str]:
    """A location without the tags and type names that unions put into it."""
    kept: list[int | str] = []
    for position, step in enumerate(location):
        last = position == len(location) - 1
        known = below([*kept, step], root)
        if known or isinstance(step, int) or (last and _is_table(below(kept, root))):
            kept.append(step)
    return kept


def _is_table(schemas: Sequence[Schema]) -> bool:
    return any("properties" in schema for schema in schemas)


def _value(place: Location, data: Any) -> Any:
    for step in place:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _parts(schema: Schema, root: Schema) -> Iterator[Schema]:
    """A schema without references and unions: its alternatives."""
    if "$ref" in schema:
        yield from _parts(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
        return
    inner = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    if not inner:
        yield schema
    for part in inner:
        yield from _parts(part, root)


def _step(schema: Schema, step: int | str, root: Schema) -> Iterator[Schema]:
    if isinstance(step, int):
        ahead = schema.get("prefixItems", [])
        inner = ahead[step] if step < len(ahead) else schema.get("items")
    else:
        inner = schema.get("properties", {}).get(step)
    if isinstance(inner, Mapping):
        yield from _parts(inner, root)


def _walk(schema: Schema, root: Schema, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for part in _parts(schema, root):
        if isinstance(part.get("items"), Mapping):
            yield from _walk(part["items"], root, path[:-1])
        for name, inner in part.get("properties", {}).items():
            yield (*path, name)
            yield from _walk(inner, root, (*path, name))


def _words(schema: Schema) -> str:
    if "const" in schema:
        return shorten(schema["const"])
    if "enum" in schema:
        return f"one of {', '.join(map(shorten, schema['enum']))}"
    kind = schema.get("type", "")
    if kind == "array":
        return _list_words(schema)
    text = _KINDS.get(kind, "")
    bounds = [f"{sign} {schema[name]}" for name, sign in _BOUNDS.items() if name in schema]
    return " ".join([text, " and ".join(bounds)]).strip()


def _list_words(schema: Schema) -> str:
    few, many = schema.get("minItems"), schema.get("maxItems")
    if "prefixItems" in schema:
        count, inner = f"{len(schema['prefixItems'])} ", schema["prefixItems"][0]
    else:
        count = "" if few is None else f"{few} or more " if many is None else f"{few} to {many} "
        inner = schema.get("items", {})
    each = _words(inner) if isinstance(inner, Mapping) else ""
    return f"a list of {count}values" + (f", each {each}" if each else "")
