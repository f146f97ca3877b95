"""Commands made from capabilities: ``interpolants VERB FOLDER ...`` calls the method stored in a folder.

A command's arguments are those of the method's function: roles are files, plain options are options. A room that brings
a new verb needs no edit here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from interpolants.cli.shared import RUN_HELP, executor_for, screen_for
from interpolants.cli.verb_options import PARTED, command_options, signature_of, told_by
from interpolants.foundations.errors import invalid
from interpolants.foundations.plain_options import is_literal

if TYPE_CHECKING:
    from interpolants.cli.show import Screen
    from interpolants.foundations.card_file import Card
    from interpolants.framework.capabilities import Capability
    from interpolants.framework.method import Method
    from interpolants.framework.role import Role
    from interpolants.runs.picture_answers import AskedPicture
    from interpolants.runs.shards import Request

_FREE = {"allow_extra_args": True, "ignore_unknown_options": True}


def verbs() -> list[str]:
    """Verbs of all methods' cards, as commands are called."""
    from interpolants.foundations.cards import load_cards

    return sorted({verb.replace("_", "-") for card in load_cards() for verb in card.verbs})


def verb_command(verb: str) -> Any:
    """The command of a verb: it loads the method, and then takes the options of that method's function.

    ``VERB --help`` describes the verb; ``VERB RUN --help`` lists the options of the method in RUN.
    """
    app = typer.Typer(add_completion=False)
    free = {**_FREE, "help_option_names": []}

    @app.command(
        verb,
        cls=_VerbPage,
        help=_about(verb),
        short_help=_sentence(verb),
        rich_help_panel="Use a trained model",
        context_settings=free,
    )
    def ask(
        context: typer.Context,
        folder: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP, show_default=False)],
        task: Annotated[str | None, typer.Option("--task", help="Task of a run with several tasks.")] = None,
        run_seed: Annotated[
            int | None, typer.Option("--run-seed", help="Seed of the run, if the task has several seeds.")
        ] = None,
    ) -> None:
        ask_method(verb, folder, task, list(context.args), run_seed=run_seed)

    return typer.main.get_command(app)


class _VerbPage(TyperCommand):
    """Command that prints its page if a help option replaces RUN."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; a help option in place of RUN prints the page."""
        if args[:1] in (["--help"], ["-h"]):
            typer.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()
        return super().parse_args(ctx, args)


def _cards_of(verb: str) -> "list[Card]":
    """Cards of the methods that have a verb."""
    from interpolants.foundations.cards import load_cards

    return [card for card in load_cards() if verb.replace("-", "_") in card.verbs]


def _sentence(verb: str) -> str:
    """Return the description of a verb, or the methods that have it if no card describes it."""
    able = _cards_of(verb)
    texts = (card.verb_help.get(verb.replace("-", "_")) for card in able)
    names = [card.id for card in able]
    return next(
        (text for text in texts if text), f"{', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"
    )


def _about(verb: str) -> str:
    """Return the page of a verb: description, example, and the methods that have it."""
    able = _cards_of(verb)
    example = next((card for card in able if verb.replace("-", "_") in card.verb_help), able[0])
    run = f"runs/{example.recipe}"
    return "\n\n".join(
        (
            _sentence(verb),
            f"The options depend on the method in RUN. List them with: interpolants {verb} RUN --help.",
            f"Example with the method {example.id}:",
            f"\b\n  interpolants run --config {example.recipe} --quick --out {run}\n  interpolants {verb} {run} --help",
            f"Methods: {', '.join(card.id for card in able)}.",
        )
    )


def ask_method(
    verb: str, folder: str, task: str | None, rest: list[str], *, run_seed: int | None = None
) -> None:
    """Run one capability of a stored method with the rest of a command line.

    Raises:
        InvalidInputError: If the method cannot do it, or an argument does not fit.
    """
    from interpolants.framework.capabilities import capabilities_of
    from interpolants.framework.method import load
    from interpolants.runs.models import find_model

    place = find_model(folder, task, run_seed)
    method: Method = load(place)
    known = capabilities_of(type(method))
    name = verb.replace("-", "_")
    who, rule = verb, f"the {method.noun} in {folder} must have this capability"
    if name not in known:
        remedy = f"It can {', '.join(v.replace('_', '-') for v in known)}."
        raise invalid(who, rule, type(method).__name__, remedy)
    if why := method.cannot(name):
        raise invalid(who, rule, why)
    given = f"{folder} --task {task}" if task else folder
    command = VerbCommand(method, known[name], place, given)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(verb, help=told_by(known[name]))(command.function())
    words = f"interpolants {verb} {folder}"
    if code := typer.main.get_command(app).main(rest, prog_name=words, standalone_mode=False):
        raise typer.Exit(code)


