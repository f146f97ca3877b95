"""Sliced Wasserstein distance: optimal transport along random directions, where it is a sort."""

import numpy as np
import torch
from torch import Tensor

from interpolants.foundations.checks import whole
from interpolants.metrics.estimate import Estimate, root
from interpolants.metrics.samples import ArrayLike, normal, pooled

# Directions handled at a time; bounds the memory at 64 (N + M) numbers beside the samples.
_GROUP = 64


def sliced_wasserstein(
    x: ArrayLike, y: ArrayLike, *, n_directions: int = 512, generator: torch.Generator | None = None
) -> Estimate:
    """Sliced W2, ``sqrt(E_theta W2^2(theta.X, theta.Y))`` over uniform unit vectors theta, in data units.

    On a line W2 compares quantile functions; sets of different sizes are integrated exactly over the union of
    their levels. Directions come in orthonormal groups of min(D, 64), which lowers their variance:
    a shift is measured as ``|shift| / sqrt(D)`` with no error when D <= 64. In one dimension the value is W2
    itself.

    The value is biased upwards, by O(N^-1/2) when the distributions agree: compare it with :func:`estimate.floor`.
    The error is analytic: W2^2 changes with a sample by its Kantorovich potential, whose variance over the
    samples, averaged over directions, is added to the variance over directions. When the distributions agree
    it is too large, by up to sqrt(2).

    Args:
        x: First set, (N, *D), N >= 2.
        y: Second set, (M, *D), M >= 2.
        n_directions: Number of directions, rounded up to whole groups.
        generator: Draws the directions; their draw does not depend on N and M.

    Raises:
        InvalidInputError: If a set is too small, not floating point or not finite, or the event shapes
            differ, or ``n_directions`` is below 1.

    Source: Bonneel et al., J. Math. Imaging Vis. 51 (2015); del Barrio & Loubes, arXiv:1705.01299, for the
    error.
    """
    whole("sliced_wasserstein", "n_directions", n_directions, at_least=1)
    x, y = pooled("sliced_wasserstein", x, y)
    width = x.shape[1]
    block = min(width, _GROUP)
    blocks = 1 if width == 1 else -(-n_directions // block)
    influence_x, influence_y = x.new_zeros(len(x)), y.new_zeros(len(y))
    costs = []
    for start in range(0, blocks, max(1, _GROUP // block)):
        count = min(blocks - start, max(1, _GROUP // block))
        directions = _directions(width, block, count, generator, x.device)
        cost, on_x, on_y = _on_lines(x @ directions, y @ directions)
        costs.append(cost.reshape(count, block))
        influence_x += on_x
        influence_y += on_y
    cost = torch.cat(costs)
    used = cost.numel()
    variance = float((influence_x / used).var() / len(x) + (influence_y / used).var() / len(y))
    value, error = root(float(cost.mean()), variance + _direction_variance(cost))
    return Estimate(value, error, min(len(x), len(y)), "sliced W2")


def _directions(
    width: int, block: int, count: int, generator: torch.Generator | None, device: torch.device
) -> Tensor:
    """``count`` independent groups of ``block`` orthonormal columns: (width, count * block)."""
    frames: Tensor = torch.linalg.qr(normal((count, width, block), generator, device)).Q
    return frames.permute(1, 0, 2).reshape(width, count * block)


def _on_lines(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """W2^2 along each column, (N, K), (M, K) -> (K,), and the potentials of each sample summed over columns."""
    sorted_x, order_x = _sorted(x.T.contiguous())
    sorted_y, order_y = _sorted(y.T.contiguous())
    cost, partner_x, partner_y = _match(sorted_x, sorted_y)
    return cost, _potential(sorted_x, partner_x, order_x), _potential(sorted_y, partner_y, order_y)


def _sorted(x: Tensor) -> tuple[Tensor, Tensor]:
    """Sorted rows, and their order; that of ties is open, as they have one potential.

    On a CPU by NumPy, which takes half of PyTorch's time.
    """
    if x.device.type != "cpu":
        values, order = x.sort(1)
        return values, order
    order = torch.from_numpy(np.argsort(x.numpy(), 1))
    return x.gather(1, order), order


def _match(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Monotone coupling of sorted rows: the cost (K,), and where each sample's mass goes on average."""
    n, m = x.shape[1], y.shape[1]
    if n == m:
        return (x - y).square().mean(1), y, x
    # Quantile levels in units of 1 / (n m), so that they compare without rounding.
    of_x = torch.arange(1, n + 1, device=x.device) * m
    of_y = torch.arange(1, m + 1, device=x.device) * n
    upper = torch.cat([of_x, of_y]).unique()  # type: ignore[no-untyped-call]
    lower = torch.cat([upper.new_zeros(1), upper[:-1]])
    mass = (upper - lower).to(x.dtype) / (n * m)
    i, j = lower // m, lower // n
    left, right = x[:, i], y[:, j]
    cost = (left - right).square() @ mass
    partner_x = torch.zeros_like(x).index_add_(1, i, right * (mass * n))
    partner_y = torch.zeros_like(y).index_add_(1, j, left * (mass * m))
    return cost, partner_x, partner_y


def _potential(x: Tensor, partner: Tensor, order: Tensor) -> Tensor:
    """Kantorovich potential, ``phi' = 2 (x - T(x))`` by trapezoids, centred and back in the samples' order."""
    gap = x - partner
    phi = torch.zeros_like(x)
    phi[:, 1:] = (x.diff(dim=1) * (gap[:, 1:] + gap[:, :-1])).cumsum(1)
    phi -= phi.mean(1, keepdim=True)
    return torch.zeros_like(phi).scatter_(1, order, phi).sum(0)


def _direction_variance(cost: Tensor) -> float:
    """Variance of the mean over directions, (groups, directions in a group); groups are independent."""
    if cost.numel() == 1:
        return 0.0
    if len(cost) > 1:
        return float(cost.mean(1).var() / len(cost))
    return float(cost.var() / cost.numel())  # one group: an upper bound, its directions repel each other
