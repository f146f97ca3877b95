"""Whether the samplers of DDPM, NCSN and the SDEs draw from one law, on the field of a trained prior."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics import Langevin, ReverseNoise
from interpolants.foundations.errors import invalid
from interpolants.metrics import sliced_wasserstein
from interpolants.runs.models import load

# Sampler -> its arguments: DDPM's ancestral steps; for NCSN Langevin steps at each level, between which the noise is
# lowered along the flow; the reversed SDE; the probability flow.
SAMPLERS: Mapping[str, Mapping[str, Any]] = {
    "ddpm": {"method": "ancestral"},
    "ncsn": {"method": "ddim", "corrector": Langevin(0.16)},
    "sde": {"method": "euler_maruyama", "eps": ReverseNoise()},
    "flow": {"method": "heun"},
}


def run(
    *,
    folder: str = "",
    task: str = "",
    n: int = 256,
    steps: int = 100,
    samplers: str = "ddpm,ncsn,sde,flow",
    seed: int = 0,
    report: Callable[[str], None] = print,
) -> None:
    """Sliced Wasserstein distance between any two samplers of a trained bridge from noise, beside two halves of one.

    Args:
        folder: A run folder, such as that of the recipe ``medical``.
        task: Its task with the bridge, if it has several.
        n: Draws of each sampler, an even number.
        steps: Steps of each sampler, on one grid.
        samplers: Which ones, by comma.
        seed: Seed of the first sampler; each has another one.
        report: Takes each line.
    """
    names = samplers.split(",")
    if not folder or n < 4 or n % 2 or not set(names) <= set(SAMPLERS) or len(names) < 2:
        rule = f"folder must be given, n even and >= 4, samplers two of {', '.join(SAMPLERS)} at least"
        raise invalid("one_law", rule, f"{folder!r}, {n}, {samplers}")
    bridge: Any = load(folder, task=task or None)
    halves: dict[str, tuple[Tensor, Tensor]] = {}
    for k, name in enumerate(names):
        drawn = torch.as_tensor(bridge.sample(n, n_steps=steps, seed=seed + k, **SAMPLERS[name]))
        halves[name] = drawn[: n // 2], drawn[n // 2 :]
    report(f"{n // 2} draws against {n // 2}, {steps} steps, seed {seed}")
    inside = {name: _distance(*pair) for name, pair in halves.items()}
    report("halves of one: " + ", ".join(f"{name} {value:.4f}" for name, value in inside.items()))
    floor = sum(inside.values()) / len(inside)
    for a, b in itertools.combinations(names, 2):
        apart = [_distance(x, y) for x in halves[a] for y in halves[b]]
        value = sum(apart) / len(apart)
        report(f"{a} and {b}: {value:.4f}, {value / floor:.3f} times that of two halves")


def _distance(x: Tensor, y: Tensor) -> float:
    return float(sliced_wasserstein(x, y, generator=torch.Generator().manual_seed(0)).value)
