"""In-painting coupling: known entries are kept, hidden entries start as noise."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Gt, Interval
from torch import Generator, Tensor

from interpolants.couplings.data_dependent import DataDependent, Start
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count, Remedy


@dataclass(frozen=True)
class InPainting(DataDependent):
    """``x0 = m x1 + (1 - m) sigma zeta`` with a mask m drawn for every sample; the mask is the condition.

    ``E[x0 | x1, m] = m x1`` and ``Var[x0 | x1, m] = (1 - m) sigma^2``. On a path without latent noise whose
    coefficients add up to one, such as ``Linear(envelope=ZeroEnvelope())``, known entries do not move at all.

    Source: Albergo et al. (2023), arXiv:2310.03725, section 4.1; there tiles, with sigma = 1.
    """

    mask: Literal["rectangle", "tiles", "lower"] = "rectangle"
    """What is hidden: a ``"rectangle"`` at a random place, ``"tiles"`` each with chance ``share``, or the ``"lower"``
    part (the last rows, or the last entries of a vector)."""
    share: Annotated[float, Interval(gt=0, lt=1)] = 0.25
    """Share of an event that is hidden; rounded to whole rows and columns, at least one."""
    tile: Count = 1
    """Side of a tile, in entries."""
    noise: Annotated[float, Gt(0), Remedy("Without it there is nothing to fill in from.")] = 1.0
    """sigma, in data units."""
    condition: bool = True
    """Give the mask to the network: ``(N, 1, *spatial)``, or ``(N, D)`` for vectors."""

    def degrade(self, x1: Tensor, *, generator: Generator | None = None) -> Start:
        """Draw a mask and a start for each whole sample ``x1 (N, *D)``."""
        return self.start(x1, self.known(x1, generator=generator), generator=generator)

    def start(self, observed: Tensor, known: Tensor, *, generator: Generator | None = None) -> Start:
        """Starts for observations with holes.

        Args:
            observed: ``(N, *D)``; entries that are not known are not read, and may be NaN.
            known: Where it is known: bool, ``(N, 1, *spatial)``, or ``(N, D)`` for vectors.
            generator: Draws the noise.

        Raises:
            InvalidInputError: If the mask does not fit.
        """
        wanted = (len(observed), *_hidden_shape(observed))
        if known.dtype != torch.bool or tuple(known.shape) != wanted:
            raise invalid(
                "InPainting.start",
                f"known must be bool of shape {wanted}",
                f"{known.dtype} {tuple(known.shape)}",
            )
        zeta = torch.randn(observed.shape, dtype=observed.dtype, device=observed.device, generator=generator)
        return Start(torch.where(known, observed, self.noise * zeta), known.to(observed.dtype))

    def known(self, x1: Tensor, *, generator: Generator | None = None) -> Tensor:
        """Draw where each row of ``x1`` is known: bool, ``(N, 1, *spatial)``, or ``(N, D)`` for vectors."""
        if x1.ndim < 2:
            raise invalid("InPainting", "x1 must have shape (N, *D)", tuple(x1.shape))
        shape = _hidden_shape(x1)
        sizes = shape if x1.ndim == 2 else shape[1:]
        draw = {"rectangle": self._rectangle, "tiles": self._tiles, "lower": self._lower}[self.mask]
        hidden = draw(len(x1), sizes, x1.device, generator)
        return ~hidden.reshape(len(x1), *shape)

    def _rectangle(
        self, n: int, sizes: tuple[int, ...], device: torch.device, generator: Generator | None
    ) -> Tensor:
        hidden = torch.ones(n, *sizes, dtype=torch.bool, device=device)
        for axis, size in enumerate(sizes):
            side = _whole(self.share ** (1 / len(sizes)) * size, size)
            first = torch.randint(size - side + 1, (n, 1), device=device, generator=generator)
            place = torch.arange(size, device=device)
            inside = (place >= first) & (place < first + side)
            hidden &= inside.reshape(n, *(size if other == axis else 1 for other in range(len(sizes))))
        return hidden

    def _tiles(
        self, n: int, sizes: tuple[int, ...], device: torch.device, generator: Generator | None
    ) -> Tensor:
        counts = [math.ceil(size / self.tile) for size in sizes]
        hidden = torch.rand(n, *counts, device=device, generator=generator) < self.share
        for axis, size in enumerate(sizes, start=1):
            hidden = hidden.repeat_interleave(self.tile, axis).narrow(axis, 0, size)
        return hidden

    def _lower(
        self, n: int, sizes: tuple[int, ...], device: torch.device, generator: Generator | None
    ) -> Tensor:
        hidden = torch.zeros(n, *sizes, dtype=torch.bool, device=device)
        hidden[:, sizes[0] - _whole(self.share * sizes[0], sizes[0]) :] = True
        return hidden


def _whole(length: float, size: int) -> int:
    """Something is hidden, and something is known where there is room for both."""
    return min(max(1, round(length)), max(1, size - 1))


def _hidden_shape(x: Tensor) -> tuple[int, ...]:
    """Channels are hidden together: ``(1, *spatial)``; a vector has entries only."""
    return tuple(x.shape[1:]) if x.ndim == 2 else (1, *x.shape[2:])
