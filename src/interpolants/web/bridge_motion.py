"""Trajectories of a trained bridge for a page: a batch, or one point repeatedly, at several noise levels.

The same starts go through every level and every run that is asked for. Where data are images they are sent as bytes,
-1 black and 1 white; points as they are; anything else by its two main directions, one coordinate against time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from interpolants.dynamics.sample import Samples
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.randomness import generator
from interpolants.methods.bridge.bridge import Bridge
from interpolants.methods.questions.distances import spread_of
from interpolants.methods.questions.plane import Plane
from interpolants.metrics.energy_distance import energy_distance
from interpolants.web.playground import Real
from interpolants.web.runs import Shown, shown_at
from interpolants.web.work import Answer, Work, watched

# Samples x steps x stages x levels x entries of a sample: some ten seconds of a small network.
BUDGET = 20_000_000
MOST_IMAGES = 64
FRAMES, IMAGE_FRAMES = 49, 25
_COMPARED, _CONTEXT, _CHUNK, _STAGES = 1500, 1000, 256, 2

Level = Annotated[Real, Field(ge=0, le=100, allow_inf_nan=False)]
Number = Annotated[int, Field(ge=0, le=9999)]


class Journey(BaseModel):
    """Request of a trajectory; unknown keys are refused.

    Attributes:
        runs: Numbers of the runs, one or two.
        way: From rho0 to rho1, from rho1 to rho0, or from rho1 to rho0 and back again.
        start: ``"batch"``, or ``"one"``: the chosen row, ``n`` times.
        row: Which row, of those that the run holds.
        eps: Noise levels; 0 is the ODE.
        n: Samples.
        n_steps: Steps each way.
        label: Condition of all samples, and of the ends that a batch begins with; None is each row's own.
        seed: Seed of the choice of the batch, and of the noise.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    runs: Annotated[list[Number], Field(min_length=1, max_length=2)]
    way: Literal["forward", "backward", "there and back"] = "forward"
    start: Literal["batch", "one"] = "batch"
    row: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    eps: Annotated[list[Level], Field(min_length=1, max_length=4)] = [0.0]
    n: Annotated[int, Field(ge=1, le=2000)] = 400
    n_steps: Annotated[int, Field(ge=1, le=400)] = 50
    label: Annotated[int, Field(ge=0, le=100_000)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


@dataclass(frozen=True)
class Starts:
    """Points ``(n, *D)`` in data units with their conditions, and which row each is."""

    x: Tensor
    cond: Tensor | None
    rows: list[int]


def plan(question: Journey, runs: Sequence[Shown]) -> "Trip":
    """Check a question against the runs, before any work is done.

    Raises:
        InvalidInputError: If a run is not there, has no bridge, or the question is too much or does not fit.
    """
    shown = [shown_at(runs, index) for index in question.runs]
    bridges = [one.bridge() for one in shown]
    _check_fit(question, shown, bridges)
    if shown[0].is_image and question.n > MOST_IMAGES:
        rule, remedy = f"at most {MOST_IMAGES} images can be shown", "Use fewer samples."
        raise invalid("explorer", rule, question.n, remedy)
    legs = 2 if question.way == "there and back" else 1
    size = math.prod(shown[0].shape)
    cost = question.n * question.n_steps * _STAGES * len(question.eps) * len(shown) * size * legs
    if cost > BUDGET:
        rule = f"samples x steps x stages x levels x entries of a sample must be at most {BUDGET:,}"
        raise invalid("explorer", rule, f"{cost:,}", "Use fewer samples, steps or levels.")
    return Trip(question, tuple(shown))


def _check_fit(question: Journey, shown: Sequence[Shown], bridges: Sequence[Bridge]) -> None:
    for one, bridge in zip(shown, bridges, strict=True):
        if any(question.eps) and not bridge.fields.has_score:
            rule = "eps > 0 needs a score, which does not follow from what was learnt"
            raise invalid("explorer", rule, f"{one.name!r} with {list(bridge.heads)}", "Use eps = 0.")
        if question.label is not None and question.label >= bridge.classes:
            known = f"label must be one of the {bridge.classes} of the run"
            rule = known if bridge.classes else "the run has no labels"
            raise invalid("explorer", rule, question.label, "Leave label out.")
    if len({one.shape for one in shown}) > 1:
        rule = "runs can be compared if their data have one shape"
        found = " and ".join(str(one.shape) for one in shown)
        raise invalid("explorer", rule, found, "Choose another run.")


@dataclass(frozen=True)
class Trip:
    """A checked question; call :meth:`make` for its answer."""

    question: Journey
    shown: tuple[Shown, ...]

    def make(self, work: Work) -> Answer:
        """Carry the points and draw them.

        Raises:
            DivergedError: If a sample became NaN or infinite.
            CancelledError: If nobody waits.
        """
        starts = self.starts()
        panels: list[dict[str, Any]] = []
        blocks: list[NDArray[Any]] = []
        canvas = _Canvas.of(self.shown[0])
        total = len(self.shown) * len(self.question.eps)
        calls = self._calls()
        for number, shown in zip(self.question.runs, self.shown, strict=True):
            for eps in self.question.eps:
                work.step(len(panels) / total, f"{shown.name}, eps = {eps:g}")
                networks = shown.bridge().fields.networks
                with watched(work, networks, total * calls, len(panels) * calls):
                    done = self._go(shown, starts, eps)
                facts = {"run": number, "name": shown.name, "eps": eps, **self._numbers(shown, starts, done)}
                kept = _kept(len(done.times), canvas.frames)
                facts["times"] = [round(float(t), 5) for t in done.times[kept]]
                panels.append(facts)
                assert done.path is not None
                blocks.append(canvas.draw(done.path[kept], done.times[kept]))
        context = canvas.context(self.shown[0])
        rows = self.shown[0].rows
        facts = {
            "panels": panels,
            "n": len(starts.x),
            "way": self.question.way,
            "rows": starts.rows,
            "held_out": rows.held_out,
            "most": len(rows.x0 if self.question.way == "forward" else rows.x1),
            **canvas.facts(blocks, context),
        }
        return Answer(facts, tuple(block.tobytes() for block in [*blocks, *context]))

    def _calls(self) -> int:
        chunks = math.ceil(self.question.n / _CHUNK)
        return chunks * self.question.n_steps * _STAGES * (2 if self.question.way == "there and back" else 1)

    def starts(self) -> Starts:
        """Common starts of all runs and levels: rows of the first run; with a label, ends of that label."""
        question, rows = self.question, self.shown[0].rows
        x, among = (rows.x0 if question.way == "forward" else rows.x1), None
        if question.label is not None and question.way != "forward" and rows.cond is not None:
            among = (rows.cond == question.label).nonzero().flatten()
        if question.start == "one":
            if question.row >= len(x):
                raise invalid("explorer", f"row must be below {len(x)}", question.row, "Choose another row.")
            pick = torch.full((question.n,), question.row)
        else:
            among = torch.arange(len(x)) if among is None else among
            if not len(among):
                rule, remedy = "the label must have rows to start from", "Choose another label."
                raise invalid("explorer", rule, f"none of label {question.label}", remedy)
            if question.seed:
                among = among[torch.randperm(len(among), generator=generator(question.seed, "carried rows"))]
            pick = among[: question.n]
        if question.label is not None:
            cond: Tensor | None = torch.full((len(pick),), question.label)
        else:
            cond = None if rows.cond is None else rows.cond[pick % len(rows.cond)]
        return Starts(x[pick], cond, pick.tolist())

    def _go(self, shown: Shown, starts: Starts, eps: float) -> Samples:
        bridge, question = shown.bridge(), self.question
        cond = starts.cond if bridge.is_conditional else None

        def move(x: Tensor, reverse: bool, seed: int) -> Samples:
            done: Samples = bridge.transport(
                x, eps=eps, reverse=reverse, seed=seed, cond=cond, details=True, return_path=True,
                n_steps=question.n_steps, chunk=_CHUNK, on_failure="keep",
            )  # fmt: skip
            if not bool(torch.isfinite(done.x).all()):
                rule = f"{shown.name}: samples became NaN or infinite at eps = {eps:g}"
                raise DivergedError(f"explorer: {rule}. Use more steps or a smaller eps.")
            return done

        first = move(starts.x, question.way != "forward", question.seed)
        assert first.path is not None
        if question.way != "there and back":
            return first
        back = move(first.x, False, question.seed + 1)
        assert back.path is not None
        path, times = torch.cat([first.path, back.path[1:]]), torch.cat([first.times, back.times[1:]])
        return replace(back, path=path, times=times, nfe=_nfe(first) + _nfe(back))

    def _numbers(self, shown: Shown, starts: Starts, done: Samples) -> dict[str, Any]:
        """Text on where the points arrived."""
        found: dict[str, Any] = {"nfe": _nfe(done), "eps_used": _level(done)}
        if self.question.way == "there and back":
            found["miss"] = float((done.x - starts.x).square().mean().sqrt())
            found["spread_of_data"] = float(shown.rows.x1.std())
        if self.question.start == "one":
            found["spread"] = float((done.x - done.x.mean(0)).square().mean().sqrt())
        elif self.question.way != "there and back" and len(done.x) >= 50 and self.question.label is None:
            goal = shown.rows.x1 if self.question.way == "forward" else shown.rows.x0
            source = generator(0, "carried distance")
            spread = spread_of(goal).to(goal)
            compared = energy_distance(
                done.x[:_COMPARED] / spread, goal[:_COMPARED] / spread, generator=source
            )
            found["distance"] = [compared.value, compared.error if math.isfinite(compared.error) else 0.0]
        return found


@dataclass(frozen=True)
class _Canvas:
    """Conversion of states to what a page draws."""

    shape: tuple[int, ...]
    is_image: bool
    plane: Plane | None
    frames: int

    @classmethod
    def of(cls, shown: Shown) -> "_Canvas":
        if shown.is_image:
            return cls(shown.shape, True, None, IMAGE_FRAMES)
        return cls(shown.shape, False, shown.plane, FRAMES)

    @property
    def is_flat(self) -> bool:
        """One coordinate: it is drawn against time."""
        return math.prod(self.shape) == 1

    def draw(self, path: Tensor, times: Tensor) -> NDArray[Any]:
        """States ``(F, n, *D)`` as bytes ``(F, n, C, H, W)``, or as points ``(F, n, 2)``."""
        if self.is_image:
            return ((path.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
        if self.is_flat:
            level = times.to(path).reshape(-1, 1).expand(path.shape[:2])
            return torch.stack([path.reshape(path.shape[:2]), level], 2).float().numpy()
        assert self.plane is not None
        return np.ascontiguousarray(self.plane.trajectory(path.numpy()), dtype=np.float32)

    def context(self, shown: Shown) -> list[NDArray[Any]]:
        """Data of both ends, for the background."""
        if self.is_image:
            return []
        sides = [(shown.rows.x0[:_CONTEXT], 0.0), (shown.rows.x1[:_CONTEXT], 1.0)]
        return [self.draw(x[None], torch.tensor([t]))[0] for x, t in sides]

    def facts(self, blocks: list[NDArray[Any]], context: list[NDArray[Any]]) -> dict[str, Any]:
        """Kind, limits and axes."""
        if self.is_image:
            return {"kind": "images", "shape": list(self.shape)}
        names = ["x", "time t"] if self.is_flat else list(self.plane.names) if self.plane else []
        seen = np.concatenate([*context, *(block[[0, -1]].reshape(-1, 2) for block in blocks)])
        low, high = np.quantile(seen, 0.005, 0), np.quantile(seen, 0.995, 0)
        if self.is_flat:
            low[1], high[1] = 0.0, 1.0
        middle, reach = (low + high) / 2, np.maximum((high - low) / 2 * 1.12, 1e-3)
        if not self.is_flat:
            reach = np.full(2, reach.max())
        box = [[float(m - r), float(m + r)] for m, r in zip(middle, reach, strict=True)]
        return {"kind": "points", "axes": names, "box": box, "context": [len(rows) for rows in context]}


def _kept(count: int, frames: int) -> NDArray[Any]:
    return np.unique(np.linspace(0, count - 1, frames).round().astype(int))


def _nfe(done: Samples) -> int:
    return done.nfe if isinstance(done.nfe, int) else int(done.nfe.max())


def _level(done: Samples) -> float | None:
    """The largest noise level that was used, after the cap; None for the ODE."""
    return None if done.eps is None else float(done.eps.max())
