"""Does asking a network at the time that fits the spread of a state make few steps better?

Handwritten digits, 8 x 8, and patches of photographs, 16 x 16; a U-Net learns the noise of a variance-preserving
diffusion. DDIM in 10 and 20 steps from the same starts: plain, with times shifted by the published rule and by the rule
that knows the variance within the data, in narrow and wide windows, and with the predicted noise scaled by a constant.
Fréchet distances to unseen images in 20 principal components.
"""

import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from interpolants.data import load
from interpolants.dynamics import sample
from interpolants.dynamics.modifiers import Modifier
from interpolants.foundations.tell import FitWarning
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.generative.acceleration.noise_scaling import NoiseScaling
from interpolants.generative.acceleration.time_shift import TimeShift
from interpolants.methods import Bridge
from interpolants.metrics import frechet_distance
from studies.common import Study

Settings = Mapping[str, Any]
DIGITS, PHOTOGRAPHS = "digits, 8 x 8", "photographs, 16 x 16"
STEPS = (10, 20)
PLAIN = "plain"

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {"steps": 6, "batch": 16, "n": 32, "rows": 200, "channels": 4},
    "laptop": {"steps": 1600, "batch": 64, "n": 1000, "rows": 6000, "channels": 16},
    "full": {"steps": 40_000, "batch": 128, "n": 5000, "rows": 30_000, "channels": 32},
}


def cases(settings: Settings) -> Sequence[str]:
    """The data sets."""
    return (DIGITS, PHOTOGRAPHS)


@lru_cache(maxsize=2)
def images(case: str, rows: int) -> tuple[Tensor, Tensor]:
    """Training and unseen images ``(N, 1, H, W)`` in [-1, 1]."""
    if case == DIGITS:
        return tuple(load("digits", part).x.float() for part in ("train", "test"))  # type: ignore[return-value]
    parts = [load("photographs", part, size=16, stride=8).x.float() for part in ("train", "test")]
    source = torch.Generator().manual_seed(0)
    return tuple(x[torch.randperm(len(x), generator=source)[:rows]] for x in parts)  # type: ignore[return-value]


def samplers(v: float) -> dict[str, tuple[Modifier, ...]]:
    """Ways to sample, by name; v is the mean variance within an image."""
    published = {"window": 0.04, "until": 0.4}
    return {
        PLAIN: (),
        "published rule": (TimeShift(variance=0.0, **published),),  # type: ignore[arg-type]
        "with v": (TimeShift(variance=v, **published),),  # type: ignore[arg-type]
        "with v, one time a batch": (TimeShift(variance=v, pool="batch", **published),),  # type: ignore[arg-type]
        "with v, default": (TimeShift(variance=v),),
        "with v, wide": (TimeShift(variance=v, window=0.08, until=0.7),),
        "noise / 1.005": (NoiseScaling(1.005),),
        "noise / 1.02": (NoiseScaling(1.02),),
    }


NAMES = tuple(samplers(1.0))


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """All ways to sample one network."""
    train, test = images(case, settings["rows"])
    net = {
        "kind": "unet",
        "blocks": 1,
        "attention": [],
        "channels": settings["channels"],
        "multipliers": [1, 2, 2],
    }
    loop = {"steps": settings["steps"], "batch_size": settings["batch"], "ema": 0.995, "seed": seed}
    model = Bridge("vp", heads=("noise",), net=net, standardize=False, held_out=0, **loop)
    fields = model.fit(x1=train, progress=False).fields
    starts = torch.randn(
        settings["n"], *train.shape[1:], generator=torch.Generator().manual_seed(1000 + seed)
    )
    variance = train.flatten(1).var(1)
    values = {"v": float(variance.mean()), "spread of v": float(variance.std() / variance.mean())}
    values["real rows, distance"] = _distance(train[: settings["n"]], test)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)  # it is what is being measured
        for steps in STEPS:
            for name, modifiers in samplers(values["v"]).items():
                done = sample(
                    fields, starts, method="ddim", n_steps=steps, modifiers=modifiers, invariant=False
                )
                values[f"{name} {steps}, distance"] = _distance(done.x, test)
                if any(isinstance(one, TimeShift) for one in modifiers):
                    values[f"{name} {steps}, at edge"] = float(done.reports[-1]["at_edge"].mean())
                values[f"{name} {steps}, spread"] = float(done.x.flatten(1).var(1).mean()) / values["v"]
        long = sample(fields, starts, method="ddim", n_steps=100).x
    values["plain 100, distance"] = _distance(long, test)
    return measured(values)


def _distance(x: Tensor, test: Tensor) -> float:
    return frechet_distance(x, test).value


def table(results: Results) -> str:
    """Every way beside the plain run."""
    text = results.head
    for case in results.cases:
        text += f"\n{case[0].upper()}{case[1:]}: v = {results.shown(case, 'v')}, whose relative spread over images is "
        text += (
            f"{results.shown(case, 'spread of v')}; real rows {results.shown(case, 'real rows, distance')}, "
        )
        text += f"100 plain steps {results.shown(case, 'plain 100, distance')}\n\n"
        head = ["sampler"]
        for steps in STEPS:
            head += [f"distance, {steps} steps", "variance over v", "at the edge"]
        text += markdown(head, [[name, *_row(results, case, name)] for name in NAMES])
    return text


def _row(results: Results, case: str, name: str) -> list[str]:
    found = []
    for steps in STEPS:
        for what in ("distance", "spread", "at edge"):
            has = what != "at edge" or "rule" in name or name.startswith("with")
            found.append(results.shown(case, f"{name} {steps}, {what}") if has else "–")
    return found


def figures(results: Results) -> list[Figure]:
    """Distances by sampler."""
    panels = []
    for case in results.cases:
        series = tuple(
            results.curve(range(len(NAMES)), [(case, f"{name} {steps}, distance") for name in NAMES],
                          f"{steps} steps", hue, dash="")
            for hue, steps in enumerate(STEPS)
        )  # fmt: skip
        x = Axis(
            ticks=tuple(range(len(NAMES))),
            names=tuple(name.replace(", ", ",\n").replace(" / ", "\n/ ") for name in NAMES),
        )
        y = Axis(label="Fréchet distance", scale="log", grid=True)
        panels.append(Panel(series=series, title=case, x=x, y=y, legend="best"))
    return [Figure(name="time_shift", panels=tuple(panels), columns=1, width=900, height=620)]


CLAIMS = (
    Stated("digits.batch < 1.02 plain", (DIGITS, "with v, one time a batch 10, distance"),
           (DIGITS, "plain 10, distance"), "trivial"),
    Stated("digits.plain < wide", (DIGITS, "plain 20, distance"), (DIGITS, "with v, wide 20, distance"), "trivial",
           expected="undecided"),
    Stated("photographs.with_v < 0.95 plain", (PHOTOGRAPHS, "with v 10, distance"),
           (PHOTOGRAPHS, "plain 10, distance"), "trivial", expected="fails"),
)  # fmt: skip

STUDY = Study("time_shift", SETTINGS, cases, measure, table, figures, CLAIMS)
