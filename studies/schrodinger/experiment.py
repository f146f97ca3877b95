"""Two solvers of the Schroedinger bridge: against the closed form between Gaussians, and against each other.

Gaussians with general covariances in 2 and 16 dimensions: drift, distributions at five times and coupling of the
learnt bridge, held against the closed form. Eight Gaussians to two moons in the plane: what arrives, energy, and
distance of the drift from that of a large entropic plan.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.dynamics.sample import sample
from interpolants.framework.answered import Answered, measured
from interpolants.framework.experiment import RUN
from interpolants.framework.figures import Axis, Figure, Panel, across, cloud, trails
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.generative.schrodinger.bridge import SchrodingerBridge
from interpolants.generative.schrodinger.entropic_sb import EntropicSB
from interpolants.generative.schrodinger.interpolant_sb import InterpolantSB
from interpolants.metrics.energy_distance import energy_distance
from interpolants.problems.schrodinger import GaussianSchrodingerBridge
from interpolants.problems.toys import EightGaussians, Moons
from studies.common import Study

Settings = Mapping[str, Any]
TIMES = (0.0, 0.25, 0.5, 0.75, 1.0)
# Dimension and eps of the Gaussian bridges; eigenvalues of both covariances spread evenly from 0.3 to 1.7.
GAUSSIANS = {"2-D": (2, 0.5), "16-D": (16, 1.0), "16-D, eps 0.5": (16, 0.5)}
TOYS = "8 Gaussians to moons"
SOLVERS = ("interpolant", "entropic")
_DATA, _TEST, _NOISE, _DISTRIBUTION = range(4)

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {
        "data": 2000, "net": {"width": 16, "depth": 2}, "steps": 60, "batch": 64, "block": 128, "pairs": 2000,
        "n": 500, "n_steps": 20, "reference": 256, "toy_eps": 0.3,
    },
    "laptop": {
        "data": 30_000, "net": {"width": 64, "depth": 2}, "steps": 4000, "batch": 1024, "block": 2048,
        "pairs": 400_000, "n": 10_000, "n_steps": 50, "reference": 2048, "toy_eps": 0.3,
    },
    "full": {
        "data": 200_000, "net": {"width": 128, "depth": 3}, "steps": 20_000, "batch": 2048, "block": 4096,
        "pairs": 1_000_000, "n": 100_000, "n_steps": 200, "reference": 8192, "toy_eps": 0.3,
    },
}  # fmt: skip


def cases(settings: Settings) -> Sequence[str]:
    """Every problem with every solver."""
    return tuple(f"{distribution} / {solver}" for distribution in (*GAUSSIANS, TOYS) for solver in SOLVERS)


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """Solve one bridge from samples, and hold it against what is known."""
    distribution, name = case.split(" / ")
    if distribution in GAUSSIANS:
        return measured(
            _gaussian(
                problem(distribution),
                _solver(name, GAUSSIANS[distribution][1], seed, settings),
                seed,
                settings,
            )
        )
    return _toys(_solver(name, settings["toy_eps"], seed, settings), seed, settings)


def problem(distribution: str) -> GaussianSchrodingerBridge:
    """Two Gaussians whose covariances do not commute, their means one unit apart in every coordinate."""
    dim, eps = GAUSSIANS[distribution]
    g = torch.Generator().manual_seed(dim + _DISTRIBUTION)
    spectrum = torch.linspace(0.3, 1.7, dim, dtype=torch.float64)
    covs = []
    for _ in range(2):
        axes = torch.linalg.qr(torch.randn(dim, dim, dtype=torch.float64, generator=g))[0]
        covs.append((axes * spectrum) @ axes.mT)
    return GaussianSchrodingerBridge([0.0] * dim, covs[0], [1.0] * dim, covs[1], eps)


def _solver(name: str, eps: float, seed: int, settings: Settings) -> SchrodingerBridge:
    net = {"kind": "mlp", **settings["net"]}
    train = {"steps": settings["steps"], "batch_size": settings["batch"], "lr": 5e-3}
    if name == "interpolant":
        return InterpolantSB(eps=eps, net=net, seed=seed, **train)
    return EntropicSB(eps=eps, net=net, seed=seed, **train, block=settings["block"], pairs=settings["pairs"])


def _gaussian(
    exact: GaussianSchrodingerBridge, solver: SchrodingerBridge, seed: int, settings: Settings
) -> dict[str, float]:
    g = _generator(seed, _DATA)
    x0, x1 = (
        distribution.sample(settings["data"], generator=g).float()
        for distribution in (exact.rho0, exact.rho1)
    )
    result = solver.fit(x0, x1)
    values = {"energy": result.kinetic_energy / exact.kinetic_energy, "residual": result.residual}
    values |= drift_errors(exact, result, seed)
    return values | distribution_errors(exact, result, seed, settings)


def drift_errors(exact: GaussianSchrodingerBridge, result: SchrodingerBridge, seed: int) -> dict[str, float]:
    """Relative L2 errors of both drifts over the bridge's own states, t uniform; and of the part that depends on x."""
    g = _generator(seed, _TEST)
    shift = (exact.rho1.mean - exact.rho0.mean).float()
    off, whole, varying = torch.zeros(2), torch.zeros(2), torch.zeros(2)
    for t in ((torch.arange(40) + 0.5) / 40).tolist():
        x = exact.marginal(t).sample(500, generator=g).float()
        learnt = torch.stack([result.drift(x, t), result.backward_drift(x, t)])
        truth = torch.stack([exact.drift(x, t), exact.backward_drift(x, t)])
        off += (learnt - truth).square().sum((1, 2))
        whole += truth.square().sum((1, 2))
        varying += (truth - shift).square().sum((1, 2))
    forward, backward = (off / whole).sqrt().tolist()
    inner = (off / varying).sqrt().max()
    return {"drift": forward, "backward drift": backward, "drift without its mean": float(inner)}


