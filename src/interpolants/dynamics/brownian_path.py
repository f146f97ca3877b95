"""Brownian path on arbitrary grids: increments agree wherever two grids share a time.

Letters: ``T`` elapsed time of the grid; cells of length ``T / cells``; ``l, r`` increments over the halves of a cell;
``s`` place within a cell, from 0 to 1.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.foundations.brownian import BrownianPath, NormalSource, check_grid
from interpolants.foundations.errors import invalid

CELLS = 512
# The source of the draws that only crowded cells need, beside those of the levels of the tree.
_CROWDED = 1 << 16
# The two sources of areas, after it.
_AREAS = _CROWDED + 1


class UniversalBrownianPath:
    """Increments of one Brownian path over the steps of any grid.

    Where ``BrownianPath`` shares its path between grids of n, 2n, 4n, ... steps, here all grids of one elapsed time do.
    The path is drawn on the halves of fixed cells, and read within a cell as

    ``W(s) = s (l + r) + sqrt(s (1 - s)) (l - r)``,

    which has the distribution of a Brownian bridge at each s and is exact at the middle. So increments over any grid
    with one time per cell have exactly the distribution of Brownian motion, and two such grids agree at the times they
    share. Further times in a cell are drawn by the bridge between their neighbours: the distribution stays exact, but
    those values belong to the grid.

    Iterating yields ``(W, H)`` per step, as ``BrownianPath`` does; ``H`` is ``None`` unless ``levy_area``. It costs
    ``2 cells`` draws, whatever the grid, and ``cells`` more for the areas. The areas have a stream of their own: the
    increments are the same with and without them. Each is exact given the path at the ends of cells, so grids whose
    times are such ends agree on it too.

    Args:
        times: Grid ``(n + 1,)``, strictly increasing or strictly decreasing; need not be uniform.
        noise: Called with an integer; returns the source of that stream, at its start.
        cells: Number of cells, a power of two.
        levy_area: Also give the space-time Levy area over each step.

    Raises:
        InvalidInputError: If ``times`` is not such a grid, or ``cells`` not a power of two.

    Source: Gaussian conditioning.
    """

    def __init__(
        self,
        times: npt.ArrayLike,
        noise: Callable[[int], NormalSource],
        *,
        cells: int = CELLS,
        levy_area: bool = False,
    ) -> None:
        self.times = check_grid("UniversalBrownianPath", times)
        if cells < 1 or cells & (cells - 1):
            raise invalid("UniversalBrownianPath", "cells must be a power of two", cells)
        self._noise, self._cells, self.levy_area = noise, cells, levy_area
        elapsed = np.abs(self.times - self.times[0])
        self._total = float(elapsed[-1])
        self._places = _places(elapsed[1:] / self._total * cells, cells)

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.times) - 1

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Walk the steps in order."""
        fine = np.linspace(0, self._total, 2 * self._cells + 1)
        halves = (w for w, _ in BrownianPath(fine, self._noise))
        crowded = self._noise(_CROWDED)
        areas = _Areas(self._noise) if self.levy_area else None
        length = self._total / self._cells
        behind: Tensor | None = None  # increment from the last time yielded to the start of the cell
        for inside in self._places:
            left, right = next(halves), next(halves)
            whole, bend = left + right, left - right
            known, at = torch.zeros_like(whole), 0.0
            for place in inside:
                value = _read(place, whole, bend, at, known, length, crowded)
                step = value - known
                area = None if areas is None else areas.close(step, (place - at) * length, at == 0)
                yield (step if behind is None else step.add_(behind)), area
                behind, known, at = None, value, place
            rest = whole - known
            if areas is not None and at < 1:
                areas.add(rest, (1 - at) * length, at == 0)
            behind = rest if behind is None else behind.add_(rest)


class _Areas:
    """Space-time Levy areas of steps, put together from the parts between the times at which the path is known.

    Over a part of length d with increment v, ``int (W_r - W_start) dr = d (v/2 + N(0, d/12))``. Parts that begin with a
    cell have a stream of their own, so that another grid's further times do not move it.
    """

    def __init__(self, noise: Callable[[int], NormalSource]) -> None:
        self._whole, self._rest = noise(_AREAS), noise(_AREAS + 1)
        self._walked: Tensor | None = None
        self._moment: Tensor | None = None
        self._elapsed = 0.0

    def add(self, increment: Tensor, length: float, starts_cell: bool) -> None:
        """Add one part to the step."""
        source = self._whole if starts_cell else self._rest
        inside = source.normal().mul_(length * (length / 12) ** 0.5).add_(increment, alpha=length / 2)
        if self._walked is None or self._moment is None:
            self._walked, self._moment, self._elapsed = increment.clone(), inside, length
            return
        self._moment.add_(inside).add_(self._walked, alpha=length)
        self._walked.add_(increment)
        self._elapsed += length

    def close(self, increment: Tensor, length: float, starts_cell: bool) -> Tensor:
        """The area of the step that ends with this part."""
        self.add(increment, length, starts_cell)
        assert self._walked is not None
        assert self._moment is not None
        area = self._moment.div_(self._elapsed).sub_(self._walked, alpha=0.5)
        self._walked = self._moment = None
        return area


def _places(position: npt.NDArray[np.float64], cells: int) -> list[list[float]]:
    """For each cell, where in (0, 1] the grid's times lie in it; ``position`` in units of cells."""
    nearest = np.round(position)
    position = np.where(np.abs(position - nearest) < 1e-9 * cells, nearest, position)
    number = np.ceil(position).astype(int) - 1
    found: list[list[float]] = [[] for _ in range(cells)]
    for cell, place in zip(number.tolist(), (position - number).tolist(), strict=True):
        found[min(max(cell, 0), cells - 1)].append(place)
    return found


def _read(
    place: float,
    whole: Tensor,
    bend: Tensor,
    at: float,
    known: Tensor,
    length: float,
    crowded: NormalSource,
) -> Tensor:
    """The path at ``place`` since the start of its cell, where it is ``known`` at the place ``at`` before."""
    if place == 1.0:
        return whole.clone()
    if at == 0.0:
        return (whole * place).add_(bend, alpha=(place * (1 - place)) ** 0.5)
    share = (place - at) / (1 - at)
    spread = (length * share * (1 - place)) ** 0.5
    return torch.lerp(known, whole, share).add_(crowded.normal(), alpha=spread)
