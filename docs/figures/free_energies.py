"""Draw ``docs/images/free_energies.png``: ``python docs/figures/free_energies.py``; half a minute."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from interpolants import Bridge
from interpolants.framework.task import Task
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"
STEPS = 1500


def particle(x: Tensor) -> Tensor:
    """Log density of a particle in a harmonic trap at 0, up to its constant."""
    return -x.square().sum(1) / 2


def stiff(x: Tensor) -> Tensor:
    """Log density in a trap at 3 that is four times as stiff."""
    return -((x - 3) / 0.5).square().sum(1) / 2


def draw() -> None:
    """Fit a bridge between samples of the two in five dimensions, and draw the weights of its paths."""
    source = torch.Generator().manual_seed(0)
    x0, x1 = (torch.randn(4000, 5, generator=source) for _ in range(2))
    bridge = Bridge(path="linear", steps=STEPS, seed=0)
    task = Task.of(bridge.roles(), {"x0": x0, "x1": 3 + x1 / 2})
    answer = task.fit(bridge, progress=False).ask("free_energy", task, log_densities=(particle, stiff))
    for score in answer.scores:
        print(f"{score.name:22s} {score.value:8.4f} ± {score.error:.4f}")
    save([replace(answer.figures[0], name="free_energies")], IMAGES)


if __name__ == "__main__":
    draw()
