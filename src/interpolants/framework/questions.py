"""Questions: scores and figures of a fitted method on a task, compared with a floor and rivals.

A question is a member of kind ``question``, made of a function (:mod:`interpolants.framework.question_form`), or a
frozen data class whose fields are its settings, declared as those of a method are. It measures one method at a time;
:func:`ask` puts it to a method and to its rivals on the same task, and pairs their numbers case by case.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.foundations.registry import build, card_of
from interpolants.framework.answered import Answered
from interpolants.framework.capabilities import NotAbleError
from interpolants.framework.figures import Figure
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.scores import UNKNOWN, Finding, Score
from interpolants.framework.task import Task
from interpolants.metrics.estimate import Estimate

# A number, one number per case, or a number with its standard error.
Number = float | Tensor | Estimate
# The best that is possible, by name of the number, or "unknown: why".
Floors = Mapping[str, Estimate | float | str]


@dataclass(frozen=True)
class About:
    """Meaning of a number of a question.

    Attributes:
        title: Its name for people.
        better: Which way is better.
        unit: Its unit.
        note: One sentence of explanation.
        floor_of: Whose number the floor is, such as ``"two sets of real data"``.
        floor: The floor where it is always the same, or ``"unknown: why"``; None where the question tells it.
    """

    title: str
    better: Literal["lower", "higher", "neither"] = "lower"
    unit: str = ""
    note: str = ""
    floor_of: str = ""
    floor: float | str | None = None


@dataclass(frozen=True)
class Measured:
    """Result of a question for one method.

    Attributes:
        values: Numbers by name.
        arrays: What figures need, by name.
        texts: Lines by heading.
        findings: Messages about what went wrong; those of rivals are not reported.
    """

    values: Mapping[str, Number] = field(default_factory=dict)
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    findings: Sequence[Finding] = ()


@dataclass(frozen=True, kw_only=True)
class Question(Checked):
    """A question; a member writes :meth:`measure`, and what else it has.

    Attributes:
        needs: The verb that it is put to.
        numbers: What its numbers mean, by name.
        front: Names of figures and headings of texts that a report shows first.
    """

    needs: ClassVar[str] = ""
    numbers: ClassVar[Mapping[str, About]] = {}
    front: ClassVar[tuple[str, ...]] = ()

    def reads(self) -> Sequence[Role]:
        """Roles in addition to those of the method: a truth, test rows, an environment."""
        return ()

    def cannot(self, method: Method) -> str:
        """Why it cannot be put to a method that has the verb; empty if it can. Rivals are not asked."""
        return ""

    def measure(self, method: Method, task: Task) -> Measured:
        """Numbers and arrays of one method on the test part."""
        raise NotImplementedError

    def floors(self, task: Task) -> Floors:
        """The best that is possible, by name of the number, or ``"unknown: why"``."""
        return {name: one.floor for name, one in self.numbers.items() if one.floor is not None}

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Figures of the answers, next to those of the rivals."""
        return ()

    def about(self, name: str) -> About:
        """Description of a number; its name if it is not declared."""
        return self.numbers.get(name, About(name.replace("_", " ").capitalize(), "neither"))


def ask(
    question: Question,
    method: Method,
    task: Task,
    rivals: Sequence[Any] = (),
    *,
    out: Path | None = None,
) -> Answered:
    """Put a question to a fitted method and to its rivals.

    Args:
        question: The question.
        method: The method.
        task: What it was fitted on, and is judged by.
        rivals: Ids or tables of methods, fitted ones, or ``{"twin": {settings}}``: the method itself with some settings
            changed. Those that are not fitted are fitted on the training part.
        out: Folder for the checkpoints of rivals.

    Raises:
        NotAbleError: If the method cannot answer; the reason is given.
    """
    check_able(question, method)
    own = question.measure(method, task)
    theirs = {key: question.measure(other, task) for key, other in _fitted(rivals, method, task, out)}
    floors = question.floors(task)
    scores = [
        _score(key, value, question.about(key), floors.get(key), _of(theirs, key))
        for key, value in own.values.items()
    ]
    return Answered(
        scores=tuple(scores),
        figures=tuple(question.figures(own, theirs, task)),
        arrays=own.arrays,
        texts={heading: tuple(lines) for heading, lines in own.texts.items()},
        findings=tuple(own.findings),
    )


