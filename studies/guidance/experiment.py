"""Classifier-free guidance on handwritten digits: one conditional model, many strengths, chosen after training.

Digits come from noise with their label as condition; in training one label in ten is dropped. A classifier that knows
real training images judges the samples, cut to the range of images. Diversity is the mean squared distance of two
samples of one class, over that of two real ones.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from interpolants.data import load
from interpolants.dynamics import sample
from interpolants.fields import Fields
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import generator as seeded
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, across, strips
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.guidance import ClassifierFree
from interpolants.metrics import sliced_wasserstein
from interpolants.metrics.label_classifier import LabelClassifier
from interpolants.paths import OneSidedLinear
from interpolants.training.pairs import learn_fields
from interpolants.training.settings import TrainSettings
from studies.common import Study

_SHARED = {"drop": 0.1, "batch_size": 128, "n_steps": 30}
_STRENGTHS = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0]
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {
        **_SHARED,
        "steps": 30,
        "width": 32,
        "n": 100,
        "strengths": [0.0, 1.0, 3.0],
        "interval": [0.2, 0.8],
    },
    "laptop": {
        **_SHARED,
        "steps": 2500,
        "width": 256,
        "n": 1000,
        "strengths": _STRENGTHS,
        "interval": [0.2, 0.8],
    },
    "full": {
        **_SHARED,
        "steps": 20_000,
        "width": 512,
        "n": 5000,
        "strengths": _STRENGTHS,
        "interval": [0.2, 0.8],
    },
}
EVERYWHERE = "everywhere"


def cases(settings: Mapping[str, Any]) -> list[str]:
    """Where there is guidance, and how much."""
    first, last = settings["interval"]
    inside = [f"t in [{first:g}, {last:g}], w = {w:g}" for w in settings["strengths"] if w > 1]
    return [f"{EVERYWHERE}, w = {w:g}" for w in settings["strengths"]] + inside


def measure(case: str, seed: int, settings: Mapping[str, Any]) -> Answered:
    """Draw every digit equally often with one strength, and judge."""
    strength = float(case.rpartition("= ")[2])
    interval = (0.0, 1.0) if case.startswith(EVERYWHERE) else tuple(settings["interval"])
    fields = learnt(seed, *(settings[name] for name in ("steps", "width", "drop", "batch_size")))
    labels = torch.arange(settings["n"]) % 10
    start = torch.randn(len(labels), 1, 8, 8, generator=seeded(seed, 3))
    guided = ClassifierFree(fields, strength, interval)
    raw = sample(guided, start, method="heun", n_steps=settings["n_steps"], cond=labels).x
    made = raw.clamp(-1, 1)
    train, test = digits("train"), digits("test")
    accuracy = judge().accuracy(made, labels)
    values = {
        "accuracy": accuracy.value,
        "diversity": spread(made, labels) / spread(train[0], train[1]),
        "W2": sliced_wasserstein(made, test[0], generator=seeded(seed, 4)).value,
        "W2 floor": sliced_wasserstein(train[0][: len(made)], test[0], generator=seeded(seed, 4)).value,
        "outside": float((raw.abs() > 1.05).float().mean()),
        "accuracy on real": judge().accuracy(*test).value,
    }
    return measured(values, {"made": made[:40].numpy()})


def spread(x: Tensor, labels: Tensor) -> float:
    """Mean over classes of ``E|X - X'|^2``, twice the trace of the covariance within a class."""
    return float(torch.stack([2 * x[labels == k].flatten(1).var(0).sum() for k in labels.unique()]).mean())


@lru_cache(maxsize=1)
def learnt(seed: int, steps: int, width: int, drop: float, batch_size: int) -> Fields:
    """The conditional and the unconditional fields, one network."""
    x, labels = digits("train")
    path = OneSidedLinear(base=Gaussian(event_shape=(1, 8, 8)))
    net = {"kind": "mlp", "width": width, "depth": 4, "residual": True}
    train = TrainSettings(
        steps=steps, batch_size=batch_size, lr=2e-3, schedule="cosine", warmup=50, ema=0.995, seed=seed
    )
    heads = ("velocity",)
    return learn_fields(
        path, None, x, heads=heads, net=net, cond=labels, drop_condition=drop, settings=train
    ).fields


