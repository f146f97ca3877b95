"""Data on a thin set: how much noise should a likelihood see?

A latent generator is fitted to data with noise of several sizes and sampled without it. On a closed curve in space the
samples are compared with the true distribution by the exact W1, on digits with held-out images by the energy distance.
Noise levels are in data units.
"""

import math
import warnings
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interpolants.data import load
from interpolants.foundations.extras import require
from interpolants.foundations.randomness import generator as seeded
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, across, cloud, strips, trails
from interpolants.framework.seeds import Results, Stated, markdown, shown
from interpolants.generative.latent_generator.latent_generator import LatentGenerator
from interpolants.metrics import energy_distance
from interpolants.problems import ClosedCurve
from interpolants.training.instance_noise import InstanceNoise
from studies.common import Study

_CURVE = {"n": 500, "hidden": [64, 64], "points": 256, "batch": 125, "rate": 1e-2, "compared": 1000}
_DIGITS = {"train": 1000, "latent": 6, "hidden": [128, 128], "draws": 4, "batch": 100, "rate": 1e-3}
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {
        "curve": {**_CURVE, "learnt": [0.0, 0.1, 0.8], "fixed": [], "steps": 500},
        "digits": {**_DIGITS, "learnt": [0.0, 0.3], "steps": 150},
    },
    "laptop": {
        "curve": {**_CURVE, "learnt": [0.0, 0.05, 0.1, 0.8], "fixed": [0.0, 0.1, 0.4], "steps": 2000},
        "digits": {
            **_DIGITS,
            "learnt": [0.0, 0.15, 0.3, 0.6, 1.2],
            "one draw": [0.0, 0.3],
            "small start": [0.0, 0.3],
            "plain": [0.0, 0.3],
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
        "small start": [0.0, 0.3],
        "plain": [0.0, 0.3],
        "draws": 16,
        "steps": 10_000,
    },
}
CURVE_TRUE, DIGITS_TRUE = "curve, true draws", "digits, training images"
WAYS = ("learnt", "fixed", "one draw", "small start", "plain")
# Where s starts in "small start", in units of the spread; the method starts at 2.
SMALL = 0.5
# The least noise of a model whose noise is fixed: the distribution itself has none.
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


def measure(case: str, seed: int, settings: Mapping[str, Any]) -> Answered:
    """Fit one model and compare its samples, or measure a floor."""
    data, way, *rest = case.split(", ")
    level = float(rest[0].removeprefix("noise ")) if rest else 0.0
    take = _curve if data == "curve" else _digits
    return take(way, level, seed, settings[data])


def _curve(way: str, level: float, seed: int, settings: Mapping[str, Any]) -> Answered:
    distribution, n = ClosedCurve(), settings["compared"]
    truth = distribution.sample(n, generator=seeded(seed, 2)).float()
    if way == "true draws":
        return measured({"W1": w1(distribution.sample(n, generator=seeded(seed, 3)).float(), truth)})
    x = distribution.sample(settings["n"], generator=seeded(seed, 1)).float()
    noise = math.hypot(LEAST, level) if way == "fixed" else None
    options = {"estimator": "quadrature", "prior": "uniform", "points": settings["points"]}
    model = fitted(x, 1, level, noise, seed, settings, options)
    made = model.sample(n, seed=seed)
    values = {"W1": w1(made, truth), "off the curve": off_the_curve(made), "s": model.s * unit(x)}
    if level > 0:
        noisy = InstanceNoise(level).draw(
            distribution.sample(4000, generator=seeded(seed, 4)).float(), generator=seeded(seed, 5)
        )
        values["log-likelihood"] = float(model.log_prob(noisy, points=2000).mean())
    keep = seed == 0 and way == "learnt"
    return measured(values, {"made": made[:300].numpy().astype("float16")} if keep else {})


def _digits(way: str, level: float, seed: int, settings: Mapping[str, Any]) -> Answered:
    train, held = digits(seed, settings["train"])
    if way == "training images":
        return measured({"energy": energy_distance(train[: len(held)], held).value})
    if way == "plain":
        made, s = plain(train, level, seed, settings)
    else:
        options = {"estimator": "iwae", "points": 1 if way == "one draw" else settings["draws"]}
        options |= {"first_noise": SMALL} if way == "small start" else {}
        model = fitted(train, settings["latent"], level, None, seed, settings, options)
        made, s = model.sample(2000, seed=seed), model.s * unit(train)
    values = {"energy": energy_distance(made, held).value, "s": s}
    keep = seed == 0 and way == "learnt"
    return measured(values, {"made": made[:12].numpy().astype("float16")} if keep else {})


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
        steps=settings["steps"],
        batch_size=settings["batch"],
        lr=settings["rate"],
        **options,
    )
    with warnings.catch_warnings():
        # A collapse of the noise, and pixels that hardly vary, are what the study is about.
        warnings.filterwarnings("ignore", "LatentGenerator")
        return model.fit(x)


