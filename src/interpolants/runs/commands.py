"""Commands of the command line that ask a stored method for its verbs, to be shown and copied."""

import inspect
import shlex
from collections.abc import Iterator
from pathlib import Path

from interpolants.framework.capabilities import Capability, capabilities_of
from interpolants.framework.method import MODEL, Method
from interpolants.framework.role import formats_of
from interpolants.runs.recipe import Recipe


def address(recipe: Recipe, out: Path, cell: str) -> str:
    """The words by which commands take the model of a cell of a run."""
    if recipe.seeds > 1:
        return shlex.quote(str(out / "work" / cell / MODEL))
    return shlex.quote(str(out)) + ("" if len(recipe.tasks) == 1 else f" --task {cell}")


def command(method: Method, verb: str, words: str) -> str:
    """The command that asks a method for a verb, with what it must be given.

    Args:
        method: The method.
        verb: One of its verbs.
        words: As from :func:`address`.
    """
    one = capabilities_of(type(method))[verb]
    options = [*_arguments(method, one), *(["--out samples.npz"] if verb == "sample" else [])]
    return " ".join(["interpolants", verb.replace("_", "-"), words, *options])


def _arguments(method: Method, one: Capability) -> Iterator[str]:
    """A file for each role, a value for each option without a default."""
    roles = {role.name: role for role in one.roles(method)}
    for name, parameter in one.parameters.items():
        if name in roles:
            file = name + next(iter(formats_of(roles[name])), ".csv")
            if not roles[name].optional:
                yield file
            elif one.needs_told(method, roles[name]):
                yield f"--{name.replace('_', '-')} {file}"
        elif parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
            yield "-n 1000" if name == "n" else f"--{name.replace('_', '-')} VALUE"


def about_verb(method: Method, verb: str) -> str:
    """The first line of what a method says of a verb."""
    call = capabilities_of(type(method))[verb].call
    return (inspect.getdoc(call) or "").partition("\n")[0].replace("`", "")