def check_able(question: Question, method: Method) -> None:
    """Raise an error for a question that a method cannot answer, fitted or not.

    Raises:
        NotAbleError: With the reason.
    """
    if question.needs and not method.can(question.needs):
        known = method.capabilities()
        why = (
            known.get(question.needs)
            or f"It can {', '.join(v for v, reason in known.items() if not reason)}."
        )
        raise NotAbleError(f"ask: {type(method).__name__} must be able to {question.needs}. {why}")
    if why := question.cannot(method):
        raise NotAbleError(f"ask: {type(question).__name__} cannot be put to {type(method).__name__}: {why}")


def _fitted(rivals: Sequence[Any], method: Method, task: Task, out: Path | None) -> list[tuple[str, Method]]:
    found: dict[str, Method] = {}
    for rival in rivals:
        name, made = _rival(rival, method)
        if name in found:
            raise invalid("ask", "rivals must have different names", repr(name))
        if not made.is_fitted:
            place = None if out is None else out / f"rival-{name}"
            task.fit(made, out=place, resume=place is not None)
        found[name] = made
    return list(found.items())


def _rival(rival: Any, method: Method) -> tuple[str, Method]:
    if isinstance(rival, Method):
        card = card_of(type(rival))
        return type(rival).__name__.lower() if card is None else card.id, rival
    table: dict[str, Any] = {"kind": rival} if isinstance(rival, str) else dict(rival)
    name = table.pop("name", "")
    if "twin" in table:
        return name or "twin", _twin(method, table["twin"])
    kind = table.pop("kind")
    # The seed of the run: seeds of a trained rival are then as many fits as those of the method.
    return name or kind, build("method", kind, **{"seed": method.seed, **table})


def _twin(method: Method, changes: Mapping[str, Any]) -> Method:
    """The method with other settings; fitted, where no fit depends on them."""
    twin = method.clone()
    if changes.keys() <= set(method.answering):
        twin.take_over(method.learnt())
    return twin.set_params(**changes)


def _of(measured: Mapping[str, Measured], key: str) -> dict[str, Number]:
    return {name: one.values[key] for name, one in measured.items() if key in one.values}


def _score(
    name: str, value: Number, about: About, floor: Estimate | float | str | None, rivals: Mapping[str, Number]
) -> Score:
    number, error, n = _summary(value)
    least = floor if isinstance(floor, Estimate) else None
    plain = floor if isinstance(floor, float | int | str) else UNKNOWN
    return Score(
        name=name,
        value=number,
        error=error,
        better=about.better,
        floor=plain if least is None else least.value,
        floor_error=math.nan if least is None else least.error,
        floor_of=about.floor_of,
        rivals={key: _summary(other)[0] for key, other in rivals.items()},
        gaps={key: gap for key, other in rivals.items() if (gap := _gap_error(value, other)) is not None},
        unit=about.unit,
        note=about.note,
        title=about.title,
        n=n,
    )


def _gap_error(value: Number, other: Number) -> float | None:
    """Standard error of the difference: paired case by case, or of two estimates, an upper bound as they share data."""
    if isinstance(value, Tensor) and isinstance(other, Tensor) and value.ndim and value.shape == other.shape:
        return _summary(value - other)[1]
    if isinstance(value, Estimate) and isinstance(other, Estimate):
        return math.hypot(value.error, other.error)
    return None


def _summary(value: Number) -> tuple[float, float, int | None]:
    """Mean, standard error and number of cases."""
    if isinstance(value, Estimate):
        return value.value, value.error, value.n
    flat = torch.as_tensor(value, dtype=torch.float64).reshape(-1)
    if len(flat) < 2:
        return float(flat.mean()), math.nan, None
    return float(flat.mean()), float(flat.std()) / math.sqrt(len(flat)), len(flat)
