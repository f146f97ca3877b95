"""Choices by name: the path, the coupling, the quantities to learn, the times and the penalties of a method."""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.cards import load_cards
from interpolants.foundations.checks import is_among, one_of
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.registry import build, find_card, members, names
from interpolants.foundations.tell import DataWarning, tell
from interpolants.foundations.trees import MissingCode
from interpolants.objectives.joint import learnable
from interpolants.objectives.losses import has_singular_rate
from interpolants.objectives.penalties import Penalty, check_penalties
from interpolants.objectives.times import TimeSampler
from interpolants.paths.envelopes import ZeroEnvelope
from interpolants.paths.fitted import UnfittedPath
from interpolants.paths.path import Path


def member(who: str, kind: str, what: Any) -> Any:
    """A member from the id of its card, or from a table ``{"kind": id, **settings}``.

    Args:
        who: Name of the caller, used in error messages.
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


def flow_path(who: str, path: Any) -> Path:
    """A path whose velocity is finite at both ends; by name alone, without latent noise.

    Args:
        who: Name of the caller, used in error messages.
        path: A ``Path``, the id of a card, or a table ``{"kind": id, **settings}``. A two-sided path that is given
            without an envelope gets ``gamma = 0``: the flow is all that is used, and its velocity is then finite.

    Raises:
        InvalidInputError: If the path is unknown, static, or its velocity is infinite at an end.
    """
    table = {"kind": path} if isinstance(path, str) else path
    if isinstance(table, Mapping) and "envelope" not in table and _takes_envelope(table.get("kind")):
        table = {**table, "envelope": ZeroEnvelope()}
    found = path if isinstance(path, Path) else member(who, "path", table)
    if found.is_static:
        raise invalid(
            who, "the path must move (it is static)", type(found).__name__, "For example, use path='linear'."
        )
    if has_singular_rate(found):
        remedy = "Use gamma = 0, or an envelope with a finite rate such as 'quadratic'."
        raise invalid(who, "the velocity must be finite at both ends", type(found).__name__, remedy)
    assert isinstance(found, Path)
    return found


def _takes_envelope(id: Any) -> bool:
    found = [card.load_entry() for card in load_cards() if card.kind == "path" and card.id == id]
    return any("envelope" in inspect.signature(entry).parameters for entry in found if callable(entry))


def check_options(who: str, options: Mapping[str, Any], function: Callable[..., Any]) -> None:
    """Refuse options that ``function`` does not take, and name the nearest that it does."""
    known = inspect.signature(function).parameters
    for name in options:
        if name not in known:
            raise invalid(
                who, "the option must be one that the part accepts", repr(name), nearest(name, known)
            )


def choose_path(who: str, path: Any) -> Path:
    """A path from its id, its table or itself."""
    found = path if isinstance(path, Path) else member(who, "path", path)
    assert isinstance(found, Path)
    return found


def path_for_data(who: str, path: Any) -> Path | UnfittedPath:
    """A path from its name, its description or itself; one that is to be fitted to data as such."""
    if isinstance(path, Path | UnfittedPath):
        return path
    found: Path | UnfittedPath | None = UnfittedPath.of(path)
    return member(who, "path", path) if found is None else found


def choose_heads(who: str, heads: Any, path: Path) -> tuple[str, ...]:
    """Quantities to learn: one is enough on one-sided and mirror paths, two-sided ones need a pair.

    Mean rate and noise have no singular target, so they need no antithetic pairs. On small data sets their ODE stays
    near the data where a velocity learnt directly may not: near the ends it carries the scores of rho0 and rho1, which
    few samples do not determine. Without latent noise only the velocity can be learnt, and only the ODE can be run.
    """
    if isinstance(heads, str) and heads == "auto":
        if path.is_static:
            return ("noise",)
        return ("velocity",) if path.is_one_sided or path.envelope.is_zero else ("mean_rate", "noise")
    found = tuple(heads) if isinstance(heads, list | tuple) else (heads,)
    for head in found:
        if not is_among(head, learnable()):
            raise invalid(
                who, "heads must name known quantities", repr(head), nearest(str(head), learnable())
            )
    if not found or len(set(found)) != len(found):
        raise invalid(who, "heads must name different quantities, at least one", found)
    return found


def choose_times(who: str, times: Any, path: Path | None = None) -> TimeSampler:
    """Stratified uniform times unless told otherwise: a sampler, its name, or a table with settings.

    Args:
        who: Name of the caller, used in error messages.
        times: What was asked for.
        path: The path, for samplers that follow its noise.
    """
    if isinstance(times, TimeSampler):
        return times
    settings = dict(times) if isinstance(times, Mapping) else {"kind": times}
    name = settings.pop("kind", None)
    name = "stratified" if isinstance(name, str) and name == "auto" else name
    known = members("time_sampler")
    if not is_among(name, known):
        raise invalid(who, "times must be a known sampler", repr(name), nearest(str(name), known))
    if "path" in inspect.signature(known[name]).parameters:
        settings["path"] = path
    made = build("time_sampler", name, **settings)
    assert isinstance(made, TimeSampler)
    return made


def choose_aggregate(who: str, aggregate: Any, path: Path | None = None) -> Any:
    """A rule that weighs losses, new for every fit: None, an aggregate, its name, or a table with settings.

    Args:
        who: Name of the caller, used in error messages.
        aggregate: What was asked for.
        path: The path, for rules that follow its noise.
    """
    if not isinstance(aggregate, str | Mapping):
        if aggregate is not None and not callable(aggregate):
            raise invalid(who, "aggregate must be a name, a table or a function", repr(aggregate))
        return copy.deepcopy(aggregate)
    settings = dict(as_table(who, "aggregate", aggregate))
    kind = settings.pop("kind")
    entry: Any = find_card(kind, "aggregate", who).load_entry()
    if "path" in inspect.signature(entry).parameters:
        settings.setdefault("path", path)
    return build("aggregate", kind, **settings)


def choose_penalties(who: str, penalties: Any, path: Path, heads: Sequence[str]) -> list[Penalty]:
    """Terms beside the loss, each given as a table ``{"kind": id, **settings}``, made for a path.

    Raises:
        InvalidInputError: If one is unknown, is no penalty, or asks for another quantity than is learnt.
    """
    known = names("penalty")
    made = []
    for spec in penalties:
        kind = spec.get("kind") if isinstance(spec, Mapping) else spec
        if not isinstance(spec, Mapping) or kind not in known:
            remedy = f"{nearest(str(kind), known)} For example, use {{'kind': {known[0]!r}, 'weight': 0.1}}."
            raise invalid(who, "a penalty must be a table with a known kind", repr(spec), remedy)
        settings = {name: value for name, value in spec.items() if name != "kind"}
        if isinstance(settings.get("box"), list):
            settings["box"] = tuple(settings["box"])
        made.append(build("penalty", str(kind), path=path, **settings))
    check_penalties(made, heads, who)
    return made


def warn_about_loss_of_detail(who: str, tensor: Tensor, name: str) -> None:
    """Discrete data have no density: say so once, before somebody reads a likelihood. Of tables, columns are named."""
    if tensor.ndim == 2:
        return
    head = tensor[:1000].reshape(min(len(tensor), 1000), -1)
    if len(head) >= 100 and torch.equal(head, head.round()):
        tell(
            DataWarning,
            f"{who}: {name} has integers only, and discrete data have no density. Samples are not rounded; before "
            "reading log_prob, add uniform noise of one step (dequantise).",
        )
