"""How far are samples from the checkerboard? Smoothed log densities on a fine grid, one side of them exact.

Letters: ``h`` standard deviation of the smoothing kernel, ``rho_h`` the density after smoothing.

The board's density is constant on its cells and zero elsewhere, so ``log rho`` is minus infinity off the board: no
mean of ``|log rho - log rhohat|`` exists over the plane. Both numbers here are means under the board itself, where
``log rho`` is finite, found by summing over the grid points inside its cells. A kernel estimate smooths the jumps,
which costs every model the same; ``gap`` therefore compares with the board smoothed by the same kernel, a product of
error functions. ``raw_gap`` compares with the board as it is, and contains that common part.

Neither sees directly what a model puts between the cells. ``divergence`` and ``variation`` compare the two smoothed
densities over the whole plane, and ``off_board`` counts.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from interpolants.problems.toys import Checkerboard

_MARGIN = 2.0  # of the grid beyond the board, in data units
_LEAST = 1e-12  # below any density that one sample brings nearby: a hole costs much, not everything


@dataclass(frozen=True)
class Gap:
    """Mean (nats) and variance (nats squared) of ``|log rho - log rhohat|`` under the board."""

    mean: float
    variance: float


class BoardGrid:
    """A grid over a checkerboard, fine against the kernel, with the board's smoothed density.

    Args:
        board: The checkerboard.
        h: Standard deviation of the Gaussian kernel, in data units.
        per_cell: Grid intervals along a cell's side.
    """

    def __init__(self, board: Checkerboard, h: float, per_cell: int = 64) -> None:
        self.board, self.h = board, h
        side = 2 * board.half_width / board.cells
        self.step = side / per_cell
        self.edge = board.half_width + self.step * math.ceil(_MARGIN / self.step)
        self.size = round(2 * self.edge / self.step)
        self.centres = -self.edge + self.step * (torch.arange(self.size, dtype=torch.float64) + 0.5)
        reach = (self.centres[:, None] - self.centres[None]) / h
        kernel = torch.exp(-0.5 * reach.square())
        self._kernel = kernel / (h * math.sqrt(2 * math.pi))
        self.inside = torch.isfinite(self._board_log_prob())
        self.smoothed = self._smoothed_board(side)

    def density(self, x: Tensor) -> Tensor:
        """Kernel density estimate on the grid from samples ``(N, 2)``; samples beyond it only lose their mass."""
        cell = torch.floor((x.double() + self.edge) / self.step).long()
        kept = cell[((cell >= 0) & (cell < self.size)).all(1)]
        counts = torch.bincount(kept[:, 0] * self.size + kept[:, 1], minlength=self.size**2)
        mass = counts.reshape(self.size, self.size).double() / len(x)
        estimate: Tensor = self._kernel @ mass @ self._kernel
        return estimate

    def gap(self, density: Tensor) -> Gap:
        """Against the board smoothed by the same kernel."""
        return self._gap(self.smoothed.log(), density)

    def raw_gap(self, density: Tensor) -> Gap:
        """Against the board as it is; the smoothed board itself has ``raw_gap(smoothed)``."""
        return self._gap(self._board_log_prob(), density)

    def divergence(self, density: Tensor) -> float:
        """``KL(rho_h || rhohat_h)`` over the grid, nats."""
        terms = self.smoothed * (self.smoothed.clamp_min(_LEAST).log() - density.clamp_min(_LEAST).log())
        return float(terms.sum() * self.step**2)

    def variation(self, density: Tensor) -> float:
        """Total variation ``int |rho_h - rhohat_h| / 2`` over the grid."""
        return float((self.smoothed - density).abs().sum() * self.step**2 / 2)

    def off_board(self, x: Tensor) -> float:
        """Share of the samples where the board has no mass."""
        return float(torch.isinf(self.board.log_prob(x)).double().mean())

    def picture(self, density: Tensor, pixels: int = 64) -> np.ndarray[tuple[int, int], np.dtype[np.float16]]:
        """The density averaged to a few pixels."""
        blocks = density[: self.size // pixels * pixels, : self.size // pixels * pixels]
        blocks = blocks.reshape(pixels, self.size // pixels, pixels, self.size // pixels)
        return blocks.mean((1, 3)).numpy().astype(np.float16)

    def _gap(self, log_density: Tensor, estimate: Tensor) -> Gap:
        gaps = (log_density - estimate.clamp_min(_LEAST).log())[self.inside].abs()
        return Gap(float(gaps.mean()), float(gaps.var(correction=0)))

    def _board_log_prob(self) -> Tensor:
        grid = torch.cartesian_prod(self.centres, self.centres)
        return self.board.log_prob(grid).reshape(self.size, self.size)

    def _smoothed_board(self, side: float) -> Tensor:
        low = torch.arange(self.board.cells, dtype=torch.float64) * side - self.board.half_width
        upper = torch.special.ndtr((low + side - self.centres[:, None]) / self.h)
        stripes = upper - torch.special.ndtr((low - self.centres[:, None]) / self.h)
        filled = torch.zeros(self.board.cells, self.board.cells, dtype=torch.float64)
        columns, rows = self.board.filled_cells.T
        filled[columns, rows] = 1 / (len(self.board.filled_cells) * side**2)
        smoothed: Tensor = stripes @ filled @ stripes.T
        return smoothed
