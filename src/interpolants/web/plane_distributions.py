"""Distributions in the plane as small Gaussian mixtures, so that every field between two of them is exact."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from interpolants.foundations.randomness import generator
from interpolants.problems.gaussian_mixture import GaussianMixture

# Modes of a law: the cost of a bridge grows with their product.
MOST_MODES = 12
# Least variance of a mode made from drawn points: a mode on a single point would be a spike.
_LEAST_VARIANCE = 0.01
_ROUNDS = 25

Modes = tuple[list[tuple[float, float]], float]


def _circle(count: int, radius: float, turn: float = 0.0) -> list[tuple[float, float]]:
    angles = [2 * math.pi * k / count + turn for k in range(count)]
    return [(radius * math.cos(a), radius * math.sin(a)) for a in angles]


def _moons() -> Modes:
    angles = [math.pi * (k + 0.5) / 6 for k in range(6)]
    upper = [(2 * math.cos(a) - 1, 2 * math.sin(a) - 0.5) for a in angles]
    lower = [(2 * math.cos(a) + 1, -2 * math.sin(a) + 0.5) for a in angles]
    return upper + lower, 0.05


def _spiral() -> Modes:
    angles = [0.6 + 0.85 * k for k in range(12)]
    return [(0.32 * a * math.cos(a), 0.32 * a * math.sin(a)) for a in angles], 0.05


def _board() -> Modes:
    cells = [(i, j) for i in range(4) for j in range(4) if (i + j) % 2 == 0]
    return [(2.0 * i - 3.0, 2.0 * j - 3.0) for i, j in cells], 0.16


_LAWS: dict[str, Callable[[], Modes]] = {
    "gaussian": lambda: ([(0.0, 0.0)], 1.0),
    "two blobs": lambda: ([(-2.0, 0.0), (2.0, 0.0)], 0.12),
    "eight blobs": lambda: (_circle(8, 3.0), 0.06),
    "ring": lambda: (_circle(12, 2.4), 0.14),
    "moons": _moons,
    "spiral": _spiral,
    "board": _board,
}
NAMES = tuple(_LAWS)


def named(name: str) -> GaussianMixture:
    """A law by its name, one of ``NAMES``."""
    means, variance = _LAWS[name]()
    return _mixture(
        torch.tensor(means), torch.full((len(means),), 1 / len(means)), torch.full((len(means),), variance)
    )


def drawn(points: Sequence[Sequence[float]]) -> GaussianMixture:
    """A law through a cloud of points: at most ``MOST_MODES`` Gaussians, found by Lloyd's algorithm.

    Args:
        points: At least one, ``(N, 2)``.
    """
    x = torch.tensor(points, dtype=torch.float64)
    count = min(MOST_MODES, len(x))
    centres = x[torch.randperm(len(x), generator=generator(0, "drawn centres"))[:count]].clone()
    for _ in range(_ROUNDS):
        nearest = torch.cdist(x, centres).argmin(1)
        for k in range(count):
            if bool((own := nearest == k).any()):
                centres[k] = x[own].mean(0)
    nearest = torch.cdist(x, centres).argmin(1)
    kept = [k for k in range(count) if bool((nearest == k).any())]
    apart = (x - centres[nearest]).square().mean(1)
    weights = torch.stack([(nearest == k).double().mean() for k in kept])
    variances = torch.stack([apart[nearest == k].mean() for k in kept]).clamp_min(_LEAST_VARIANCE)
    return _mixture(centres[kept], weights, variances)


def _mixture(means: Tensor, weights: Tensor, variances: Tensor) -> GaussianMixture:
    return GaussianMixture(weights.float(), means.float(), variances.float())
