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
from interpolants.guidance import ClassifierFree
from interpolants.metrics import sliced_wasserstein
from interpolants.paths import OneSidedLinear
from interpolants.runs.classifier import Classifier
from interpolants.runs.sources import Rows
from interpolants.training.pairs import learn_fields
from interpolants.training.settings import TrainSettings
from studies.common import Outcome

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


def measure(case: str, seed: int, settings: Mapping[str, Any]) -> Outcome:
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
    return Outcome(values, {"made": made[:40].numpy()})


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
def judge() -> Classifier:
    """The classifier of real images."""
    x, labels = digits("train")
    return Classifier(Rows(x, labels))
