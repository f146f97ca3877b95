"""Ask a fitted method everything that it can, on test rows; and compare answers."""

import functools
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from interpolants.foundations.records import record_of
from interpolants.framework import stored
from interpolants.framework.answers import Predictive
from interpolants.framework.capabilities import Capability, capabilities_of, cut, leading_arguments
from interpolants.framework.method import Method
from interpolants.framework.role import Role, kind_of
from interpolants.framework.roles import take
from interpolants.framework.task import Task

N = 5  # samples to ask for, where rows are not what is given
MOST = 70  # rows to ask with: more than a block of 64


def able(method: Method) -> Iterator[Capability]:
    """The capabilities that this instance has."""
    return (one for verb, one in capabilities_of(type(method)).items() if method.can(verb))


def inputs(one: Capability, method: Method, task: Task, probe: Mapping[str, Any]) -> dict[str, Any]:
    """What a verb reads: of the probe, else of the test rows."""
    found, test = {}, task.test
    of_fit = {role.name for role in method.roles()}
    for role in one.roles(method):
        source = one.source(role.name)
        if role.name in probe:
            sized = leading_arguments(one.verb) == ("n",) and kind_of(role).has_rows
            found[role.name] = take(probe[role.name], slice(N)) if sized else probe[role.name]
        elif role.optional and role.name not in of_fit:
            continue  # of the verb's own, such as a mask: rows of the data would be none
        elif source in test and (source in method.given or source in method.shapes or not method.is_fitted):
            sized = leading_arguments(one.verb) == ("n",) and kind_of(role).has_rows
            found[role.name] = with_gaps(take(test[source], slice(N if sized else MOST)), role)
        elif not role.optional:
            raise AssertionError(f"{one.verb} needs {role.name}; set it in [probe] of the recipe")
    for name, parameter in one.parameters.items():
        free = parameter.default is not parameter.empty or parameter.kind is parameter.VAR_KEYWORD
        if name not in found and name != "n" and not free:
            assert name in probe, f"{one.verb} needs {name}: give it in [probe] of the recipe"
            found[name] = probe[name]
    return found


def with_gaps(value: Any, role: Role) -> Any:
    """Every other entry not seen, where the role is about gaps and the rows have none."""
    if role.kind != "rows" or not role.gaps or not isinstance(value, torch.Tensor) or value.isnan().any():
        return value
    seen = torch.arange(value[0].numel()).reshape(value.shape[1:]) % 2 == 0
    return torch.where(seen, value, torch.nan)


def call(method: Method, one: Capability, given: Mapping[str, Any], **options: Any) -> Any:
    """The answer of a verb."""
    sized = {"n": N} if "n" in leading_arguments(one.verb) else {}
    seed = one.parameters.get("seed")  # None is another seed every time
    seeded = {"seed": 0} if seed is not None and seed.default is None else {}
    return getattr(method, one.verb)(**{**given, **sized, **seeded, **options})


def answers(method: Method, task: Task, probe: Mapping[str, Any]) -> dict[str, Any]:
    """All answers by verb, as trees; a method that is an answer is asked in turn."""
    found = {}
    for one in able(method):
        answer = call(method, one, inputs(one, method, task, probe))
        found[one.verb] = answers(answer, task, probe) if isinstance(answer, Method) else plain(answer)
    return found


@functools.singledispatch
def plain(answer: Any) -> Any:
    """An answer as a tree: arrays and tables as tensors, records as they are."""
    if record_of(answer) is not None or isinstance(answer, torch.Tensor | Method):
        return answer
    if hasattr(answer, "to_numpy"):
        answer = _numbers_of_columns(answer) if has_other_columns(answer) else answer.to_numpy()
    return torch.from_numpy(np.array(answer)) if isinstance(answer, np.ndarray) else answer


def has_other_columns(table: Any) -> bool:
    """Whether a value is a table with columns of strings, dates or categories."""
    return (
        hasattr(table, "dtypes")
        and hasattr(table, "columns")
        and any(d.kind not in "fiub" for d in table.dtypes)
    )


def _numbers_of_columns(table: Any) -> np.ndarray[Any, Any]:
    """A table of any types as float64: dates as ticks, strings as hashes, NaN for missing cells."""
    columns = []
    for _, cells in table.items():
        if cells.dtype.kind == "O":
            hashes = [zlib.crc32(str(cell).encode()) for cell in cells]
        else:
            hashes = (
                cells.to_numpy().astype("int64") if cells.dtype.kind in "mM" else cells.to_numpy("float64")
            )
        columns.append(np.where(cells.isna(), np.nan, hashes))
    return np.stack(columns, 1)


@plain.register(list)
@plain.register(tuple)
def _(answer: Any) -> Any:
    return [plain(part) for part in answer]


@plain.register(dict)
def _(answer: Any) -> Any:
    return {name: plain(part) for name, part in answer.items()}


def rows_of(answer: Any, rows: slice) -> Any:
    """Some rows of a plain answer."""
    return cut(answer, rows)


def count(answer: Any) -> int:
    """Rows of a plain answer."""
    return answer.loc.shape[1] if isinstance(answer, Predictive) else len(getattr(answer, "x", answer))


def same(a: Any, b: Any) -> bool:
    """Equal to the bit."""
    return stored.fingerprint(a) == stored.fingerprint(b)


def same_numbers(a: Any, b: Any) -> bool:
    """Equal arrays, whatever their containers and names are called."""
    left: dict[str, torch.Tensor] = {}
    right: dict[str, torch.Tensor] = {}
    stored.pack(a, left)
    stored.pack(b, right)
    shaped = {
        name: x.reshape(right[name].shape).to(right[name].dtype) for name, x in left.items() if name in right
    }
    return left.keys() == right.keys() and same([*shaped.values()], [right[name] for name in shaped])


def some(given: Mapping[str, Any], rows: slice) -> dict[str, Any]:
    """Some rows of what a verb reads; what has no rows goes along."""
    return {name: take(value, rows) if hasattr(value, "__len__") else value for name, value in given.items()}


def close(a: Any, b: Any, tolerance: float) -> bool:
    """Equal up to an error relative to the size of each tensor."""
    left: dict[str, torch.Tensor] = {}
    right: dict[str, torch.Tensor] = {}
    words = stored.pack(a, left), stored.pack(b, right)
    if words[0] != words[1] or left.keys() != right.keys():
        return False
    return all(_near(left[name], right[name], tolerance) for name in left)


def _near(a: torch.Tensor, b: torch.Tensor, tolerance: float) -> bool:
    if a.shape != b.shape or not a.is_floating_point():
        return torch.equal(a, b)
    size = float(a.abs().nan_to_num(nan=0.0, posinf=torch.inf).max()) if a.numel() else 0.0
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance * size, equal_nan=True)


__all__ = [
    "able",
    "answers",
    "call",
    "close",
    "count",
    "inputs",
    "plain",
    "rows_of",
    "same",
    "same_numbers",
    "some",
]
