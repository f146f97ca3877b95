"""Results of a question or an experiment: scores, figures, arrays, texts, verdicts, findings and timings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.records import record, settings_of
from interpolants.framework.claims import Verdict
from interpolants.framework.figures import Figure, tensor
from interpolants.framework.scores import Finding, Score


def _parts(answered: "Answered") -> dict[str, Any]:
    """Return the entries stored in files: no timings, nothing empty, and a plain score as its number."""
    kept = settings_of(answered, "timings")
    plain = {s.name: s.value if s == Score(name=s.name, value=s.value) else s for s in answered.scores}
    return {name: part for name, part in {**kept, "scores": plain}.items() if part}


def _answered(parts: Mapping[str, Any]) -> "Answered":
    """Inverse of :func:`_parts`."""
    scores = (
        s if isinstance(s, Score) else Score(name=name, value=s)
        for name, s in parts.get("scores", {}).items()
    )
    return Answered(**{**parts, "scores": tuple(scores)})


@record("answered", parts=_parts, make=_answered)
@dataclass(frozen=True, kw_only=True)
class Answered:
    """Results of a question, of a cell of an experiment, or of a whole experiment.

    Attributes:
        scores: Numbers; their names differ.
        figures: Pictures as data.
        arrays: Arrays to keep, by name; converted to tensors.
        texts: Lines by heading, such as samples of a model of text, or a table in Markdown.
        verdicts: Verdicts on the claims.
        findings: Messages about what went wrong.
        timings: Seconds by name. They differ from run to run and are stored apart from everything else.

    Raises:
        InvalidInputError: If two scores have one name.
    """

    scores: tuple[Score, ...] = ()
    figures: tuple[Figure, ...] = ()
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    findings: tuple[Finding, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [score.name for score in self.scores]
        if len(set(names)) < len(names):
            raise invalid("Answered", "names of scores must differ", names)
        object.__setattr__(self, "arrays", {name: tensor(value) for name, value in self.arrays.items()})

    def __getitem__(self, name: str) -> Score:
        found = {score.name: score for score in self.scores}
        if name not in found:
            raise invalid(
                "Answered",
                "the score must be one of those that were computed",
                repr(name),
                nearest(name, found),
            )
        return found[name]


def measured(
    values: Mapping[str, float],
    arrays: Mapping[str, Any] | None = None,
    *,
    timed: Sequence[str] = (),
) -> Answered:
    """Plain numbers, with the arrays that figures need; those named in ``timed`` are seconds."""
    scores = tuple(Score(name=name, value=float(v)) for name, v in values.items() if name not in timed)
    timings = {name: float(values[name]) for name in timed if name in values}
    return Answered(scores=scores, arrays=arrays or {}, timings=timings)
