"""The light Schroedinger bridge next to the code of its authors: the same problem, batches, steps and threads.

Their code is not part of this project. Fetch github.com/ngushchin/LightSB and install what it imports (torch, tqdm,
geotorch), then ``python -m benchmarks light_sb --official FOLDER``. Ours works in float64, theirs in float32. What is
timed of theirs are the calls of their notebooks: ``get_log_potential``, ``get_log_C``, ``backward``, Adam;
``get_drift``; ``forward`` with the whole batch at once (its default is one row at a time).
"""

import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from benchmarks.overhead import machine
from benchmarks.timing import compare
from interpolants.generative.schrodinger.couplings.light_model import Coordinates, Model
from interpolants.generative.schrodinger.couplings.light_plan import LightPlan
from interpolants.generative.schrodinger.couplings.light_search import Adam, batch_gradient
from interpolants.generative.schrodinger.couplings.light_settings import LightTraining
from interpolants.generative.schrodinger.couplings.light_training import fit_light_plan
from interpolants.generative.schrodinger.problems.light_schrodinger import EOTMixturePair
from interpolants.metrics.bures_uvp import cbw2_uvp

BATCH, STEPS, ROWS = 128, 100, 1024
# Dimension, components, full covariances.
SIZES = ((2, 10, False), (2, 50, False), (16, 50, False), (64, 50, False), (10, 10, True))
EPS = 0.25


def run(*, official: Path | None = None, rounds: int = 7, report: Callable[[str], None]) -> None:
    """Time LightSB beside the authors' code, a checkout of which is ``official``; ratios are ours over theirs."""
    theirs = None if official is None else load(official)
    report(f"Measured on: {machine()}. Median milliseconds, theirs -> ours, and the ratio theirs / ours.\n")
    head = (
        "size",
        f"training step, batch {BATCH}",
        f"drift of {ROWS} points",
        f"{ROWS} draws of x1 given x0",
    )
    report("| " + " | ".join(head) + " |\n" + "| --- " * 4 + "|")
    for dim, k, full in SIZES:
        cells = [f"{dim} dimensions, {k} {'full' if full else 'diagonal'} components"]
        for make, unit in ((training, STEPS), (drifts, 1), (draws, 1)):
            rows = compare(make(theirs, dim, k, full), rounds=rounds, repeats=1 if unit > 1 else 10)
            *before, ours = (1e3 * row.median / unit for row in rows)
            cells.append(
                f"{before[0]:.3f} -> {ours:.3f}, {1 / rows[1].ratio:.1f} x" if before else f"{ours:.3f}"
            )
        report("| " + " | ".join(cells) + " |")
    report("\n" + quality(theirs))


def load(folder: Path) -> Any:
    """The class of the authors, from a checkout."""
    sys.path.insert(0, str(folder))
    return import_module("src.light_sb").LightSB


def training(theirs: Any, dim: int, k: int, full: bool) -> dict[str, Callable[[], object]]:
    """A hundred steps of Adam from one start on one set of batches; the first case is theirs."""
    x0, x1, start = _problem(dim, k)
    rows = torch.randint(len(x0), (STEPS, 2, BATCH), generator=torch.Generator().manual_seed(1))
    y0, y1 = x0.double(), x1.double()

    def ours() -> None:
        slopes = torch.full((k, dim), 0.1, dtype=torch.float64)
        model = Model(
            torch.zeros(k, dtype=torch.float64), start.double(), slopes.diag_embed() if full else slopes
        )
        point = Coordinates.of(model)
        adam = Adam(point.flat, 1e-2, STEPS)
        for i0, i1 in rows:
            adam.step(batch_gradient(point, y0[i0], y1[i1], 2 * EPS))

    def official() -> None:
        model = theirs(dim=dim, n_potentials=k, epsilon=2 * EPS, is_diagonal=not full, S_diagonal_init=0.1)
        model.init_r_by_samples(start)
        adam = torch.optim.Adam(model.parameters(), lr=1e-2)
        for i0, i1 in rows:
            adam.zero_grad()
            loss = (model.get_log_C(x0[i0]) - model.get_log_potential(x1[i1])).mean()
            loss.backward()
            adam.step()

    return _cases(theirs, official, ours)


def drifts(theirs: Any, dim: int, k: int, full: bool) -> dict[str, Callable[[], object]]:
    """The forward drift of one batch."""
    x0, _, start = _problem(dim, k)
    x, times = x0[:ROWS], torch.full((ROWS,), 0.5)
    plan = _plan(start, full)
    model = None if theirs is None else _model(theirs, start, full)
    return _cases(theirs, lambda: model.get_drift(x, times), lambda: plan.drift(x, 0.5))


