"""Command group that prints errors as one message on standard error with an exit code, without a traceback."""

import errno
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from interpolants.foundations.errors import InterpolantsError
from interpolants.foundations.printable import printable
from interpolants.foundations.tell import InterpolantsWarning

USER_ERROR, INTERRUPTED = 2, 130


class Commands(TyperGroup):
    """Group of all commands: user errors exit with code 2, and Ctrl-C with code 130."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the fixed commands, then those of the verbs of all methods."""
        from interpolants.cli.verbs import verbs

        fixed = super().list_commands(ctx)
        return [*fixed, *(verb for verb in verbs() if verb not in fixed)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a fixed command, or the command of a verb."""
        from interpolants.cli.verbs import verb_command, verbs

        found = super().get_command(ctx, cmd_name)
        return verb_command(cmd_name) if found is None and cmd_name in verbs() else found

    def invoke(self, ctx: Any) -> Any:
        """Run a command; turn user errors, closed pipes and Ctrl-C into exit codes."""
        try:
            with plain_warnings():
                return super().invoke(ctx)
        except InterpolantsError as error:
            typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
            typer.echo(printable(str(error)), err=True)
            raise typer.Exit(_code(error)) from error
        except KeyboardInterrupt as error:
            typer.echo("Stopped.", err=True)
            raise typer.Exit(INTERRUPTED) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of the pipe has closed it
                raise
            typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
            typer.echo(printable(f"{error.filename or 'disk'}: {error.strerror or error}"), err=True)
            raise typer.Exit(USER_ERROR) from error


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Print warnings of this library as one line, without a source line; other warnings are unchanged."""
    before = warnings.formatwarning

    def plain(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if issubclass(category, InterpolantsWarning):
            return f"warning: {printable(str(message))}\n"
        return before(message, category, filename, lineno, line)

    warnings.formatwarning = plain
    try:
        yield
    finally:
        warnings.formatwarning = before


def _code(error: InterpolantsError) -> int:
    """Return 128 + signal for a run stopped by a signal, as shells expect, and 2 for every other error."""
    signal = getattr(error, "signal", None)
    return 128 + signal if isinstance(signal, int) else USER_ERROR
