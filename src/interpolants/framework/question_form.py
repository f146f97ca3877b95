"""A question as a function: it asks a method, compares with what is true, and returns its numbers by name.

``@question`` makes of it a :class:`~interpolants.framework.questions.Question` of the same name. Its settings are the
keyword arguments of the function: kinds are their annotations, sentences stand in ``Args:``. It runs once for the
method and for each rival, and once more with training rows in place of answers where ``floors="train"``::

    @question(needs="predict", numbers={"squared_error": About("Squared error", unit="{unit}")})
    def squared_error(ask: Ask, *, role: str = "y", unit: str = "") -> dict[str, Number]: ...
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass, replace
from typing import Any, ClassVar, Concatenate, Literal, ParamSpec

import torch
from torch import Tensor

from interpolants.foundations.asked import asking
from interpolants.framework.figures import Figure
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Floors, Measured, Number, Question
from interpolants.framework.role import Role
from interpolants.framework.scores import Finding
from interpolants.framework.task import Task

P = ParamSpec("P")
# Documentation of the first argument, which is not a setting.
_ASK = re.compile(r"^ *ask: .*\n", re.MULTILINE)


@dataclass
class Ask:
    """Input of a question, and collector of its results other than numbers.

    Attributes:
        task: The task.
        method: The method; None for the floor, where training rows replace its answers.
        arrays: What figures need, by name.
        texts: Lines by heading.
        findings: What went wrong.
    """

    task: Task
    method: Any
    arrays: dict[str, Tensor] = field(default_factory=dict)
    texts: dict[str, Sequence[str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def keep(self, **arrays: Any) -> None:
        """Keep arrays for figures."""
        self.arrays |= {name: torch.as_tensor(value) for name, value in arrays.items()}

    def find(self, told: str, *, grave: bool = True, remedy: str = "") -> None:
        """Record a message about what went wrong; an empty one is ignored."""
        if told:
            self.findings.append(Finding(told, grave=grave, remedy=remedy))


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """Arguments of ``@question``."""

    answer: Callable[..., Mapping[str, Number]]
    reads: Sequence[Role] | Callable[[Any], Sequence[Role]]
    floors: Literal["train"] | Callable[[Any, Task], Floors] | None
    figures: Callable[[Any, Measured, Mapping[str, Measured], Task], Sequence[Figure]] | None
    cannot: Callable[[Any, Method], str] | None
    check: Callable[[Any], None] | None


@dataclass(frozen=True, kw_only=True)
class FunctionQuestion(Question):
    """A question that was made of a function."""

    parts: ClassVar[_Parts]

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the question by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def check_settings(self) -> None:
        """Check that the settings are compatible."""
        if self.parts.check is not None:
            self.parts.check(self)

    def reads(self) -> Sequence[Role]:
        """Roles in addition to those of the method."""
        reads = self.parts.reads
        return reads if isinstance(reads, Sequence) else reads(self)

    def cannot(self, method: Method) -> str:
        """Why it cannot be put to a method."""
        return "" if self.parts.cannot is None else self.parts.cannot(self, method)

    def about(self, name: str) -> About:
        """Description of a number, with settings inserted for their names in braces."""
        found = super().about(name)
        texts = {key: getattr(found, key).format(**self.settings) for key in ("title", "unit", "note")}
        return replace(found, **texts)

    def measure(self, method: Method, task: Task) -> Measured:
        """Result and records of the function."""
        return self._asked(Ask(task, method))

    def _asked(self, ask: Ask) -> Measured:
        with asking(type(self).__name__):
            values = self.parts.answer(ask, **self.settings)
        return Measured(values, ask.arrays, ask.texts, ask.findings)

    def floors(self, task: Task) -> Floors:
        """Floors that are always the same, and those of this task."""
        known = dict(super().floors(task))
        if isinstance(self.parts.floors, str):
            of_train = self._asked(Ask(task, None)).values
            told = {name: value for name, value in of_train.items() if self.about(name).floor_of}
            return known | {name: x for name, x in told.items() if not isinstance(x, Tensor)}
        if self.parts.floors is None:
            return known
        with asking(type(self).__name__):
            return known | dict(self.parts.floors(self, task))

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Pictures of what the function kept."""
        if self.parts.figures is None:
            return ()
        with asking(type(self).__name__):
            return self.parts.figures(self, own, rivals, task)


def question(
    *,
    needs: str,
    numbers: Mapping[str, About],
    reads: Sequence[Role] | Callable[[Any], Sequence[Role]] = (),
    floors: Literal["train"] | Callable[[Any, Task], Floors] | None = None,
    figures: Callable[[Any, Measured, Mapping[str, Measured], Task], Sequence[Figure]] | None = None,
    front: tuple[str, ...] = (),
    cannot: Callable[[Any, Method], str] | None = None,
    check: Callable[[Any], None] | None = None,
) -> Callable[[Callable[Concatenate[Ask, P], Mapping[str, Number]]], Callable[P, Question]]:
    """Make a question of a function ``f(ask, *, settings)`` that returns numbers by name.

    Functions among the arguments take the question first, whose attributes are the settings.

    Args:
        needs: The verb that it is put to.
        numbers: What its numbers mean, by name; texts may hold settings in braces.
        reads: Roles in addition to those of the method.
        floors: ``"train"``: numbers with a ``floor_of`` are measured once more, with training rows in place of answers;
            or a function of question and task. Constant floors are set in ``numbers``.
        figures: Pictures, as those of ``Question.figures``.
        front: Names of figures and headings of texts that a report shows first.
        cannot: Why it cannot be put to a method.
        check: Refuses settings that do not go together.

    Raises:
        TypeError: If a setting has the name of something that questions have.
    """

    def make(
        answer: Callable[Concatenate[Ask, P], Mapping[str, Number]],
    ) -> Callable[P, Question]:
        made: Any = answer
        _, *settings = inspect.signature(answer).parameters.values()
        for one in settings:
            if hasattr(FunctionQuestion, one.name) or one.name == "parts":
                raise TypeError(
                    f"{made.__name__}: the setting {one.name!r} hides that of questions; rename it"
                )
        parts = _Parts(answer=answer, reads=reads, floors=floors, figures=figures, cannot=cannot, check=check)
        named = {"parts": parts, "needs": needs, "numbers": numbers, "front": front}
        own = {name: getattr(answer, name) for name in ("__module__", "__qualname__")}
        own["__doc__"] = _ASK.sub("", made.__doc__ or "")
        kind: Any = make_dataclass(
            made.__name__,
            [
                (
                    setting.name,
                    setting.annotation,
                    field() if setting.default is setting.empty else field(default=setting.default),
                )
                for setting in settings
            ],
            bases=(FunctionQuestion,),
            namespace=named | own,
            frozen=True,
            kw_only=True,
        )
        kind.__module__ = made.__module__  # Python 3.11 writes that of dataclasses
        made_kind: Callable[P, Question] = kind
        return made_kind

    return make