@lru_cache(maxsize=2)
def digits(split: Any) -> tuple[Tensor, Tensor]:
    """Images and labels."""
    data = load("digits", split, dequantise=True)
    assert data.labels is not None
    return data.x, data.labels


@lru_cache(maxsize=1)
def judge() -> LabelClassifier:
    """The classifier of real images."""
    x, labels = digits("train")
    return LabelClassifier(x, labels)


# --- table and figures ---------------------------------------------------------------------------------------


COLUMNS = ("accuracy", "diversity", "W2", "W2 floor", "outside", "accuracy on real")


def table(results: Results) -> str:
    """A row for every strength and interval."""
    rows = results.rows(results.cases, COLUMNS)
    head = ["guidance", "accuracy", "diversity", "sliced W2 to held-out digits", "real training digits"]
    head += ["pixels out of range", "accuracy on real"]
    return f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error.\n\n" + markdown(head, rows)


def figures(results: Results) -> list[Figure]:
    """Accuracy, diversity and distance against strength, and samples at three strengths."""
    measured = [case for case in results.cases if results.values(case, "W2")]
    places, panels = list(dict.fromkeys(case.rpartition(",")[0] for case in measured)), []
    for key, title, y, floor, name in (
        ("accuracy", "Right digit", "share, by a classifier", "accuracy on real", "real digits"),
        ("diversity", "Diversity within a class", "relative to real digits", "", "real digits"),
        ("W2", "Distance to held-out digits", "sliced W2", "W2 floor", "real training digits"),
    ):
        series = []
        for hue, place in enumerate(places):
            members = [case for case in measured if case.rpartition(",")[0] == place]
            w = [float(case.rpartition("= ")[2]) for case in members]
            numbers = [(case, key) for case in members]
            series.append(results.curve(w, numbers, f"guidance {place}", hue, errors=False))
        series.append(across(results.mean(measured[0], floor) if floor else 1.0, name, dash=":"))
        x = Axis(label="strength w")
        panels.append(Panel(series=tuple(series), title=title, x=x, y=Axis(label=y), legend="best"))
    rows, names = [], []
    for w in (0.0, 1.0, 3.0):
        images = results.arrays(f"{EVERYWHERE}, w = {w:g}", results.seeds[0]).get("made")
        if images is not None:
            rows += [images[:10, 0], images[10:20, 0]]
            names += [f"w = {w:g}", ""]
    if rows:
        panels.append(strips(rows, names=names, title="Asked for 0 to 9, twice", width=1.3))
    return [Figure(name="guidance", panels=tuple(panels), width=1180, height=320)]


CLAIMS = (
    Stated("little.distance < none", (f"{EVERYWHERE}, w = 1.5", "W2"), (f"{EVERYWHERE}, w = 1", "W2")),
    Stated("little.accuracy > none", (f"{EVERYWHERE}, w = 1.5", "accuracy"), (f"{EVERYWHERE}, w = 1", "accuracy")),
    Stated("little.diversity < none", (f"{EVERYWHERE}, w = 1.5", "diversity"), (f"{EVERYWHERE}, w = 1", "diversity")),
    Stated("much.accuracy > none", (f"{EVERYWHERE}, w = 5", "accuracy"), (f"{EVERYWHERE}, w = 1", "accuracy"),
           expected="fails"),
    Stated("interval.distance < everywhere", ("t in [0.2, 0.8], w = 3", "W2"), (f"{EVERYWHERE}, w = 3", "W2")),
)  # fmt: skip

STUDY = Study("guidance", SETTINGS, cases, measure, table, figures, CLAIMS)
