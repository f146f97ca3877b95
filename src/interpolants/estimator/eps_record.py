"""A choice of the noise level as plain numbers and words, for files and reports, and back."""

from dataclasses import fields
from typing import Any

import torch

from interpolants.dynamics.noise import NoiseLevel, TabulatedNoise
from interpolants.estimator.auto_eps import Candidate, EpsChoice
from interpolants.likelihood.kl_bound import SquaredErrors

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


def from_record(record: dict[str, Any]) -> EpsChoice:
    """The choice that :func:`to_record` wrote.

    Raises:
        KeyError, TypeError: If the record is not one of a choice.
    """
    schedule = _revived(record["schedule"])
    assert isinstance(schedule, NoiseLevel)
    t, velocity, score = (torch.tensor(record["errors"][name], dtype=torch.float64) for name in _ERRORS)
    given = {
        **record,
        "eps": _revived(record["eps"]),
        "schedule": schedule,
        "candidates": tuple(Candidate(**{**c, "eps": _revived(c["eps"])}) for c in record["candidates"]),
        "errors": SquaredErrors(t, velocity, score),
    }
    return EpsChoice(**given)


def _level(eps: float | NoiseLevel) -> float | dict[str, list[float]]:
    if isinstance(eps, TabulatedNoise):
        return {"times": list(eps.times), "levels": list(eps.levels)}
    assert isinstance(eps, float)
    return eps


def _revived(record: float | dict[str, list[float]]) -> float | NoiseLevel:
    if isinstance(record, dict):
        return TabulatedNoise(tuple(record["times"]), tuple(record["levels"]))
    return float(record)
