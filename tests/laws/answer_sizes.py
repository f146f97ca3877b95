"""How far answers lie from the data that they are like, in deviations of these; and how they compare with a guess."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.randomness import generator
from interpolants.framework import stored
from interpolants.framework.answers import Ensemble, Predictive
from interpolants.framework.capabilities import Capability, leading_arguments
from interpolants.framework.far_values import Measured
from interpolants.framework.method import Method
from interpolants.framework.role import Role, kind_of
from interpolants.framework.task import Task
from interpolants.metrics import energy_distance
from interpolants.testing.asking import call, plain

# Deviations of the data: the middle answer from their mean, the furthest one, and the spread of the answers.
MIDDLE, FURTHEST, SPREAD = 10.0, 300.0, 10.0
# Of an answer that is like no data, to that of the default value.
APART = 100.0
# Standard errors beyond which one is worse than a rival; draws that are compared, least of them, most columns.
SURE, DRAWS, LEAST, COLUMNS = 3.0, 128, 8, 64


@dataclasses.dataclass(frozen=True)
class Gap:
    """How much worse than a guess answers are, with the standard error; positive is worse."""

    rival: str
    worse: float
    error: float

    @property
    def surely_worse(self) -> bool:
        """Beyond noise."""
        return not self.worse <= SURE * self.error


# --- sizes ---------------------------------------------------------------------------------------------------


def size_faults(
    method: Method, one: Capability, answer: Any, of_default: Any, *, nothing: bool = False
) -> list[str]:
    """What is wrong with the size of an answer; beside that to the default value where it is like no data.

    Args:
        method: Who answers.
        one: The verb.
        answer: The answer.
        of_default: That of the method with its default values.
        nothing: Whether it may answer NaN where that did not.
    """
    numbers, before = arrays(answer), arrays(of_default)
    faults = [
        f"{one.verb}{name}: {int((~x.isfinite()).sum())} of {x.numel()} numbers are not finite"
        for name, x in numbers.items()
        if not nothing and bool(before.get(name, x.new_zeros(())).isfinite().all()) and not x.isfinite().all()
    ]
    if (z := in_units(method, one.like, answer)) is not None:
        return faults + [
            f"{one.verb}: the {what} is {size:.3g} deviations of {one.like}, more than {most:g}"
            for what, size, most in _deviations(z)
            if size > most
        ]
    sizes = [(name, _size(numbers[name]), _size(before[name])) for name in numbers.keys() & before.keys()]
    return faults + [
        f"{one.verb}{name}: of size {size:.3g}, by the default {usual:.3g}"
        for name, size, usual in sizes
        if usual > 0 and size > APART * usual
    ]


def _deviations(z: Tensor) -> list[tuple[str, float, float]]:
    known = z[z.isfinite()].abs()
    if not known.numel():
        return []
    spread = float(z.nan_to_num(0, 0, 0).std(0, correction=0).median()) if len(z) > 1 else 0.0
    return [
        ("middle", float(known.median()), MIDDLE),
        ("furthest", float(known.max()), FURTHEST),
        ("spread", spread, SPREAD),
    ]


def in_units(method: Method, like: str, answer: Any) -> Tensor | None:
    """An answer ``(N, C, D)`` in deviations from the mean of the rows that it is like; None if it is like none."""
    given = method.given.get(like)
    role = next((role for role in method.roles() if role.name == like), None)
    if given is None or not given.spread or role is None or not isinstance(kind_of(role), Measured):
        return None
    mean, deviation = torch.tensor(given.spread, dtype=torch.float64).T
    found = [one for part in _parts(answer) if (one := _columns(method, role, part, len(mean))) is not None]
    if not found or len({one.shape[1:] for one in found}) > 1:
        return None
    told = deviation.isfinite() & (deviation > 0)
    x = torch.cat(found)
    z = ((x - mean[:, None]) / deviation[:, None])[:, told]
    return z if z.numel() else None


def _parts(answer: Any) -> list[Any]:
    """What of an answer is like data: quantiles of a distribution, members, recordings."""
    if isinstance(answer, Predictive):
        return [_plain(answer).quantile(p) for p in (0.05, 0.5, 0.95)]
    if isinstance(answer, list | tuple):
        return [part for one in answer for part in _parts(one)]
    for name in ("x", "samples", "values"):
        if isinstance(getattr(answer, name, None), Tensor):
            return [getattr(answer, name)]
    return [answer] if isinstance(answer, Tensor) else []


def _plain(answer: Predictive) -> Predictive:
    """Answers as tensors."""
    return dataclasses.replace(answer, given=Predictive.given)


def _columns(method: Method, role: Role, part: Any, columns: int) -> Tensor | None:
    """Numbers ``(N, C, D)`` of rows of a role, with as many columns as have a spread."""
    kind, event = kind_of(role), method.shapes.get(role.name)
    assert isinstance(kind, Measured)
    if not isinstance(part, Tensor) or not part.is_floating_point() or not part.numel():
        return None
    if event and tuple(part.shape[-len(event) :]) == tuple(event):
        rows = kind.numbers(part.reshape(-1, *event)).double()
        if columns in (1, rows.shape[1]):
            return rows.reshape(len(rows), columns, -1)
    return part.double().reshape(-1, 1, 1) if columns == 1 else None


def arrays(answer: Any) -> dict[str, Tensor]:
    """The floating-point arrays of an answer by name; a mixture by its moments, as components may weigh nothing."""
    if isinstance(answer, Predictive):
        weight = answer._log_weights().exp()[..., None]
        return {".mean": (weight * answer.loc).sum(0), ".scale": (weight * answer.scale).sum(0)}
    found: dict[str, Tensor] = {}
    stored.pack(answer, found)
    return {name and f".{name}": x for name, x in found.items() if x.is_floating_point()}


def _size(x: Tensor) -> float:
    known = x.double()[x.isfinite()]
    return float(known.square().mean().sqrt()) if known.numel() else 0.0


def same_answers(a: Any, b: Any) -> bool:
    """Equal to the bit."""
    return stored.fingerprint(a) == stored.fingerprint(b)


# --- guesses that learn nothing ------------------------------------------------------------------------------


def gap(method: Method, one: Capability, task: Task, given: Mapping[str, Any], answer: Any) -> Gap | None:
    """How much worse than a guess an answer is; None where test rows cannot tell.

    Rows are guessed by the mean of the training rows, draws by a Gaussian fitted to them.
    """
    sized = leading_arguments(one.verb) == ("n",)
    if one.like not in method.shapes or one.like in given:
        return None
    if sized and not any(hasattr(value, "__len__") for value in given.values()):
        answer = plain(call(method, one, given, n=DRAWS))
    z = in_units(method, one.like, _middle(answer))
    if z is None:
        return None
    if not sized:
        return _of_rows(z.flatten(1), *_known(method, one.like, one.like, task))
    # What draws are like is said for their containers: a bridge draws either end.
    alike = [name for name, shape in method.shapes.items() if shape == method.shapes[one.like]]
    found = [_of_draws(z.flatten(1), *_known(method, one.like, name, task)) for name in alike]
    return min((one for one in found if one is not None), key=lambda one: one.worse, default=None)


def _known(method: Method, like: str, name: str, task: Task) -> tuple[Tensor | None, Tensor | None]:
    """Test and training rows of a role, in units of another."""
    parts = (
        in_units(method, like, plain(part[name])) if name in part else None
        for part in (task.test, task.train)
    )
    test, train = (None if part is None else part.flatten(1) for part in parts)
    return test, train


def _middle(answer: Any) -> Any:
    """The point answer of a distribution or of members."""
    if isinstance(answer, Predictive):
        return _plain(answer).quantile(0.5)
    return answer.x.mean(1) if isinstance(answer, Ensemble) else answer


def _of_rows(z: Tensor, truth: Tensor | None, train: Tensor | None) -> Gap | None:
    if truth is None or z.shape != truth[: len(z)].shape:
        return None
    truth = truth[: len(z)]
    worse = ((z - truth).square() - truth.square()).nan_to_num(0, math.inf, -math.inf).mean(1)
    error = float(worse.std()) / math.sqrt(len(worse))
    return Gap("the mean of the training rows", float(worse.mean()), error)


def _of_draws(z: Tensor, truth: Tensor | None, train: Tensor | None) -> Gap | None:
    if truth is None or train is None or min(len(z), len(truth)) < LEAST or z.shape[1] > COLUMNS:
        return None
    noise = torch.randn(DRAWS, train.shape[1], dtype=train.dtype, generator=generator(0, "a fitted Gaussian"))
    value, vector = torch.linalg.eigh(torch.cov(train.T).reshape(train.shape[1], train.shape[1]))
    guess = train.mean(0) + noise * value.clamp_min(0).sqrt() @ vector.mT
    own, rival = energy_distance(z, truth), energy_distance(guess, truth)
    return Gap(
        "a Gaussian fitted to the training rows", own.value - rival.value, math.hypot(own.error, rival.error)
    )
