"""Capabilities: the verbs of a fitted method.

A capability is a plain function of canonical values, declared by a decorator that reads, checks and answers in kind
around it. Its name is a *verb*: the name of the function, of the command, and what questions ask for. A verb fixes its
leading arguments for all methods, so that questions, rivals and modifiers can rely on them::

    class Ridge(Method):
        @capability(like="y")
        def predict(self, x: Tensor) -> Predictive: ...
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar, overload, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from interpolants.data.arrays import Kind as Given
from interpolants.data.arrays import restore
from interpolants.foundations.asked import asking
from interpolants.foundations.devices import on_device, working_on
from interpolants.foundations.errors import InvalidInputError, invalid, nearest
from interpolants.foundations.kinds import Checker, checker, plain, takes_none
from interpolants.foundations.randomness import BLOCK, checked_place, checked_seed
from interpolants.foundations.said import said_of_settings
from interpolants.foundations.shared_memory import Memory, apart
from interpolants.framework.far_values import Measured, untold, warn_if_unlike
from interpolants.framework.role import Role, kind_of
from interpolants.framework.roles import count, memory_of, read

# Containers without names of columns; answers with parts, such as distributions, tell these of the method.
_NAMELESS = ("torch", "numpy", "list")
# Verb -> names of its leading arguments. A room with a new verb adds it with `verb`.
_VERBS: dict[str, tuple[str, ...]] = {}
# Maximum number of rows of a joint answer: their covariance takes 0.2 GB per column.
MOST_JOINT = 5000


def verb(name: str, *leading: str) -> None:
    """Make a verb known, with the arguments that it takes first, whatever the method.

    Raises:
        InvalidInputError: If the verb is known with other arguments.
    """
    if _VERBS.setdefault(name, leading) != leading:
        raise invalid("verb", f"{name} must take {_VERBS[name]} first", leading)


def leading_arguments(name: str) -> tuple[str, ...]:
    """Leading argument of a verb.

    Raises:
        InvalidInputError: If the verb is unknown.
    """
    if name not in _VERBS:
        raise invalid(
            "capability", "the verb must be one of the defined verbs", repr(name), nearest(name, _VERBS)
        )
    return _VERBS[name]


verb("sample", "n")
verb("transport", "x")
verb("log_prob", "x")
verb("predict", "x")
verb("adapt", "x", "y")
verb("complete", "x")
verb("classify", "x")
verb("vary", "x")
verb("forecast", "context")
verb("assimilate", "y", "start", "noise")
verb("restore", "observed")
verb("solve", "points")
verb("residual", "points")
verb("infer", "observed")
verb("encode", "x")
verb("spectrum", "frequencies")
verb("check")
verb("bill")


@runtime_checkable
class InKind(Protocol):
    """An answer that puts itself into the container that came in."""

    def in_kind(self, given: Given) -> Any:
        """The answer in that container."""
        ...


@runtime_checkable
class ByRow(Protocol):
    """An answer with one part per row."""

    def rows(self, rows: slice) -> Any:
        """Return the argument for the selected rows."""
        ...


Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer", covariant=True)


class Whole(Protocol):
    """An answer that keeps its class in every container."""

    def in_kind(self, container: Given, /) -> Self:
        """Return the answer with its arrays in that container."""
        ...


Kept = TypeVar("Kept", bound=Whole)


class Asked(Protocol[Arguments, Answer]):
    """Type of ``method.verb``.

    The answer to tensors has the type of the function. Rows in another container are returned in that container, which
    a type cannot express; answers with parts, such as distributions, keep their class.
    """

    @overload
    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer: ...
    @overload
    def __call__(self: "Asked[Arguments, Kept]", *args: Any, **kwargs: Any) -> Kept: ...
    @overload
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


class Verb(Protocol[Arguments, Answer]):
    """Type of a capability in its class."""

    def __call__(self, method: Any, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        """Ask a method."""
        ...

    def __get__(self, method: Any, owner: Any = None) -> Asked[Arguments, Answer]:
        """Return the verb of one method."""
        ...


class Declare(Protocol):
    """Type of the decorator. A function with ``**options`` has ``self`` as a positional-only argument."""

    def __call__(self, call: Callable[Concatenate[Any, Arguments], Answer]) -> Verb[Arguments, Answer]:
        """Make the function a capability."""
        ...


class NotAbleError(InvalidInputError):
    """Raised when a method lacks a capability, or lacks it with its current settings."""


@dataclass(frozen=True)
class OfMethod:
    """The default of an argument that is a setting of the method, shown as ``self.strength``."""

    name: str

    def __repr__(self) -> str:
        return f"self.{self.name}"


@dataclass(frozen=True)
class Capability:
    """One capability of a class.

    Attributes:
        call: The plain function; it sees canonical values.
        reads: Argument -> what it is like: the name of a role of ``fit``, or a role of its own, which may be ``like``
            one of ``fit``: the same columns, but another shape or gaps. An argument with the name of a role of ``fit``
            needs no entry.
        like: Argument or role in whose container the answer goes out; or a name whose columns the method knows.
        blocks: Cut rows into blocks of 64, the last one padded, so that what a row gets does not depend on how many
            come with it.
        shares: Dataclass of arguments that it has in common with other verbs. They are its own, and are handed to the
            function among its ``**options``.
        passes: Class of settings that the other ``**options`` are for, or a function that names each of them.
        takes: Settings of answers that it takes as arguments; None for all of them where it has ``**settings``, and
            for none elsewhere.
        settings: Their kinds by name, in a class that has them.
    """

    call: Callable[..., Any]
    reads: Mapping[str, str | Role] = field(default_factory=dict)
    like: str = ""
    blocks: bool = False
    shares: type | None = None
    passes: Callable[..., Any] | None = None
    takes: tuple[str, ...] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.passes is None:
            return
        for name, parameter in inspect.signature(self.passes).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:  # options that it hides would be ignored silently
                remedy = "Pass the class of its settings, e.g. dynamics.Sampling."
                rule = "passes must name each option"
                raise invalid("capability", rule, f"{self.passes.__name__}(**{name})", remedy)

    @property
    def verb(self) -> str:
        """Name of the capability's verb."""
        return self.call.__name__

    @functools.cached_property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """All arguments of the function but ``self``, those that it shares included."""
        _, *own = inspect.signature(self.call, eval_str=False).parameters.values()
        shared = [] if self.shares is None else [*inspect.signature(self.shares).parameters.values()]
        places = [p for p in own if p.kind is p.POSITIONAL_OR_KEYWORD]
        return {p.name: p for p in (*places, *shared, *(p for p in own if p not in places))}

    @functools.cached_property
    def options(self) -> dict[str, inspect.Parameter]:
        """All arguments by name: its own, those that it passes on, and settings of answers."""
        own = {name: p for name, p in self.parameters.items() if p.kind is not p.VAR_KEYWORD}
        passed = inspect.signature(self.passes).parameters if self.passes is not None else {}
        return (
            own | {n: p for n, p in passed.items() if p.kind is p.KEYWORD_ONLY and n not in own} | self.asked
        )

    @functools.cached_property
    def asked(self) -> dict[str, inspect.Parameter]:
        """The settings of answers that it takes, as arguments."""
        only = inspect.Parameter.KEYWORD_ONLY
        return {
            name: inspect.Parameter(name, only, default=OfMethod(name), annotation=kind)
            for name, kind in self.settings.items()
        }

    @functools.cached_property
    def checks(self) -> dict[str, Checker]:
        """Argument -> its check, of those with a declared kind."""
        found = {name: checker(p.annotation) for name, p in self.options.items() if name not in self.settings}
        return {name: check for name, check in found.items() if check is not None}

    def of(self, settings: Mapping[str, Any]) -> "Capability":
        """The capability in a class with these settings of answers.

        Args:
            settings: Kind of each, by name.
        """
        takes_all = any(p.kind is p.VAR_KEYWORD and p.name == "settings" for p in self.parameters.values())
        names = self.takes if self.takes is not None else tuple(settings) if takes_all else ()
        return replace(self, settings={name: settings[name] for name in names if name in settings})

    @property
    def signature(self) -> inspect.Signature:
        """The signature for help: plain kinds, and settings of answers in place of ``**settings``."""
        own = [p for p in self.parameters.values() if p.name != "settings"]
        rest = [p for p in own if p.kind is p.VAR_KEYWORD]
        listed = [*(p for p in own if p not in rest), *self.asked.values(), *rest]
        me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        returns = inspect.signature(self.call).return_annotation
        shown = (p.replace(annotation=plain(p.annotation)) for p in listed)
        return inspect.Signature([me, *shown], return_annotation=returns)

    @property
    def spreads(self) -> bool:
        """Whether it takes further roles of the fit by name (``**roles``)."""
        return any(p.kind is p.VAR_KEYWORD and p.name == "roles" for p in self.parameters.values())

    def source(self, argument: str) -> str:
        """The role of the fit that an argument is like."""
        role = self.reads.get(argument, argument)
        return role if isinstance(role, str) else role.like or role.name

    def roles(self, method: Any) -> tuple[Role, ...]:
        """The roles that it reads of this method, under the names of its arguments."""
        own = {role.name: role for role in method.roles()}
        names = [*self.parameters, *(name for name in own if self.spreads and name not in self.parameters)]
        found = (self._role(name, own, method) for name in names)
        return tuple(role for role in found if role is not None)

    def needs_told(self, method: Any, role: Role) -> bool:
        """Whether each request needs the condition: all training rows had it, and it was never dropped."""
        source = self.source(role.name)
        known = role.kind in ("condition", "labels") and source in method.given
        return known and not method.answers_without(source)

    def _role(self, name: str, own: Mapping[str, Role], method: Any) -> Role | None:
        role = self.reads.get(name, name if name in own else None)
        if isinstance(role, str):
            role = own.get(role)
            if role is None or (role.optional and role.name not in method.given):
                return None
        if role is None:
            return None
        parameter = self.parameters.get(name)
        optional = parameter is None or parameter.default is not inspect.Parameter.empty
        # Whatever their axes in the fit, rows and conditions of one request belong together.
        axis = "row" if kind_of(role).has_rows and role.axis else role.axis
        # Names that the method fixes hold whatever the fit was given: a table in another order is put in theirs.
        columns = role.columns or method.columns(self.source(name))
        padded = own.get(self.source(name), role).padded  # sequences come as those of the fit
        return replace(role, name=name, optional=optional, axis=axis, like="", columns=columns, padded=padded)


