"""Answers as plain JSON and tensors, and back; timings are left out."""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torch import Tensor

from interpolants.framework.claims import Claim, Verdict
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.scores import Answered, Finding, Score


def pack(answered: Answered) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A document for JSON, and the tensors it names. What equals its default is left out."""
    tensors = {f"array/{name}": value for name, value in answered.arrays.items()}
    document = {
        "scores": {score.name: _score(score) for score in answered.scores},
        "texts": {heading: list(lines) for heading, lines in answered.texts.items()},
        "figures": [
            _figure(figure, f"figure/{k}/{figure.name}", tensors) for k, figure in enumerate(answered.figures)
        ],
        "verdicts": [{**_plain(verdict), "claim": _plain(verdict.claim)} for verdict in answered.verdicts],
        "findings": [_plain(finding) for finding in answered.findings],
    }
    return {key: value for key, value in document.items() if value}, tensors


def unpack(
    document: Mapping[str, Any], tensors: Mapping[str, Tensor], timings: Mapping[str, float] | None = None
) -> Answered:
    """What `pack` took apart."""
    return Answered(
        scores=tuple(_read_score(name, stored) for name, stored in document.get("scores", {}).items()),
        figures=tuple(_read_figure(stored, tensors) for stored in document.get("figures", ())),
        arrays={
            name.removeprefix("array/"): value for name, value in tensors.items() if name.startswith("array/")
        },
        texts={heading: tuple(lines) for heading, lines in document.get("texts", {}).items()},
        verdicts=tuple(_read_verdict(stored) for stored in document.get("verdicts", ())),
        findings=tuple(Finding(**stored) for stored in document.get("findings", ())),
        timings=timings or {},
    )


def number(value: float) -> float | str:
    """A number that JSON can hold: infinity and NaN as words, which float() reads back."""
    return value if math.isfinite(value) else str(value)


def _plain(value: Any) -> dict[str, Any]:
    """Fields of a dataclass that differ from their defaults; nested ones are left to the caller."""
    made = {}
    for entry in fields(value):
        found = getattr(value, entry.name)
        if found is entry.default or found == entry.default:
            continue
        if isinstance(found, float):
            found = number(found)
        if isinstance(found, Mapping):
            found = {key: number(v) if isinstance(v, float) else v for key, v in found.items()}
        made[entry.name] = found
    return made


def _score(score: Score) -> Any:
    """A number alone where nothing else is known."""
    stored = {
        key: value for key, value in _plain(score).items() if key != "name" and value not in ("nan", {})
    }
    return stored["value"] if stored.keys() == {"value"} else {"value": number(score.value), **stored}


def _read_score(name: str, stored: Any) -> Score:
    if not isinstance(stored, dict):
        return Score(name=name, value=float(stored))
    found = dict(stored)
    for key in ("value", "error", "floor_error"):
        if key in found:
            found[key] = float(found[key])
    for key in ("rivals", "gaps"):
        found[key] = {rival: float(value) for rival, value in found.get(key, {}).items()}
    if found.get("floor") in ("inf", "-inf", "nan"):
        found["floor"] = float(found["floor"])
    return Score(name=name, **found)


def _figure(figure: Figure, place: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    panels = []
    for i, panel in enumerate(figure.panels):
        series = [_series(s, f"{place}/{i}/{k}", tensors) for k, s in enumerate(panel.series)]
        panels.append({**_plain(panel), "series": series, "x": _plain(panel.x), "y": _plain(panel.y)})
    return {**_plain(figure), "panels": panels}


def _series(series: Series, place: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    named = {name: f"{place}/{name}" for name in series.arrays}
    tensors |= {named[name]: value for name, value in series.arrays.items()}
    return {**_plain(series), "arrays": named}


def _read_figure(stored: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Figure:
    panels = []
    for panel in stored["panels"]:
        series = tuple(
            Series(**{**s, "arrays": {name: tensors[key] for name, key in s["arrays"].items()}})
            for s in panel["series"]
        )
        axes = {side: _read_axis(panel[side]) for side in ("x", "y")}
        panels.append(Panel(**{**panel, "series": series, **axes}))
    return Figure(**{**stored, "panels": tuple(panels)})


def _read_axis(stored: Mapping[str, Any]) -> Axis:
    made: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in stored.items()}
    return Axis(**made)


def _read_verdict(stored: Mapping[str, Any]) -> Verdict:
    return Verdict(
        claim=Claim(**stored["claim"]),
        outcome=stored["outcome"],
        gap=float(stored["gap"]),
        error=float(stored["error"]),
        seeds=stored["seeds"],
    )
