"""Blobs that a steady wind carries, and new ones in one half of the domain: sequences of fields with known variance.

Letters: N sequences, T frames, H rows, W columns, k frames ahead.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Generator, Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import whole
from interpolants.foundations.kinds import Count, Positive, Real
from interpolants.foundations.records import record

# Images of a blob on either side of a periodic domain.
_IMAGES = (-1, 0, 1)


@record("advected_blobs")
@dataclass(frozen=True, kw_only=True)
class AdvectedBlobs(Checked):
    """Frames of ``sum_i height exp(-|x - p_i(t)|^2 / (2 width^2))`` on a periodic grid of cells of size 1.

    All blobs move with the wind. At each frame new ones are born, a Poisson number of mean ``births``, at uniform
    places of the left half; each lives for ``life`` frames. What is to come, given all frames so far, is then a part
    that is known (the blobs that are there) and the sum of new births, whose mean and variance have a closed form: they
    are those of a Poisson process (Campbell's theorem), whatever the frames so far.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Campbell (1909) for the moments.
    """

    rows: Annotated[int, Ge(8)] = 32
    """H."""
    columns: Annotated[int, Ge(8)] = 32
    """W, even."""
    wind: tuple[Real, Real] = (1.0, 2.0)
    """Cells per frame, along rows and columns."""
    births: Positive = 1.0
    """Mean number of births in a frame."""
    height: Positive = 1.0
    """Height of a blob, in data units."""
    width: Positive = 2.0
    """Its standard deviation, in cells; at most an eighth of the domain."""
    life: Count = 12
    """Frames that a blob lives. Where sequences begin with as many, they tell the age of each blob."""
    frames: Count = 8
    """Frames of a sequence."""

    def check_settings(self) -> None:
        """Refuse blobs that are wide beside the domain, and an odd number of columns."""
        if self.width > (most := min(self.rows, self.columns) / 8):
            raise invalid(f"width must be at most an eighth of the domain, {most:g}", self.width)
        if self.columns % 2:
            raise invalid("columns must be even", self.columns)

    def sample(self, n: int, *, frames: int | None = None, generator: Generator | None = None) -> Tensor:
        """Sequences ``(n, frames, H, W)`` float64, in the steady state.

        Args:
            n: N.
            frames: T; as the setting says if None.
            generator: Source of the births.
        """
        count = whole("AdvectedBlobs.sample", "n", n, at_least=1)
        asked = self.frames if frames is None else frames
        times = whole("AdvectedBlobs.sample", "frames", asked, at_least=1)
        return self._frames(count, times, 1 - self.life, generator)

    def sample_births(self, n: int, *, ahead: int, generator: Generator | None = None) -> Tensor:
        """What is born after now, 1 to ``ahead`` frames later: ``(n, ahead, H, W)`` float64.

        A forecast that knows all frames so far is the blobs that are there and one such draw.

        Args:
            n: Draws.
            ahead: Frames.
            generator: Source of the births.
        """
        count = whole("AdvectedBlobs.sample_births", "n", n, at_least=1)
        times = whole("AdvectedBlobs.sample_births", "ahead", ahead, at_least=1)
        return self._frames(count, times, 0, generator)

    def _frames(self, n: int, times: int, first_birth: int, generator: Generator | None) -> Tensor:
        x = torch.zeros(n, times, self.rows, self.columns, dtype=torch.float64)
        for born in range(first_birth, times):
            first = max(born, 0)
            ages = torch.arange(first - born, min(times - born, self.life))
            row, places = self._born(n, generator)
            if len(ages):
                x[:, first : first + len(ages)].index_add_(0, row, self._shapes(places, ages))
        return x

    def _born(self, n: int, generator: Generator | None) -> tuple[Tensor, Tensor]:
        """The sequence of each birth of a frame, and its place ``(births, 2)``."""
        rate = torch.full((n,), self.births, dtype=torch.float64)
        numbers = torch.poisson(rate, generator=generator).long()
        row = torch.repeat_interleave(torch.arange(n), numbers)
        size = torch.tensor([self.rows, self.columns / 2], dtype=torch.float64)
        return row, size * torch.rand(len(row), 2, generator=generator, dtype=torch.float64)

    def _shapes(self, places: Tensor, ages: Tensor) -> Tensor:
        """Blobs born at places ``(b, 2)`` as fields at their ages, ``(b, ages, H, W)``."""
        at = places[:, None] + ages[:, None] * torch.tensor(self.wind, dtype=torch.float64)
        down, across = (self._profile(at[..., k], size) for k, size in enumerate((self.rows, self.columns)))
        return self.height * down[..., :, None] * across[..., None, :]

    def _profile(self, centre: Tensor, size: int) -> Tensor:
        """``exp(-d^2 / (2 width^2))`` around a circle of ``size`` cells, ``(...)`` -> ``(..., size)``."""
        cells = torch.arange(size, dtype=torch.float64)
        gap = (cells - centre[..., None]) % size
        gap = torch.minimum(gap, size - gap)
        return (-0.5 * (gap / self.width).square()).exp()

    def birth_mean(self, ahead: int) -> Tensor:
        """Mean of what is born after now, 1 to ``ahead`` frames later: ``(ahead, H, W)``."""
        return self._moment(ahead, self.width, self.height)

    def birth_variance(self, ahead: int) -> Tensor:
        """Variance of each cell given all frames up to now, 1 to ``ahead`` frames later: ``(ahead, H, W)``.

        ``sum over ages a of births E[blob(x - p - a wind)^2]``, p uniform in the left half: the square of a blob is one
        of width ``width / sqrt(2)``.
        """
        return self._moment(ahead, self.width / math.sqrt(2), self.height**2)

    def _moment(self, ahead: int, width: float, height: float) -> Tensor:
        whole("AdvectedBlobs", "ahead", ahead, at_least=1)
        # E over the rows is the same everywhere; over columns it is that of an interval which the wind has carried.
        down = math.sqrt(2 * math.pi) * width / self.rows
        of_age = [down * self._interval(age * self.wind[1], width) for age in range(min(ahead, self.life))]
        found = [torch.stack(of_age[:k]).sum(0) for k in range(1, ahead + 1)]
        return (
            (self.births * height * torch.stack(found))[:, None]
            .expand(ahead, self.rows, self.columns)
            .clone()
        )

    def _interval(self, shift: float, width: float) -> Tensor:
        """Mean of a blob of a width over centres in ``[shift, shift + W / 2]``, at each column: ``(W,)``."""
        half = self.columns / 2
        cells = torch.arange(self.columns, dtype=torch.float64)
        total = torch.zeros_like(cells)
        for image in _IMAGES:
            start = (shift % self.columns) + image * self.columns
            ends = [(cells - edge) / (width * math.sqrt(2)) for edge in (start, start + half)]
            total += torch.erf(ends[0]) - torch.erf(ends[1])
        return total * math.sqrt(math.pi / 2) * width / half
