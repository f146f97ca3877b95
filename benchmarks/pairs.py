"""Which two quantities to learn on a small data set: threes to eights, 147 and 139 images, by ODE and SDE."""

import time
from collections.abc import Callable
from typing import Any

import torch

from interpolants.data import load_digits
from interpolants.methods import Bridge
from interpolants.metrics import sliced_wasserstein

_NET = {"kind": "mlp", "width": 512, "depth": 4, "residual": True}
CASES: dict[str, dict[str, Any]] = {
    "mean_rate, noise": {"heads": ("mean_rate", "noise"), "net": _NET},
    "the same with layer norm": {"heads": ("mean_rate", "noise"), "net": {**_NET, "layer_norm": True}},
    "velocity, noise": {"heads": ("velocity", "noise"), "net": _NET},
    "velocity, noise, weight decay 0.1": {
        "heads": ("velocity", "noise"),
        "net": _NET,
        "optimizer": "adamw",
        "weight_decay": 0.1,
    },
}


def run(*, steps: int = 4000, report: Callable[[str], None]) -> None:
    """Compare which two quantities to learn: sliced W2 of transported threes to held-out eights, and back."""
    train, test = (load_digits(split=split, dequantise=True) for split in ("train", "test"))
    assert train.labels is not None
    assert test.labels is not None
    x0, x1 = train.x[train.labels == 3], train.x[train.labels == 8]
    start, goal = test.x[test.labels == 3], test.x[test.labels == 8]

    def distance(x: torch.Tensor, y: torch.Tensor) -> str:
        return f"{sliced_wasserstein(x, y, generator=torch.Generator().manual_seed(0)).value:.3f}"

    report(f"Two sets of real eights of this size: {distance(x1[: len(goal)], goal)}\n")
    report("| learnt | ODE | SDE, eps = 0.5 | SDE, eps = 2 | reverse ODE | training |\n|" + " --- |" * 6)
    for name, settings in CASES.items():
        begin = time.perf_counter()
        bridge = Bridge("linear", seed=0, batch_size=128, steps=steps, **settings).fit(x0, x1, progress=False)
        taken = time.perf_counter() - begin
        arrived = [distance(bridge.transport(start, eps=eps, seed=1), goal) for eps in (0.0, 0.5, 2.0)]
        back = distance(bridge.transport(goal, reverse=True), start)
        report(f"| {name} | " + " | ".join([*arrived, back]) + f" | {taken:.1f} s |")