def draws(theirs: Any, dim: int, k: int, full: bool) -> dict[str, Callable[[], object]]:
    """One x1 for each x0."""
    x0, _, start = _problem(dim, k)
    x, source = x0[:ROWS], torch.Generator().manual_seed(0)
    plan = _plan(start, full)
    model = None if theirs is None else _model(theirs, start, full)
    return _cases(theirs, lambda: model(x), lambda: plan.sample(x, generator=source))


def quality(theirs: Any) -> str:
    """Seconds and error of whole fits on the benchmark with a known plan, 50,000 samples a side, three seeds."""
    lines = ["Whole fits: error of the conditionals (cBW2-UVP, percent) and seconds.", ""]
    lines += [
        "| dimensions | eps | seed | theirs, 3,000 steps | Adam, 3,000 steps | lbfgs |",
        "| --- " * 6 + "|",
    ]
    for dim, eps, k in ((2, 0.25, 10), (2, 0.05, 10), (16, 0.5, 50)):
        for seed in range(3):
            problem = EOTMixturePair(seed, dim, eps)
            ends = problem.sample_ends(50_000, generator=torch.Generator().manual_seed(seed))
            cells = []
            if theirs is None:
                cells.append("-")
            else:
                cells.append(_judged(problem, ends.x1, lambda: _official_fit(theirs, ends, eps, k, seed)))  # noqa: B023
            for settings in ({"method": "adam", "steps": 3000}, {"method": "lbfgs"}):
                training = LightTraining(n_components=k, seed=seed, **settings)
                fit = lambda: fit_light_plan(ends.x0, ends.x1, eps=eps, settings=training).plan.moments  # noqa: B023, E731
                cells.append(_judged(problem, ends.x1, fit))
            lines.append(f"| {dim} | {eps} | {seed} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _judged(problem: EOTMixturePair, x1: Any, fit: Callable[[], Any]) -> str:
    began = time.perf_counter()
    moments = fit()
    seconds = time.perf_counter() - began
    start = problem.rho0.sample(1000, generator=torch.Generator().manual_seed(9))
    ours, exact = moments(start), problem.plan.moments(start)
    found = cbw2_uvp(
        ours.mean, ours.covariance, exact.mean, exact.covariance, variance=float(x1.var(0).sum())
    )
    return f"{found.value:.3f} ({seconds:.1f} s)"


def _official_fit(theirs: Any, ends: Any, eps: float, k: int, seed: int) -> Any:
    source = torch.Generator().manual_seed(seed)
    x0, x1 = ends.x0.float(), ends.x1.float()
    dim = x0.shape[1]
    model = theirs(dim=dim, n_potentials=k, epsilon=2 * eps, is_diagonal=True, S_diagonal_init=1.0)
    model.init_r_by_samples(x1[torch.randperm(len(x1), generator=source)[:k]])
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(3000):
        i0, i1 = torch.randint(len(x0), (2, BATCH), generator=source)
        adam.zero_grad()
        loss = (model.get_log_C(x0[i0]) - model.get_log_potential(x1[i1])).mean()
        loss.backward()
        adam.step()
    with torch.no_grad():
        plan = LightPlan(eps, model.get_log_alpha().double(), model.get_r().double(), model.get_S().double())
    return plan.moments


def _problem(dim: int, k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    ends = EOTMixturePair(0, dim, EPS).sample_ends(20_000, generator=torch.Generator().manual_seed(0))
    x0, x1 = ends.x0.float(), ends.x1.float()
    return x0, x1, x1[:k].clone()


def _plan(offsets: torch.Tensor, full: bool) -> LightPlan:
    slopes = torch.full_like(offsets, 0.1)
    return LightPlan(EPS, torch.zeros(len(offsets)), offsets, slopes.diag_embed() if full else slopes).to(
        dtype=torch.float64
    )


def _model(theirs: Any, offsets: torch.Tensor, full: bool) -> Any:
    k, dim = offsets.shape
    model = theirs(dim=dim, n_potentials=k, epsilon=2 * EPS, is_diagonal=not full, sampling_batch_size=ROWS)
    model.init_r_by_samples(offsets)
    return model


def _cases(
    theirs: Any, official: Callable[[], object], ours: Callable[[], object]
) -> dict[str, Callable[[], object]]:
    return {"ours": ours} if theirs is None else {"theirs": official, "ours": ours}
