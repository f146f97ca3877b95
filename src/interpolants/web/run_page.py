"""Everything that a page tells of one fitted method, whatever it is: what cards, questions and its verbs say."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from interpolants.foundations import trees
from interpolants.foundations.registry import find_card
from interpolants.framework.answered import Answered
from interpolants.framework.figures import Figure
from interpolants.framework.method import Method
from interpolants.framework.scores import Finding
from interpolants.framework.stage_logs import StageLog
from interpolants.methods.bridge.bridge import Bridge
from interpolants.reports.embedded import described
from interpolants.reports.facts import CellFacts, ModelFacts, RunFacts
from interpolants.reports.findings import QUICK, findings_of, grave_findings
from interpolants.reports.front import first_figure, told
from interpolants.reports.training_words import growing as growing_words
from interpolants.reports.training_words import trained
from interpolants.runs.commands import about_verb, command
from interpolants.runs.run_facts import formulas_of, parameters_of, question_facts
from interpolants.web.runs import Shown, is_image, tried


def page_of(shown: Shown, index: int) -> dict[str, Any]:
    """All that is stored of a method, and what it can be asked. What cannot be read is a line of ``findings``."""
    problems: list[str] = []
    state = shown.state
    growing = state == "training"
    method = None if growing else tried(shown.method, None, problems)
    snapshot = shown.snapshots.look() if growing and shown.snapshots is not None else None
    found = tried(shown.answered, Answered(), problems)
    logs = tried(shown.logs, dict[str, StageLog](), problems)
    # Settings of a method may name files too.
    known = method if method is not None or shown.work is None or shown.closed else shown.work.unfitted
    return {
        **shown.line(index),
        "state": state,
        "title": shown.title,
        "card": _card(shown.kind, known),
        "settings": _settings(shown, method),
        "training": _training(logs, known, growing),
        "stages": {stage: log.rows for stage, log in logs.items()},
        "held_out": {stage: list(log.held_out) for stage, log in logs.items()},
        "scores": [asdict(score) for score in found.scores],
        "claims": [asdict(verdict) for verdict in found.verdicts],
        "texts": dict(found.texts),
        "figures": [_figure(figure) for figure in found.figures],
        "verbs": [] if method is None else _verbs(method, shown.address),
        "findings": [
            asdict(one) for one in [*_left_closed(shown), *map(Finding, problems), *_findings(shown, found)]
        ],
        **_opening(shown, found, problems),
        "journey": _journey(moving) if isinstance(moving := snapshot or method, Bridge) else None,
        "snapshot": shown.snapshots.step if snapshot is not None and shown.snapshots is not None else None,
    }


def _opening(run: Shown, answers: Answered, problems: Sequence[str]) -> dict[str, Any]:
    """Opening of the report of this cell: index of its first figure, main score and worst loss.

    Args:
        run: The run.
        answers: Its answers.
        problems: Parts that could not be read. They come first, as a failed check does.
    """
    unread = bool(problems or run.closed)
    summary = _facts(run, answers)
    if summary is None or not answers.scores:
        return {"told": [], "first": None, "failed": unread}
    names = [figure.name for figure in answers.figures]
    top = first_figure(summary)
    first = None if top is None else names.index(f"{top[1].name}-{top[2]}")
    pairs = told(summary)[1:-1]  # between the data and what to do next
    quick = summary.budget == "quick"
    return {"told": pairs, "first": first, "failed": unread or bool(grave_findings(summary)[0] and not quick)}


def _left_closed(shown: Shown) -> list[Finding]:
    """What the recipe names and the page does not open."""
    return [Finding(shown.closed, grave=False)] if shown.closed else []


def entry_of(shown: Shown, index: int) -> dict[str, Any]:
    """A line of the index: what it is, its state, and how far or how good it is."""
    problems: list[str] = []
    if shown.state == "training":
        words = growing_words(tried(shown.logs, dict[str, StageLog](), problems))
    else:
        facts = _facts(shown, tried(shown.answered, Answered(), problems))
        words = "" if facts is None else dict(told(facts))["How good it is"]
    return {
        **shown.line(index),
        "title": shown.title,
        "what": find_card(shown.kind, "method", "explorer").title,
        "told": " ".join([words, *problems]).strip(),
        "data": None if shown.work is None else trees.digest(shown.work.tables.data),
    }


def _card(kind: str, method: Method | None) -> dict[str, Any]:
    card = find_card(kind, "method", "explorer")
    shown = {name: getattr(card, name) for name in ("id", "title", "family", "shapes", "cost", "limits")}
    return {**shown, "formulas": [] if method is None else list(formulas_of(method))}


def _settings(shown: Shown, method: Method | None) -> dict[str, Any]:
    """Settings by heading: as the recipe has them, or those of a saved method that are not the defaults."""
    parts: dict[str, Any] = {"Method": {} if method is None else method.chosen_params()}
    if shown.work is not None:
        tables = shown.work.tables
        parts = {
            "Method": {**tables.method, "seed": shown.work.seed},
            "Data": tables.data,
            "Split": tables.split,
        }
    plain: dict[str, Any] = json.loads(json.dumps(parts, default=repr))
    return {heading: table for heading, table in plain.items() if table}


def _training(logs: Mapping[str, StageLog], method: Method | None, is_growing: bool) -> str:
    if is_growing:
        return growing_words(logs)
    state = None if method is None else method.state
    weights = sum(p.numel() for p in {id(p): p for p in parameters_of(state)}.values())
    parts = [trained(logs), f"{weights:,} weights of networks" if weights else ""]
    return "; ".join(part for part in parts if part) + "."


def _findings(shown: Shown, found: Answered) -> list[Finding]:
    """What the report of this cell alone would say first."""
    facts = _facts(shown, found)
    if facts is None:
        return []
    return [
        *([Finding(QUICK, grave=False)] if facts.budget == "quick" and found.scores else []),
        *findings_of(facts),
    ]


def _facts(shown: Shown, found: Answered) -> RunFacts | None:
    """The cell alone as a report sees it; None of a method that was saved by itself."""
    if shown.work is None or shown.answers is None:
        return None
    tables = shown.work.tables
    asked = [question_facts(tables, table, found) for table in (tables.ask if found.scores else ())]
    model = ModelFacts(title=shown.kind)
    cell = CellFacts(task=tables.name, title="", model=model, questions=asked, findings=found.findings)
    budget = shown.answers.run.recipe.budget
    return RunFacts(title="", cells=[cell], verdicts=found.verdicts, budget=budget)


def _figure(figure: Figure) -> dict[str, Any]:
    size = {"width": round(figure.width), "height": round(figure.height)}
    return {"name": figure.name, "caption": figure.caption, "alt": described(figure), **size}


def _verbs(method: Method, address: str) -> list[dict[str, str]]:
    """Each verb with its first line, its command, and the reason where it is not there."""
    return [
        {
            "verb": verb,
            "about": about_verb(method, verb),
            "command": command(method, verb, address),
            "why": why,
        }
        for verb, why in method.capabilities().items()
    ]


def _journey(bridge: Bridge) -> dict[str, Any]:
    """What the controls of samples on their way need to know of a bridge."""
    given = bridge.given.get("cond")
    names = [str(name) for name in given.columns] if given is not None and bridge.classes else []
    return {
        "shape": list(bridge.shape),
        "is_image": is_image(bridge.shape),
        "has_score": bridge.fields.has_score,
        "classes": names,
        "can_score": bridge.density0() is not None,
    }
