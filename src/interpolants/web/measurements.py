"""Measurements of a trained bridge for a page: loss and errors over time, log-likelihoods, self-test."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from interpolants.foundations.errors import InterpolantsError, invalid
from interpolants.foundations.randomness import generator
from interpolants.likelihood.held_out_errors import held_out_errors
from interpolants.methods.bridge.bridge import Bridge
from interpolants.methods.bridge.examples import Examples, as_coupled
from interpolants.web.runs import Shown, shown_at
from interpolants.web.work import Answer, Work, watched

TIMES = 20
# Entries of all samples whose log-likelihood is asked for, times steps: the exact divergence costs as many more.
BUDGET = 2_000_000
_BLOCK, _WIDEST = 64, 16
_STEPS, _MOST = 40, 2000


class Judgement(BaseModel):
    """Request of a measurement; unknown keys are refused.

    Attributes:
        run: Number of the run.
        what: ``"errors"`` by time, ``"likelihood"`` of data, or the ``"check"`` of the bridge by itself.
        n: Samples to measure with.
        seed: Seed of noise and pairs.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    run: Annotated[int, Field(ge=0, le=9999)]
    what: Literal["errors", "likelihood", "check"]
    n: Annotated[int, Field(ge=10, le=_MOST)] = 256
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


def measure(question: Judgement, runs: Sequence[Shown]) -> Callable[[Work], Answer]:
    """Check a question, and say how to answer it.

    Raises:
        InvalidInputError: If the run is not there, has no bridge, or the question is too much for it.
    """
    shown = shown_at(runs, question.run)
    bridge = shown.bridge()
    if question.what == "likelihood":
        _check_likelihood(question, shown, bridge)
    task = {"errors": _errors, "likelihood": _likelihood, "check": _check}[question.what]

    def answer(work: Work) -> Answer:
        with watched(work, _networks(bridge)):
            return Answer({"run": question.run, "what": question.what, **task(question, shown, bridge, work)})

    return answer


def _networks(bridge: Bridge) -> list[Any]:
    own = list(bridge.fields.networks)
    return own if bridge.state["leg"] is None else [*own, *bridge.state["leg"].fields.networks]


# --- errors by time --------------------------------------------------------------------------------------------


def _errors(question: Judgement, shown: Shown, bridge: Bridge, work: Work) -> dict[str, Any]:
    """Loss of each learnt quantity by time, and where there is a score the squared errors that residuals show."""
    rows = as_coupled(bridge, shown.rows, question.seed)
    first, second, cond = _pairs(rows, question)
    curves: dict[str, list[tuple[float, float, float]]] = {name: [] for name in bridge.heads}
    for k in range(TIMES):
        t = (k + 0.5) / TIMES
        work.step(0.7 * k / TIMES, f"loss at t = {t:.3f}")
        found = bridge.loss_at(t, first, second, cond=cond, seed=question.seed + k)
        for name, loss in found.items():
            curves[name].append((t, *_mean(loss)))
    work.step(0.7, "errors that the residuals show")
    return {
        "n": len(second),
        "held_out": rows.held_out,
        "loss": curves,
        **_seen(question, rows, bridge),
    }


def _pairs(rows: Examples, question: Judgement) -> tuple[Tensor, Tensor, Tensor | None]:
    """Start and end of some bridges: row by row where data are paired, else in any order."""
    count = min(max(question.n, 200), len(rows.x1))
    if rows.paired:
        first = rows.x0[:count]
    else:
        order = torch.randint(len(rows.x0), (count,), generator=generator(question.seed, "judge pairs"))
        first = rows.x0[order]
    return first, rows.x1[:count], None if rows.cond is None else rows.cond[:count]


def _seen(question: Judgement, rows: Examples, bridge: Bridge) -> dict[str, Any]:
    """The errors, or the reason why they cannot be told."""
    if not rows.held_out:
        why = "Errors are told from data that training has not seen, and none were kept."
        return {"errors": None, "why": why}
    encode = bridge.frame.encode
    x0 = None if bridge.first_path.base is not None or bridge.first_path.is_static else encode(rows.x0)
    source = generator(question.seed, "judge residuals")
    repeats = 4 if math.prod(bridge.shape) <= _WIDEST else 2
    given: dict[str, Any] = {"times": 10, "repeats": repeats, "paired": rows.paired, "generator": source}
    try:
        found = held_out_errors(bridge.fields, x0, encode(rows.x1), cond=rows.cond, **given)
    except InterpolantsError as error:
        return {"errors": None, "why": str(error)}
    assert found.score is not None
    assert found.velocity is not None
    columns = (found.t.tolist(), found.velocity.tolist(), found.score.tolist())
    return {"errors": [list(row) for row in zip(*columns, strict=True)], "why": ""}


def _mean(values: Tensor) -> tuple[float, float]:
    flat = values.double()
    error = float(flat.std()) / math.sqrt(len(flat)) if len(flat) > 1 else 0.0
    return float(flat.mean()), error


# --- likelihood --------------------------------------------------------------------------------------------------


def _check_likelihood(question: Judgement, shown: Shown, bridge: Bridge) -> None:
    if bridge.density0() is None:
        rule, found = (
            "log-likelihoods need the density of rho0",
            f"{shown.name!r}, whose rho0 is given by samples",
        )
        raise invalid("explorer", rule, found, "Fit it with a leg: leg = {} in the method's table.")
    size = math.prod(shown.shape)
    cost = question.n * _STEPS * size * (size if size <= _WIDEST else 1)
    if cost > BUDGET:
        rule = f"samples x steps x entries must be at most {BUDGET:,}"
        raise invalid("explorer", rule, f"{cost:,}", "Use fewer samples.")


def _likelihood(question: Judgement, shown: Shown, bridge: Bridge, work: Work) -> dict[str, Any]:
    """Log-likelihood of the ends, block by block; beside it that of training data, where the ends are held out."""
    rows, trained = shown.rows, bridge.training_rows(question.n)
    parts = {"heldout" if rows.held_out else "train": (rows.x1[: question.n], rows.cond)}
    if rows.held_out:
        parts["train"] = trained
    total = sum(len(x) for x, _ in parts.values())
    found: dict[str, list[float]] = {}
    done = 0
    for name, (x, cond) in parts.items():
        found[name] = []
        for first in range(0, len(x), _BLOCK):
            work.step(done / total, f"{done} of {total} points")
            block = slice(first, first + _BLOCK)
            values = _scored(
                bridge, x[block], None if cond is None else cond[: len(x)][block], first, question.seed
            )
            found[name] += values.tolist()
            done += len(values)
    return {"log_prob": found, "dimension": math.prod(shown.shape)}


def _scored(bridge: Bridge, x: Tensor, cond: Tensor | None, first: int, seed: int) -> Tensor:
    given: dict[str, Any] = {"method": "midpoint", "n_steps": _STEPS, "first_index": first, "seed": seed}
    if x[0].numel() > _WIDEST:
        given |= {"divergence": "hutchinson", "probes": 1}
    values: Tensor = bridge.log_prob(x, cond=cond, details=True, on_failure="keep", **given).log_prob
    return values


# --- self-test -------------------------------------------------------------------------------------------------


def _check(question: Judgement, shown: Shown, bridge: Bridge, work: Work) -> dict[str, Any]:
    """The bridge's own verdicts."""
    work.step(None, "testing the bridge against itself")
    report = bridge.check(n=max(question.n, 500), seed=question.seed)
    return {"checks": [asdict(item) for item in report.checks]}
