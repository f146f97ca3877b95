"""How well are fields learnt? Relative L2 errors against closed forms, and do ODE and SDE samples agree?

Two problems: a Gaussian bridged to the checkerboard, and a three-mode mixture bridged to a five-mode one, both by the
linear path with a Brownian envelope. Every field is learnt by its own head of one network per problem and compared
with the exact one on draws of the interpolant, per field and over training time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics import sample
from interpolants.fields import Fields, LearnedFields
from interpolants.foundations.ops import sum_event
from interpolants.metrics import energy_distance
from interpolants.nets import MLP
from interpolants.objectives.joint import joint_loss
from interpolants.paths import Linear, Path
from interpolants.problems import Checkerboard, CheckerboardBridge, GaussianMixture, GaussianMixtureBridge
from interpolants.training.engine import Moment, fit
from interpolants.training.settings import TrainSettings

HEADS = ("velocity", "mean_rate", "noise", "score", "endpoint0", "denoised")
DERIVED = (("velocity", "noise"), ("mean_rate", "noise"), ("endpoint0", "denoised"))
_MARGIN = 0.02


@dataclass(frozen=True)
class Case:
    """A problem with its samplers and exact fields."""

    name: str
    start: Callable[[int, torch.Generator], Tensor]
    end: Callable[[int, torch.Generator], Tensor]
    exact: Fields
    path: Path


def cases() -> list[Case]:
    """The two problems of the benchmark."""
    path, board = Linear(), Checkerboard()
    rho0 = _ring(3, radius=4.0, scale=0.6, turn=0.5)
    rho1 = _ring(5, radius=5.0, scale=0.5, turn=0.0)

    def normal(n: int, g: torch.Generator) -> Tensor:
        return torch.randn(n, 2, generator=g)

    return [
        Case(
            "Gaussian to checkerboard",
            normal,
            lambda n, g: board.sample(n, generator=g),
            CheckerboardBridge(board).fields(path),
            path,
        ),
        Case(
            "three modes to five",
            lambda n, g: rho0.sample(n, generator=g).float(),
            lambda n, g: rho1.sample(n, generator=g).float(),
            GaussianMixtureBridge(rho0, rho1).fields(path),
            path,
        ),
    ]


def _ring(modes: int, *, radius: float, scale: float, turn: float) -> GaussianMixture:
    angle = 2 * torch.pi * (torch.arange(modes, dtype=torch.float64) + turn) / modes
    means = radius * torch.stack([angle.cos(), angle.sin()], 1)
    weights = torch.arange(1, modes + 1, dtype=torch.float64)
    return GaussianMixture(
        weights / weights.sum(), means, torch.full((modes,), scale**2, dtype=torch.float64)
    )


def learn(case: Case, *, steps: int, seed: int, report: Callable[[str], None]) -> LearnedFields:
    """Train all heads on one trunk; report the errors a quarter, half and all the way."""
    net = MLP(2, width=256, depth=4, heads=len(HEADS), seed=seed)
    loss = joint_loss(HEADS, case.path)
    settings = TrainSettings(steps=steps, batch_size=1024, lr=2e-3, schedule="cosine", warmup=50, seed=seed)
    marks = {steps // 4, steps // 2}

    def batches(step: int, generator: torch.Generator, rank: int, world: int) -> dict[str, Tensor]:
        n = settings.batch_size
        t = (torch.randperm(n, generator=generator) + torch.rand(n, generator=generator)) / n
        t = t.clamp(1e-4, 1 - 1e-4)
        return {"x0": case.start(n, generator), "x1": case.end(n, generator), "t": t}

    def losses(modules: Any, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        return loss(modules, **batch, generator=generator)

    def watch(moment: Moment) -> None:
        if moment.step in marks:
            report(
                _line(case, LearnedFields(case.path, joint=net, heads=HEADS), f"{moment.step} steps", seed)
            )

    # The losses of score and velocity are far larger than the others: each head gets the same share of the gradient.
    def balanced(parts: Any) -> Tensor:
        means = {name: part.mean() for name, part in parts.items()}
        return torch.stack([mean / mean.detach().abs().clamp_min(1e-6) for mean in means.values()]).sum()

    result = fit(net, losses, batches, settings, callbacks=(watch,), progress=False, aggregate=balanced)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.copy_((result.ema or {})[name])
    net.eval().requires_grad_(False)
    fields = LearnedFields(case.path, joint=net, heads=HEADS)
    report(_line(case, fields, f"{steps} steps, averaged", seed))
    return fields


def relative_errors(case: Case, fields: Fields, quantities: tuple[str, ...], seed: int) -> dict[str, float]:
    """``sqrt(E|f - exact|^2 / E|exact|^2)`` over draws of the interpolant at times in [0.02, 0.98]."""
    g = torch.Generator().manual_seed(10_000 + seed)
    top = dict.fromkeys(quantities, 0.0)
    bottom = dict.fromkeys(quantities, 0.0)
    with torch.inference_mode():
        for t in torch.linspace(_MARGIN, 1 - _MARGIN, 25):
            x = case.path.sample(x0=case.start(1000, g), x1=case.end(1000, g), t=t, generator=g).x_t
            found, exact = (
                fields.evaluate(x, t, quantities),
                case.exact.evaluate(x.double(), t.double(), quantities),
            )
            for name in quantities:
                top[name] += float(sum_event((found[name].double() - exact[name]).square()).mean())
                bottom[name] += float(sum_event(exact[name].square()).mean())
    return {name: (top[name] / bottom[name]) ** 0.5 for name in quantities}


def _line(case: Case, fields: Fields, label: str, seed: int) -> str:
    errors = relative_errors(case, fields, HEADS, seed)
    return f"| {label} | " + " | ".join(f"{errors[name]:.3f}" for name in HEADS) + " |"


def agreement(case: Case, fields: LearnedFields, *, n: int, seed: int) -> list[str]:
    """Energy distances of ODE and SDE samples to true ones and to each other, beside two true sets."""
    g = torch.Generator().manual_seed(20_000 + seed)
    start, truth, other = case.start(n, g), case.end(n, g), case.end(n, g)
    runs = {
        f"eps = {eps:g}": sample(fields, start, eps=eps, seed=seed, n_steps=200).x
        for eps in (0.0, 0.5, 1.0, 2.0)
    }
    flow = next(iter(runs.values()))
    rows = [f"| two true sets | {_distance(truth, other)} | |"]
    for name, x in runs.items():
        against = "" if x is flow else _distance(x, flow)
        rows.append(f"| {name} | {_distance(x, truth)} | {against} |")
    return rows


def _distance(x: Tensor, y: Tensor) -> str:
    found = energy_distance(x, y)
    return f"{found.value:.5f} ± {found.error:.5f}"


def run(*, steps: int = 4000, seeds: int = 1, n: int = 10_000, report: Callable[[str], None]) -> None:
    """Compare learnt fields with closed forms, and their ODE and SDE samples with each other."""
    for case in cases():
        for seed in range(seeds):
            report(f"\n### {case.name}, seed {seed}: relative L2 error of the learnt fields\n")
            report("| after | " + " | ".join(HEADS) + " |\n|" + " --- |" * (len(HEADS) + 1))
            fields = learn(case, steps=steps, seed=seed, report=report)
            for pair in DERIVED:
                net = fields.networks[0]
                chosen = LearnedFields(case.path, **{name: _head(net, name) for name in pair})
                report(_line(case, chosen, f"all from {' and '.join(pair)}", seed))
            report("\n| samples | energy distance to true samples | to the ODE's |\n| --- | --- | --- |")
            pair_fields = LearnedFields(
                case.path,
                velocity=_head(fields.networks[0], "velocity"),
                noise=_head(fields.networks[0], "noise"),
            )
            for row in agreement(case, pair_fields, n=n, seed=seed):
                report(row)


def _head(net: Any, name: str) -> Callable[..., Tensor]:
    k = HEADS.index(name)
    return lambda x, t, cond=None: net(x, t, cond)[:, k]
