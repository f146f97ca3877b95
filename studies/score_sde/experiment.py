"""Samplers of score-based models with the exact score, so that all error is the sampler's.

Digits: a Gaussian mixture, one full covariance for each class of handwritten digits, along the variance-exploding path.
Does a Langevin corrector after every step of a coarse predictor pay, at equal steps and at equal evaluations? In the
plane: do all samplers give the same distribution on all three paths? Digits again: asked for by the exact classifier,
    and with a
known upper half.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.data import load
from interpolants.dynamics import Langevin, ReverseNoise, sample
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, Series, across, strips
from interpolants.framework.scores import mean_and_error, paired_gap
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.guidance import ClassifierGuided, Replacement
from interpolants.metrics.wasserstein import bures_wasserstein
from interpolants.operators import Mask
from interpolants.paths import VE, VP, SubVP
from interpolants.paths.path import SpatiallyLinearPath
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from interpolants.problems.mixture_bridge import MixtureFields
from studies.common import Study

Settings = Mapping[str, Any]
# What a predictor is to the sampler; the flow of Heun takes two evaluations per step.
PREDICTORS: dict[str, dict[str, Any]] = {
    "reverse flow": {"method": "reverse_flow"},
    "reverse diffusion": {"method": "reverse_diffusion"},
    "ancestral": {"method": "ancestral"},
    "Euler-Maruyama": {"method": "euler", "eps": ReverseNoise()},
    "denoising flow": {"method": "ddim"},
}
HEUN = "Heun flow"
# P: predictor alone; PC: with a corrector; the last as the official code does it, corrector first, norms of the batch.
WAYS = ("P", "P, twice the steps", "PC", "PC, corrector first", "PC, norms of the batch")
ALL_WAYS = "reverse diffusion"
PATHS: dict[str, SpatiallyLinearPath] = {"VP": VP(), "sub-VP": SubVP(), "VE": VE(smin=0.01, smax=50.0)}
SAMPLERS = {**{name: PREDICTORS[name] for name in list(PREDICTORS)[1:4]}, HEUN: {"method": "heun"}}
CLASS, HOLE = "class by classifier", "lower half in-painted"
_START, _TRUE, _DATA = range(3)

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {"n": 300, "few": 100, "steps": 20, "snr": 0.16, "plane": 500, "plane_steps": 40, "each": 10},
    "laptop": {"n": 6000, "few": 600, "steps": 100, "snr": 0.16, "plane": 20_000, "plane_steps": 500, "each": 60},
    "full": {"n": 50_000, "few": 600, "steps": 1000, "snr": 0.16, "plane": 200_000, "plane_steps": 1000, "each": 600},
}  # fmt: skip


def cases(settings: Settings) -> Sequence[str]:
    """Predictors with and without corrector, samplers on all paths, and the two tasks."""
    found = []
    for predictor in PREDICTORS:
        ways = WAYS if predictor == ALL_WAYS else WAYS[:3]
        found += [f"digits / {predictor} / {way}" for way in ways]
    found += [f"digits / {HEUN} / P"]
    found += [f"plane / {path} / {name}" for path in PATHS for name in SAMPLERS]
    return (*found, CLASS, HOLE)


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """One sampler, one set of samples, and its distance from the distribution."""
    if case in (CLASS, HOLE):
        return _class(seed, settings) if case == CLASS else _hole(seed, settings)
    kind, name, way = case.split(" / ")
    return _plane(name, way, seed, settings) if kind == "plane" else _digits(name, way, seed, settings)


# --- digits -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def digits() -> GaussianMixture:
    """Ten Gaussians fitted to the classes of the digits, 64 pixels in [-1, 1]; 0.03 is added to every spread."""
    data = load("digits", "train")
    assert data.labels is not None
    x, labels = data.x.flatten(1).double(), data.labels
    classes = [x[labels == k] for k in range(10)]
    weights = torch.tensor([len(rows) / len(x) for rows in classes], dtype=torch.float64)
    means = torch.stack([rows.mean(0) for rows in classes])
    ridge = 1e-3 * torch.eye(x.shape[1], dtype=torch.float64)  # some pixels are always white
    return GaussianMixture(weights, means, torch.stack([rows.T.cov() + ridge for rows in classes]))


@lru_cache(maxsize=1)
def digit_fields() -> MixtureFields:
    """The exact fields of the digits along the variance-exploding path, float32."""
    path = PATHS["VE"]
    assert path.base is not None
    base = GaussianMixture.from_gaussian(path.base, 64, dtype=torch.float32)  # type: ignore[arg-type]
    return GaussianMixtureBridge(base, digits().to(dtype=torch.float32)).fields(path)


def frechet(x: Tensor) -> float:
    """Squared distance of the Gaussians with the moments of ``x (n, 64)`` and of the digits' distribution."""
    x = x.double()
    return bures_wasserstein(x.mean(0), x.T.cov(), digits().mean, digits().covariance) ** 2