def capability(
    *,
    reads: Mapping[str, str | Role] | None = None,
    like: str = "",
    blocks: bool = False,
    shares: type | None = None,
    passes: Callable[..., Any] | None = None,
    takes: tuple[str, ...] | None = None,
) -> Declare:
    """Make a function of a method a capability; see :class:`Capability`."""

    def declare(call: Any) -> Any:
        return asker(Capability(call, reads or {}, like, blocks, shares, passes, takes))

    return declare


def asker(one: Capability) -> Callable[..., Any]:
    """The function that users call."""
    call = one.call

    # The answer is worked out in this frame: a user's network that raises shows few of ours above its own.
    @functools.wraps(call)
    def ask(self: Any, *args: Any, **given: Any) -> Any:
        with asking(f"{type(self).__name__}.{one.verb}"):
            request = _read(one, self, args, given)
            method, data, options = request.method, request.data, request.options
            with untold(), torch.set_grad_enabled(request.attached), working_on(method.place):
                answer = (
                    _in_blocks(one, method, data, options)
                    if one.blocks and not options.get("joint")
                    else call(method, **data, **options)
                )
            return request.answered(answer)

    if one.shares is not None:
        ask.__signature__ = one.signature  # type: ignore[attr-defined]
        ask.__doc__ = _with_shared(call.__doc__, one.shares)
    ask.capability = one  # type: ignore[attr-defined]
    return ask


