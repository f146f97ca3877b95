"""Choices by name: the path, the coupling, the quantities to learn, the times and the penalties of a method."""

import inspect
from collections.abc import Mapping
from typing import Any

from interpolants.foundations.cards import load_cards
from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.registry import build, members, names
from interpolants.framework.stored import MissingCode
from interpolants.objectives.losses import has_singular_rate
from interpolants.objectives.times import TimeSampler
from interpolants.paths.envelopes import ZeroEnvelope
from interpolants.paths.path import Path


def member(who: str, kind: str, what: Any) -> Any:
    """A member from the id of its card, or from a table ``{"kind": id, **settings}``.

    Args:
        who: Public name for errors.
        kind: Kind of member, e.g. ``"path"``.
        what: The id or the table.

    Raises:
        InvalidInputError: If it is neither, or there is no such member.
    """
    settings = dict(as_table(who, kind, what))
    return build(kind, one_of(who, kind, settings.pop("kind"), names(kind)), **settings)


def as_table(who: str, kind: str, what: Any) -> Mapping[str, Any]:
    """The table ``{"kind": id, **settings}`` that an id or a table stands for.

    Raises:
        InvalidInputError: If it is neither; or code of the user's own that a file did not hold, and is to be passed.
    """
    table = {"kind": what} if isinstance(what, str) else what
    if isinstance(what, MissingCode):
        what.refuse()
    if not isinstance(table, Mapping) or "kind" not in table:
        rule = f"{kind} must be a name, a table with a kind, or a {kind}"
        raise invalid(who, rule, repr(what), f"One of: {', '.join(names(kind))}.")
    return table


def choose_coupling(who: str, coupling: Any) -> Any:
    """A coupling from its id, its table or itself."""
    return member(who, "coupling", coupling) if isinstance(coupling, str | Mapping) else coupling


def choose_path(who: str, path: Any) -> Path:
    """A path from its id, its table or itself."""
    found = path if isinstance(path, Path) else member(who, "path", path)
    assert isinstance(found, Path)
    return found


def choose_times(who: str, times: Any, path: Path | None = None) -> TimeSampler:
    """A time sampler from its name, its table or itself; ``"auto"`` is stratified.

    Args:
        who: Public name for errors.
        times: What was asked for.
        path: The path, for samplers that follow its noise.

    Raises:
        InvalidInputError: If the sampler or a setting of it is unknown.
    """
    if isinstance(times, TimeSampler):
        return times
    settings = dict(times) if isinstance(times, Mapping) else {"kind": times}
    name = settings.pop("kind", None)
    name = "stratified" if name == "auto" else name
    known = members("time_sampler")
    if name not in known:
        raise invalid(who, "times must be a known sampler", repr(name), nearest(str(name), known))
    if "path" in inspect.signature(known[name]).parameters:
        settings["path"] = path
    made = build("time_sampler", name, **settings)
    assert isinstance(made, TimeSampler)
    return made


def flow_path(who: str, path: Any) -> Path:
    """A path whose velocity is finite at both ends; by name alone, without latent noise.

    Args:
        who: Public name for errors.
        path: A ``Path``, the id of a card, or a table ``{"kind": id, **settings}``. A two-sided path that is given
            without an envelope gets ``gamma = 0``: the flow is all that is used, and its velocity is then finite.

    Raises:
        InvalidInputError: If the path is unknown, static, or its velocity is infinite at an end.
    """
    found = path if isinstance(path, Path) else member(who, "path", _without_noise(path))
    if found.is_static:
        raise invalid(who, "the path must move (it is static)", type(found).__name__, "E.g. path='linear'.")
    if has_singular_rate(found):
        remedy = "Take gamma = 0, or an envelope with a finite rate such as 'quadratic'."
        raise invalid(who, "the velocity must be finite at both ends", type(found).__name__, remedy)
    assert isinstance(found, Path)
    return found


def _without_noise(path: Any) -> Any:
    table = {"kind": path} if isinstance(path, str) else path
    if isinstance(table, Mapping) and "envelope" not in table and _takes_envelope(table.get("kind")):
        return {**table, "envelope": ZeroEnvelope()}
    return table


def _takes_envelope(id: Any) -> bool:
    found = [card.load_entry() for card in load_cards() if card.kind == "path" and card.id == id]
    return any("envelope" in inspect.signature(entry).parameters for entry in found if callable(entry))


__all__ = ["choose_coupling", "choose_path", "choose_times", "flow_path", "member"]