def _digits(predictor: str, way: str, seed: int, settings: Settings) -> Answered:
    n, few, steps = settings["n"], settings["few"], settings["steps"]
    corrector = None
    if way.startswith("PC"):
        norms = "batch" if way == WAYS[4] else "sample"
        corrector = Langevin(settings["snr"], step_size=norms, before=way == WAYS[3])
    steps = 2 * steps if way == WAYS[1] else steps
    method = {"method": "heun"} if predictor == HEUN else PREDICTORS[predictor]
    start = PATHS["VE"].base.color(torch.randn(n, 64, generator=_generator(seed, _START)))  # type: ignore[union-attr]
    whole = {"invariant": False, "chunk": n, "seed": seed, "finish": "mean", "n_steps": steps}
    done = sample(digit_fields(), start, corrector=corrector, **method, **whole)
    true = digits().sample(n, generator=_generator(seed, _TRUE))
    values = {"distance": frechet(done.x), "floor": frechet(true)}
    values |= {"few": frechet(done.x[:few]), "few floor": frechet(true[:few]), "evaluations": float(done.nfe)}  # type: ignore[arg-type]
    return measured(values, {"made": done.x[:10].half().numpy()} if seed == 0 else {})


def _class(seed: int, settings: Settings) -> Answered:
    """Every class asked for alike; the exact classifier of noisy states guides."""
    labels = torch.arange(10).repeat(settings["each"])
    fields = digit_fields()
    guided = ClassifierGuided(fields, fields.log_joint)
    x = sample(guided, _noise(len(labels), seed), cond=labels, **_task(seed, settings)).x
    found = digits().responsibilities(x.double())
    own = torch.stack([x[labels == k].double().mean(0) - digits().means[k] for k in range(10)])
    errors = (digits().variances / settings["each"]).sqrt()
    values = {
        "in the class": float((found.argmax(1) == labels).double().mean()),
        "in the class, true": _true_share(settings["each"], seed),
        # over 640 means; root mean square is 1 for true samples
        "means, in standard errors": float((own / errors).square().mean().sqrt()),
    }
    return measured(values, {"made": x[:10].half().numpy()} if seed == 0 else {})


def _true_share(each: int, seed: int) -> float:
    """How many true samples of a class are nearest to it."""
    distribution, source = digits(), _generator(seed, _TRUE)
    right = []
    for k in range(10):
        one = GaussianMixture(
            torch.ones(1).double(), distribution.means[k : k + 1], distribution.covariances[k : k + 1]
        )
        right.append(distribution.responsibilities(one.sample(each, generator=source)).argmax(1) == k)
    return float(torch.cat(right).double().mean())


def _hole(seed: int, settings: Settings) -> Answered:
    """Held-out draws of the distribution whose lower half is hidden; exact draws of the posterior are the yardstick."""
    n = 10 * settings["each"]
    whole = digits().sample(n, generator=_generator(seed, _DATA)).float()
    known = torch.arange(64) < 32
    constraint = Replacement(Mask(known), whole[:, known])
    values: dict[str, float] = {}
    arrays = {"whole": whole[:10].half().numpy()}
    snr = settings["snr"]
    ways = {"P": None, "PC": Langevin(snr, 1, "sample"), "PC, 5 steps": Langevin(snr, 5, "sample")}
    for name, corrector in ways.items():
        run = {**_task(seed, settings), "corrector": corrector}
        x = sample(digit_fields(), _noise(n, seed), constraint=constraint, **run).x
        values[f"in-painted, {name}: hidden pixels off by"] = _apart(x, whole, known)
        arrays[name] = x[:10].half().numpy()
    exact = _conditional(whole[:, known].double(), known, seed)
    values["drawn from the exact posterior: hidden pixels off by"] = _apart(exact.float(), whole, known)
    arrays["exact"] = exact[:10].half().numpy()
    return measured(values, arrays if seed == 0 else {})


def _apart(x: Tensor, whole: Tensor, known: Tensor) -> float:
    """Root mean square difference in the hidden pixels: of two draws of the posterior, root two of its spread."""
    return float((x - whole)[:, ~known].square().mean().sqrt())


