"""Feature maps in which samples are compared: principal components, and random convolutions of images.

Both are differentiable functions from samples ``(N, *D)`` to features ``(N, F)``, fixed once they are made, and need no
weights from elsewhere. A map that a model is trained by must not be the one that it is judged by.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count
from interpolants.foundations.randomness import generator
from interpolants.metrics.samples import ArrayLike, pooled

Features = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """Projection on the directions of largest variance of some data, in data units.

    Args:
        mean: Mean of the data, ``(D,)`` flattened, float64.
        directions: Orthonormal columns, ``(D, F)`` float64, of falling variance.
    """

    mean: Tensor
    directions: Tensor

    @classmethod
    def of(cls, x: ArrayLike, count: int = 20) -> Self:
        """The components of samples.

        Args:
            x: Real samples ``(N, *D)``, N >= 2.
            count: F; fewer where the data span fewer directions.

        Raises:
            InvalidInputError: If the samples are not finite, all the same, or ``count`` is no whole number >= 1.
        """
        whole("PrincipalComponents", "count", count, at_least=1)
        rows, _ = pooled("PrincipalComponents", x, x)
        rows = rows.double()
        _, scales, directions = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
        known = int((scales > scales[0] * 1e-10).sum()) if float(scales[0]) > 0 else 0
        if not known:
            raise invalid("PrincipalComponents", "samples must differ", "all the same")
        return cls(rows.mean(0), directions[: min(count, known)].T.contiguous())

    def __call__(self, x: Tensor) -> Tensor:
        """Features ``(N, F)`` of ``x (N, *D)``, in its type."""
        flat = x.reshape(len(x), -1)
        if flat.shape[1] != len(self.mean):
            raise invalid("PrincipalComponents", f"samples must have {len(self.mean)} entries", flat.shape[1])
        return (flat - self.mean.to(flat)) @ self.directions.to(flat)


@dataclass(frozen=True, eq=False)
class RandomConvolutions(Checked):
    """Rectified random convolutions of pictures, two layers deep, averaged over quarters of the picture.

    They see texture and shape, and where these are by quarters only. Weights are drawn from the seed, and scaled for
    inputs of order one.
    """

    channels: Count
    """Channels C of the pictures ``(N, C, H, W)``."""
    width: Count = 16
    """Filters of the first layer; the second has twice as many. F = 8 ``width``."""
    seed: int = 0
    """Seed of the weights."""

    @cached_property
    def weights(self) -> tuple[Tensor, Tensor]:
        """Filters of both layers, ``(width, C, 3, 3)`` and ``(2 width, width, 3, 3)``."""
        source = generator(self.seed, "random convolutions")
        first = torch.randn(self.width, self.channels, 3, 3, generator=source)
        second = torch.randn(2 * self.width, self.width, 3, 3, generator=source)
        return first * (2 / first[0].numel()) ** 0.5, second * (2 / second[0].numel()) ** 0.5

    def __call__(self, x: Tensor) -> Tensor:
        """Features ``(N, 8 width)`` of pictures ``(N, C, H, W)``."""
        if x.ndim != 4 or x.shape[1] != self.channels:
            rule = f"samples must be pictures (N, {self.channels}, H, W)"
            raise invalid("RandomConvolutions", rule, tuple(x.shape))
        h = x
        for k, weight in enumerate(self.weights):
            h = functional.relu(functional.conv2d(h, weight.to(h), stride=1 + k, padding=1))
        return functional.adaptive_avg_pool2d(h, 2).flatten(1)
