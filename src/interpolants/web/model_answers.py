"""Answers of a model over HTTP: JSON whose numbers are exact, .npy for one array, .npz for several."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any

import numpy as np

from interpolants.data.arrays import is_table
from interpolants.foundations.errors import invalid
from interpolants.framework.self_checks import CheckReport
from interpolants.runs.answers import plain_answer

JSON, NPY, NPZ = "application/json", "application/x-npy", "application/x-npz"
WARNINGS, SEED = "x-interpolants-warnings", "x-interpolants-seed"


@dataclass(frozen=True)
class Reply:
    """Body of a reply, its media type and its own headers."""

    body: bytes
    media: str
    headers: Mapping[str, str]


def encode(
    answer: Any,
    verb: str,
    media: str,
    *,
    columns: Sequence[str] = (),
    seed: int | None = None,
    warnings: Sequence[str] = (),
    limit: int = 1 << 26,
) -> Reply:
    """Return an answer of a method as the body of a reply.

    A float32 is written as the shortest decimal of the float64 of the same value, so both precisions are read back
    exactly. Numbers that JSON does not have are the texts ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``.

    Args:
        answer: The answer.
        verb: Name of the verb.
        media: Media type: JSON, .npy or .npz.
        columns: Names of the columns of the answer, if it has as many.
        seed: Seed of the answer.
        warnings: Texts of the warnings that were issued.
        limit: Largest number of entries.

    Raises:
        InvalidInputError: If the answer is larger, or cannot be written in this media type.
    """
    metadata = {"verb": verb, "seed": seed, "warnings": list(warnings)}
    if isinstance(answer, CheckReport):
        return _json(
            {**metadata, "ok": answer.ok, "checks": [asdict(check) for check in answer.checks]}, media, verb
        )
    arrays_or_texts = plain_answer(answer, verb)
    if isinstance(arrays_or_texts, list):
        return _json({**metadata, "texts": arrays_or_texts}, media, verb)
    if (size := sum(array.size for array in arrays_or_texts.values())) > limit:
        raise invalid(
            verb, f"the answer must have at most {limit} numbers over HTTP", size, "Request fewer rows."
        )
    if media != JSON:
        return _binary(arrays_or_texts, metadata, media)
    names = tuple(map(str, answer.columns)) if is_table(answer) else tuple(columns)
    main = next(iter(arrays_or_texts.values()))
    fits = main.ndim > 1 and main.shape[-1] == len(names)
    arrays = {name: _array(array) for name, array in arrays_or_texts.items()}
    return _json({**metadata, "columns": list(names) if fits else None, "arrays": arrays}, media, verb)


def _binary(
    arrays_or_texts: Mapping[str, np.ndarray[Any, Any]], metadata: Mapping[str, Any], media: str
) -> Reply:
    """Return arrays as .npy or .npz; seed and warnings become headers."""
    headers = {WARNINGS: json.dumps(metadata["warnings"])}
    if metadata["seed"] is not None:
        headers[SEED] = str(metadata["seed"])
    stream = BytesIO()
    if media == NPZ:
        np.savez(stream, **arrays_or_texts)  # type: ignore[arg-type]
    elif len(arrays_or_texts) == 1:
        np.save(stream, next(iter(arrays_or_texts.values())), allow_pickle=False)
    else:
        rule, remedy = "an answer in .npy must be one array", f"Accept {NPZ} or {JSON}."
        raise invalid(metadata["verb"], rule, ", ".join(arrays_or_texts), remedy)
    return Reply(stream.getvalue(), media, headers)


def _json(metadata: Mapping[str, Any], media: str, verb: str) -> Reply:
    if media != JSON:
        raise invalid(verb, "this answer must be JSON", media, f"Accept {JSON}.")
    return Reply(json.dumps(_exact(metadata), allow_nan=False).encode(), JSON, {})


def _array(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        values = _exact(array.tolist())
    else:
        values = array.tolist()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "values": values}


def _exact(value: Any) -> Any:
    """Return a value with texts in place of numbers that are not finite, at any depth."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _exact(part) for key, part in value.items()}
    return [_exact(part) for part in value] if isinstance(value, list | tuple) else value
