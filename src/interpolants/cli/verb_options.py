"""Options of a verb's command, from the signature of the method's function and from the roles that it reads."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interpolants.cli.shared import Address, ExecutorName
from interpolants.foundations.plain_options import is_literal, plain_kind

if TYPE_CHECKING:
    from interpolants.framework.capabilities import Capability
    from interpolants.framework.method import Method
    from interpolants.framework.role import Role

# Options that every such command has, in addition to the arguments of its function.
_SHARED: dict[str, tuple[Any, Any]] = {
    "out": (Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="File to write.")], None),
    "key": (
        Annotated[
            str | None, typer.Option("--key", help="Name of the array in an .npz or .safetensors file.")
        ],
        None,
    ),
    "force": (Annotated[bool, typer.Option("--force", help="Replace an existing file.")], False),
    "device": (
        Annotated[
            str,
            typer.Option("--device", help="Device: cpu, cuda, or auto for a GPU if available."),
        ],
        "cpu",
    ),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")], False),
    "as_json": (Annotated[bool, typer.Option("--json", help="Print the result as JSON.")], False),
}
# And those of functions whose answers can be computed in parts.
_IN_PARTS: dict[str, tuple[Any, Any]] = {
    "batch_size": (
        Annotated[
            int, typer.Option("--batch-size", min=1, help="Rows per batch; changes memory, not results.")
        ],
        10_000,
    ),
    "nproc": (
        Annotated[
            int | None,
            typer.Option(
                "--nproc", min=1, max=100_000, help="Number of processes; changes time, not results."
            ),
        ],
        None,
    ),
    "executor": (ExecutorName, "local"),
    "address": (Address, None),
    "shards": (
        Annotated[
            Path | None,
            typer.Option(
                "--shards",
                metavar="DIR",
                help="Folder for finished shards and a manifest: the same command resumes the work.",
            ),
        ],
        None,
    ),
}
PARTED: tuple[str, ...] = tuple(_IN_PARTS)
# Arguments that a command line does not offer: it shows bars unless it is quiet, and writes plain arrays.
_HIDDEN = ("progress", "details", "differentiable", "return_path", "first_index")


def command_options(
    method: "Method", one: "Capability", *, cuttable: bool
) -> tuple[dict[str, tuple[Any, Any]], dict[str, "Role"]]:
    """Options by name, each as annotation and default, and the roles among them."""
    roles = {role.name: role for role in one.roles(method)}
    from interpolants.foundations.kinds import words
    from interpolants.foundations.said import arguments, arguments_of, sentences
    from interpolants.framework.capabilities import leading_arguments

    said = sentences(type(method))
    shared = arguments_of(one.shares) if one.shares is not None else {}
    about = arguments(one.passes) | shared | arguments(one.call)
    about |= {
        name: f"{said.get(name, '').partition('. ')[0].rstrip('.')} ({words(kind)})"
        for name, kind in one.settings.items()
    }
    leading = leading_arguments(one.verb)
    options = {name: _role_option(role, leads=name in leading) for name, role in roles.items()}
    for name, parameter in one.options.items():
        if (
            name not in roles
            and name not in _HIDDEN
            and (found := _plain_option(parameter, about)) is not None
        ):
            options[name] = found
    return options | _SHARED | (_IN_PARTS if cuttable else {}), roles


def signature_of(options: Mapping[str, tuple[Any, Any]]) -> inspect.Signature:
    """Return the signature from which typer makes a command."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    listed = [
        inspect.Parameter(n, keyword, default=default, annotation=a) for n, (a, default) in options.items()
    ]
    return inspect.Signature(listed)


def told_by(one: "Capability") -> str:
    """Return the docstring of a capability up to its arguments."""
    return (inspect.getdoc(one.call) or "").partition("\n\nArgs:")[0].partition("\n\nReturns:")[0]


def _role_option(role: "Role", *, leads: bool = False) -> tuple[Any, Any]:
    about = role.about or f"File with {role.name}."
    if role.optional and leads:  # a separate position, which may be empty
        return Annotated[str | None, typer.Argument(metavar=f"[{role.name.upper()}_FILE]", help=about)], None
    if not role.optional:
        return Annotated[
            str, typer.Argument(metavar=f"{role.name.upper()}_FILE", help=about)
        ], inspect.Parameter.empty
    names = [f"--{role.name.replace('_', '-')}", *(["--label"] if role.name == "cond" else [])]
    words = " Or one value for all rows." if role.kind == "condition" else ""
    return Annotated[str | None, typer.Option(*names, help=about + words)], None


def _plain_option(parameter: inspect.Parameter, about: Mapping[str, str]) -> tuple[Any, Any] | None:
    kind = plain_kind(parameter.annotation)
    if kind is None:
        return None
    word = parameter.name.replace("_", "-")
    names = [f"--{word}/--no-{word}" if kind is bool else f"--{word}", *(["-n"] if word == "n" else [])]
    told = about.get(parameter.name, "").partition(". ")[0]
    if parameter.default is parameter.empty:
        return Annotated[kind, typer.Option(*names, help=told)], inspect.Parameter.empty
    # Settings of the method that are not passed keep their values.
    default = None if type(parameter.default).__name__ == "OfMethod" else parameter.default
    if is_literal(parameter):
        shown = None if default is None else str(default)
        return Annotated[str | None, typer.Option(*names, metavar="VALUE", help=told)], shown
    return Annotated[kind | None if default is None else kind, typer.Option(*names, help=told)], default
