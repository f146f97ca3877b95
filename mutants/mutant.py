"""One fault: which characters of which module are replaced by what."""

from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True, order=True)
class Mutant:
    """A change of one expression.

    Attributes:
        module: Path of the file below ``src/interpolants``, with forward slashes.
        line: Line of the change, from 1.
        start: First character of the change, counted from the beginning of the file.
        stop: The character after the last.
        operator: The kind of fault: a name of `operators.OPERATORS`.
        before: What stands there.
        after: What is put there.
        context: The line of the source, so that the name outlives a change of line numbers.
    """

    module: str
    line: int
    start: int
    stop: int
    operator: str
    before: str
    after: str
    context: str

    @property
    def name(self) -> str:
        """Twelve hexadecimal digits of what is changed, which stay when other lines of the module move."""
        told = "\0".join((self.module, self.operator, self.before, self.after, self.context))
        return sha256(told.encode()).hexdigest()[:12]

    def applied(self, source: str) -> str:
        """The source of the module with the fault."""
        assert source[self.start : self.stop] == self.before, f"{self.module} has changed since it was read"
        return source[: self.start] + self.after + source[self.stop :]

    def __str__(self) -> str:
        short = " ".join(self.before.split()), " ".join(self.after.split())
        return f"{self.module}:{self.line} {self.operator}: `{short[0]}` -> `{short[1]}`"
