"""K-means with k-means++ starts, for mixtures and codebooks."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.foundations.errors import invalid


@dataclass(frozen=True)
class Clusters:
    """Result of k-means.

    Attributes:
        centres: ``(K, D)``.
        labels: ``(N,)`` cluster of each point, int64.
        counts: ``(K,)`` points in each cluster, each at least 1.
    """

    centres: Tensor
    labels: Tensor
    counts: Tensor


@torch.no_grad()
def kmeans(x: Tensor, k: int, *, n_iter: int = 20, generator: Generator | None = None) -> Clusters:
    """Lloyd's iteration from centres drawn far apart (k-means++).

    Args:
        x: Points ``(N, D)``, finite, floating point.
        k: Number of clusters, from 1 to N.
        n_iter: Most iterations; stops when no label changes.
        generator: Draws the first centres.

    Raises:
        InvalidInputError: If there are fewer points than clusters.

    Source: Arthur & Vassilvitskii (2007), k-means++.
    """
    if x.ndim != 2 or not 1 <= k <= len(x):
        raise invalid("kmeans", f"k must lie between 1 and the number of points, {len(x)}", k)
    centres = _spread(x, k, generator)
    labels = torch.full((len(x),), -1, device=x.device)
    for _ in range(n_iter):
        nearest = _distances(x, centres).argmin(1)
        if torch.equal(nearest, labels):
            break
        labels = nearest
        counts = torch.bincount(labels, minlength=k)
        sums = torch.zeros_like(centres).index_add_(0, labels, x)
        # A cluster that lost all its points keeps its centre.
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], centres)
    labels = _distances(x, centres).argmin(1)
    return Clusters(centres, labels, torch.bincount(labels, minlength=k))


def _spread(x: Tensor, k: int, generator: Generator | None) -> Tensor:
    """Points of the set, each drawn with probability proportional to its squared distance from those before."""
    chosen = [int(torch.randint(len(x), (1,), generator=generator))]
    nearest = _distances(x, x[chosen]).squeeze(1)
    for _ in range(k - 1):
        total = nearest.sum()
        # Fewer distinct points than clusters: the rest are repeats.
        weights = nearest if float(total) > 0 else torch.ones_like(nearest)
        level = torch.rand(1, generator=generator, dtype=torch.float64).to(x.device) * weights.double().sum()
        pick = int(torch.searchsorted(weights.double().cumsum(0), level).clamp_max(len(x) - 1))
        chosen.append(pick)
        nearest = torch.minimum(nearest, _distances(x, x[pick : pick + 1]).squeeze(1))
    return x[torch.tensor(chosen, device=x.device)].clone()


def _distances(x: Tensor, centres: Tensor) -> Tensor:
    """Squared distances, ``(N, K)``."""
    squares = x.square().sum(1, keepdim=True) + centres.square().sum(1)
    return torch.addmm(squares, x, centres.mT, alpha=-2.0).clamp_min_(0)
