"""Fitted solvers as plain tables, and the sampler that runs them.

A table of n evaluations takes ``x_{i+1} = a_i x_0 + sum_{j <= i} b_ij v(x_j, t_j)``, i < n, where v is the velocity.
Euler, midpoint, Heun, Runge-Kutta and multistep solvers are such tables on any grid.

Source: Shaul et al. (2024), arXiv:2403.01329, non-stationary solvers.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path as File
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.dynamics.samplers import Arrival, Sampler, arrival_status
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import number
from interpolants.foundations.clock import clock
from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.foundations.ops import time_dtype
from interpolants.foundations.randomness import generator
from interpolants.foundations.registry import describe
from interpolants.foundations.storage import read_document, write_text
from interpolants.foundations.types import Condition
from interpolants.solvers.fixed import OnStep

_FORMAT = 1
_REFIT = "Fit a solver to these with fit_solver."
# Relative difference of the velocities at the probes: below it are other machines, above it other fields.
_CLOSE = 2e-3


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FittedSolver:
    """A solver of n evaluations that was fitted to one model; pass it as ``method=`` to ``sample``.

    It holds for the model, path, precision, shape and strength of guidance of the fit, from t = 0 to 1. ``sample``
    compares the velocity at fixed states with that of the fit, and refuses other fields.

    Attributes:
        times: Times of the evaluations, ``(n,)``, in [0, 1].
        start_weights: ``a``, ``(n,)``.
        weights: ``b``, row i holds the i + 1 weights of the velocities so far.
        path: Description of the path of the fields.
        dtype: Precision of the states, e.g. ``"float32"``.
        shape: Shape of a state, ``(*D)``.
        cond: Conditions at the probes in stored form; None without a condition.
        answers: One number from the velocity at each probe.
        errors: Root mean square error per entry of the end points of held-out pairs, in units of the fields, by name:
            ``"fitted"``, and the named solver with its spacing that the fit started from.
    """

    name: ClassVar[str] = "fitted"

    times: tuple[float, ...]
    start_weights: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    path: Mapping[str, Any]
    dtype: str
    shape: tuple[int, ...]
    cond: Any
    answers: tuple[float, ...]
    errors: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, caller = len(self.times), "FittedSolver"
        rows = [len(row) for row in self.weights]
        if n < 1 or len(self.start_weights) != n or rows != [*range(1, n + 1)]:
            rule = "the table must have n times, n start weights, and rows of 1 to n weights"
            raise invalid(caller, rule, (n, len(self.start_weights), rows))
        for value in (*self.start_weights, *(weight for row in self.weights for weight in row)):
            number(caller, "every weight", value)
        for value in self.times:
            number(caller, "every time", value, at_least=0, at_most=1)
        for value in self.answers:
            number(caller, "every answer", value)
        if not isinstance(self.path, Mapping) or not isinstance(self.errors, Mapping):
            raise invalid(caller, "path and errors must be mappings", type(self.path).__name__)
        if list(self.times) != sorted(self.times):
            raise invalid(caller, "the times must not decrease", self.times)

    def __len__(self) -> int:
        """The number of evaluations n."""
        return len(self.times)

    def __repr__(self) -> str:
        digest = hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()[:12]
        return f"FittedSolver(n={len(self)}, path={self.path.get('kind')!r}, sha256={digest!r})"

    @property
    def grid(self) -> npt.NDArray[np.float64]:
        """Times of the evaluations and the end, ``(n + 1,)``."""
        return np.array([*self.times, 1.0])

    # --- files

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        parsed: dict[str, Any] = json.loads(json.dumps(values, default=dict))
        return {"format": _FORMAT, "kind": "fitted_solver", **parsed}

    @property
    def writes(self) -> tuple[str, ...]:
        """Extensions of the files of :meth:`write_file`."""
        return (".json",)

    def write_file(self, out: File) -> None:
        """Write the table as JSON; see :meth:`save`."""
        self.save(out)

    def save(self, file: str | os.PathLike[str]) -> None:
        """Write the table as JSON, which :meth:`load` reads."""
        write_text(file, json.dumps(self.as_json(), indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, file: str | os.PathLike[str]) -> "FittedSolver":
        """Read a table from JSON.

        Raises:
            InvalidInputError: If the file does not hold a fitted solver.
            StorageError: If the file is not JSON.
        """
        read = read_document(file)
        names = {part.name for part in fields(cls)}
        values = (
            {k: v for k, v in read.items() if k not in ("format", "kind")} if isinstance(read, dict) else {}
        )
        if set(values) != names or read.get("kind") != "fitted_solver" or read.get("format") != _FORMAT:
            raise invalid("FittedSolver.load", "the file must contain a fitted solver of format 1", str(file))
        try:
            rows = tuple(tuple(row) for row in values.pop("weights"))
            tuples: dict[str, Any] = {
                k: tuple(values.pop(k)) for k in ("times", "start_weights", "shape", "answers")
            }
        except TypeError as error:
            rule = "times, weights, shape and answers must be lists"
            raise invalid("FittedSolver.load", rule, str(file)) from error
        try:
            _tensors(values["cond"])
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise invalid("FittedSolver.load", "cond must be a stored condition", str(file)) from error
        return cls(**tuples, **values, weights=rows)

    # --- the model of the fit

    def check_model(self, model: Fields, x: Tensor, cond: Condition) -> None:
        """Check that fields, states and conditions are those that the solver was fitted for.

        Args:
            model: Fields to sample.
            x: Start points, ``(B, *D)``.
            cond: Their condition.

        Raises:
            InvalidInputError: If path, precision, shape or kind of condition differ, or the velocity at the probes
                does, as for another model or another strength of guidance.
        """
        kind = _structure(cond)
        pairs = (
            ("path", described(model), dict(self.path)),
            ("precision", str(x.dtype).removeprefix("torch."), self.dtype),
            ("shape", list(x.shape[1:]), list(self.shape)),
            ("kind of condition", kind, _structure(self.cond)),
        )
        for label, actual, expected in pairs:
            if actual != expected:
                rule = f"the fitted solver holds for one {label}, {expected}"
                raise invalid("sample", rule, actual, _REFIT)
        answers = probe(model, self.times, self.shape, x, _tensors(self.cond))
        expected_answers = torch.tensor(self.answers, dtype=torch.float64)
        scale = expected_answers.square().mean().sqrt()
        if answers.shape != expected_answers.shape or not bool(
            (answers - expected_answers).abs().max() <= _CLOSE * scale
        ):
            rule = (
                "the fitted solver holds for the fields that it was fitted to, and their strength of guidance"
            )
            raise invalid("sample", rule, "fields with another velocity", _REFIT)

    def sampler(self, model: Fields) -> "TableSampler":
        """The sampler that runs the table over fields."""
        return TableSampler(fields=model, grid=self.grid, method=self.name, table=self)


def described(model: Fields) -> dict[str, Any]:
    """Description of the path of fields in plain values; its class alone if it holds code."""
    try:
        description: dict[str, Any] = json.loads(json.dumps(describe(model.path)))
    except InvalidInputError:
        return {"kind": type(model.path).__qualname__}
    return description


def probe(
    model: Fields, times: tuple[float, ...], shape: tuple[int, ...], template: Tensor, cond: Condition
) -> Tensor:
    """One number from the velocity at each of two fixed states per time of evaluation, ``(2 n,)`` float64.

    Args:
        model: Fields.
        times: Times of the evaluations.
        shape: Shape of a state.
        template: States of the precision and device to ask with.
        cond: Condition of each probe.
    """
    source, rows = generator(0, "probes of a fitted solver"), 2 * len(times)
    states, signs = (torch.randn(rows, *shape, generator=source, dtype=torch.float64) for _ in range(2))
    t = torch.tensor(times, dtype=time_dtype(template)).repeat(2).to(template.device)
    with torch.no_grad():
        value = model.evaluate(states.to(template), t, ("velocity",), _on(cond, template.device))["velocity"]
    answers: Tensor = (value.double().cpu() * signs.sign()).flatten(1).sum(1)
    return answers / math.sqrt(max(1, states[0].numel()))


def plain_condition(cond: Condition) -> Any:
    """A condition as lists, mappings and tables of a tensor each."""
    if isinstance(cond, Tensor):
        return {"dtype": str(cond.dtype).removeprefix("torch."), "values": cond.tolist()}
    if isinstance(cond, Mapping):
        return {"parts": {name: plain_condition(part) for name, part in cond.items()}}
    return None if cond is None else [plain_condition(part) for part in cond]


def _tensors(stored: Any) -> Condition:
    """Inverse of :func:`plain_condition`."""
    if isinstance(stored, Mapping) and "parts" in stored:
        return {name: _tensors(part) for name, part in stored["parts"].items()}
    if isinstance(stored, Mapping):
        return torch.tensor(stored["values"], dtype=getattr(torch, stored["dtype"]))
    return None if stored is None else tuple(_tensors(part) for part in stored)


def _structure(cond: Any) -> Any:
    """Parts and types of a condition, without its values; of tensors or of their plain form."""
    if isinstance(cond, Tensor):
        return str(cond.dtype).removeprefix("torch.")
    if isinstance(cond, Mapping) and isinstance(cond.get("dtype"), str):
        return cond["dtype"]
    if isinstance(cond, Mapping):
        parts = cond.get("parts", cond)
        return {str(name): _structure(part) for name, part in parts.items()}
    return None if cond is None else [_structure(part) for part in cond]


def _on(cond: Condition, device: torch.device) -> Condition:
    if isinstance(cond, dict):
        return {name: _on(part, device) for name, part in cond.items()}
    if isinstance(cond, tuple | list):
        return tuple(_on(part, device) for part in cond)
    return cond if cond is None else cond.to(device)


@dataclass(frozen=True, eq=False, kw_only=True)
class TableSampler(Sampler):
    """The probability flow by a fitted solver.

    Args:
        table: The solver.
    """

    table: FittedSolver

    def run(self, x: Tensor, cond: Condition, first: int, *, keep: bool, on_step: OnStep | None) -> Arrival:
        """See :class:`Sampler`; ``on_step`` cannot replace states."""
        velocity, ticks = self.field(cond), clock(self.grid, x)
        values: list[Tensor] = []
        path = [x]
        for i, (start, row) in enumerate(zip(self.table.start_weights, self.table.weights, strict=True)):
            values.append(velocity(path[-1], ticks[i]))
            state = x * start
            for value, weight in zip(values, row, strict=True):
                state.add_(value, alpha=weight)
            path = [*path, state] if keep else [state]
            if on_step is not None:
                on_step(i + 1, ticks[i + 1], state)
        rows_first = torch.stack(path, 1) if keep else None
        return Arrival(path[-1], len(self.table), arrival_status(path[-1]), rows_first)
