"""Serialization between page and library: questions as JSON, errors as text, arrays as bytes."""

import json
from typing import TypeVar

from pydantic import BaseModel

from interpolants.foundations.errors import InvalidInputError, nearest
from interpolants.web.playground import Picture
from interpolants.web.work import Answer

Model = TypeVar("Model", bound=BaseModel)


def asked(body: bytes, model: type[Model]) -> Model:
    """A checked question.

    Raises:
        InvalidInputError: If it is no JSON, or breaks a rule; in one sentence, with the entry and its value.
    """
    try:
        return model.model_validate(json.loads(body))
    except (ValueError, OverflowError, RecursionError) as error:
        raise InvalidInputError(_words(error, model)) from error


def picture(found: Picture) -> Answer:
    """A picture of the playground: particles and the flow as float32, density as bytes, all frame by frame."""
    facts = {
        "times": [round(float(t), 6) for t in found.times],
        "eps": [round(float(e), 6) for e in found.eps_used],
        "n": found.particles.shape[1],
        "grid": found.density.shape[1],
        "nfe": found.nfe,
        "solver": found.solver,
        "distance": found.distance,
        "floor": found.floor,
        "flow": found.flow is not None,
    }
    flow = b"" if found.flow is None else found.flow.tobytes()
    return Answer(facts, (found.particles.tobytes(), flow, found.density.tobytes()))


def _words(error: Exception, model: type[BaseModel]) -> str:
    details = getattr(error, "errors", None)
    if details is None:
        return "The question must be a JSON object."
    found = details()  # a misspelt entry is also a missing one: its name tells more
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    place = ".".join(str(part) for part in first["loc"])[:60] or "question"
    if first["type"] == "extra_forbidden":
        return f"{place}: there is no such setting. {nearest(place, model.model_fields)}"
    value = repr(first.get("input"))
    return f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}, got {value[:60]}"
