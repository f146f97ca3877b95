"""The worst of a run, in words: what failed, which claim surprised, which rival wins."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from interpolants.framework.claims import Verdict
from interpolants.framework.scores import Finding, Score
from interpolants.reports.facts import QuestionFacts, RunFacts
from interpolants.reports.readings import floor_of, standing, title_of
from interpolants.reports.seeds import over_seeds, tasks_of
from interpolants.reports.words import listing, number, spaced, with_error

QUICK = "A quick run: data and fits of seconds, to see that everything works. Its numbers say nothing about the method."
LOST = "Use {}, or learn from more rows, for longer or with other settings: here it is better."
_EVEN = "Compare with {} on more held-out rows: here it is as good, as far as these can tell."
_CHECK = "Check '"  # as the question self_test names a check
_MOST = 3  # scores that are named with their numbers


def findings_of(run: RunFacts) -> list[Finding]:
    """All findings, grave ones first; those that several cells share are told once, with the cells."""
    if not run.cells:
        return [Finding("No cell of this run is finished.")]
    found = [*map(_of_verdict, (v for v in run.verdicts if v.surprising or v.outcome == "undecided"))]
    tasks = tasks_of(run)
    places: dict[Finding, list[str]] = {}
    for cells in tasks:
        title = cells[0].title if len(tasks) > 1 else ""
        for cell in cells:
            name = ", ".join(part for part in (title, f"seed {cell.seed}" if len(cells) > 1 else "") if part)
            for finding in [*cell.findings, *(Finding(text, grave=False) for text in cell.missing)]:
                places.setdefault(finding, []).append(name)
        for finding in (one for question in over_seeds(cells) for one in _of_question(question)):
            places.setdefault(finding, []).append(title)
    found += [_placed(finding, names) for finding, names in places.items()]
    return sorted(found, key=lambda one: not one.grave)


def grave_findings(run: RunFacts) -> tuple[list[Finding], list[Finding]]:
    """Grave findings of questions: failed checks with numbers that are not finite, and all others."""
    tasks, checks, others = tasks_of(run), list[Finding](), list[Finding]()
    for cells in tasks:
        title = cells[0].title if len(tasks) > 1 else ""
        grave = [finding for cell in cells for finding in cell.findings if finding.grave]
        lost = [finding for question in over_seeds(cells) for finding in _of_lost(question)]
        failed = [finding for finding in grave if finding.text.startswith(_CHECK)]
        checks += [_placed(finding, [title]) for finding in [*lost, *failed]]
        others += [_placed(finding, [title]) for finding in grave if finding not in failed]
    return checks, others


def _placed(finding: Finding, names: Sequence[str]) -> Finding:
    where = listing([name for name in names if name])
    if not where:
        return finding
    remedy = f"{where}: {finding.remedy}" if finding.remedy else ""
    return replace(finding, text=f"{where}: {finding.text}", remedy=remedy)


def _of_verdict(verdict: Verdict) -> Finding:
    gap = f"left less right side {with_error(verdict.gap, verdict.error)}"
    if verdict.surprising:
        return Finding(f"Claim “{verdict.claim.says}” {verdict.outcome}, against expectation ({gap}).")
    return Finding(f"Claim “{verdict.claim.says}” is undecided: the error is too large ({gap}).", grave=False)


def _of_question(question: QuestionFacts) -> Iterator[Finding]:
    yield from _of_lost(question)
    names = dict.fromkeys(name for score in question.scores for name in score.rivals)
    for name in names:
        if name not in question.expected:
            yield from _of_rival(question, name)


def _of_lost(question: QuestionFacts) -> Iterator[Finding]:
    lost = [title_of(score) for score in question.scores if not math.isfinite(score.value)]
    if lost:
        yield Finding(f"{question.title}: not a finite number for {listing(lost, _MOST)}.")


def _of_rival(question: QuestionFacts, name: str) -> Iterator[Finding]:
    beside = [score for score in question.scores if name in score.rivals]
    judged = [score for score in beside if standing(score, name) != "unknown"]
    worse = [score for score in judged if standing(score, name) == "worse"]
    same = [score for score in judged if standing(score, name) == "same" and not _is_ideal(score, name)]
    if worse:
        what = f"{spaced(name)} is better in {_share(worse, judged)}"
        yield Finding(f"{question.title}: {what}: {_beside(worse, name)}.", remedy=LOST.format(spaced(name)))
    if same:
        what = f"within two standard errors of {spaced(name)} in {_share(same, judged)}"
        told = f"{question.title}: {what}: {_beside(same, name)}."
        yield Finding(told, grave=False, remedy=_EVEN.format(spaced(name)))


def _is_ideal(score: Score, name: str) -> bool:
    """Whether a score and that of a rival both equal the floor exactly, such as 0 copies of 0 that are possible."""
    return score.value == floor_of(score) == score.rivals[name]


def _share(some: Sequence[Score], every: Sequence[Score]) -> str:
    if len(every) == 1:
        return "the one measure"
    if len(some) < len(every):
        return f"{len(some)} of {len(every)} measures"
    return "both measures" if len(every) == 2 else f"all {len(every)} measures"


def _beside(scores: Sequence[Score], name: str) -> str:
    told = [f"{title_of(s)} ({number(s.rivals[name])} against our {number(s.value)})" for s in scores]
    return listing(told, _MOST)