def plain(x: Tensor, level: float, seed: int, settings: Mapping[str, Any]) -> tuple[Tensor, float]:
    """The same networks, bound and budget without this library: raw data, torch's initial weights, Adam, s from 1.

    Returns:
        2,000 samples without the noise, and s; both in data units.
    """
    k, d, draw = settings["draws"], settings["latent"], seeded(seed, "plain")
    decoder = sequence([d, *settings["hidden"], x.shape[1]], seed)
    encoder = sequence([x.shape[1], *settings["hidden"], 2 * d], seed + 1)
    log_s = torch.zeros((), requires_grad=True)
    adam = torch.optim.Adam([*decoder.parameters(), *encoder.parameters(), log_s], lr=settings["rate"])
    for _ in range(settings["steps"]):
        batch = x[torch.randint(len(x), (settings["batch"],), generator=draw)]
        batch = batch + level * torch.randn(batch.shape, generator=draw)
        mean, log_spread = encoder(batch).chunk(2, 1)
        e = torch.randn(len(batch), k, d, generator=draw)
        z = mean[:, None] + log_spread.exp()[:, None] * e
        squared = (batch[:, None] - decoder(z)).square().sum(2)
        ratio = (e.square() / 2 - z.square() / 2 + log_spread[:, None]).sum(2)  # log p(z) - log q(z|x)
        joint = ratio - squared * torch.exp(-2 * log_s) / 2 - x.shape[1] * log_s
        adam.zero_grad()
        (-joint.logsumexp(1).mean()).backward()
        adam.step()
    with torch.no_grad():
        return decoder(torch.randn(2000, d, generator=draw)), float(log_s.exp())


def sequence(widths: list[int], seed: int) -> nn.Sequential:
    """Linear layers with ReLU between them, and the initial weights that torch gives them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


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


# --- table and figures ---------------------------------------------------------------------------------------


_WORDS = {
    "learnt": "s learnt",
    "fixed": "s fixed",
    "one draw": "s learnt, bound of one draw",
    "small start": "s learnt from half the spread",
    "plain": "s learnt, plain torch",
}


def table(results: Results) -> str:
    """Distances by noise on the data; codimensions; digits; ratios that the claims are about."""
    text = f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error.\n\n"
    head = ["curve in space, noise on the data", "W1 to the distribution", "distance from the curve", "s"]
    rows = _rows(results, "curve", ("W1", "off the curve", "s"), 3)
    rows.append(["true draws", results.shown(CURVE_TRUE, "W1"), "0", ""])
    text += markdown(head, rows)
    slopes = _slopes(results)
    if slopes:
        text += "\n" + markdown(["codimension from log-likelihoods", "slope"], slopes)
    rows = _rows(results, "digits", ("energy", "s"), 4)
    rows.append(["training images", results.shown(DIGITS_TRUE, "energy", 4), ""])
    text += "\n" + markdown(["digits, noise on the data", "energy distance to held-out images", "s"], rows)
    rows = _ratios(results)
    return text + ("\n" + markdown(["digits, ratio", "value", "seeds below 1"], rows) if rows else "")


def _rows(results: Results, data: str, numbers: tuple[str, ...], digits: int) -> list[list[str]]:
    levels = results.settings[data]
    named = {f"{x:g}, {_WORDS[way]}": name(data, way, x) for way in WAYS for x in levels.get(way, [])}
    return results.rows(named, dict.fromkeys(numbers, digits))


def _slopes(results: Results) -> list[list[str]]:
    """Slope of the likelihood between neighbouring noise levels, seed by seed."""
    rows = []
    levels = [level for level in results.settings["curve"]["learnt"] if level > 0]
    for low, high in pairwise(levels):
        first, second = (
            results.values(name("curve", "learnt", level), "log-likelihood") for level in (low, high)
        )
        found = [(a - b) / math.log(high / low) for a, b in zip(first, second, strict=False)]
        rows.append([f"noise {low:g} to {high:g}", shown(found, 2)])
    return rows


def _ratios(results: Results) -> list[list[str]]:
    rows = []
    for way in ("learnt", "one draw", "small start", "plain"):
        levels = results.settings["digits"].get(way, [])
        plain = results.values(name("digits", way, 0.0), "energy") if 0.0 in levels else []
        for level in levels:
            found = results.values(name("digits", way, level), "energy")
            if level > 0 and plain and len(found) == len(plain):
                ratios = [a / b for a, b in zip(found, plain, strict=True)]
                below = f"{sum(r < 1 for r in ratios)} of {len(ratios)}"
                rows.append([f"noise {level:g} / none, {_WORDS[way]}", shown(ratios, 2), below])
    return rows


def figures(results: Results) -> list[Figure]:
    """Error against noise for both data sets; what the curve's samples look like; digits."""
    far = "energy distance to held-out images"
    panels = (
        _lines(
            results, "curve", "Closed curve in space, 500 points", "W1", "W1 to the distribution", CURVE_TRUE
        ),
        _lines(results, "digits", "Digits, 1,000 images", "energy", far, DIGITS_TRUE),
    )
    return [Figure(name="noise", panels=panels, width=900, height=320), _samples(results)]


