"""What a report shows of a run: plain data, gathered by whoever knows methods, data and folders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from interpolants.framework.claims import Verdict
from interpolants.framework.figures import Figure
from interpolants.framework.scores import Finding, Score


@dataclass(frozen=True, kw_only=True)
class RoleFacts:
    """The data of a role.

    Attributes:
        role: Name of the role.
        name: What the data are.
        about: What the role is for.
        origin: Where they come from: a web address, or words.
        licence: Their licence, if it is known.
        shape: One row of them, in words.
        rows: Number of rows by part: ``train``, ``held``, ``test``; empty for what has no rows.
        notes: What was changed on the way.
    """

    role: str
    name: str
    about: str = ""
    origin: str = ""
    licence: str = ""
    shape: str = ""
    rows: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class StageFacts:
    """A stage of a fit.

    Attributes:
        name: Its name.
        history: Logged numbers by step.
        seconds: What it took, if that was logged.
        held_out: Numbers by step on rows that training does not see.
    """

    name: str
    history: Sequence[Mapping[str, Any]] = ()
    seconds: float | None = None
    held_out: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """A fitted method.

    Attributes:
        title: Its name for people.
        opening: What it is, in a sentence.
        formulas: Formulas in plain text.
        settings: Settings that differ from their defaults.
        parameters: Numbers in its networks; 0 where it has none.
        limits: Where it does not hold.
        sources: Works that describe it, each with its address.
    """

    title: str
    opening: str = ""
    formulas: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    parameters: int = 0
    limits: str = ""
    sources: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, kw_only=True)
class QuestionFacts:
    """A question and its answers.

    Attributes:
        name: Its name in the run.
        title: Its title for people.
        opening: What it asks, in a sentence.
        settings: How it was asked.
        rivals: Name of each rival -> what it is.
        expected: Rivals that should win: oracles, and those of claims that should fail.
        scores: Numbers.
        figures: Pictures.
        texts: Lines by heading.
        front: Names of figures and headings of texts that belong on the first pages.
    """

    name: str
    title: str
    opening: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    rivals: Mapping[str, str] = field(default_factory=dict)
    expected: Sequence[str] = ()
    scores: Sequence[Score] = ()
    figures: Sequence[Figure] = ()
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    front: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class CellFacts:
    """One fit and what was asked of it.

    Attributes:
        task: Name of its task.
        title: Title of its task.
        model: The fitted method.
        seed: Its seed.
        data: The data by role.
        split: How rows were parted, in words.
        stages: Stages of its fit.
        questions: Questions and answers.
        findings: What questions found to be wrong.
        missing: What could not be told, as sentences.
    """

    task: str
    title: str
    model: ModelFacts
    seed: int = 0
    data: Sequence[RoleFacts] = ()
    split: str = ""
    stages: Sequence[StageFacts] = ()
    questions: Sequence[QuestionFacts] = ()
    findings: Sequence[Finding] = ()
    missing: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """A whole run.

    Attributes:
        title: Its title.
        cells: Its cells, tasks and seeds.
        verdicts: How its claims came out.
        budget: What it was measured with; ``"quick"`` judges no claim.
        seed: Seed of the first fit.
        command: The command that started it.
        again: A command that repeats it.
        use: A command that uses what was learnt.
        versions: Versions by name.
        machine: The machine, in words.
        created: Date and time of its start.
        seconds: What it took.
        settings: All of its settings.
        waiting: Titles of tasks, or of their seeds, that are not finished.
    """

    title: str
    cells: Sequence[CellFacts] = ()
    verdicts: Sequence[Verdict] = ()
    budget: str = "ci"
    seed: int = 0
    command: str = ""
    again: str = ""
    use: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: str = ""
    created: str = ""
    seconds: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    waiting: Sequence[str] = ()
