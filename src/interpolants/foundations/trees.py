"""Trees on disk: one packer for states, models, checkpoints, cells, answers and identities.

A tree is made of plain values, tensors, lists, mappings, records, networks, methods, and members with a card. Tensors
go to safetensors, everything else to JSON, by ids of cards and records. User-defined code cannot be stored: the tree
keeps its place, and ``read(folder, name=...)`` puts the code back there. No pickle, no import by name.

Kinds of nodes in the JSON, under ``"$"``: ``float`` (not finite), ``tensor``, ``complex``, ``dict``, ``list``,
``tuple``, ``record``, ``method``, ``net``, ``member``, ``code``.
"""

import copy
import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from inspect import isfunction
from pathlib import Path
from typing import Any, NoReturn, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from interpolants.foundations.calls import uncompiled
from interpolants.foundations.errors import InterpolantsError, InvalidInputError, invalid, nearest
from interpolants.foundations.records import record_named, record_of, settings_of
from interpolants.foundations.registry import (
    build,
    card_of,
    check_tables,
    describe,
    find_card,
    only_stored_kinds,
    rebuild,
)
from interpolants.foundations.remembered import Remembered, remembered_named
from interpolants.foundations.size_guard import SmallTensors, build_checked, check_sizes
from interpolants.foundations.storage import Choose, StoredFolder, read_folder, write_folder

FORMAT, TREE, WEIGHTS = 1, "tree.json", "tensors"
Tree = Any
# Records of the stores that came before the tree.
_EARLIER = ("bridge.json", "forecaster.json", "tokens.json", "latent_generator.json")
# User-defined code that is passed again: (place in the tree, name of the code) -> the code, or None.
Code = Callable[[str, str], Any]

_PLAIN = (bool, int, str)
# Objects of these packages are data, and no code of a user's.
_LIBRARIES = ("builtins", "numpy", "torch", "pandas", "xarray")


@runtime_checkable
class Packed(Protocol):
    """A method as the packer sees it."""

    def to_parts(self) -> dict[str, Any]:
        """Return the parts from which an equal object can be rebuilt."""
        ...

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> Any:
        """Rebuild an object from the result of :meth:`to_parts`."""
        ...


@runtime_checkable
class Configured(Protocol):
    """A network with a card, as the packer sees it; one without settings is user-defined code.

    Attributes:
        settings: Its id as ``name``, and the arguments of its constructor.
    """

    settings: dict[str, Any]


class MissingCode:
    """Placeholder for code of the user that a file could not hold; it refuses to be used.

    Args:
        place: Where it was: the name under which ``load`` takes it.
        name: What it was called.
    """

    def __init__(self, place: str, name: str) -> None:
        self.place, self.name = place, name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        self.refuse()

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Raise the error of missing user-defined code."""
        self.refuse()

    def refuse(self) -> Any:
        """Raise the error that says what to pass."""
        last = _last(self.place)
        remedy = f"Pass load(folder, {last}=...)."
        raise invalid(
            "load",
            f"{last} is user-defined code ({self.name}), which files do not contain",
            "nothing",
            remedy,
        )

    def __repr__(self) -> str:
        return f"MissingCode({self.name!r})"


# --- packing -------------------------------------------------------------------------------------------------


def pack(value: Any, tensors: dict[str, Tensor], at: str = "") -> Any:
    """A tree as JSON; its tensors are put into ``tensors`` under their places.

    Raises:
        InvalidInputError: If a value is none of those that files can hold; its place is named.
    """
    if value is None or type(value) in _PLAIN:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"$": "float", "value": str(value)}
    if isinstance(value, Tensor):
        return _pack_tensor(value, tensors, at)
    if isinstance(value, Mapping):
        _check_names(value, at)
        return {"$": "dict", "items": _pack_parts(value, tensors, at)}
    if type(value) in (list, tuple):
        items = [pack(part, tensors, _join(at, str(i))) for i, part in enumerate(value)]
        return {"$": type(value).__name__, "items": items}
    return _pack_member(value, tensors, at)


def _pack_tensor(value: Tensor, tensors: dict[str, Tensor], at: str) -> Any:
    if at in tensors:  # names may hold dots
        raise invalid("save", "places in a tree must differ", f"two of {at!r}", "Rename one.")
    plain = value.detach().cpu()
    tensors[at] = (torch.view_as_real(plain) if plain.is_complex() else plain).contiguous()
    return {"$": "complex" if plain.is_complex() else "tensor"}


def _check_names(value: Mapping[Any, Any], at: str) -> None:
    for name in value:
        if not isinstance(name, str) or not name:
            raise invalid("save", f"{at or 'the tree'} must have names that are strings", repr(name))


def _pack_parts(parts: Mapping[str, Any], tensors: dict[str, Tensor], at: str) -> dict[str, Any]:
    return {name: pack(part, tensors, _join(at, name)) for name, part in parts.items()}


def _pack_member(value: Any, tensors: dict[str, Tensor], at: str) -> Any:
    if isinstance(value, np.generic):
        return pack(value.item(), tensors, at)
    if isinstance(value, MissingCode):
        return {"$": "code", "name": value.name}
    if (known := record_of(value)) is not None:
        return {"$": "record", "id": known.id, "fields": _pack_parts(known.parts(value), tensors, at)}
    if isinstance(value, Packed) and not isinstance(value, type):
        return {"$": "method", "id": _card_id(value), "parts": _pack_parts(value.to_parts(), tensors, at)}
    if isinstance(value, nn.Module):
        return _pack_net(value, tensors, at)
    try:
        return {"$": "member", "words": describe(value, "save")}
    except InvalidInputError:
        if _is_code(value):
            return {"$": "code", "name": _code_name(value), **_code_fields(value)}
        place = at or "the value"
        raise invalid("save", f"{place} must be something that files hold", type(value).__name__) from None


def _code_name(value: object) -> str:
    return str(getattr(value, "__qualname__", type(value).__qualname__))


def _code_fields(value: Any) -> dict[str, Any]:
    """Plain settings of a user's data class: files do not need them, but they tell one run from another."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return {}
    try:
        return {"fields": _pack_parts(settings_of(value), {}, "")}
    except InvalidInputError:
        return {}