def take_settings(kind: type, settings: Mapping[str, Any]) -> None:
    """Give the verbs of a class its settings of answers as arguments.

    Args:
        kind: The class.
        settings: Kind of each of its declared settings of answers, by name.
    """
    if not settings:
        return
    for name, one in capabilities_of(kind).items():
        taken = one.of(settings)
        if taken.settings != one.settings:
            ask: Any = asker(taken)
            ask.__signature__ = taken.signature
            ask.__doc__ = said_of_settings(ask.__doc__, kind, taken.settings)
            setattr(kind, name, ask)
    _capabilities.cache_clear()


def _with_shared(doc: str | None, shares: type) -> str | None:
    """The docstring of a verb, with what the class of its shared arguments says of each, before its ``options``."""
    if doc is None:  # python -OO
        return None
    said = "\n" + inspect.cleandoc(shares.__doc__ or "").partition("\nArgs:\n")[2].partition("\n\n")[0]
    place = "\n    options: "
    return inspect.cleandoc(doc).replace(place, f"{said}{place}", 1)


def capabilities_of(kind: type) -> Mapping[str, Capability]:
    """All capabilities of a class, by verb."""
    found: Mapping[str, Capability] = _capabilities(kind)
    return found


@functools.cache
def _capabilities(kind: Any) -> dict[str, Capability]:
    found = (getattr(getattr(kind, name, None), "capability", None) for name in dir(kind))
    return {one.verb: one for one in found if isinstance(one, Capability)}


