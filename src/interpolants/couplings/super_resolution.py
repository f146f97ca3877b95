"""Super-resolution coupling: the start is a coarse image upsampled to full size, plus noise."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Generator, Tensor

from interpolants.couplings.data_dependent import DataDependent, Start, noisy
from interpolants.foundations.kinds import NonNegative
from interpolants.operators.blocks import Downsample


@dataclass(frozen=True)
class SuperResolution(DataDependent):
    """``x0 = U D x1 + sigma zeta``: D takes means over blocks, U repeats them; ``U D x1`` is the condition.

    ``D U = Id``, so that ``U D`` is the orthogonal projection on images that are constant on blocks.
    ``E[x0 | x1] = U D x1`` and ``Var[x0 | x1] = sigma^2``.

    Source: Albergo et al. (2023), arXiv:2310.03725, section 4.2.
    """

    factor: Annotated[int, Ge(2)] = 2
    """Side of a block, in entries; must divide every spatial size."""
    noise: NonNegative = 0.3
    """sigma, in data units. About the size of the detail to be invented; at zero x0 lies on a plane and the bridge
    returns one answer per image."""
    condition: bool = True
    """Give the coarse image at full size to the network: ``(N, C, *spatial)``, or ``(N, D)`` for vectors."""

    def degrade(self, x1: Tensor, *, generator: Generator | None = None) -> Start:
        """Draw a start for each whole sample ``x1 (N, *D)``."""
        return self.start(self.downsample(x1), generator=generator)

    def start(self, coarse: Tensor, *, generator: Generator | None = None) -> Start:
        """Starts for coarse samples ``(N, C, *spatial / factor)``, or ``(N, D / factor)``, as they come."""
        full = self.upsample(coarse)
        return Start(noisy(full, self.noise, generator), full)

    def downsample(self, x: Tensor) -> Tensor:
        """D: means over blocks of ``factor`` entries along every spatial axis.

        Raises:
            InvalidInputError: If a size is not a multiple of ``factor``.
        """
        return Downsample(self.factor)(x)

    def upsample(self, coarse: Tensor) -> Tensor:
        """U: repeat every entry over its block."""
        return Downsample(self.factor).pinv(coarse)