def _conditional(y: Tensor, known: Tensor, seed: int) -> Tensor:
    """One draw for each row from the distribution of the whole given the known part, by Gaussian conditioning."""
    distribution, source = digits(), _generator(seed, _START)
    a, b = known, ~known
    seen = GaussianMixture(
        distribution.weights, distribution.means[:, a], distribution.covariances[:, a][:, :, a]
    )
    label = torch.multinomial(seen.responsibilities(y), 1, generator=source)[:, 0]
    whole = torch.empty(len(y), 64, dtype=torch.float64)
    whole[:, a] = y
    for k in range(10):
        rows = label == k
        c = distribution.covariances[k]
        gain = torch.linalg.solve(c[a][:, a], c[a][:, b]).mT
        mean = distribution.means[k, b] + (y[rows] - distribution.means[k, a]) @ gain.mT
        root = torch.linalg.cholesky(c[b][:, b] - gain @ c[a][:, b])
        noise = torch.randn(int(rows.sum()), int(b.sum()), generator=source, dtype=torch.float64)
        whole[rows.nonzero(), b.nonzero().T] = mean + noise @ root.mT
    return whole


def _noise(n: int, seed: int) -> Tensor:
    return 50.0 * torch.randn(n, 64, generator=_generator(seed, _START))


def _task(seed: int, settings: Settings) -> dict[str, Any]:
    steps = {"n_steps": 2 * settings["steps"], "seed": seed, "finish": "denoise"}
    return {"method": "ancestral", "invariant": False, "chunk": 10 * settings["each"], **steps}


# --- the plane ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def three_modes() -> GaussianMixture:
    """Three Gaussians in the plane, of different weights and shapes."""
    shapes = torch.tensor(
        [[[0.45, 0.12], [0.12, 0.24]], [[0.2, 0.0], [0.0, 0.2]], [[0.2, 0.1], [0.1, 0.375]]]
    )
    means = torch.tensor([[-2.0, 0.0], [1.5, 1.5], [1.0, -2.0]])
    return GaussianMixture(torch.tensor([0.3, 0.45, 0.25]), means, shapes)


def _plane(name: str, sampler: str, seed: int, settings: Settings) -> Answered:
    path, distribution, n = PATHS[name], three_modes(), settings["plane"]
    assert path.base is not None
    base = GaussianMixture.from_gaussian(path.base, 2, dtype=torch.float32)  # type: ignore[arg-type]
    fields = GaussianMixtureBridge(base, distribution).fields(path)
    start = path.base.color(torch.randn(n, 2, generator=_generator(seed, _START)))
    stop = 1.0 if name == "VE" else 1 - 1e-3
    run = {"n_steps": settings["plane_steps"], "stop": stop, "finish": "denoise", "seed": seed}
    x = sample(fields, start, invariant=False, chunk=n, **SAMPLERS[sampler], **run).x
    true = [distribution.sample(n, generator=_generator(seed, _TRUE, k)) for k in range(2)]
    reference = distribution.sample(10 * n, generator=_generator(seed, _DATA))
    (shares, shapes), (floor_shares, floor_shapes) = (modes_apart(set_, reference) for set_ in (x, true[0]))
    return measured(
        {"TV": shares, "covariance": shapes, "TV floor": floor_shares, "covariance floor": floor_shapes}
    )


def modes_apart(x: Tensor, reference: Tensor) -> tuple[float, float]:
    """Total variation of the modes' shares, and the worst relative error of a covariance's entry within a mode."""
    distribution = three_modes()
    label, true = (distribution.responsibilities(rows).argmax(1) for rows in (x, reference))
    share, true_share = (torch.bincount(rows, minlength=3) / len(rows) for rows in (label, true))
    worst = 0.0
    for k in range(3):
        wanted, found = reference[true == k].T.cov(), x[label == k].T.cov()
        scale = wanted.diagonal().sqrt()
        worst = max(worst, float(((found - wanted) / (scale[:, None] * scale)).abs().max()))
    return float((share - true_share).abs().sum() / 2), worst if math.isfinite(worst) else math.inf


def _generator(*parts: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 * parts[0] + sum(p * 10**i for i, p in enumerate(parts[1:])))


# --- table and figures ---------------------------------------------------------------------------------------


def table(results: Results) -> str:
    """Digits by predictor and way; gaps over seeds; the plane; the two tasks."""
    few = results.settings["few"]
    text = f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error.\n\n"
    head = ["digits", "evaluations", "Frechet distance", "true samples", f"the same of {few}", f"true {few}"]
    text += markdown(head, _digit_rows(results)) + "\n"
    text += markdown(
        ["compared over seeds", "ratio", "difference", "seeds in which the first is larger"], _gaps(results)
    )
    head = ["plane, three modes", "TV of shares", "true samples", "covariance, worst entry", "true samples"]
    named = {f"{path}, {name}": f"plane / {path} / {name}" for path in PATHS for name in SAMPLERS}
    rows = results.rows(named, ("TV", "TV floor", "covariance", "covariance floor"))
    text += "\n" + markdown(head, rows)
    rows = [[name, results.shown(case, name)] for case in (CLASS, HOLE) for name in results.names(case)]
    return text + "\n" + markdown(["tasks without training", "value"], rows)


