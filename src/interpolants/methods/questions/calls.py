"""How questions call methods that differ in their options, and how they find start points."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from interpolants.foundations.errors import nearest
from interpolants.framework.capabilities import capabilities_of, leading_arguments
from interpolants.framework.method import Method
from interpolants.framework.roles import count, take
from interpolants.framework.task import Task
from interpolants.methods.questions.distances import as_rows


def with_seed(method: Method, verb: str, seed: int) -> dict[str, Any]:
    """The seed as an option, where the verb of this method draws something."""
    return options_for(method, verb, {"seed": seed})


# The verbs of which `generate` uses one.
MAKING = ("sample", "transport")


def takes(method: Method, verb: str, option: str) -> bool:
    """Whether a verb of a method has an option by name."""
    return option in capabilities_of(type(method))[verb].options


def options_for(method: Method, verb: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Those options that a verb of this method has; a rival may have fewer."""
    return {name: value for name, value in (options or {}).items() if takes(method, verb, name)}


def unknown_option(method: Method, verbs: str | Sequence[str], options: Mapping[str, Any] | None) -> str:
    """What is wrong with the options of a question for this method; empty if nothing is.

    Args:
        method: The method.
        verbs: The verb that gets the options, or several of which one will; those that the method has count.
        options: The options.
    """
    able = [verb for verb in ([verbs] if isinstance(verbs, str) else verbs) if method.can(verb)]
    known = sorted({name for verb in able for name in capabilities_of(type(method))[verb].options})
    for name in options or {}:
        if name not in known:
            return f"{' and '.join(able)} take no option {name!r}. {nearest(name, known)}"
    return ""


def conditions(method: Method, verb: str, task: Task, n: int, part: str = "test") -> dict[str, Any]:
    """What a verb reads beside its leading arguments, for ``n`` requests: the rows of a part in turn."""
    one, rows, lead = capabilities_of(type(method))[verb], task.part(part), leading_arguments(verb)
    names = {role.name: one.source(role.name) for role in one.roles(method) if role.name not in lead}
    given = {name: rows[source] for name, source in names.items() if source in rows}
    return {name: take(value, torch.arange(n) % count(value)) for name, value in given.items()}


@runtime_checkable
class Detailed(Protocol):
    """Rows as a sampler gives them when asked for details.

    Attributes:
        x: The rows.
        nfe: Evaluations of the network per row.
        method: Name of the solver.
    """

    x: Any
    nfe: Any
    method: str


@dataclass(frozen=True)
class Made:
    """Generated rows.

    Attributes:
        x: Rows ``(n, *D)`` in data units.
        nfe: Evaluations of the network per row, where the method counts them.
        solver: Name of the solver, where there is one.
        asked: Conditions that were asked for, by argument.
    """

    x: Tensor
    nfe: float | None = None
    solver: str = ""
    asked: Mapping[str, Any] | None = None


def carries(method: Method, task: Task, start: str) -> bool:
    """Whether a method carries rows of a role that the task has, rather than drawing starts itself."""
    own = {role.name for role in method.roles()}
    return start in own and start in task.values and method.can("transport")


def generate(
    method: Method,
    task: Task,
    n: int,
    *,
    start: str = "x0",
    options: Mapping[str, Any] | None = None,
    code: Callable[[Any], Tensor] = as_rows,
) -> Made:
    """Rows of a method: test rows of ``start`` that it carries, or samples where it draws starts itself.

    Args:
        method: The method.
        task: The task.
        n: Most rows.
        start: Role of the starts.
        options: Options of the verb; those that the method does not have are left out.
        code: Makes a tensor of the answer.
    """
    if carries(method, task, start):
        x = task.test[start]
        n = min(n, count(x))
        verb, first = "transport", {"x": take(x, slice(0, n))}
    else:
        verb, first = "sample", {"n": n}
    asked = conditions(method, verb, task, n)
    known = options_for(method, verb, options)
    details = {"details": True} if takes(method, verb, "details") else {}
    done = getattr(method, verb)(**first, **asked, **known, **details)
    if not isinstance(done, Detailed):
        return Made(code(done), asked=asked)
    return Made(code(done.x), float(torch.as_tensor(done.nfe).double().mean()), done.method, asked)
