"""RED-diff, DPS and twisted particles: how near do they come to the posterior, and what does a short run lose?

*digits*: the prior is a mixture of Gaussians fitted to handwritten digits, so its denoiser is exact; held-out digits
with half of their pixels hidden (the posterior mean is known), with values that saturate, or seen as magnitudes of
their Fourier transform. *plane*: two coordinates, one linear and one nonlinear noisy measurement, the posterior mean
on a grid. Seconds are those of the processor, one thread.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.data import load
from interpolants.fields import Fields
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import generator as seeded
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, across, strips
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.guidance import DPS, REDDiff, TwistedSMC
from interpolants.operators import Mask, Measurement, Operator, PhaseRetrieval, Saturate
from interpolants.paths import VP
from interpolants.problems import GaussianMixture, GaussianMixtureBridge, LinearGaussian
from studies.common import Study

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {
        "train": 200,
        "test": 6,
        "modes": 3,
        "many": 20,
        "few": 10,
        "smc_steps": 10,
        "particles": 8,
        "rows": 3,
        "plane_particles": 32,
    },
    "laptop": {
        "train": 1600,
        "test": 48,
        "modes": 10,
        "many": 1000,
        "few": 100,
        "smc_steps": 100,
        "particles": 32,
        "rows": 24,
        "plane_particles": 256,
    },
    "full": {
        "train": 1600,
        "test": 197,
        "modes": 10,
        "many": 1000,
        "few": 100,
        "smc_steps": 1000,
        "particles": 1024,
        "rows": 200,
        "plane_particles": 4096,
    },
}
F64 = torch.float64
# The paper's algorithm: one draw per step, averages of Adam that do not know the length of the run.
PAPER = {"antithetic": False, "betas": (0.9, 0.99)}
START, EXACT, SMC = "start", "exact mean", "twisted particles, mean"
HALF, SATURATED, FOURIER = "half the pixels", "saturated", "Fourier magnitudes"
LINEAR, RING = "plane, linear", "plane, distance"
SHOWN = 6  # digits in the figure


def red_options(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Runs of RED-diff by name."""
    many, few = settings["many"], settings["few"]
    paper = {**PAPER, "n_steps": many}
    return {
        f"RED-diff, {many} steps": paper,
        f"RED-diff, {few} steps": {**PAPER, "n_steps": few},
        f"RED-diff, {few} steps, own averages": {"antithetic": False, "n_steps": few},
        f"RED-diff, {few} pairs, fixed averages": {"betas": PAPER["betas"], "n_steps": few},
        f"RED-diff, {few // 2} pairs": {"n_steps": few // 2},
        f"RED-diff, {few} pairs": {"n_steps": few},
        f"RED-diff, {many // 2} pairs": {"n_steps": many // 2},
        f"RED-diff, {many} steps, random times": {**paper, "order": "random"},
        f"RED-diff, {many} steps, ascending": {**paper, "order": "ascending"},
        **{f"RED-diff, {many} steps, {w}": {**paper, "weight": w} for w in ("square", "sqrt", "const")},
        f"RED-diff, {few} pairs, square": {"n_steps": few, "weight": "square"},
    }


def few_options(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Those that are run on the nonlinear tasks too."""
    many, few = settings["many"], settings["few"]
    names = (f"RED-diff, {many} steps", f"RED-diff, {few} pairs", f"RED-diff, {many // 2} pairs")
    return {name: red_options(settings)[name] for name in names}


def cases(settings: Mapping[str, Any]) -> list[str]:
    """Task, then method."""
    pushes = ["DPS, 0.3", "DPS, 1"]
    found = [f"{HALF}: {how}" for how in (START, EXACT, *red_options(settings), *pushes, SMC)]
    for task in (SATURATED, FOURIER):
        found += [f"{task}: {how}" for how in (START, *few_options(settings), *pushes, SMC)]
    for task in (LINEAR, RING):
        found += [f"{task}: {how}" for how in (*few_options(settings), "DPS, 0.3", SMC)]
    return found


def measure(case: str, seed: int, settings: Mapping[str, Any]) -> Answered:
    """Restore the measurements of one task by one method."""
    name, _, how = case.partition(": ")
    key = tuple(sorted(settings.items()))
    task = plane(name, seed, key) if name in (LINEAR, RING) else digits(name, seed, key)
    began = time.process_time()
    answers, further = restored(task, how, seed, settings)
    seconds = time.process_time() - began
    values = {**task.judge(answers), **further, "seconds": seconds}
    arrays = {}
    if seed == 0 and name in (HALF, SATURATED, FOURIER):
        arrays["x"] = answers[:SHOWN].float().numpy()
        if how == START:
            arrays["truth"] = task.truth[:SHOWN].float().numpy()
    return measured(values, arrays, timed=("seconds",))


@dataclass(frozen=True)
class Task:
    """Measurements, the prior, and the truth.

    Attributes:
        fields: Exact fields of the prior.
        operator: H.
        noise: Standard deviation of the measurements; 0 without noise.
        y: Measurements ``(B, *M)``.
        truth: What was measured, ``(B, D)``.
        start: Where RED-diff begins, ``(B, D)``.
        exact: Posterior means ``(B, D)``, where they are known.
        std: Standard deviation of the posteriors, ``(B, D)``; likewise.
        log_evidence: Likewise, ``(B,)``.
        strength: lambda of RED-diff.
        draws: Answers of random methods per measurement, of which the mean is taken.
        particles: Particles per measurement.
    """

    fields: Fields
    operator: Operator
    noise: float
    y: Tensor
    truth: Tensor
    start: Tensor
    exact: Tensor | None
    std: Tensor | None
    log_evidence: Tensor | None
    strength: float
    draws: int
    particles: int

    def judge(self, answers: Tensor) -> dict[str, float]:
        """PSNR in dB (data in [-1, 1]), residual, and distance from the posterior mean."""
        error = (answers - self.truth).square().mean(1)
        values = {
            "PSNR": float((10 * torch.log10(4 / error)).mean()),
            "residual": float((self.y - self.operator(answers)).square().mean().sqrt()),
        }
        if self.exact is not None:
            values["off the exact mean"] = float((answers - self.exact).square().mean().sqrt())
            if self.std is not None:
                off = (answers - self.exact).square().sum(1) / self.std.square().sum(1)
                values["off, in posterior std"] = float(off.mean().sqrt())
        return values


def restored(task: Task, how: str, seed: int, settings: Mapping[str, Any]) -> tuple[Tensor, dict[str, float]]:
    """Answers ``(B, D)``, and what else is known of them."""
    if how == START:
        return task.start, {}
    if how == EXACT:
        assert task.exact is not None
        return task.exact, {}
    if how == SMC:
        return particles(task, seed, settings)
    if how.startswith("DPS"):
        dps = DPS(task.fields, task.operator, zeta=float(how.split()[-1]), n_steps=settings["many"])
        many = dps.restore(task.y.repeat_interleave(task.draws, 0), seed=seed)
        return many.reshape(len(task.y), task.draws, -1).mean(1), {"evaluations": settings["many"]}
    options = {"strength": task.strength, **red_options(settings)[how]}
    noise = {"noise": task.noise} if task.noise else {}
    done = REDDiff(task.fields, task.operator, **noise, **options).restore(
        task.y, start=task.start, seed=seed
    )
    return done.x, {"evaluations": done.nfe}


def particles(task: Task, seed: int, settings: Mapping[str, Any]) -> tuple[Tensor, dict[str, float]]:
    """Means of weighted particles; measurements without noise are given a little."""
    smc = TwistedSMC(task.fields, task.operator, task.noise or 0.05, n_steps=settings["smc_steps"])
    made = smc.sample(task.y, particles=task.particles, seed=seed)
    values = {"evaluations": settings["smc_steps"] * task.particles}
    if task.log_evidence is not None:
        values["log evidence error"] = float((made.log_z - task.log_evidence).square().mean().sqrt())
        values["log evidence told"] = float(torch.as_tensor(made.log_z_error).square().mean().sqrt())
    return made.mean(made.x), values


# --- digits ---------------------------------------------------------------------------------------------------


class AsImages(Operator):
    """An operator on 8 x 8 images, for states that are vectors."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator

    def __call__(self, x: Tensor) -> Tensor:
        """``H`` of the image."""
        return self.operator(x.reshape(-1, 1, 8, 8))


@lru_cache(maxsize=8)
def digits(name: str, seed: int, settings: tuple[tuple[str, Any], ...]) -> Task:
    """Held-out digits, measured without noise."""
    table = dict(settings)
    prior, test = digit_prior(seed, table["train"], table["test"], table["modes"])
    exact: Tensor | None = None
    operator: Operator
    if name == HALF:
        known = torch.rand(64, generator=seeded(seed, 11)) < 0.5
        operator = Mask(known)
        exact = LinearGaussian(operator, 1e-6, prior).posterior_mean(operator(test))
        start = operator.pinv(operator(test))
    elif name == SATURATED:
        operator = Saturate(gain=2.0)
        start = operator.pinv(operator(test))
    else:
        operator = AsImages(PhaseRetrieval())
        start = prior.mean.expand(len(test), -1)
    return Task(
        exact_fields(prior),
        operator,
        0.0,
        operator(test),
        test,
        start,
        exact,
        None,
        None,
        strength=0.25,
        draws=1,
        particles=table["particles"],
    )


@lru_cache(maxsize=1)
def digit_prior(seed: int, train: int, test: int, modes: int) -> tuple[GaussianMixture, Tensor]:
    """A mixture fitted to some digits, and others."""
    from sklearn.mixture import GaussianMixture as Fit

    x = load("digits", "all").x.flatten(1).double()
    x = x[torch.randperm(len(x), generator=seeded(seed, 12))]
    fit = Fit(modes, random_state=seed, reg_covar=5e-3, max_iter=30, tol=1e-2).fit(x[:train].numpy())
    distribution = GaussianMixture(*(torch.tensor(p) for p in (fit.weights_, fit.means_, fit.covariances_)))
    return distribution, x[train : train + test]


def exact_fields(prior: GaussianMixture) -> Fields:
    """The fields of a prior on the variance-preserving path."""
    path = VP(base=Gaussian((prior.dim,)))
    return GaussianMixtureBridge(path.base, prior).fields(path)


# --- the plane ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def plane(name: str, seed: int, settings: tuple[tuple[str, Any], ...]) -> Task:
    """A mixture of four Gaussians; one number is measured: a weighted sum, or the distance from the origin."""
    table, noise = dict(settings), 0.2
    wide = GaussianMixture.random(4, 2, 1.5, seed=3)
    prior = GaussianMixture(wide.weights, wide.means, 0.3 * wide.covariances)
    weights = torch.tensor([1.0, 0.6], dtype=F64)
    operator = Measurement((lambda x: x @ weights[:, None]) if name == LINEAR else _distance)
    truth = prior.sample(table["rows"], generator=seeded(seed, 13))
    y = operator(truth) + noise * torch.randn(len(truth), 1, dtype=F64, generator=seeded(seed, 14))
    mean, std, log_evidence = on_a_grid(prior, operator, y, noise)
    start = prior.mean.expand(len(truth), -1)
    return Task(
        exact_fields(prior),
        operator,
        noise,
        y,
        truth,
        start,
        mean,
        std,
        log_evidence,
        # Two numbers: the weights' mean over times is near one, and the prior has to weigh as much as it does.
        strength=1.0,
        draws=32,
        particles=table["plane_particles"],
    )


def _distance(x: Tensor) -> Tensor:
    return (x.square().sum(1, keepdim=True) + 1e-12).sqrt()


def on_a_grid(
    prior: GaussianMixture, operator: Operator, y: Tensor, noise: float, reach: float = 6.0, count: int = 501
) -> tuple[Tensor, Tensor, Tensor]:
    """Posterior means and standard deviations ``(B, 2)``, and log evidences ``(B,)``."""
    line = torch.linspace(-reach, reach, count, dtype=F64)
    x = torch.cartesian_prod(line, line)
    log_prior, seen = prior.log_prob(x), operator(x)[:, 0]
    scale = noise * (2 * torch.pi) ** 0.5
    found = []
    for row in y[:, 0]:
        log = log_prior - 0.5 * ((row - seen) / noise).square() - torch.tensor(scale, dtype=F64).log()
        distribution = log.softmax(0)
        mean = distribution @ x
        std = (distribution @ (x - mean).square()).sqrt()
        found.append((mean, std, log.logsumexp(0) + 2 * (line[1] - line[0]).log()))
    means, stds, evidences = (torch.stack(part) for part in zip(*found, strict=True))
    return means, stds, evidences


# --- table and figures ---------------------------------------------------------------------------------------


DIGITS = {"PSNR": 2, "residual": 4, "off the exact mean": 3, "evaluations": 0, "seconds": 1}
_EVIDENCE = {"log evidence error": 3, "log evidence told": 3}
PLANE = {"off, in posterior std": 3, **_EVIDENCE, "evaluations": 0, "seconds": 1}


def table(results: Results) -> str:
    """A table per task."""
    parts = [f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error.\n"]
    for task in (HALF, SATURATED, FOURIER, LINEAR, RING):
        columns = PLANE if task in (LINEAR, RING) else DIGITS
        named = {
            case.removeprefix(f"{task}: "): case for case in results.cases if case.startswith(f"{task}: ")
        }
        rows = results.rows(named, columns)
        parts += [f"**{task[0].upper()}{task[1:]}**\n", markdown(["", *columns], rows)]
    return "\n".join(parts)


def _better_push(results: Results) -> str:
    return max(("DPS, 0.3", "DPS, 1"), key=lambda how: results.mean(f"{HALF}: {how}", "PSNR"))


def figures(results: Results) -> list[Figure]:
    """Restored digits of the first seed, and quality against evaluations."""
    titles = {HALF: "half of the pixels hidden", SATURATED: "saturated at half the range"}
    panels = (*(_album(results, task, title) for task, title in titles.items()), _budget(results))
    return [Figure(name="inverse_problems", panels=panels, width=1040, height=300)]


def _album(results: Results, task: str, title: str) -> Panel:
    """Rows of digits: what was seen, the answers, the truth."""
    paper, pairs, *_ = few_options(results.settings)
    ways = {"seen": START, "RED-diff": paper, "pairs": pairs, "DPS": "DPS, 0.3", "particles": SMC}
    stored = {name: results.arrays(f"{task}: {how}", results.seeds[0]) for name, how in ways.items()}
    if not all(stored.values()):
        return Panel(series=(), bare=True)
    columns = {name: found["x"] for name, found in stored.items()} | {"truth": stored["seen"]["truth"]}
    rows = [
        np.stack([x[r].reshape(8, 8) for x in columns.values()]) for r in range(min(4, len(columns["seen"])))
    ]
    x = Axis(ticks=tuple(k + 0.5 for k in range(len(columns))), names=tuple(columns))
    return strips(rows, title=title, x=x)


def _budget(results: Results) -> Panel:
    """PSNR against evaluations, half of the pixels hidden."""
    many, few = results.settings["many"], results.settings["few"]
    curves = {
        "one draw per step": [f"RED-diff, {few} steps", f"RED-diff, {many} steps"],
        "pairs, averages of the run's length": [f"RED-diff, {n} pairs" for n in (few // 2, few, many // 2)],
        "random times": [f"RED-diff, {many} steps, random times"],
        "DPS, the better": [_better_push(results)],
    }
    series = []
    for hue, (text, names) in enumerate(curves.items()):
        cases = [f"{HALF}: {name}" for name in names]
        calls = [results.mean(case, "evaluations") for case in cases]
        series.append(results.curve(calls, [(case, "PSNR") for case in cases], text, hue))
    series.append(across(results.mean(f"{HALF}: {EXACT}", "PSNR"), "exact posterior mean", dash="-"))
    x, y = Axis(label="evaluations of the denoiser", scale="log"), Axis(label="PSNR", unit="dB", grid=True)
    return Panel(
        series=tuple(series), title="half of the pixels hidden", x=x, y=y, legend="lower right", width=1.2
    )


def _half(says: str, how: str, rival: str, *, expected: str = "holds") -> Stated:
    """A claim about PSNR, in dB, where half of the pixels are hidden."""
    return Stated(says, (f"{HALF}: {how}", "PSNR"), (f"{HALF}: {rival}", "PSNR"), "peer", expected=expected)


CLAIMS = (
    _half("red_diff.psnr > dps_weak + 0.5", "RED-diff, 1000 steps", "DPS, 0.3"),
    _half("red_diff.psnr > dps_strong + 0.5", "RED-diff, 1000 steps", "DPS, 1"),
    _half("pairs.psnr > dps_weak + 0.5", "RED-diff, 100 pairs", "DPS, 0.3"),
    _half("red_diff.psnr > exact - 2.5", "RED-diff, 1000 steps", EXACT),
    _half("few_steps.psnr > many - 0.5", "RED-diff, 100 steps", "RED-diff, 1000 steps", expected="fails"),
    _half("few_pairs.psnr > many - 0.5", "RED-diff, 100 pairs", "RED-diff, 500 pairs"),
    _half("descending.psnr > random + 3", "RED-diff, 1000 steps", "RED-diff, 1000 steps, random times"),
    _half("descending.psnr > ascending + 3", "RED-diff, 1000 steps", "RED-diff, 1000 steps, ascending"),
)

STUDY = Study("inverse_problems", SETTINGS, cases, measure, table, figures, CLAIMS)