def distribution_errors(
    exact: GaussianSchrodingerBridge, result: SchrodingerBridge, seed: int, settings: Settings
) -> dict[str, float]:
    """Errors of the distributions at five times and of the coupling, from the forward SDE.

    The coupling's error is that of the learnt SDE against the exact one under the same noise and with the same start
    points: most of the sampling error of a covariance cancels.
    """
    n, steps = settings["n"], settings["n_steps"]
    x0 = exact.rho0.sample(n, generator=_generator(seed, _NOISE)).float()
    values: dict[str, float] = {}
    states = result.sample_marginals(x0, TIMES, seed=seed, n_steps=steps)
    for t, x in zip(TIMES, states, strict=True):
        distribution = exact.marginal(t)
        std = distribution.covariance.diagonal().sqrt().float()
        values[f"mean t={t}"] = float((x.mean(0) - distribution.mean.float()).norm() / std.norm())
        values[f"std t={t}"] = float((x.std(0) - std).norm() / std.norm())
    values["worst mean"] = max(v for k, v in values.items() if k.startswith("mean"))
    values["worst std"] = max(v for k, v in values.items() if k.startswith("std"))
    truth = exact.coupling_covariance
    ours = _covariance(x0, result.transport(x0, seed=seed, n_steps=steps))
    theirs = _covariance(x0, sample(exact.fields(), x0, eps=exact.eps, seed=seed, n_steps=steps).x)
    values["coupling"] = float((ours - theirs).norm() / truth.norm())
    values["coupling, sampled"] = float((ours - truth).norm() / truth.norm())
    return values


def _toys(solver: SchrodingerBridge, seed: int, settings: Settings) -> Answered:
    g = _generator(seed, _DATA)
    base, data = EightGaussians(), Moons()
    x0, x1 = (distribution.sample(settings["data"], generator=g).float() for distribution in (base, data))
    result = solver.fit(x0, x1)
    reference = EntropicSB(eps=solver.eps, solver="plan", block=settings["reference"], seed=seed).fit(x0, x1)
    n = min(settings["n"], 4000)
    test0, test1 = (
        distribution.sample(n, generator=_generator(seed, _TEST)).float() for distribution in (base, data)
    )
    there, back = result.transport(test0, seed=seed), result.transport(test1, reverse=True, seed=seed)
    floor = energy_distance(data.sample(n, generator=g).float(), test1).value
    values = {
        "energy": result.kinetic_energy,
        "residual": result.residual,
        "arrived": energy_distance(there, test1).value,
        "arrived, floor": floor,
        "returned": energy_distance(back, test0).value,
        "drift against plan": _gap(result, reference, test0, seed),
    }
    paths = result.sample_marginals(test0[:400], np.linspace(0, 1, 21).tolist(), seed=seed, n_steps=100)
    return measured(
        values, {"paths": paths.numpy(), "data": test1[:2000].numpy(), "base": test0[:2000].numpy()}
    )


