"""A choice of the noise level as plain numbers and words, for files and reports."""

from dataclasses import fields
from typing import Any

from interpolants.dynamics.noise import NoiseLevel, TabulatedNoise
from interpolants.methods.bridge.auto_eps import EpsChoice

_ERRORS = ("t", "velocity", "score")


def to_record(choice: EpsChoice) -> dict[str, Any]:
    """What JSON can hold of a choice; all of it but the errors' path."""
    record = {field.name: getattr(choice, field.name) for field in fields(choice)}
    record["eps"], record["schedule"] = _level(choice.eps), _level(choice.schedule)
    record["candidates"] = [
        {**{f.name: getattr(c, f.name) for f in fields(c)}, "eps": _level(c.eps)} for c in choice.candidates
    ]
    record["errors"] = {name: getattr(choice.errors, name).tolist() for name in _ERRORS}
    return record


def _level(eps: float | NoiseLevel) -> float | dict[str, list[float]]:
    if isinstance(eps, TabulatedNoise):
        return {"times": list(eps.times), "levels": list(eps.levels)}
    assert isinstance(eps, float)
    return eps
