"""Distances of the laws of paths: of expected signatures, each entry in its own unit, and energy distances.

Letters: B paths of a batch, K iterated integrals that vary, ``phi`` signature of a path with its time, standardised.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.sciml.processes.kernels.signatures import signature, signature_size, with_time

# Integrals that vary by less than this share of the largest of their level are those of time alone.
_LEAST = 1e-6


@dataclass(frozen=True)
class ExpectedSignature:
    """Expected signature of paths, and the spread of each of its entries.

    Entries of level k of a path of unit length are of size ``1 / k!``, and a path twice as large has entries
    ``2^k`` times as large, so that a plain distance sees the first level alone, or the last. Each entry is therefore
    taken in units of its own standard deviation over the data, which does away with both factors.

    Attributes:
        depth: m.
        mean: ``(K,)``.
        scale: ``(K,)``, 0 for entries that do not count.
    """

    depth: int
    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, paths: Tensor, depth: int, weights: Sequence[float] = ()) -> Self:
        """Of paths ``(N, T, C)``.

        Args:
            paths: Data in units of about 1.
            depth: m.
            weights: Weight of each level; 1 if none are given.

        Raises:
            InvalidInputError: If there are not m weights, or a signature would be too large.
        """
        if weights and len(weights) != depth:
            raise invalid(f"weights must have one entry per level, {depth}", len(weights))
        entries = signature(with_time(paths.double()), depth)
        spread = entries.std(0)
        channels = paths.shape[2] + 1
        parts = torch.split(spread, [channels**k for k in range(1, depth + 1)])
        levels = [
            weight * torch.where(part > _LEAST * part.max(), 1 / part, 0.0)
            for part, weight in zip(parts, weights or [1.0] * depth, strict=True)
        ]
        assert len(spread) == signature_size(channels, depth)
        return cls(depth, entries.mean(0).float(), torch.cat(levels).float())

    def moments(self, paths: Tensor) -> Tensor:
        """``phi - E phi`` of paths ``(B, T, C) -> (B, K)``."""
        found: Tensor = (signature(with_time(paths), self.depth) - self.mean.to(paths)) * self.scale.to(paths)
        return found

    def distance(self, paths: Tensor) -> Tensor:
        """Mean over the entries of ``|E phi(paths) - E phi(data)|^2``, without bias, a scalar.

        The plain square of the mean of B paths holds their variance over B: its minimum is at paths that vary
        too little. Here no path is multiplied by itself, so that the value may be below 0.
        """
        phi = self.moments(paths)
        count = len(phi)
        apart = phi.sum(0).square().sum() - phi.square().sum()
        return apart / (count * (count - 1) * max(int((self.scale != 0).sum()), 1))

    def gap(self, paths: Tensor) -> float:
        """Root mean square over the entries of ``E phi(paths) - E phi(data)``, with its bias."""
        phi = self.moments(paths.float()).mean(0)
        return float((phi.square().sum() / max(int((self.scale != 0).sum()), 1)).sqrt())


def energy_distances(made: Tensor, real: Tensor, roughness: Tensor) -> Tensor:
    """Energy distances of two batches of paths, without bias and without the part of the real ones alone, a scalar.

    The sum of three, ``2 E d(X, Y) - E d(X, X') - E d(Y, Y')`` with a metric d each: the mean absolute difference over
    times and columns, whose distance is the mean of those of all marginals; the root mean square difference of whole
    paths; and that of their increments. They see the peaks that moments do not, and the law is their only minimum.

    Args:
        made: ``(B, T, C)`` in units of about 1.
        real: ``(B, T, C)``.
        roughness: Size of increments over unit time, ``(C,)``.

    Source: Szekely & Rizzo (2013), Journal of Statistical Planning and Inference 143, 1249-1272.
    """
    size = (made.shape[1] - 1) ** 0.5 / roughness.to(made)
    steps = [(one.diff(dim=1) * size).flatten(1) for one in (made, real)]
    x, y = made.flatten(1), real.flatten(1)
    found: Tensor = (
        _half_energy(x, y, 1.0) / x.shape[1]
        + _half_energy(x, y, 2.0) / x.shape[1] ** 0.5
        + _half_energy(steps[0], steps[1], 2.0) / steps[0].shape[1] ** 0.5
    )
    return found


def _half_energy(x: Tensor, y: Tensor, power: float) -> Tensor:
    """``2 E d(X, Y) - E d(X, X')``; no row is compared with itself."""
    across = torch.cdist(x, y, p=power).mean()
    # Pairs of different rows alone: the root of a distance of 0 has no slope.
    first, second = torch.triu_indices(len(x), len(x), 1)
    within = torch.linalg.vector_norm(x[first] - x[second], ord=power, dim=1)
    found: Tensor = 2 * across - within.mean()
    return found