def _gap(result: SchrodingerBridge, reference: SchrodingerBridge, x0: Tensor, seed: int) -> float:
    """Relative L2 distance of the forward drifts on the learnt paths up to t = 0.8: then the plan sees its points."""
    times = [k / 10 for k in range(1, 9)]
    off = whole = 0.0
    for t, x in zip(times, result.sample_marginals(x0[:1000], times, seed=seed), strict=True):
        u = reference.drift(x, t)
        off += float((result.drift(x, t) - u).square().sum())
        whole += float(u.square().sum())
    return math.sqrt(off / whole)


def _covariance(x0: Tensor, x1: Tensor) -> Tensor:
    a, b = x0.double(), x1.double()
    return (a - a.mean(0)).mT @ (b - b.mean(0)) / len(a)


def _generator(seed: int, use: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 * seed + use)


# --- table and figures ---------------------------------------------------------------------------------------


GAUSSIAN = {
    "drift": "drift",
    "backward drift": "backward",
    "drift without its mean": "drift less its mean",
    "worst mean": "mean, worst of 5 times",
    "worst std": "std, worst of 5 times",
    "coupling": "coupling",
    "energy": "K / exact K",
}
TOY = {
    "arrived": "arrived: energy distance",
    "arrived, floor": "two true sets",
    "returned": "returned",
    "energy": "K",
    "drift against plan": "drift against plan",
}


def table(results: Results) -> str:
    """Errors between Gaussians, relative; then the toys."""
    toys = [case for case in results.cases if case.startswith(TOYS)]
    rows = results.rows([case for case in results.cases if case not in toys], _numbers(GAUSSIAN))
    text = markdown(["Gaussians", *GAUSSIAN.values(), "seconds"], rows)
    rows = results.rows(toys, _numbers(TOY))
    return text + "\n" + markdown(["plane", *TOY.values(), "seconds"], rows) if rows else text


def _numbers(names: Mapping[str, str]) -> dict[str, int]:
    return dict.fromkeys(names, 3) | {RUN: 0}


def figures(results: Results) -> list[Figure]:
    """Errors of the distributions over time between Gaussians; paths of both solvers between the toys."""
    return [_errors(results), *paths(results)]


def _errors(results: Results) -> Figure:
    panels = []
    for quantity, title in (("mean", "Mean of x_t"), ("std", "Standard deviation of x_t")):
        series = []
        for hue, distribution in enumerate(GAUSSIANS):
            for dash, solver in zip(("-", "--"), SOLVERS, strict=True):
                case = f"{distribution} / {solver}"
                numbers = [(case, f"{quantity} t={t}") for t in TIMES]
                curve = results.curve(TIMES, numbers, case, hue, dash=dash, errors=False)
                series.append(replace(curve, symbol="o", size=4))
        x, y = Axis(label="time t"), Axis(label="relative error", low=0, high=0.06, grid=True)
        legend, shown_series = "upper left" if panels else "", (*series, across(0.05, "", dash=":"))
        panels.append(Panel(series=shown_series, title=title, x=x, y=y, legend=legend))
    return Figure(name="gaussians", panels=tuple(panels), width=760, height=300)


def paths(results: Results) -> list[Figure]:
    """Paths of the forward SDE of both solvers between the toys, one seed; nothing if none were kept."""
    panels = []
    for solver in SOLVERS:
        arrays = results.arrays(f"{TOYS} / {solver}", results.seeds[0])
        if arrays:
            series = (
                trails(arrays["paths"][:, :60]),
                cloud(arrays["base"][:800], "base", 0, alpha=0.8),
                cloud(arrays["paths"][-1], "arrived", 2, size=10, alpha=0.8),
                cloud(arrays["data"][:800], "data", 1, size=2, alpha=0.8),
            )
            axes, legend = {"x": Axis(label="x_1"), "y": Axis(label="x_2")}, "" if panels else "upper left"
            title = f"{solver}, 60 paths of the SDE"
            panels.append(Panel(series=series, title=title, equal=True, legend=legend, **axes))
    return [Figure(name="paths", panels=tuple(panels), width=760, height=440)] if panels else []


CLAIMS = tuple(
    Stated(f"{solver}_{law.replace('-', '_')}.{name.replace(' ', '_')} < 0.05", (f"{law} / {solver}", name),
           seeds=3 if solver == "interpolant" else 2)
    for law in ("2-D", "16-D") for solver in SOLVERS for name in ("drift", "backward drift", "worst mean", "coupling")
)  # fmt: skip

STUDY = Study("schrodinger", SETTINGS, cases, measure, table, figures, CLAIMS)
