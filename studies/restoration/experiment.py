"""In-painting and super-resolution with one network and one budget, three ways.

* ``coupled``: the bridge begins at the degraded image, as the coupling draws it;
* ``uncoupled``: it begins at Gaussian noise and knows the same observation as a condition;
* ``regression``: the network predicts the image from the observation by least squares, once.
"""

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from interpolants.couplings import DataDependent, InPainting, Start, SuperResolution
from interpolants.data import load
from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.foundations.randomness import generator as seeded
from interpolants.foundations.tell import SettingWarning
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, strips
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.guidance import KeepKnown
from interpolants.metrics import sliced_wasserstein
from interpolants.objectives.times import Times, TimeSampler
from interpolants.paths import Linear, ZeroEnvelope
from interpolants.training.pairs import learn_fields
from interpolants.training.settings import TrainSettings
from studies.common import Study

PATH = Linear(envelope=ZeroEnvelope())
TASKS = ("in-painting", "super-resolution")
METHODS = ("coupled", "uncoupled", "regression")
_SHARED = {"batch_size": 32, "repeats": 4, "n_steps": 12, "few": 2, "share": 0.25, "factor": 2, "noise": 0.3}
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {**_SHARED, "sets": ["digits"], "steps": 30, "channels": 8, "test": 40, "side": 14},
    "laptop": {
        **_SHARED,
        "sets": ["digits", "fashion"],
        "steps": 1000,
        "channels": 16,
        "test": 300,
        "side": 14,
    },
    "full": {
        **_SHARED,
        "sets": ["digits", "fashion"],
        "steps": 20_000,
        "channels": 48,
        "test": 1000,
        "side": 28,
    },
}


class Images(NamedTuple):
    """Training images, test images that are restored, and others that they are compared with."""

    train: Tensor
    test: Tensor
    others: Tensor


class FromNoise(DataDependent):
    """The start is noise; the observation, and the mask if there is one, are the condition."""

    condition = True

    def __init__(self, coupling: DataDependent) -> None:
        self.coupling = coupling

    def degrade(self, x1: Tensor, *, generator: Generator | None = None) -> Start:
        """Noise, and what the coupling would have kept."""
        field = _observation(self.coupling, x1, generator)
        return Start(torch.randn(x1.shape, generator=generator), field)


class FromObservation(FromNoise):
    """The start is the observation itself, for regression."""

    def degrade(self, x1: Tensor, *, generator: Generator | None = None) -> Start:
        """The observation, with zeros where it says nothing."""
        field = _observation(self.coupling, x1, generator)
        return Start(field[:, -1:], field)


class AtStart(TimeSampler):
    """All times are zero: the state is the start, and the end point's mean is the regression."""

    def sample(self, n: int, *, generator: Generator | None = None) -> Times:
        """Draw n times."""
        return Times(torch.zeros(n), torch.ones(n))


def _observation(coupling: DataDependent, x1: Tensor, generator: Generator | None) -> Tensor:
    if isinstance(coupling, InPainting):
        known = coupling.known(x1, generator=generator).to(x1.dtype)
        return torch.cat([known, known * x1], 1)
    assert isinstance(coupling, SuperResolution)
    return coupling.upsample(coupling.downsample(x1))


def cases(settings: Mapping[str, Any]) -> list[str]:
    """Data, task and method."""
    return [f"{data}, {task}, {method}" for data in settings["sets"] for task in TASKS for method in METHODS]