# --- asking --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Request:
    """A request to a capability, read and checked.

    Attributes:
        one: The capability.
        method: The method.
        data: Canonical values of the roles, by argument.
        options: The other arguments.
        came: How the values of the roles came.
        given: Their memory.
    """

    one: Capability
    method: Any
    data: dict[str, Any]
    options: dict[str, Any]
    came: Mapping[str, Given]
    given: Memory

    @property
    def attached(self) -> bool:
        """Whether gradients are to flow through the answer."""
        return bool(self.options.get("differentiable")) and torch.is_grad_enabled()

    def answered(self, answer: Any) -> Any:
        """Return the answer in the type of the request; it shares no memory with the arguments or the state."""
        answer = _own(answer, self.given, self.method)
        _tell_columns(answer, self.method, self.came)
        return in_kind(answer, _answered_like(self.one, self.method, self.came))


def _read(one: Capability, method: Any, args: tuple[Any, ...], given: dict[str, Any]) -> _Request:
    who = f"{type(method).__name__}.{one.verb}"
    _check_able(one, method, who)
    method, given = _with_settings(one, method, given)
    given = _without_joint(one, method, given, who)
    arguments = _bound(one, args, given, who)
    arguments |= {n: check(n, arguments[n]) for n, check in one.checks.items() if n in arguments}
    roles = one.roles(method)
    values = {role.name: arguments.pop(role.name, None) for role in roles}
    values = method.completed_request(one.verb, values, arguments)
    _check_unread(one, method, arguments, who)
    arguments |= _checked_places(arguments, who)
    attached = bool(arguments.get("differentiable"))
    before = {r.name: method.given[one.source(r.name)] for r in roles if one.source(r.name) in method.given}
    arguments = {k: int(v) if isinstance(v, np.integer) else v for k, v in arguments.items()}
    rows = arguments.get("n") if isinstance(arguments.get("n"), int) else None
    data, came = read(roles, values, who, before=before, rows=rows, attached=attached)
    _check_conditions(one, method, roles, data, who)
    _check_shapes(one, method, data, who)
    _check_joint(arguments, data, who)
    _tell_far(one, method, roles, data, arguments, who)
    data = on_device(data, method.place)
    return _Request(one, method, data, arguments, came, memory_of(roles, data))


def _own(answer: Any, given: Memory, method: Any) -> Any:
    """Return an answer that shares no memory with the arguments or the state: callers may write into it."""
    if torch.compiler.is_compiling():
        return answer
    answer = apart(answer, given)
    # A method that is an answer, such as an adaptation, learns by itself and is not an array to write into.
    return answer if hasattr(answer, "fitted_state") else apart(answer, Memory(method.state))


def _tell_columns(answer: Any, method: Any, came: Mapping[str, Given]) -> None:
    """Set the columns of an adaptation, a method created by a capability: it was fitted to plain tensors.

    What counts as far is what this method knows, not the few rows of the adaptation.
    """
    known = getattr(answer, "given", None)
    if answer is method or not isinstance(known, dict):
        return
    for name, how in came.items():
        told = how if how.container == "pandas" else method.given.get(name)
        if name in known and name in method.given:
            known[name] = replace(known[name], spread=method.given[name].spread)
        if (
            name in known
            and known[name].container == "torch"
            and told is not None
            and told.container == "pandas"
        ):
            known[name] = replace(told.named(), flat=known[name].flat)


