"""Poisson flows under injected errors: does noise with few degrees of freedom D make a sampler robust?

The denoiser is exact for the training digits, so nothing is learnt and every difference is the noise distribution's.
Before each of 18 Heun steps the state is disturbed by normal noise of ``alpha`` times the present noise level, as an
error of a model would; samples are compared with held-out digits by the energy distance.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from interpolants.data import load
from interpolants.dynamics import sample
from interpolants.foundations.randomness import generator as seeded
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, across
from interpolants.framework.seeds import Results, Stated, markdown, shown
from interpolants.metrics import energy_distance
from interpolants.paths import EDM
from interpolants.problems import EmpiricalBridge
from studies.common import Study

_SHARED = {"alphas": [0.0, 0.4, 0.5], "degrees": [4, 16, 64, 128, 1024, "inf"], "n_steps": 18}
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {**_SHARED, "degrees": [16, "inf"], "alphas": [0.0, 0.5], "points": 400, "held": 300, "n": 150},
    "laptop": {**_SHARED, "points": 1000, "held": 797, "n": 400},
    "full": {**_SHARED, "points": 1000, "held": 797, "n": 4000},
}
TRUE = "training digits"


def cases(settings: Mapping[str, Any]) -> list[str]:
    """Every disturbance with every D, and true draws for the floor."""
    pairs = [(alpha, df) for alpha in settings["alphas"] for df in settings["degrees"]]
    return [*(f"alpha = {alpha:g}, D = {df}" for alpha, df in pairs), TRUE]


def measure(case: str, seed: int, settings: Mapping[str, Any]) -> Answered:
    """Energy distances of one set of samples to the held-out digits, and how many training images it has."""
    train, held = digits(seed, settings["points"], settings["held"])
    if case == TRUE:
        made = train[torch.randint(len(train), (settings["n"],), generator=seeded(seed, 2))]
    else:
        alpha, df = case.removeprefix("alpha = ").split(", D = ")
        made = disturbed(train, float(alpha), df if df == "inf" else float(df), seed, settings)
    # the exact denoiser ends at training images: what can differ is how often each of them is drawn
    nearest = torch.cdist(made, train).min(1)
    values = {
        "energy": energy_distance(made, held).value,
        "energy, V": energy_distance(made, held, unbiased=False).value,
        "to nearest": float(nearest.values.max()),
        "distinct": len(nearest.indices.unique()) / len(made),
        "mean": float((made.mean(0) - held.mean(0)).norm()),
    }
    return measured(values)


def disturbed(
    points: Tensor, alpha: float, df: float | str, seed: int, settings: Mapping[str, Any]
) -> Tensor:
    """Samples by Heun steps in the noise level, each begun at a state that was pushed by ``alpha sigma N(0, Id)``."""
    path = EDM(df=df)
    fields = EmpiricalBridge(points).fields(path)
    shape, source = (settings["n"], points.shape[1]), seeded(seed, 1)
    x = path.base.color(path.base.noise(shape, generator=source, dtype=torch.float64))
    push = seeded(seed, 3)
    times = path.own_grid(settings["n_steps"])
    for here, after in pairwise(times):
        sigma = float(path.noise_std(torch.tensor(here, dtype=torch.float64)))
        x = x + alpha * sigma * torch.randn(shape, generator=push, dtype=torch.float64)
        last = "denoise" if after == 1.0 else "step"
        x = sample(fields, x, time_grid=[here, after], finish=last, invariant=False, chunk=len(x)).x
    return x


@lru_cache(maxsize=2)
def digits(seed: int, points: int, held: int) -> tuple[Tensor, Tensor]:
    """Images in [-1, 1], cut in two at random: what the denoiser knows, and what it is compared with."""
    data = load("digits", "all").x.flatten(1).double()
    assert math.isclose(float(data.abs().max()), 1.0)
    order = torch.randperm(len(data), generator=seeded(seed))
    return data[order[:points]], data[order[points : points + held]]


# --- table and figures ---------------------------------------------------------------------------------------


def table(results: Results) -> str:
    """Energy distance by disturbance and D, the ratio that the claim is about, and how many images were drawn."""
    degrees, seeds = results.settings["degrees"], ", ".join(map(str, results.seeds))
    text = (
        f"Seeds {seeds}; mean ± standard error of the energy distance (V-statistic) to held-out digits.\n\n"
    )
    text += _numbers(results, "energy, V", 4) + "\nDifferent images among the samples, as a share.\n\n"
    text += _numbers(results, "distinct", 3)
    if {16, "inf"} <= set(degrees):
        rows = [_ratio(results, alpha) for alpha in results.settings["alphas"]]
        head = ["alpha", "distance at D = 16 / at D = inf", "seeds in which it is smaller"]
        text += "\n" + markdown(head, rows)
    return text


def _numbers(results: Results, name: str, digits: int) -> str:
    degrees = results.settings["degrees"]
    rows = [
        [f"{alpha:g}", *(results.shown(_case(alpha, df), name, digits) for df in degrees)]
        for alpha in results.settings["alphas"]
    ]
    rows.append(["training digits", results.shown(TRUE, name, digits)] + [""] * (len(degrees) - 1))
    return markdown(["alpha", *(f"D = {df}" for df in degrees)], rows)


def _ratio(results: Results, alpha: float) -> list[str]:
    few, normal = (results.values(_case(alpha, df), "energy, V") for df in (16, "inf"))
    ratios = [a / b for a, b in zip(few, normal, strict=True)]
    return [f"{alpha:g}", shown(ratios, 2), f"{sum(r < 1 for r in ratios)} of {len(ratios)}"]


def figures(results: Results) -> list[Figure]:
    """Distance against D for every disturbance, and how many different images were drawn."""
    degrees, panels = results.settings["degrees"], []
    words = tuple("∞" if df == "inf" else str(df) for df in degrees)
    x = Axis(label="D, degrees of freedom of the noise", ticks=tuple(range(len(degrees))), names=words)
    for name, title, y in (
        ("energy, V", "Samples against held-out digits", "energy distance"),
        ("distinct", "Different images among the samples", "share"),
    ):
        series = [
            results.curve(
                range(len(degrees)), [(_case(alpha, df), name) for df in degrees], f"alpha = {alpha:g}", k
            )
            for k, alpha in enumerate(results.settings["alphas"])
        ]
        series.append(across(results.mean(TRUE, name), "training digits", dash=":"))
        legend = "" if panels else "best"
        panels.append(Panel(series=tuple(series), title=title, x=x, y=Axis(label=y), legend=legend))
    return [Figure(name="pfgmpp", panels=tuple(panels), width=900, height=320)]


def _case(alpha: float, df: float | str) -> str:
    return f"alpha = {alpha:g}, D = {df}"


CLAIMS = (
    Stated("disturbed.heavy_tails < 0.75 normal", ("alpha = 0.5, D = 16", "energy, V"),
           ("alpha = 0.5, D = inf", "energy, V")),
    Stated("exact.heavy_tails < 0.75 normal", ("alpha = 0, D = 16", "energy, V"), ("alpha = 0, D = inf", "energy, V"),
           expected="fails"),
)  # fmt: skip

STUDY = Study("pfgmpp", SETTINGS, cases, measure, table, figures, CLAIMS)