def _is_code(value: object) -> bool:
    """Whether a value is a function, or an object of a class that a user may have written."""
    return isfunction(value) or type(value).__module__.partition(".")[0] not in _LIBRARIES


def _pack_net(net: nn.Module, tensors: dict[str, Tensor], at: str, *, bare: bool = False) -> Any:
    """A network, without its compilation; ``bare`` without its weights, for an argument of a network around it."""
    net = uncompiled(net)
    weights = {} if bare else net.state_dict()
    for name, value in weights.items():
        _pack_tensor(value, tensors, _join(at, name))
    node: dict[str, Any] = {"names": sorted(weights)}
    if isinstance(net, Remembered):
        settings = _pack_settings(net.remembered, tensors, _join(at, "settings"))
        return {"$": "net", "remembered": net.remembered_id, **node, "settings": settings}
    if isinstance(net, Configured) and card_of(type(net)) is not None:
        settings = _pack_settings(net.settings, tensors, _join(at, "settings"))
        return {"$": "net", **node, "settings": settings}
    return {"$": "code", "name": type(net).__qualname__, **node}


def _pack_settings(settings: Mapping[str, Any], tensors: dict[str, Tensor], at: str) -> dict[str, Any]:
    return {
        name: _pack_net(part, tensors, _join(at, name), bare=True)
        if isinstance(part, nn.Module)
        else pack(part, tensors, _join(at, name))
        for name, part in settings.items()
    }


def _card_id(value: object) -> str:
    card = card_of(type(value))
    if card is None:
        remedy = "Write its .card.toml next to it."
        raise invalid("save", "a method must have a card", type(value).__name__, remedy)
    return card.id


# --- unpacking -----------------------------------------------------------------------------------------------