def images(data: str, settings: Mapping[str, Any]) -> Images:
    """Images in [-1, 1]; clothes at half their size unless the full side is asked for."""
    sets = []
    for split in ("train", "test"):
        x = load("digits" if data == "digits" else "fashion_mnist", split).x
        if data == "fashion" and settings["side"] == 14:
            x = torch.nn.functional.avg_pool2d(x, 2)
        sets.append(x)
    train, held = sets
    n = min(settings["test"], len(held) // 2)
    return Images(train, held[:n], held[n : 2 * n])


def measure(case: str, seed: int, settings: Mapping[str, Any]) -> Answered:
    """Train one method on one task, restore held-out images several times, and compare."""
    data, task, method = case.split(", ")
    real = images(data, settings)
    plain: DataDependent = InPainting(share=settings["share"])
    if task == "super-resolution":
        plain = SuperResolution(factor=settings["factor"], noise=settings["noise"])
    wrap = {"coupled": lambda c: c, "uncoupled": FromNoise, "regression": FromObservation}[method]
    coupling = wrap(plain)
    net = {"kind": "unet", "channels": settings["channels"], "blocks": 1, "attention": ()}
    train = TrainSettings(
        steps=settings["steps"],
        batch_size=settings["batch_size"],
        lr=2e-3,
        schedule="cosine",
        warmup=50,
        ema=0.995,
        seed=seed,
    )
    with warnings.catch_warnings():
        # The regression is asked at t = 0 alone, where no error grows.
        warnings.simplefilter("ignore", SettingWarning)
        learnt = learn_fields(
            PATH,
            real.train,
            real.train,
            heads=("denoised",) if method == "regression" else ("velocity",),
            net={**net, **coupling.net_settings(real.train)},
            coupling=coupling,
            times=AtStart() if method == "regression" else None,
            settings=train,
        )
    return evaluate(learnt.fields, coupling, plain, real, method, seed, settings)


def evaluate(
    fields: LearnedFields,
    coupling: DataDependent,
    plain: DataDependent,
    real: Images,
    method: str,
    seed: int,
    settings: Mapping[str, Any],
) -> Answered:
    """Errors, spread and quality of restored images; every method sees the same masks."""
    repeats, n = settings["repeats"], len(real.test)
    starts = [_start(coupling, plain, real.test, seed, k) for k in range(repeats)]
    field = starts[0].field

    def restore(start: Start, steps: int, keep: bool = False) -> Tensor:
        if method == "regression":
            with torch.no_grad():
                return fields.denoised(start.x0, 0.0, start.field)
        used = KeepKnown(fields) if keep else fields
        return sample(used, start.x0, method="heun", n_steps=steps, cond=start.field).x

    made = torch.stack([restore(start, settings["n_steps"]) for start in starts])
    few = restore(starts[0], settings["few"])
    known = field[:, :1].bool().expand_as(real.test) if isinstance(plain, InPainting) else None
    values = _errors(made, real.test, plain, known)
    values["W2"] = _w2(made[0], real.others, seed)
    values["W2 few steps"] = _w2(few, real.others, seed)
    values["W2 floor"] = _w2(real.test, real.others, seed)
    if known is not None:
        values["W2 pasted"] = _w2(torch.where(known, real.test, made[0]), real.others, seed)
    if known is not None and method == "coupled":
        kept = restore(starts[0], settings["n_steps"], keep=True)
        values["MSE known, kept"] = float((kept - real.test)[known].square().mean())
        values["MSE hidden, kept"] = float((kept - real.test)[~known].square().mean())
    x0, x1 = starts[0].x0, real.test
    values["cost"] = float((x1 - x0).square().flatten(1).sum(1).mean())
    rows = slice(0, min(6, n))
    arrays = {"truth": x1[rows].numpy(), "observed": field[rows].numpy(), "made": made[:3, rows].numpy()}
    return measured(values, arrays)


def _start(coupling: DataDependent, plain: DataDependent, x1: Tensor, seed: int, k: int) -> Start:
    """The k-th start of every image: the observation is the same for all k and methods, the noise is not."""
    noise = seeded(seed, 7, k)
    if isinstance(plain, InPainting):
        known = plain.known(x1, generator=seeded(seed, 6))
        if coupling is plain:
            return plain.start(x1, known, generator=noise)
        field = torch.cat([known.to(x1.dtype), known * x1], 1)
        x0 = field[:, 1:] if isinstance(coupling, FromObservation) else torch.randn(x1.shape, generator=noise)
        return Start(x0, field)
    return coupling.degrade(x1, generator=noise)


def _errors(made: Tensor, truth: Tensor, plain: DataDependent, known: Tensor | None) -> dict[str, float]:
    """Mean squared errors of one draw and of the mean of M draws, spread against skill, and the observation's error.

    For exact draws of the posterior the variance of a draw, times 1 + 1/M, is the squared error of the mean of M draws.
    """
    repeats = len(made)
    asked = torch.ones_like(truth, dtype=torch.bool) if known is None else ~known
    one = (made[0] - truth)[asked].square().mean()
    mean = (made.mean(0) - truth)[asked].square().mean()
    variance = made.var(0)[asked].mean() if repeats > 1 else torch.zeros(())
    values = {
        "MSE one": float(one),
        "MSE mean": float(mean),
        "variance": float(variance),
        "spread/skill": float((variance * (1 + 1 / repeats) / mean).sqrt()),
    }
    values["detail"] = detail(made[0], plain, known) / detail(truth, plain, known)
    if known is not None:
        values["MSE known"] = float((made[0] - truth)[known].square().mean())
    else:
        assert isinstance(plain, SuperResolution)
        values["MSE known"] = float((plain.downsample(made[0]) - plain.downsample(truth)).square().mean())
    return values


def detail(x: Tensor, plain: DataDependent, known: Tensor | None) -> float:
    """Energy of what the observation does not say: variance of hidden pixels, or of pixels within their block.

    A mean of answers has less of it than any answer: blur, which a distance of whole images hardly sees.
    """
    if known is not None:
        return float(x[~known].var())
    assert isinstance(plain, SuperResolution)
    return float((x - plain.upsample(plain.downsample(x))).square().mean())


def _w2(x: Tensor, y: Tensor, seed: int) -> float:
    return sliced_wasserstein(x, y, generator=seeded(seed, 8)).value


# --- table and figures ---------------------------------------------------------------------------------------


COLUMNS = {
    "MSE one": ("MSE, one draw", 4),
    "MSE mean": ("MSE, mean of draws", 4),
    "spread/skill": ("spread/skill", 2),
    "detail": ("detail, of the true", 2),
    "MSE known": ("MSE of what is known", 5),
    "W2": ("sliced W2", 3),
    "W2 pasted": ("sliced W2, known pixels pasted", 3),
    "W2 few steps": ("sliced W2, few steps", 3),
    "W2 floor": ("two real sets", 3),
    "cost": ("E of squared distance", 1),
}


def table(results: Results) -> str:
    """One table per task: a row for every data set and method."""
    parts = [results.head]
    for task in TASKS:
        named = {case.replace(f"{task}, ", ""): case for case in results.cases if f", {task}, " in case}
        rows = results.rows(named, {name: digits for name, (_, digits) in COLUMNS.items()})
        parts += [f"**{task}**\n", markdown(["", *(title for title, _ in COLUMNS.values())], rows)]
    kept = [case for case in results.cases if results.values(case, "MSE known, kept")]
    rows = results.rows(kept, {"MSE known, kept": 7, "MSE hidden, kept": 4})
    parts += ["**With known pixels held fixed**\n", markdown(["", "MSE known", "MSE hidden, one draw"], rows)]
    return "\n".join(parts)


def figures(results: Results) -> list[Figure]:
    """Restored images: the observation, regression, three draws of each bridge, the truth."""
    sets = results.settings["sets"]
    panels = tuple(_album(results, data, task) for data in sets for task in TASKS)
    height = 240 * len(sets)
    return [Figure(name="restoration", panels=panels, columns=len(TASKS), width=900, height=height)]


def _album(results: Results, data: str, task: str) -> Panel:
    seed = results.seeds[0]
    by = {method: results.arrays(f"{data}, {task}, {method}", seed) for method in METHODS}
    if not all(by.values()):
        return Panel(series=(), bare=True)
    field = by["regression"]["observed"].astype(np.float32)
    seen = field[:, -1]
    if task == "in-painting":
        seen = np.where(field[:, 0] > 0.5, seen, np.nan)
    columns = [seen, by["regression"]["made"][0, :, 0]]
    columns += [by[method]["made"][k, :, 0] for method in ("coupled", "uncoupled") for k in range(3)]
    columns.append(by["coupled"]["truth"][:, 0])
    x = Axis(ticks=(0.5, 1.5, 3.5, 6.5, 8.5), names=("seen", "mean", "coupled", "uncoupled", "truth"))
    rows = [np.stack([column[r] for column in columns]) for r in range(min(4, len(seen)))]
    return strips(rows, title=f"{data}, {task}", x=x)


CLAIMS = tuple(
    Stated(f"coupled_{data}.{name} < uncoupled", (f"{data}, in-painting, coupled", number),
           (f"{data}, in-painting, uncoupled", number), seeds=2)
    for data in ("digits", "fashion") for name, number in (("few_steps", "W2 few steps"), ("known", "MSE known"))
)  # fmt: skip

STUDY = Study("restoration", SETTINGS, cases, measure, table, figures, CLAIMS)
