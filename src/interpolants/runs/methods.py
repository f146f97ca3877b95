"""Runs of a method from its card: fit, judge, store.

A method that carries points over, with ``fit(x0, x1, progress=)``, ``transport(x, reverse=, seed=)`` and ``summary()``,
is judged like a bridge. It is stored if it has ``save(folder)``.
"""

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics.sample import Samples
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.registry import build, find_card
from interpolants.framework.frames import Standard
from interpolants.framework.method import Method
from interpolants.framework.scores import Score
from interpolants.runs.config import EvaluateConfig, TaskConfig, method_kind
from interpolants.runs.evaluate import Evaluation, Findings, Say
from interpolants.runs.folder import ARRAYS, MODEL, write_arrays
from interpolants.runs.sources import TaskData


def run_method(task: TaskConfig, data: TaskData, folder: Path, say: Say, *, progress: bool) -> dict[str, Any]:
    """Fit and judge the method of a task; its entry of the results.

    Raises:
        InvalidInputError: If data and method do not fit.
        KeyboardInterrupt: If a signal stopped a training that writes checkpoints.
    """
    assert task.method is not None
    settings = dict(task.method)
    kind = str(settings.pop("kind"))
    method = build(method_kind(kind), kind, **settings)
    began, place = time.perf_counter(), folder / task.name
    say("fitting")
    if isinstance(method, Method):
        _check_roles(method, kind)
        method.fit_roles(_roles(method, data), out=place / "train", resume=True, progress=progress)
    else:
        method.fit(None if data.x0 is None else data.x0.train.x, data.x1.train.x, progress=progress)
    seconds = time.perf_counter() - began
    if hasattr(method, "save"):
        method.save(place / MODEL)
    found = judge(method, kind, data, task.evaluate, say)
    place.mkdir(parents=True, exist_ok=True)
    write_arrays(place / ARRAYS, found.arrays)
    return _record(task, kind, method, data, found, seconds)


def _check_roles(method: Method, kind: str) -> None:
    own = [role.name for role in method.roles() if role.name not in ("x0", "x1") and not role.optional]
    if own:
        remedy = "Write a table [data.<role>] for each role, and [[ask]] instead of [evaluate]."
        raise invalid("method", f"{kind!r} must have its own roles, {', '.join(own)}", "x0, x1", remedy)


def _roles(method: Method, data: TaskData) -> dict[str, Any]:
    """The training samples as roles."""
    start, end = None if data.x0 is None else data.x0.train.x, data.x1.train.x
    known = {"x0": start, "x1": end}
    return {role.name: known[role.name] for role in method.roles() if role.name in known}


def judge(method: Any, kind: str, data: TaskData, config: EvaluateConfig, say: Say) -> Findings:
    """Carry held-out starts over and compare them with held-out data, beside floors and a trivial baseline."""
    title = find_card(kind, method_kind(kind)).title
    work = _MethodEvaluation(method, title, data, config)
    for name, step in (
        ("carrying", work.sample_all),
        ("distances", work.compare),
        ("numbers", work.summarise),
    ):
        say(name)
        with work.noted(name):
            step()
    work.found.arrays["transport_pairs_x0"] = work.start[:_PAIRS]
    if work.flow is not None:
        work.found.arrays["transport_pairs_x1"] = work.samples[work.flow][:_PAIRS]
    return work.found


_PAIRS = 200


class _MethodEvaluation(Evaluation):
    """The comparisons of a bridge's evaluation, for anything that carries points over."""

    def __init__(self, method: Any, title: str, data: TaskData, config: EvaluateConfig) -> None:
        base = Gaussian(tuple(data.x1.train.x.shape[1:])) if data.x0 is None else None
        super().__init__(_AsBridge(method, title, base), data, config, False)  # type: ignore[arg-type]
        self.method, self.title = method, title

    def sample_all(self) -> None:
        """One set of samples; it takes the place of the flow's."""
        done = self.move(self.start, 0.0, None)
        self.samples[0.0], self.nfe[0.0] = done.x, done
        arrays, shown = self.found.arrays, self.config.shown
        arrays["real"], arrays["start"] = self.real.x[:shown], self.start[:shown]
        arrays["samples/eps=0"] = done.x[:shown]
        if self.real.labels is not None:
            arrays["real_labels"] = self.real.labels[:shown]

    def how(self, eps: float) -> str:
        """The method's title."""
        return self.title

    def summarise(self) -> None:
        """The method's own numbers, as they are."""
        self.found.metrics += _own_numbers(self.method)


def _row(score: Score) -> dict[str, Any]:
    """A score as a row of ``results.json``; the first of its rivals is the baseline."""
    baseline_name, baseline = next(iter(score.rivals.items()), ("", None))
    return {
        "id": score.name,
        "title": score.title or score.name,
        "value": score.value,
        "error": None if math.isnan(score.error) else score.error,
        "n": score.n,
        "floor": None if isinstance(score.floor, str) else score.floor,
        "floor_error": None if math.isnan(score.floor_error) else score.floor_error,
        "baseline": baseline,
        "baseline_name": baseline_name,
        "better": score.better,
        "unit": score.unit,
        "note": score.note,
    }


def _own_numbers(method: Any) -> list[dict[str, Any]]:
    """Facts that a method reports about itself, as rows of numbers."""
    if isinstance(method, Method):
        return []
    note = "A number of the method's own."
    return [
        _row(
            Score(
                name=f"own_{name}", title=name.replace("_", " ").capitalize(), value=float(value), note=note
            )
        )
        for name, value in method.summary().items()
    ]


class _AsBridge:
    """Adapter that gives a method the interface of a bridge, in data units, for the evaluation."""

    def __init__(self, method: Any, title: str, base: Gaussian | None) -> None:
        self.method, self.title = method, title
        self.first_path, self.frame = _Base(base), Standard()

    def transport(self, x: Tensor, *, reverse: bool = False, seed: int = 0, **ignored: Any) -> Samples:
        """Points carried over by the method."""
        options = {} if isinstance(self.method, Method) else {"seed": seed}
        moved = self.method.transport(x, reverse=reverse, **options)
        ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
        status = torch.zeros(len(x), dtype=torch.long)
        return Samples(moved, 0, status, ends, self.title, seed)


class _Base:
    """A path of which only the base matters."""

    def __init__(self, base: Gaussian | None) -> None:
        self.base = base


def _record(
    task: TaskConfig, kind: str, method: Any, data: TaskData, found: Findings, seconds: float
) -> dict[str, Any]:
    history = [dict(row) for row in getattr(getattr(method, "result", None), "history", [])]
    history = [dict(row) for row in method.history] if isinstance(method, Method) else history
    x0 = {
        "name": "Gaussian",
        "n": None,
        "shape": list(data.x1.train.x.shape[1:]),
        "source": "drawn",
        "licence": "",
    }
    last = history[-1] if history else {}
    return {
        "name": task.name,
        "title": task.title or task.name,
        "kind": data.kind,
        "conditional": False,
        "method": {**(task.method or {}), "kind": kind},
        "path": {"kind": kind},
        "learn": [],
        "train": {"steps": last.get("step"), "seconds": seconds, "final_loss": last.get("loss")},
        "data": {
            "x0": x0 if data.x0 is None else data.x0.describe(),
            "x1": data.x1.describe(),
            "heldout n": len(data.x1.test),
        },
        "metrics": found.metrics,
        "table_eps": [],
        "checks": [],
        "history": history,
        "classes": list(data.x1.classes),
        "warnings": found.warnings,
        "texts": found.texts,
        "arrays": f"{task.name}/{ARRAYS}",
    }