@dataclass
class _Reader:
    """Turns JSON and tensors back into a tree."""

    tensors: Mapping[str, Tensor]
    code: Code
    missing: list[str] = field(default_factory=list)

    @cached_property
    def entries(self) -> int:
        """Entries of all tensors."""
        return sum(value.numel() for value in self.tensors.values())

    def unpack(self, node: Any, at: str = "") -> Any:
        if not isinstance(node, dict):
            return node
        if node["$"] not in _READ:
            raise invalid(
                "load", "every node must be of a known kind", repr(node["$"]), "Upgrade interpolants."
            )
        return _READ[node["$"]](self, node, at)

    def _parts(self, parts: Mapping[str, Any], at: str) -> dict[str, Any]:
        return {name: self.unpack(part, _join(at, name)) for name, part in parts.items()}

    def _float(self, node: Any, at: str) -> float:
        return float(node["value"])

    def _tensor(self, node: Any, at: str) -> Tensor:
        return self.tensors[at].clone()  # not a view into the bytes of a file

    def _complex(self, node: Any, at: str) -> Tensor:
        return torch.view_as_complex(self.tensors[at].clone())

    def _dict(self, node: Any, at: str) -> dict[str, Any]:
        return self._parts(node["items"], at)

    def _list(self, node: Any, at: str) -> list[Any]:
        return [self.unpack(part, _join(at, str(i))) for i, part in enumerate(node["items"])]

    def _tuple(self, node: Any, at: str) -> tuple[Any, ...]:
        return tuple(self._list(node, at))

    def _record(self, node: Any, at: str) -> Any:
        return record_named(node["id"], "load").make(self._parts(node["fields"], at))

    def _method(self, node: Any, at: str) -> Any:
        entry: Any = find_card(
            node["id"], "method", "load"
        ).load_entry()  # its module registers what its state holds
        parts = self._parts(node["parts"], at)
        check_tables(parts.get("settings"))
        return entry.from_parts(parts)

    def _net(self, node: Any, at: str) -> nn.Module:
        settings = self._parts(node["settings"], _join(at, "settings"))
        check_tables(settings)
        known = node.get("remembered")
        name = settings.pop("name") if known is None else ""
        entry = partial(build, "net", name) if known is None else remembered_named(known)
        weights = {name: self.tensors[_join(at, name)] for name in node["names"]}
        net = build_checked(lambda: entry(**settings), weights, self.entries)
        return self._with_weights(net, node["names"], at)

    def _member(self, node: Any, at: str) -> Any:
        check_sizes(node["words"])
        with SmallTensors():
            return rebuild(node["words"])

    def _code(self, node: Any, at: str) -> Any:
        own = self.code(at, node["name"])
        if own is None:
            self.missing.append(at)
            return MissingCode(at, node["name"])
        return self._with_weights(copy.deepcopy(own), node["names"], at) if node.get("names") else own

    def _with_weights(self, net: nn.Module, names: list[str], at: str) -> nn.Module:
        if not names:
            return net
        state = {name: self.tensors[_join(at, name)] for name in names}
        floating = next((value.dtype for value in state.values() if value.is_floating_point()), None)
        try:
            uncompiled(net if floating is None else net.to(floating)).load_state_dict(state)
        except RuntimeError as error:
            raise invalid("load", f"{at or 'the network'} must fit its weights", str(error)) from error
        return net.eval().requires_grad_(False)


_READ: Mapping[str, Callable[[_Reader, Any, str], Any]] = {
    "float": _Reader._float,
    "tensor": _Reader._tensor,
    "complex": _Reader._complex,
    "dict": _Reader._dict,
    "list": _Reader._list,
    "tuple": _Reader._tuple,
    "record": _Reader._record,
    "method": _Reader._method,
    "net": _Reader._net,
    "member": _Reader._member,
    "code": _Reader._code,
}


# --- folders -------------------------------------------------------------------------------------------------


def write(folder: str | Path, tree: Tree, *, readme: str | None = None, blocks: bool = False) -> Path:
    """Write a tree as a folder that is whole or absent; an older one there is replaced.

    Args:
        folder: The folder.
        tree: The tree.
        readme: Text of a ``README.md`` for readers, next to it.
        blocks: Whether some rows of its tensors can be read alone.

    Raises:
        InvalidInputError: If the tree holds what files cannot, or the folder holds something else.
        StorageError: If the disk refuses.
    """
    tensors: dict[str, Tensor] = {}
    packed = pack(tree, tensors)
    document = {"format": FORMAT, "tree": packed}
    return write_folder(
        folder, {WEIGHTS: tensors} if tensors else {}, {TREE: document}, readme=readme, blocks=blocks
    )


def is_tree(folder: str | Path) -> bool:
    """Whether a folder holds a stored tree."""
    return (Path(folder) / TREE).is_file()


def read(folder: str | Path, **code: Any) -> Tree:
    """Read the tree of a folder.

    Args:
        folder: What :func:`write` wrote.
        code: User-defined code, by the last word of its position or by the whole position; all entries of the tree with
            that name use it. Code that is not passed becomes a :class:`MissingCode`.

    Raises:
        InvalidInputError: If the folder is not a stored tree, is of a newer format, is damaged, or does not need code
            that is passed.
    """
    return _read(folder, code, None)


def read_rows(folder: str | Path, rows: Choose) -> Tree:
    """Read the tree of a folder with some rows of its tensors: ``rows(place, shape)``, as `read_folder` takes it.

    Raises:
        InvalidInputError: As `read`.
    """
    return _read(folder, {}, rows)


def _read(folder: str | Path, code: Mapping[str, Any], rows: Choose | None) -> Tree:
    stored = read_folder(folder, rows=rows)
    document = stored.documents.get(TREE)
    if not isinstance(document, dict):
        _refuse_other(folder, stored)
    if document.get("format") != FORMAT:
        written = f"{document.get('format')!r}, written by interpolants {stored.library}"
        raise invalid("load", f"{folder} must have format {FORMAT}", written, "Read it with that version.")
    passed = _PassedCode(code)
    reader = _Reader(stored.tensors.get(WEIGHTS, {}), passed)
    try:
        with only_stored_kinds():
            tree = reader.unpack(document["tree"])
    except InterpolantsError:
        raise
    except Exception as error:  # whatever members do with settings that are none of theirs
        message = f"{type(error).__name__}: {str(error)[:200]}"
        raise invalid("load", f"{folder} must be complete and fit together", message) from error
    if rest := sorted(set(code) - passed.used):
        places = sorted({_last(place) for place in [*passed.asked]})
        raise invalid(
            "load", "code that is passed must be required by the folder", rest[0], nearest(rest[0], places)
        )
    return tree


