"""Claims: machine-readable statements about a method, which are tested against results."""

import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from interpolants.foundations import asked
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.kinds import Count
from interpolants.foundations.records import record
from interpolants.framework.scores import Score, mean_and_error

RivalRole = Literal["trivial", "twin", "peer", "oracle", "floor", "number"]
Budget = Literal["ci", "study"]
Expected = Literal["holds", "fails", "undecided"]
DECIDED = ("holds", "fails")
_EXPECTATION = {"holds": "", "fails": " (expected to fail)", "undecided": " (expected to be undecided)"}
Outcome = Literal["holds", "fails", "undecided", "not asked"]

_NUMBER = r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
_FORM = re.compile(
    rf"\s*(?P<question>\w+)\.(?P<score>\w+)\s*(?P<relation><=|>=|<|>)"
    rf"\s*(?P<factor>-?{_NUMBER})?\s*\*?\s*(?P<rival>[A-Za-z_]\w*)?"
    rf"\s*(?P<margin>[+-]\s*{_NUMBER})?\s*"
)
_RELATIONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


class Said(NamedTuple):
    """The parts of a claim: ``question.score relation factor rival + margin``."""

    question: str
    score: str
    relation: str
    factor: float
    rival: str
    margin: float


@record("claim")
@dataclass(frozen=True, kw_only=True)
class Claim(Checked):
    """A comparison of a score with a rival's, with its floor, or with a number.

    Raises:
        InvalidInputError: If it cannot be read, or role, budget, or expected verdict are unknown.
    """

    says: str
    """For example ``"predictive.nll < 0.9 ridge - 0.03"``, ``"sample.energy < 2 floor"``, ``"a.b < 0.5"``."""
    role: RivalRole = "trivial"
    """Right-hand side of the claim."""
    seeds: Count = 1
    """How many seeds it speaks of; with fewer it is not judged."""
    budget: Budget = "ci"
    """Budget of the run; with another it is not judged."""
    expected: Expected = "holds"
    """``"holds"``; ``"fails"`` where theory or earlier measurements say that it must lose; ``"undecided"`` where they
    say that the difference is within its error."""

    def check_settings(self) -> None:
        """Check that the claim can be parsed, and that its role is that of the right-hand side."""
        rival = self.parts.rival
        if (self.role == "number") != (not rival) or (self.role == "floor") != (rival == "floor"):
            raise asked.invalid("role must fit what is on the right", f"{self.role!r} for {self.says!r}")

    @property
    def parts(self) -> Said:
        """Parts of the claim."""
        found = _FORM.fullmatch(self.says)
        if found is None or not (found["factor"] or found["rival"]):
            rule = "it must read 'question.score < [factor] [rival] [+ margin]'"
            raise invalid("claim", rule, repr(self.says))
        margin = float((found["margin"] or "0").replace(" ", ""))
        factor = float(found["factor"] or 1)
        return Said(
            found["question"], found["score"], found["relation"], factor, found["rival"] or "", margin
        )

    def judge(self, seeds: Sequence[Mapping[str, "Scored"]], *, budget: str) -> "Verdict":
        """Judge it on the answers of each seed, question -> answers.

        Args:
            seeds: Answers by question, one mapping a seed.
            budget: What they were measured with.

        Raises:
            InvalidInputError: If the question was answered without the score or the rival that the claim names.
        """
        said = self.parts
        asked = [answers[said.question] for answers in seeds if said.question in answers]
        if budget != self.budget or len(asked) < self.seeds:
            return Verdict(self, "not asked", math.nan, math.nan, len(asked))
        pairs = [_gap(said, answered[said.score]) for answered in asked]
        gap, between = mean_and_error([gap for gap, _ in pairs])
        error = pairs[0][1] if len(pairs) == 1 else between
        return Verdict(self, _outcome(said.relation, gap, error), gap, error, len(pairs))


class Scored(Protocol):
    """Answers whose scores are found by name."""

    def __getitem__(self, name: str, /) -> Score:
        """A score."""
        ...


@record("verdict")
@dataclass(frozen=True)
class Verdict:
    """Verdict on a claim.

    Attributes:
        claim: The claim.
        outcome: ``holds``, ``fails``, ``undecided`` (within two standard errors), or ``not asked``.
        gap: Mean over seeds of the left-hand minus the right-hand side.
        error: Standard error of the gap.
        seeds: Seeds behind it.
    """

    claim: Claim
    outcome: Outcome
    gap: float
    error: float
    seeds: int

    @property
    def surprising(self) -> bool:
        """Whether the claim was decided, against the expectation."""
        return self.outcome in DECIDED and self.outcome != self.claim.expected


def _gap(said: Said, score: Score) -> tuple[float, float]:
    """Left-hand minus right-hand side of one seed, and its standard error."""
    if not said.rival:
        return score.value - said.factor - said.margin, score.error
    if said.rival == "floor":
        if isinstance(score.floor, str):
            raise invalid("claim", f"{score.name} must have a floor", score.floor)
        floor_error = 0.0 if math.isnan(score.floor_error) else score.floor_error
        error = math.hypot(score.error, said.factor * floor_error)
        return score.value - said.factor * score.floor - said.margin, error
    if said.rival not in score.rivals:
        known = nearest(said.rival, score.rivals) if score.rivals else "It has none."
        raise invalid("claim", f"{score.name} must have the rival", repr(said.rival), known)
    paired = score.gaps.get(said.rival, math.nan)
    # value - c r = (value - r) + (1 - c) r, and the error of r is at most paired + error: an upper bound.
    error = paired if said.factor == 1 else paired + abs(1 - said.factor) * (paired + score.error)
    return score.value - said.factor * score.rivals[said.rival] - said.margin, error


def _outcome(relation: str, gap: float, error: float) -> Outcome:
    """An infinite gap is decided; without a standard error nothing else is."""
    if not (math.isinf(gap) or abs(gap) > 2 * error or (error == 0 and gap == 0)):
        return "undecided"
    return "holds" if _RELATIONS[relation](gap, 0.0) else "fails"


def verdict_lines(verdicts: Sequence[Verdict]) -> list[list[str]]:
    """Rows of a table: what is claimed, of what, what was found, and the verdict."""
    rows = []
    for found in verdicts:
        numbers = f"{found.gap:.3g} ± {found.error:.1g}" if found.seeds and not math.isnan(found.gap) else "–"
        words = found.outcome + _EXPECTATION[found.claim.expected]
        rows.append([f"`{found.claim.says}`", found.claim.role, str(found.seeds), numbers, words])
    return rows