def _lines(results: Results, data: str, title: str, value: str, words: str, floor: str) -> Panel:
    series = []
    for k, way in enumerate(WAYS):
        levels = results.settings[data].get(way, [])
        if levels and way != "one draw":  # which is off this scale
            series.append(
                results.curve(levels, [(name(data, way, x), value) for x in levels], _WORDS[way], k)
            )
    series.append(across(results.mean(floor, value), dash=":"))
    x, y = Axis(label="noise on the data"), Axis(label=words)
    return Panel(series=tuple(series), title=title, x=x, y=y, legend="best")


def _samples(results: Results) -> Figure:
    """Above, samples on the curve seen from above and aside; below, digits; one column for each noise."""
    curve = [x for x in results.settings["curve"]["learnt"] if x in (0.0, 0.05, 0.1, 0.8)]
    digits = list(results.settings["digits"]["learnt"])
    columns = max(len(curve), len(digits))
    above = [_curve_panel(results, noise) for noise in curve] + [_NOTHING] * (columns - len(curve))
    below = [_digits_panel(results, noise) for noise in digits] + [_NOTHING] * (columns - len(digits))
    return Figure(name="samples", panels=(*above, *below), columns=columns, width=820, height=470)


_NOTHING = Panel(series=(), bare=True)


def _seen(x: Any) -> Any:
    """Points of space ``(N, 3)`` as a spectator sees them, ``(N, 2)``: turned by 40 degrees, from 35 degrees above."""
    turn, rise = np.radians(40), np.radians(35)
    across = x[:, 1] * np.cos(turn) - x[:, 0] * np.sin(turn)
    towards = x[:, 0] * np.cos(turn) + x[:, 1] * np.sin(turn)
    return np.stack([across, x[:, 2] * np.cos(rise) - towards * np.sin(rise)], 1)


def _curve_panel(results: Results, noise: float) -> Panel:
    a = np.linspace(0, 2 * np.pi, 200)
    series = [trails(_seen(np.stack([np.cos(a), np.sin(a), 0.5 * np.cos(2 * a)], 1))[:, None])]
    made = results.arrays(name("curve", "learnt", noise), 0).get("made")
    series += [] if made is None else [cloud(_seen(made.astype(float)))]
    limits = {"x": Axis(low=-1.6, high=1.6), "y": Axis(low=-1.5, high=1.5)}
    return Panel(series=tuple(series), title=f"noise {noise:g}", bare=True, equal=True, **limits)


def _digits_panel(results: Results, noise: float) -> Panel:
    made = results.arrays(name("digits", "learnt", noise), 0).get("made")
    title = f"noise {noise:g}"
    if made is None:
        return Panel(series=(), title=title, bare=True)
    return strips(list(made[:12].reshape(3, 4, 8, 8)), low=1, high=-1, title=title)


CLAIMS = (
    Stated("digits.noisy < 0.92 none", (name("digits", "learnt", 0.3), "energy"),
           (name("digits", "learnt", 0.0), "energy")),
    Stated("digits.small_start_noisy < 0.92 none", (name("digits", "small start", 0.3), "energy"),
           (name("digits", "small start", 0.0), "energy")),
    Stated("digits.plain_noisy < 0.92 none", (name("digits", "plain", 0.3), "energy"),
           (name("digits", "plain", 0.0), "energy"), expected="fails"),
    Stated("digits.more_noise > noisy", (name("digits", "learnt", 0.6), "energy"),
           (name("digits", "learnt", 0.3), "energy")),
    Stated("digits.none < 1.1 plain", (name("digits", "learnt", 0.0), "energy"),
           (name("digits", "plain", 0.0), "energy")),
    Stated("curve.fixed < none", (name("curve", "fixed", 0.1), "W1"), (name("curve", "fixed", 0.0), "W1")),
    Stated("curve.noisy < none", (name("curve", "learnt", 0.8), "W1"), (name("curve", "learnt", 0.0), "W1"),
           expected="fails"),
)  # fmt: skip

STUDY = Study("singular", SETTINGS, cases, measure, table, figures, CLAIMS)
