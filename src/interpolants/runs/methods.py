"""Runs of a method of ``interpolants.bridges``: fit, carry held-out points over, compare."""

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics.sample import Samples
from interpolants.estimator.normaliser import Normaliser
from interpolants.foundations.cards import load_cards
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.registry import build
from interpolants.runs.config import EvaluateConfig, TaskConfig
from interpolants.runs.evaluate import Evaluation, Findings, Say
from interpolants.runs.folder import ARRAYS, write_arrays
from interpolants.runs.sources import TaskData


def run_method(task: TaskConfig, data: TaskData, folder: Path, say: Say, *, progress: bool) -> dict[str, Any]:
    """Fit and judge the method of a task; its entry of the results.

    The method has ``fit(x0, x1, progress=)``, ``transport(x, reverse=, seed=)`` and ``summary()``. The fitted method
    itself is not stored.
    """
    assert task.method is not None
    settings = dict(task.method)
    kind = str(settings.pop("kind"))
    method = build("bridge", kind, **settings)
    began = time.perf_counter()
    say("fitting")
    method.fit(None if data.x0 is None else data.x0.train.x, data.x1.train.x, progress=progress)
    seconds = time.perf_counter() - began
    found = judge(method, kind, data, task.evaluate, say)
    (folder / task.name).mkdir(parents=True, exist_ok=True)
    write_arrays(folder / task.name / ARRAYS, found.arrays)
    return _record(task, kind, method, data, found, seconds)


def judge(method: Any, kind: str, data: TaskData, config: EvaluateConfig, say: Say) -> Findings:
    """Carry held-out starts over and compare them with held-out data, beside floors and a trivial baseline."""
    title = next(card.title for card in load_cards() if card.family == "bridge" and card.id == kind)
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
        for name, value in self.method.summary().items():
            row: dict[str, Any] = dict.fromkeys(("error", "n", "floor", "floor_error", "baseline"))
            row |= {"id": f"own_{name}", "title": name.replace("_", " ").capitalize(), "value": float(value)}
            row |= {
                "baseline_name": "",
                "better": "neither",
                "unit": "",
                "note": "A number of the method's own.",
            }
            self.found.metrics.append(row)


class _AsBridge:
    """What the evaluation asks of a bridge, answered by a method in data units."""

    def __init__(self, method: Any, title: str, base: Gaussian | None) -> None:
        self.method, self.title = method, title
        self.path, self.normaliser = _Base(base), Normaliser.identity()

    def transport(self, x: Tensor, *, reverse: bool = False, seed: int = 0, **ignored: Any) -> Samples:
        """Points carried over by the method."""
        moved = self.method.transport(x, reverse=reverse, seed=seed)
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
        "arrays": f"{task.name}/{ARRAYS}",
    }
