"""Commands made from capabilities: ``interpolants VERB FOLDER ...`` asks the method that is stored in a folder.

A command's arguments are those of the method's function: roles are files, plain options are options. A room that brings
a verb of its own needs no edit here.
"""

import inspect
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interpolants.foundations.errors import invalid

if TYPE_CHECKING:
    from interpolants.framework.capabilities import Capability
    from interpolants.framework.method import Method
    from interpolants.framework.roles import Role

_PLAIN = (bool, int, float, str)
# What every such command has beside the arguments of its function.
_SHARED: dict[str, tuple[Any, Any]] = {
    "out": (Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="File to write.")], None),
    "force": (Annotated[bool, typer.Option("--force", help="Replace an existing file.")], False),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")], False),
}


def is_other_method(folder: Path, task: str | None) -> bool:
    """Whether a folder holds a stored method that is no bridge, or a run with such a model."""
    from interpolants.framework import stored
    from interpolants.runs.models import find_model, model_folders

    if not stored.is_tree(folder) and not model_folders(folder):
        return False
    return stored.method_id(find_model(folder, task)) != "bridge"


def is_verb(name: str) -> bool:
    """Whether a name is that of a verb of a method's card."""
    from interpolants.foundations.cards import load_cards

    return name.replace("-", "_") in {verb for card in load_cards() for verb in card.verbs}


def verb_command(verb: str) -> Any:
    """The command of a verb: it loads the method, and then takes the options of that method's function."""
    app = typer.Typer(add_completion=False)
    told = f"Ask the method in a run folder to {verb.replace('-', ' ')}; --help after the folder shows its options."
    free = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

    @app.command(verb, help=told, context_settings=free)
    def ask(
        context: typer.Context,
        folder: Annotated[Path, typer.Argument(metavar="RUN")],
        task: Annotated[
            str | None, typer.Option("--task", help="Which task, if the run has several.")
        ] = None,
    ) -> None:
        ask_method(verb, folder, task, list(context.args))

    return typer.main.get_command(app)


def ask_method(verb: str, folder: Path, task: str | None, rest: list[str]) -> None:
    """Run one capability of a stored method with the rest of a command line.

    Raises:
        InvalidInputError: If the method cannot do it, or an argument does not fit.
    """
    from interpolants.framework.capabilities import capabilities_of
    from interpolants.framework.method import load
    from interpolants.runs.models import find_model

    method: Method = load(find_model(folder, task))
    known = capabilities_of(type(method))
    name = verb.replace("-", "_")
    if name not in known:
        remedy = f"It can {', '.join(v.replace('_', '-') for v in known)}."
        raise invalid(
            verb, f"the {method.noun} in {folder} must be capable of it", type(method).__name__, remedy
        )
    if why := method.cannot(name):
        raise invalid(verb, f"the {method.noun} in {folder} must be capable of it", why)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(verb, help=inspect.getdoc(known[name].call))(capability_command(method, known[name]))
    typer.main.get_command(app).main(rest, prog_name=f"interpolants {verb} {folder}", standalone_mode=False)


def capability_command(method: "Method", one: "Capability") -> Callable[..., None]:
    """A capability of one method as a function that typer makes a command of."""
    from interpolants.framework.capabilities import leading_arguments

    roles = {role.name: role for role in one.roles(method)}
    before = {name: method.given.get(one.source(name)) for name in roles}
    leading = leading_arguments(one.verb)
    options = {name: _role_option(role, leads=name in leading) for name, role in roles.items()}
    options |= {
        name: found
        for name, p in one.parameters.items()
        if name not in roles and (found := _plain_option(p)) is not None
    }

    def call(out: Path | None, force: bool, quiet: bool, **given: Any) -> None:
        from interpolants.runs.answers import check_writable, tell, write_answer

        check_writable(out, force=force)
        data = {
            n: read_role(v, roles[n], before[n]) for n, v in given.items() if n in roles and v is not None
        }
        plain = {n: v for n, v in given.items() if n not in roles and v is not None}
        answer = getattr(method, one.verb)(**data, **plain)
        if out is not None:
            write_answer(answer, out, force=force)
        if not quiet:
            typer.echo(tell(answer, out))

    every = options | _SHARED
    call.__annotations__ = {name: annotation for name, (annotation, _) in every.items()}
    keyword = inspect.Parameter.KEYWORD_ONLY
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, keyword, default=default, annotation=a) for n, (a, default) in every.items()]
    )
    return call


def _role_option(role: "Role", *, leads: bool = False) -> tuple[Any, Any]:
    about = role.about or f"File with {role.name}."
    if role.optional and leads:  # a place of its own, which may be left empty
        return Annotated[str | None, typer.Argument(metavar=f"[{role.name.upper()}_FILE]", help=about)], None
    if not role.optional:
        return Annotated[
            str, typer.Argument(metavar=f"{role.name.upper()}_FILE", help=about)
        ], inspect.Parameter.empty
    name = f"--{role.name.replace('_', '-')}"
    words = " Or one value for all rows." if role.kind == "condition" else ""
    return Annotated[str | None, typer.Option(name, help=about + words)], None


def _plain_option(parameter: inspect.Parameter) -> tuple[Any, Any] | None:
    kind = plain_kind(parameter.annotation)
    if kind is None or parameter.kind is parameter.VAR_KEYWORD:
        return None
    names = [f"--{parameter.name.replace('_', '-')}", *(["-n"] if parameter.name == "n" else [])]
    if parameter.default is parameter.empty:
        return Annotated[kind, typer.Option(*names)], inspect.Parameter.empty
    optional = kind | None if parameter.default is None else kind
    return Annotated[optional, typer.Option(*names)], parameter.default


def plain_kind(annotation: Any) -> Any:
    """The type of a plain option, from its annotation; None for what a command line cannot hold."""
    if isinstance(annotation, str):
        annotation = {"int": int, "float": float, "bool": bool, "str": str}.get(annotation)
    if annotation in _PLAIN:
        return annotation
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        inner = [kind for kind in typing.get_args(annotation) if kind in _PLAIN]
        return inner[0] if inner else None
    return None


def read_role(text: str, role: "Role", before: Any = None) -> Any:
    """The value of a role from the command line: a file, or for conditions one value.

    Args:
        text: The word.
        role: The role.
        before: How it came to the fit, as in ``Method.given``.
    """
    from interpolants.framework.method import load
    from interpolants.runs.answers import read_rows
    from interpolants.runs.models import find_model

    if role.kind == "model":
        return load(find_model(Path(text)))
    if role.kind in ("problem", "environment"):
        from interpolants.foundations.registry import build

        return build("problem", text)
    if role.kind in ("condition", "labels") and not Path(text).suffix:
        return int(text) if text.lstrip("-").isdigit() else text
    return read_rows(text, role, frequency=getattr(before, "frequency", ""))
