"""Data on a thin set: how much noise should a likelihood see?

A latent generator is fitted to data with noise of several sizes and sampled without it. On a closed curve in space the
samples are compared with the true law by the exact W1, on digits with held-out images by the energy distance. Noise
levels are in data units.
"""

import math
import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from interpolants.data import InstanceNoise, load
from interpolants.foundations.extras import require
from interpolants.foundations.randomness import generator as seeded
from interpolants.methods import LatentGenerator
from interpolants.metrics import energy_distance
from interpolants.problems import ClosedCurve
from studies.common import Outcome

_CURVE = {"n": 500, "hidden": [64, 64], "points": 256, "batch": 125, "rate": 1e-2, "compared": 1000}
_DIGITS = {"train": 1000, "latent": 6, "hidden": [128, 128], "draws": 4, "batch": 100, "rate": 1e-3}
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {
        "curve": {**_CURVE, "learnt": [0.0, 0.1, 0.8], "fixed": [], "steps": 500},
        "digits": {**_DIGITS, "learnt": [0.0, 0.3], "one draw": [], "steps": 150},
    },
    "laptop": {
        "curve": {
            **_CURVE,
            "learnt": [0.0, 0.05, 0.1, 0.8],
            "fixed": [0.0, 0.1, 0.4],
            "steps": 2000,
        },
        "digits": {
            **_DIGITS,
            "learnt": [0.0, 0.3, 0.6, 1.2, 2.4],
            "one draw": [0.0, 0.3],
            "steps": 2500,
        },
    },
}
SETTINGS["full"] = {
    "curve": {
        **SETTINGS["laptop"]["curve"],
        "learnt": [0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8],
        "fixed": [0.0, 0.05, 0.1, 0.2, 0.4],
        "batch": 500,
        "points": 1024,
        "steps": 10_000,
        "compared": 4000,
    },
    "digits": {
        **_DIGITS,
        "learnt": [0.0, 0.15, 0.3, 0.6],
        "one draw": [0.0, 0.3],
        "draws": 16,
        "steps": 10_000,
    },
}
CURVE_TRUE, DIGITS_TRUE = "curve, true draws", "digits, training images"
WAYS = ("learnt", "fixed", "one draw")
# The least noise of a model whose noise is fixed: the law itself has none.
LEAST = 0.003


def name(data: str, way: str, level: float) -> str:
    """Case of a data set, of how the model's noise is had, and of the noise on the data."""
    return f"{data}, {way}, noise {level:g}"


def cases(settings: Mapping[str, Any]) -> list[str]:
    """Every level of noise in every way on both data sets, and true samples for the floors."""
    found = [
        name(data, way, level)
        for data in ("curve", "digits")
        for way in WAYS
        for level in settings[data].get(way, [])
    ]
    return [*found, CURVE_TRUE, DIGITS_TRUE]


def measure(case: str, seed: int, settings: Mapping[str, Any]) -> Outcome:
    """Fit one model and compare its samples, or measure a floor."""
    data, way, *rest = case.split(", ")
    level = float(rest[0].removeprefix("noise ")) if rest else 0.0
    take = _curve if data == "curve" else _digits
    return take(way, level, seed, settings[data])


def _curve(way: str, level: float, seed: int, settings: Mapping[str, Any]) -> Outcome:
    law, n = ClosedCurve(), settings["compared"]
    truth = law.sample(n, generator=seeded(seed, 2)).float()
    if way == "true draws":
        return Outcome({"W1": w1(law.sample(n, generator=seeded(seed, 3)).float(), truth)})
    x = law.sample(settings["n"], generator=seeded(seed, 1)).float()
    noise = math.hypot(LEAST, level) if way == "fixed" else None
    options = {"estimator": "quadrature", "prior": "uniform", "points": settings["points"]}
    model = fitted(x, 1, level, noise, seed, settings, options)
    made = model.sample(n, seed=seed)
    values = {"W1": w1(made, truth), "off the curve": off_the_curve(made), "s": model.s * unit(x)}
    if level > 0:
        noisy = InstanceNoise(level).draw(
            law.sample(4000, generator=seeded(seed, 4)).float(), generator=seeded(seed, 5)
        )
        values["log-likelihood"] = float(model.log_prob(noisy, points=2000).log_prob.mean())
    keep = seed == 0 and way == "learnt"
    return Outcome(values, {"made": made[:300].numpy().astype("float16")} if keep else {})


def _digits(way: str, level: float, seed: int, settings: Mapping[str, Any]) -> Outcome:
    train, held = digits(seed, settings["train"])
    if way == "training images":
        return Outcome({"energy": energy_distance(train[: len(held)], held).value})
    options = {"estimator": "iwae", "points": 1 if way == "one draw" else settings["draws"]}
    model = fitted(train, settings["latent"], level, None, seed, settings, options)
    made = model.sample(2000, seed=seed)
    values = {"energy": energy_distance(made, held).value, "s": model.s * unit(train)}
    keep = seed == 0 and way == "learnt"
    return Outcome(values, {"made": made[:12].numpy().astype("float16")} if keep else {})


def fitted(
    x: Tensor,
    latent: int,
    level: float,
    noise: float | None,
    seed: int,
    settings: Mapping[str, Any],
    options: Mapping[str, Any],
) -> LatentGenerator:
    """A model of data with noise of ``level``; the model's own noise is learnt if None. Both in data units."""
    model = LatentGenerator(
        latent,
        perturb=level / unit(x),
        noise=None if noise is None else noise / unit(x),
        hidden=settings["hidden"],
        seed=seed,
        train={"steps": settings["steps"], "batch_size": settings["batch"], "lr": settings["rate"]},
        **options,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LatentGenerator: without noise")  # that is what the study is about
        return model.fit(None, x)


def unit(x: Tensor) -> float:
    """Root mean square deviation over all entries: what the model divides data by."""
    return float(x.std(0).square().mean().sqrt())


def w1(x: Tensor, y: Tensor) -> float:
    """Exact Wasserstein-1 distance of two sets of one size, in data units."""
    cost = torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist").numpy()
    assign = require("scipy.optimize", by="studies.singular").linear_sum_assignment
    rows, columns = assign(cost)
    return float(cost[rows, columns].mean())


def off_the_curve(x: Tensor) -> float:
    """Mean distance to the nearest point of the curve, in data units."""
    a = torch.linspace(0, 2 * math.pi, 4001, dtype=torch.float64)[:-1]
    curve = torch.stack([a.cos(), a.sin(), 0.5 * (2 * a).cos()], 1)
    return float(torch.cdist(x.double(), curve).min(1).values.mean())


@lru_cache(maxsize=1)
def digits(seed: int, n: int) -> tuple[Tensor, Tensor]:
    """Images in [-1, 1] as rows, cut at random: to learn from, and to compare with."""
    data = load("digits", "all").x.flatten(1).float()
    order = torch.randperm(len(data), generator=seeded(seed))
    return data[order[:n]], data[order[n:]]