def _refuse_other(folder: str | Path, stored: StoredFolder) -> NoReturn:
    """Raise an error that says what a folder without a tree is, and how to read it."""
    if earlier := sorted(stored.documents.keys() & set(_EARLIER)):
        remedy = "Read it with interpolants 0.1.0 of commit f653ca4 or earlier, or fit the model again."
        got = f"{earlier[0]}, written before methods had one format"
        raise invalid("load", f"{folder} must contain a stored tree", got, remedy)
    raise invalid("load", "the folder must contain a stored tree", str(folder), "Save one with save(folder).")


class _PassedCode:
    """Code that a user passes again, found by the last word of a place."""

    def __init__(self, code: Mapping[str, Any]) -> None:
        self.code, self.used, self.asked = code, set[str](), list[str]()

    def __call__(self, place: str, name: str) -> Any:
        self.asked.append(place)
        for key in (place, _last(place)):
            if key in self.code:
                self.used.add(key)
                return self.code[key]
        return None


def fingerprint(value: Any) -> str:
    """Fingerprint of 16 hexadecimal digits, equal for bitwise identical trees."""
    tensors: dict[str, Tensor] = {}
    digest = hashlib.sha256(json.dumps(pack(value, tensors), sort_keys=True).encode())
    for name in sorted(tensors):
        flat = tensors[name].reshape(-1)
        digest.update(f"{name} {flat.dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return digest.hexdigest()[:16]


def digest(value: Any, most: int = 1 << 16) -> str:
    """Fingerprint for rows in memory, from at most ``most`` evenly spaced entries of each tensor.

    It cheaply distinguishes different data, different rows and a different order; it can miss a change of few entries.
    """

    def thin(x: Tensor) -> Tensor:
        flat = x.reshape(-1)
        return torch.cat([flat[:: max(1, -(-flat.numel() // most))], flat[-1:]])

    tensors: dict[str, Tensor] = {}
    packed = pack(value, tensors)
    shapes = {name: tuple(x.shape) for name, x in tensors.items()}
    return fingerprint([json.dumps(packed, sort_keys=True), str(shapes), *map(thin, tensors.values())])


def holds_code(tree: Tree) -> bool:
    """Whether a tree contains user-defined code."""

    def found(node: Any) -> bool:
        if isinstance(node, dict):
            return node.get("$") == "code" or any(map(found, node.values()))
        return isinstance(node, list) and any(map(found, node))

    return found(pack(tree, {}))


def code_in(tree: Tree, at: str = "") -> Iterator[tuple[str, Any]]:
    """User-defined code in a tree, by its position: functions, networks and objects that files do not contain."""
    if isinstance(tree, Mapping):
        yield from _code_in_parts(tree, at)
    elif isinstance(tree, list | tuple):
        yield from _code_in_parts({str(k): part for k, part in enumerate(tree)}, at)
    elif (known := record_of(tree)) is not None:
        yield from _code_in_parts(known.parts(tree), at)
    elif isinstance(tree, Packed) and not isinstance(tree, type):
        yield from _code_in_parts(tree.to_parts(), at)
    elif isinstance(tree, nn.Module):
        yield from _code_in_net(uncompiled(tree), at)
    elif tree is not None and not isinstance(tree, bool | int | float | str | Tensor) and _is_code(tree):
        if type(tree).__module__.partition(".")[0] != "interpolants":
            yield at, tree
        if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
            yield from _code_in_parts(settings_of(tree), at)


def _code_in_parts(parts: Mapping[str, Any], at: str) -> Iterator[tuple[str, Any]]:
    for name, part in parts.items():
        yield from code_in(part, _join(at, str(name)))


def _code_in_net(net: nn.Module, at: str) -> Iterator[tuple[str, Any]]:
    settings = net.remembered if isinstance(net, Remembered) else None
    if settings is None and isinstance(net, Configured) and card_of(type(net)) is not None:
        settings = net.settings
    if settings is None:
        yield at, net
    else:
        yield from _code_in_parts(settings, at)


def misses_code(tree: Tree) -> bool:
    """Whether user-defined code of a tree was not passed again when it was read."""
    if isinstance(tree, MissingCode):
        return True
    if isinstance(tree, Mapping):
        return any(map(misses_code, tree.values()))
    if isinstance(tree, list | tuple):
        return any(map(misses_code, tree))
    known = record_of(tree)
    return known is not None and misses_code(known.parts(tree))


def _join(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _last(place: str) -> str:
    return place.rpartition(".")[2]
