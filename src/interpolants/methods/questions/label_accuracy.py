"""Do samples have the label that was asked for? An independent classifier of real data says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.foundations import asked
from interpolants.foundations.errors import invalid
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.role import Role
from interpolants.framework.task import Task
from interpolants.methods.questions.calls import MAKING, generate, unknown_option
from interpolants.methods.questions.distances import as_codes, as_tensor, real_rows
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.label_classifier import LabelClassifier


@dataclass(frozen=True, kw_only=True)
class LabelAccuracy(Question):
    """Share of generated rows whose predicted label is the one that was asked for.

    The classifier is trained on real training rows only; its accuracy on real test rows is the floor. What is asked for
    are the conditions of the test rows, in turn; or it is one of ``target`` for all rows, for a method without
    conditions that should lead to these classes.
    """

    needs: ClassVar[str] = "sample"
    numbers: ClassVar[Mapping[str, About]] = {
        "accuracy": About(
            "Label predicted = label asked for",
            "higher",
            note="By a classifier trained on real data only.",
            floor_of="real held-out data",
        ),
        "commonest_label": About(
            "Share of the label that is asked for most",
            "neither",
            note="What always giving that label would reach.",
        ),
    }

    role: str = "x1"
    """Role that the rows should look like."""
    labels: str = "cond"
    """Role of their labels."""
    judge: Sequence[str] = ()
    """Roles of the rows and labels that the classifier learns from, where the method itself sees only some of the
    classes; else ``role`` and ``labels``."""
    target: Sequence[int | str] = ()
    """Labels that all rows should have; empty for those of the conditions."""
    start: str = "x0"
    """Role of the starts, where the method carries rows."""
    n: Annotated[int, Ge(2)] = 2000
    """Most rows to make."""
    seed: int = 1
    """Seed of the samples."""
    options: Mapping[str, Any] | None = None
    """Options of the verb, such as ``eps``, ``guidance``, ``n_steps``."""

    def check_settings(self) -> None:
        """Refuse a judge of other than two roles."""
        if len(self.judge) not in (0, 2):
            rule = "judge must name two roles, of rows and of labels"
            raise asked.invalid(rule, self.judge, 'E.g. ["every", "label"].')

    def reads(self) -> Sequence[Role]:
        """What the classifier learns from."""
        if not self.judge:
            return ()
        rows, labels = self.judge
        return (Role(name=rows, axis=rows), Role(name=labels, kind="labels", axis=rows))

    def cannot(self, method: Method) -> str:
        """A method that knows no labels, or other options."""
        if not self.target and self.labels not in {role.name for role in method.roles()}:
            return f"it has no role {self.labels!r}; name target labels instead."
        return unknown_option(method, MAKING, self.options)

    def measure(self, method: Method, task: Task) -> Measured:
        """The share, by row."""
        n = min(self.n, len(real_rows(task, self.role)))
        options = {"seed": self.seed, **(self.options or {})}
        made = generate(method, task, n, start=self.start, options=options)
        values: dict[str, Number] = {}
        judge, asked = self._judge(task)
        if self.target:
            return Measured({"accuracy": judge.hits(made.x, tuple(asked.tolist()))})
        asked = asked[torch.arange(len(made.x)) % len(asked)]
        values["accuracy"] = judge.accuracy(made.x, asked)
        values["commonest_label"] = float(torch.bincount(asked).max()) / len(asked)
        return Measured(values)

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """Accuracy on real test rows."""
        (judge, asked), real = self._judge(task), real_rows(task, self.role)
        if self.target:
            return {"accuracy": judge.hits(real, tuple(asked.tolist()))}
        return {"accuracy": judge.accuracy(real, asked)}

    def _judge(self, task: Task) -> tuple[LabelClassifier, Tensor]:
        """The classifier, and the labels that are asked for, as it numbers them."""
        rows, labels = self.judge or (self.role, self.labels)
        known, asked = as_codes(task.train[labels], list(self.target) or task.test[self.labels])
        if known.is_floating_point() or len(set(known.tolist())) < 2:
            raise invalid("label_accuracy", "there must be labels of at least two classes", f"{labels!r}")
        return LabelClassifier(as_tensor(task.train[rows]), known.long()), asked.long()