@dataclass(frozen=True)
class VerbCommand:
    """A capability of one stored method as a command.

    Attributes:
        method: The method.
        one: The capability.
        place: Its folder.
        named: How the user named the folder.
    """

    method: "Method"
    one: "Capability"
    place: Path
    named: str

    @cached_property
    def options(self) -> tuple[dict[str, tuple[Any, Any]], dict[str, "Role"]]:
        """All options, and the roles among them."""
        from interpolants.runs.shards import can_be_cut

        return command_options(
            self.method, self.one, cuttable=can_be_cut(self.one, self.one.roles(self.method))
        )

    def function(self) -> Callable[..., None]:
        """The function that typer makes a command of."""
        options, _ = self.options

        def call(**given: Any) -> None:
            self.ask(given)

        call.__signature__ = signature_of(options)  # type: ignore[attr-defined]
        call.__annotations__ = {name: annotation for name, (annotation, _) in options.items()}
        return call

    def ask(self, given: dict[str, Any]) -> None:
        """Read the files, call the method, write the result and print a summary."""
        from interpolants.runs.answers import as_json, check_writable, tell, write_answer
        from interpolants.runs.picture_answers import AskedPicture, picture_endings

        out, force, quiet, as_words = (given.pop(name) for name in ("out", "force", "quiet", "as_json"))
        if (device := given.pop("device")) != "cpu":
            self._move(device, given)
        files = {name: given.get(name) for name in self.options[1]}
        endings = (*self._formats, *picture_endings(files))
        check_writable(out, force=force, also=endings, several=self._has_folder(given))
        picture = AskedPicture.of(files, out, eps=given.get("eps"))
        asked, shards = given.get("cond"), given.get("shards")
        answer = self._answer(given, shown=not (quiet or as_words), joins=out is not None, picture=picture)
        if answer is None:  # of another process, or only in shards
            if shards is not None and not quiet:
                screen_for(quiet).say(f"shards: {shards}")
            return
        screen = screen_for(quiet or as_words)
        if picture is not None and out is not None:
            _deliver_picture(picture, self.one.verb, answer, out, screen, force=force, as_json=as_words)
            return
        if out is not None:
            write_answer(answer, out, self.one.verb, columns=self._columns, force=force)
        if as_words:
            screen.json(as_json(answer, out, self.one.verb))
        elif not quiet:
            typer.echo(tell(answer, out, self.one.verb))
        self._hint(answer, out, asked, screen)

    def _hint(self, answer: Any, out: Path | None, condition: str | None, screen: "Screen") -> None:
        """Print the command that makes sense next; exit with 1 if checks failed."""
        from interpolants.framework.self_checks import CheckReport

        if out is not None and (following := self._following(answer, out, condition)):
            screen.following(following)
        if isinstance(answer, CheckReport) and not answer.ok:
            screen.following(f"interpolants report {self.named}", "train longer, and read what failed")
            raise typer.Exit(1)

    def _has_folder(self, given: Mapping[str, Any]) -> bool:
        """Whether a value is a folder whose files are answered one by one."""
        from interpolants.runs.answers import is_folder_of

        return any(is_folder_of(role, given.get(name)) for name, role in self.options[1].items())

    def _move(self, device: str, given: dict[str, Any]) -> None:
        defaults = {"nproc": (None, 1), "executor": ("local",), "shards": (None,)}
        for name, values in defaults.items():
            if given.get(name, values[0]) not in values:
                remedy = "Omit one of the two options."
                raise invalid(self.one.verb, f"--{name} runs on the CPU only", f"--device {device}", remedy)
        self.method.to(device)

    @property
    def _formats(self) -> tuple[str, ...]:
        """Return the file extensions of its roles, in addition to those of arrays; results use the same formats."""
        from interpolants.framework.role import formats_of

        _, roles = self.options
        return tuple(end for role in roles.values() for end in formats_of(role))

    @property
    def _columns(self) -> tuple[str, ...]:
        """Names of the columns of the answer, where the method knows some."""
        return self.method.columns(self.one.source(self.one.like))

    def _following(self, answer: Any, out: Path, asked: str | None) -> str:
        """The command that makes sense after samples, or a model for a new task, were written."""
        from interpolants.framework.method import Method
        from interpolants.runs.commands import command

        if isinstance(answer, Method):
            verb = next((verb for verb, why in answer.capabilities().items() if not why), "")
            return command(answer, verb, str(out)) if verb else ""
        able = self.one.verb == "sample" and "log_prob" in self.method.capabilities()
        words = f"interpolants log-prob {self.named} {out}" + (f" --cond {asked}" if asked else "")
        return words if able and not self.method.cannot("log_prob") else ""

    def _answer(
        self, given: dict[str, Any], *, shown: bool, joins: bool, picture: "AskedPicture | None" = None
    ) -> Any:
        from interpolants.framework.capabilities import leading_arguments
        from interpolants.framework.roles import count
        from interpolants.runs.picture_answers import distinct_rows
        from interpolants.runs.shards import Request, can_be_cut

        _, roles = self.options
        key = given.pop("key")
        how: dict[str, Any] = {name: given.pop(name) for name in PARTED if name in given}
        data = {n: self._rows(v, roles[n], key) for n, v in given.items() if n in roles and v is not None}
        data |= distinct_rows(picture, others=len(data) - 1)
        asked = {
            n: v for n, v in given.items() if n not in roles and v is not None and not self._is_default(n, v)
        }
        options = {n: self._plain(n, v) for n, v in asked.items()}
        parameters = self.one.options
        if "progress" in self.one.parameters:
            options["progress"] = shown
        if "seed" in parameters and parameters["seed"].default is None:
            options.setdefault("seed", 0)  # the same command twice, the same rows
        lead = next(iter(leading_arguments(self.one.verb)), "")
        n = options["n"] if lead == "n" else None if data.get(lead) is None else count(data[lead])
        if n is None or not can_be_cut(self.one, roles.values()):
            self._refuse_shares(how, f"no {lead}" if n is None else "an answer in one piece")
            return getattr(self.method, self.one.verb)(**data, **options)
        return self._cut(Request(self.place, self.one.verb, n, data, options), how, shown=shown, joins=joins)

    def _refuse_shares(self, how: dict[str, Any], found: str) -> None:
        """Raise an error if work without numbered rows cannot be distributed."""
        if how.get("shards") is not None or how.get("executor", "local") != "local":
            rule, remedy = "only numbered rows can be distributed", "Omit --shards and --executor."
            raise invalid(self.one.verb, rule, found, remedy)

    def _cut(self, request: "Request", how: dict[str, Any], *, shown: bool, joins: bool) -> Any:
        """Return the result of a request that may be distributed; None if another process has it, or shards do."""
        from interpolants.runs.shard_folder import ShardFolder
        from interpolants.runs.shards import by_executor, in_parts

        executor, batch_size = executor_for(how["executor"], how["nproc"], how["address"]), how["batch_size"]
        if how["shards"] is not None:
            folder = ShardFolder(how["shards"], request)
            leads = folder.compute(executor, batch_size, progress=shown)
            return folder.answer() if leads and joins else None
        if executor.workers != 1:
            return by_executor(request, batch_size, executor, progress=shown)
        if request.n > batch_size:
            return in_parts(self.method, request, batch_size, progress=shown)
        return request.of(self.method)

    def _is_default(self, name: str, value: Any) -> bool:
        """Return True if a string is the default: not all defaults can be parsed from their text."""
        parameter = self.one.options.get(name)
        return parameter is not None and is_literal(parameter) and value == str(parameter.default)

    def _plain(self, name: str, value: Any) -> Any:
        from interpolants.runs.overrides import literal

        parameter = self.one.options.get(name)
        if name == "method" and isinstance(value, str) and value.endswith(".json"):
            from interpolants.dynamics.solver_table import FittedSolver

            return FittedSolver.load(value)
        return literal(value) if parameter is not None and is_literal(parameter) else value

    def _rows(self, text: str, role: "Role", key: str | None) -> Any:
        """The value of a role; flattened rows are given the shape of the fit back."""
        from torch import Tensor

        value = read_role(text, role, key, self.method.given.get(self.one.source(role.name)))
        shape = self.method.shapes.get(self.one.source(role.name))
        if shape is None or not isinstance(value, Tensor) or value.shape[1:] == shape:
            return value
        flat = value.is_floating_point() and len(value) and value[0].numel() == value.new_empty(shape).numel()
        return value.reshape(-1, *shape) if flat else value


def _deliver_picture(
    picture: "AskedPicture",
    verb: str,
    answer: Any,
    out: Path,
    screen: "Screen",
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Write an answer as a picture, and print what was written."""
    line = picture.write(verb, answer, out, force=force)
    if as_json:
        screen.json({"out": str(out), "what": line})
    else:
        screen.say(line)


def read_role(text: str, role: "Role", key: str | None = None, before: Any = None) -> Any:
    """The value of a role from the command line: a file, or for conditions one value.

    Args:
        text: The word.
        role: The role.
        key: Name of the array in a file of several.
        before: How it came to the fit, as in ``Method.given``.
    """
    from interpolants.framework.method import load
    from interpolants.runs.answers import read_rows, takes_words
    from interpolants.runs.models import find_model

    if role.kind == "model":
        return load(find_model(text))
    if role.kind in ("problem", "environment"):
        from interpolants.foundations.registry import build

        return build("problem", text)
    if takes_words(role) and not Path(text).suffix:
        return int(text) if text.lstrip("-").isdigit() else text
    columns = getattr(before, "columns", ())
    return read_rows(text, role, key, frequency=getattr(before, "frequency", ""), columns=columns)