def _with_settings(one: Capability, method: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The method with the settings of answers that this call gives, and the other arguments.

    None is as if it was not given, unless it is a value of the setting.
    """
    changes = {
        name: given[name]
        for name, kind in one.settings.items()
        if name in given
        and not isinstance(given[name], OfMethod)
        and (given[name] is not None or takes_none(kind))
    }
    rest = {name: value for name, value in given.items() if name not in one.settings}
    return (method.answering_with(changes) if changes else method), rest


def _check_able(one: Capability, method: Any, who: str) -> None:
    method.fitted_state(one.verb)
    if reason := method.cannot(one.verb):
        raise NotAbleError(f"{who}: {reason}")


def _without_joint(one: Capability, method: Any, given: dict[str, Any], who: str) -> dict[str, Any]:
    """The arguments without ``joint=False``, where predictions have no joint distribution; True is refused."""
    if one.verb != "predict" or "joint" in one.options or "joint" not in given:
        return given
    if given["joint"] is not False:
        message = f"joint must be False, got {given['joint']!r}: a {method.noun} answers for each row by itself, and "
        message += "does not have a joint distribution of several rows. Omit joint."
        raise NotAbleError(f"{who}: {message}")
    return {name: value for name, value in given.items() if name != "joint"}


def _check_joint(arguments: Mapping[str, Any], data: Mapping[str, Any], who: str) -> None:
    """Check that ``joint`` is a boolean, and that a joint answer has few enough rows for their covariance."""
    joint = arguments.get("joint", False)
    if joint not in (True, False):
        raise invalid(who, "joint must be True or False", repr(joint))
    if joint and data and count(next(iter(data.values()))) > MOST_JOINT:
        rows, remedy = count(next(iter(data.values()))), "Pass fewer rows, or omit joint."
        raise invalid(who, f"a joint answer must have at most {MOST_JOINT} rows", rows, remedy)


def _bound(one: Capability, args: tuple[Any, ...], given: dict[str, Any], who: str) -> dict[str, Any]:
    """The arguments by name; a name that there is not is answered with the nearest."""
    for name in given:
        if name not in one.options and not one.spreads:
            raise invalid(
                who, "the argument must be one that the verb accepts", repr(name), nearest(name, one.options)
            )
    try:
        bound = inspect.signature(one.call).bind(None, *args, **given)
    except TypeError as error:
        raise invalid(who, f"arguments must fit {who}{_shown(one)}", str(error)) from error
    arguments = dict(bound.arguments)
    arguments.pop("self")
    rest = next((p.name for p in one.parameters.values() if p.kind is p.VAR_KEYWORD), "")
    further = arguments.pop(rest, {})
    return {**arguments, **further}


def _shown(one: Capability) -> str:
    parameters = [p.replace(annotation=p.empty) for p in one.parameters.values()]
    return str(inspect.Signature(parameters))


def _check_unread(one: Capability, method: Any, arguments: dict[str, Any], who: str) -> None:
    """Raise an error for values of optional roles that the fit did not have."""
    for role in method.roles():
        if role.name in arguments and (
            one.reads.get(role.name) or role.name in one.parameters or one.spreads
        ):
            value = arguments.pop(role.name)
            if value is not None:
                remedy = f"Fit with {role.name}=..., or omit it."
                raise invalid(
                    who, f"a {method.noun} fitted without {role.name} takes none", "a value", remedy
                )


def _checked_places(arguments: Mapping[str, Any], who: str) -> dict[str, int]:
    """Seed and index of the first row: a text would be another stream of random numbers, True the seed 1."""
    checks = {"seed": checked_seed, "first_index": checked_place}
    return {
        name: check(who, arguments[name]) for name, check in checks.items() if arguments.get(name) is not None
    }


def _check_conditions(
    one: Capability, method: Any, roles: tuple[Role, ...], data: Mapping[str, Any], who: str
) -> None:
    """Check that a request has the condition that all training rows had; without it a network's output is arbitrary."""
    for role in roles:
        if data.get(role.name) is None and one.needs_told(method, role):
            rule = f"a {method.noun} fitted with {one.source(role.name)} needs it in every call"
            raise invalid(who, rule, "none", f"Pass {role.name}=...")
        codes = data.get(role.name)
        if not isinstance(codes, Tensor) or codes.is_floating_point() or role.kind != "condition":
            continue
        if one.needs_told(method, role) and bool((codes < 0).any()):
            rule = f"{role.name} must be labels: no row of the fit went without"
            raise invalid(
                who, rule, int(codes.min()), "Bridge(drop_condition=0.1) learns what -1 stands for."
            )


def _check_shapes(one: Capability, method: Any, data: Mapping[str, Any], who: str) -> None:
    for name, value in data.items():
        shape = method.shapes.get(one.source(name))
        if shape is None or not isinstance(value, Tensor) or isinstance(one.reads.get(name), Role):
            continue
        if tuple(value.shape[1:]) != shape and value.is_floating_point():
            rule = f"{name} must have the event shape the {method.noun} was fitted to, {shape}"
            remedy = "Pass one such sample per row, with the columns of the training."
            raise invalid(who, rule, tuple(value.shape[1:]), remedy)


def _tell_far(
    one: Capability,
    method: Any,
    roles: tuple[Role, ...],
    data: Mapping[str, Any],
    arguments: Mapping[str, Any],
    who: str,
) -> None:
    """Warn of values far from those of the fit, as in different units."""
    for role in roles:
        kind, value = kind_of(role), data.get(role.name)
        if value is None or not isinstance(kind, Measured):
            continue
        source = method.likened(one.verb, role.name, arguments)
        known = method.given.get(source)
        if known is not None and known.spread:
            numbers, told = kind.numbers(value), data.get("known")
            if isinstance(told, Tensor) and told.dtype == torch.bool and told.shape == numbers.shape:
                numbers = torch.where(told, numbers, torch.nan)
            warn_if_unlike(who, role.name, numbers, known.spread, method.columns(source) or known.headings)


def _in_blocks(one: Capability, method: Any, data: dict[str, Any], options: dict[str, Any]) -> Any:
    """Rows in blocks of 64; the last block is filled up with its first row."""
    rows = count(next(iter(data.values())))
    parts = []
    for first in range(0, rows, BLOCK):
        block = {name: value[first : first + BLOCK] for name, value in data.items()}
        short = BLOCK - count(next(iter(block.values())))
        padded = {name: torch.cat([v, v[:1].expand(short, *v.shape[1:])]) for name, v in block.items()}
        parts.append(cut(one.call(method, **padded, **options), slice(0, BLOCK - short)))
    return joined(parts)


# --- answers -------------------------------------------------------------------------------------------------


def cut(answer: Any, rows: slice) -> Any:
    """Return the selected rows of an answer: a tensor, a mapping or list of answers, or one with ``rows``."""
    if isinstance(answer, Mapping):
        return {name: cut(part, rows) for name, part in answer.items()}
    return answer.rows(rows) if isinstance(answer, ByRow) else answer[rows]


def joined(parts: list[Any]) -> Any:
    """Answers to blocks of rows as one."""
    if isinstance(parts[0], Tensor):
        return torch.cat(parts)
    if isinstance(parts[0], Mapping):
        return {name: joined([part[name] for part in parts]) for name in parts[0]}
    return type(parts[0]).joined(parts)


def in_kind(answer: Any, given: Given | None) -> Any:
    """Return an answer in the container of the request; methods and named results are unchanged."""
    if given is None:
        return answer
    if isinstance(answer, Tensor):
        return restore(answer, given)
    if isinstance(answer, list) and answer and isinstance(answer[0], Tensor):
        return [restore(part, replace(given, index=None)) for part in answer]
    return answer.in_kind(given) if isinstance(answer, InKind) else answer


def _answered_like(one: Capability, method: Any, came: Mapping[str, Given]) -> Given | None:
    """Container, precision and row labels of the rows that were passed; columns of what the answer is like.

    If what the answer is like was itself among them, it tells the container; else the first does.
    """
    arrays = {k: v for k, v in came.items() if v.container not in ("labels", "condition", "thing")}
    passed = arrays.get(one.like) or next(iter(arrays.values()), None)
    like = came.get(one.like) or method.given.get(one.like)
    if like is None and passed is not None and passed.container in ("pandas", *_NAMELESS):
        passed = replace(passed, columns=method.columns(one.like) or passed.columns, flat=False)
    if like is None or like.container == "thing":
        return passed if one.like else None
    if passed is None or like is passed:
        return like
    both_torch = "torch" in (passed.container, like.container)
    dtype = passed.dtype if both_torch or like.container == "labels" else like.dtype
    return replace(passed, dtype=dtype, columns=like.columns, flat=like.flat)
