"""Instance noise: noise added to the data, so that a distribution on a thin set has a density."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Generator, Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import positive, whole
from interpolants.foundations.kinds import NonNegative, Remedy, Whole
from interpolants.foundations.randomness import generator as seeded


@dataclass(frozen=True)
class InstanceNoise(Checked):
    """``x + std N(0, Id)``: fresh at every use, or one noisy copy of the data for good.

    Theory speaks of one noisy copy. Fresh noise in every batch fits the distribution of the data with noise; a frozen
    copy is another finite set, which a large model can learn by heart.

    Raises:
        InvalidInputError: If ``std`` is not finite and >= 0, or the seed is negative.

    Source: Chae, Kim, Kim & Lin (2023), arXiv:2105.04046.
    """

    std: Annotated[NonNegative, Remedy("0 leaves the data as they are.")]
    """Standard deviation of the noise, in the units of what it is added to."""
    fresh: bool = True
    """Draw again at every use; otherwise the noise of row i depends on (seed, i) only."""
    seed: Whole = 0
    """Seed of the frozen copy."""

    def prepare(self, x: Tensor) -> Tensor:
        """Training rows from all rows ``(N, *D)``: a frozen noisy copy, or the data unchanged."""
        if self.fresh or self.std == 0:
            return x
        source = seeded(self.seed, "instance noise")
        return x + self.std * torch.randn(x.shape, generator=source, dtype=x.dtype).to(x.device)

    def draw(self, x: Tensor, *, generator: Generator | None = None) -> Tensor:
        """A batch as training sees it, from rows of what :meth:`prepare` gave."""
        if not self.fresh or self.std == 0:
            return x
        return x + self.std * torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)


def rate_rule(n: int, *, smoothness: float = 1.0, dimension: float = 1.0, factor: float = 0.5) -> float:
    """A noise level for n samples, ``factor n^(-smoothness / (2 (smoothness + dimension)))``.

    It balances the noise against what a network can learn of a map of that smoothness and input dimension, up to
    logarithms; the dimension of the data does not enter. For data of unit spread.

    Args:
        n: Number of samples, >= 1.
        smoothness: Of the map that generates the data, > 0.
        dimension: Effective number of inputs of its components, > 0.
        factor: Constant in front, > 0; theory does not give it.

    Raises:
        InvalidInputError: If a number is out of range.
    """
    whole("rate_rule", "n", n, at_least=1)
    for name, value in (("smoothness", smoothness), ("dimension", dimension), ("factor", factor)):
        positive("rate_rule", name, value)
    return float(factor * n ** (-smoothness / (2 * (smoothness + dimension))))
