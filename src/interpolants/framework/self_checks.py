"""Verdicts of a method on itself: what was tested, the figure, its limit, and what it means."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """Verdict of one check.

    Attributes:
        name: What was tested.
        verdict: ``"pass"``, ``"warn"`` or ``"fail"``.
        value: The figure.
        limit: What it may be for a pass.
        message: Text of the verdict, with the remedy if there is one.
    """

    name: str
    verdict: str
    value: float
    limit: float
    message: str


_SEVERITY = ("fail", "warn", "pass")


@dataclass(frozen=True)
class CheckReport:
    """All verdicts of a method on itself; print it for a table, the worst first."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(check.verdict != "fail" for check in self.checks)

    @property
    def worst_first(self) -> tuple[Check, ...]:
        """The checks that failed, those with a warning, and the others; each in the order of their weight."""
        return tuple(sorted(self.checks, key=lambda check: _SEVERITY.index(check.verdict)))

    def __str__(self) -> str:
        width = max(len(check.name) for check in self.checks)
        rows = [
            f"{check.verdict:<5} {check.name:<{width}} {check.value:>10.4g}  (limit {check.limit:.4g})  {check.message}"
            for check in self.worst_first
        ]
        return "\n".join(rows)
