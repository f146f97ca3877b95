"""The verdicts of a method's own test of its fields and samples."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.scores import Finding
from interpolants.framework.task import Task
from interpolants.metrics.estimate import Estimate


@dataclass(frozen=True, kw_only=True)
class SelfTest(Question):
    """What the method's own test says: identities of its fields that need no truth, arrivals beside their floors."""

    needs: ClassVar[str] = "check"
    numbers: ClassVar[Mapping[str, About]] = {
        "failed": About("Checks that failed", floor_of="a method without a fault"),
        "warned": About("Checks with a warning", floor_of="a method without a fault"),
    }

    n: int = 2000
    """Draws per check."""
    seed: int = 0
    """Seed of all draws."""

    def measure(self, method: Method, task: Task) -> Measured:
        """Verdicts, counted, and a table of them with figures and words."""
        checks = task.call(method, "check", n=self.n, seed=self.seed).worst_first
        values: dict[str, Number] = {
            "failed": float(sum(one.verdict == "fail" for one in checks)),
            "warned": float(sum(one.verdict == "warn" for one in checks)),
        }
        lines = ["| verdict | check | figure | limit | in words |", "| --- | --- | ---: | ---: | --- |"]
        lines += [
            f"| {one.verdict} | {one.name} | {one.value:.3g} | {one.limit:.3g} | {one.message} |"
            for one in checks
        ]
        found = [
            Finding(f"Check {one.name!r}: {one.message}", grave=one.verdict == "fail")
            for one in checks
            if one.verdict in ("fail", "warn")
        ]
        return Measured(values, texts={"Each check": lines}, findings=found)

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """Nothing fails."""
        return {"failed": 0.0, "warned": 0.0}