def _digit_rows(results: Results) -> list[list[str]]:
    digits = [case for case in results.cases if case.startswith("digits")]
    named = {case.removeprefix("digits / ").replace(" / ", ", "): case for case in digits}
    counts = [f"{results.values(case, 'evaluations')[0]:.0f}" for case in digits]
    rows = results.rows(named, ("distance", "floor", "few", "few floor"))
    return [[name, count, *numbers] for (name, *numbers), count in zip(rows, counts, strict=True)]


def _gaps(results: Results) -> list[list[str]]:
    """Predictor against predictor and corrector: as many steps, and as many evaluations."""
    rows = []
    for predictor in PREDICTORS:
        with_it = results.values(f"digits / {predictor} / PC", "distance")
        for way in WAYS[:2]:
            alone = results.values(f"digits / {predictor} / {way}", "distance")
            if not with_it or len(alone) != len(with_it):
                continue
            mean, error, above = paired_gap(alone, with_it)
            ratio = mean_and_error([a / b for a, b in zip(alone, with_it, strict=True)])[0]
            gap = f"{mean:.3f} ± {error:.3f}" if np.isfinite(error) else f"{mean:.3f}"
            rows.append([f"{predictor}: {way} / PC", f"{ratio:.2f}", gap, f"{above} of {len(alone)}"])
    return rows


def figures(results: Results) -> list[Figure]:
    """Distances as bars; digits of the samplers and of the tasks."""
    return [_distances(results), *_pictures(results)]


def _distances(results: Results) -> Figure:
    series = []
    names = ("predictor", "predictor, twice the steps", "with corrector")
    for k, (way, name) in enumerate(zip(WAYS[:3], names, strict=True)):
        found = [mean_and_error(results.values(f"digits / {p} / {way}", "distance")) for p in PREDICTORS]
        height, error = np.array(found).T
        bars = {"x": np.arange(len(found)) + 0.25 * (k - 1), "height": height, "error": np.nan_to_num(error)}
        series.append(Series(mark="bars", arrays=bars, name=name, hue=k, size=0.25))
    floors = [v for case in results.cases for v in results.values(case, "floor")]
    series.append(across(float(np.mean(floors)), dash=":"))
    heun = results.mean(f"digits / {HEUN} / P", "distance")
    series.append(across(heun, "Heun's flow, as many evaluations as PC", 3))
    x = Axis(ticks=tuple(range(len(PREDICTORS))), names=tuple(PREDICTORS))
    y, title = Axis(label="Frechet distance to the distribution", scale="log"), results.settings["steps"]
    panel = Panel(
        series=tuple(series),
        title=f"Digits, exact score, {title} steps",
        x=x,
        y=y,
        legend="best",
        legend_columns=2,
    )
    return Figure(name="distances", panels=(panel,), width=760, height=300)


def _pictures(results: Results) -> list[Figure]:
    wanted = {
        "reverse flow, P": ("digits / reverse flow / P", "made"),
        "reverse flow, PC": ("digits / reverse flow / PC", "made"),
        "ancestral, PC": ("digits / ancestral / PC", "made"),
        "asked for 0 to 9": (CLASS, "made"),
        "whole": (HOLE, "whole"),
        "lower half in-painted": (HOLE, "P"),
        "… with corrector": (HOLE, "PC"),
        "drawn exactly": (HOLE, "exact"),
    }
    found = {name: results.arrays(case, results.seeds[0]).get(key) for name, (case, key) in wanted.items()}
    rows = {name: x.reshape(-1, 8, 8)[:10] for name, x in found.items() if x is not None}
    if not rows:
        return []
    panel = strips(list(rows.values()), low=1, high=-1, names=list(rows))
    return [Figure(name="digits", panels=(panel,), width=620, height=56 * len(rows))]


def _corrected(says: str, predictor: str, way: str, *, expected: str = "holds") -> Stated:
    """A claim about the distance of digits with a corrector."""
    place = f"digits / {predictor} / "
    return Stated(says, (f"{place}PC", "distance"), (f"{place}{way}", "distance"), expected=expected)


CLAIMS = (
    _corrected("flow.corrected < 0.5 alone", "reverse flow", "P"),
    _corrected("flow.corrected < twice", "reverse flow", WAYS[1]),
    _corrected("diffusion.corrected < alone", "reverse diffusion", "P"),
    _corrected("diffusion.corrected < twice", "reverse diffusion", WAYS[1], expected="fails"),
    _corrected("ancestral.corrected < twice", "ancestral", WAYS[1]),
)

STUDY = Study("score_sde", SETTINGS, cases, measure, table, figures, CLAIMS)
