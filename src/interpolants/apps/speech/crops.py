"""Crops of degraded recordings and of the clean ones, as compressed spectra."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.apps.speech.compressed_spectra import CompressedSpectra
from interpolants.apps.speech.degradations import Degradation, level_of
from interpolants.apps.speech.units import unit_of
from interpolants.foundations.randomness import generator

# Of a long recording so many seconds are degraded for one crop: a room answers for less.
_STRETCH = 2.0
_PILOT = 64


class Crops:
    """Crops as rows of a batch: x1 is clean less degraded, cond the degraded one.

    Recordings are drawn as often as they are long, with replacement, and crops uniformly within them; shorter ones are
    filled up with zeros.

    Args:
        clean: Clean samples ``(T,)`` each.
        degraded: What became of each, or None where the degradation is drawn anew for every crop.
        degradation: What draws it.
        spectra: Their coefficients.
        rate: Samples per second.
        frames: N, frames of a crop.
        normalise: Unit of a recording, as in ``units``.
    """

    def __init__(
        self,
        clean: Sequence[Tensor],
        degraded: Sequence[Tensor] | None,
        *,
        degradation: Degradation,
        spectra: CompressedSpectra,
        rate: int,
        frames: int,
        normalise: str,
    ) -> None:
        self.clean, self.degraded, self.degradation = clean, degraded, degradation
        self.spectra, self.rate, self.normalise = spectra, rate, normalise
        self.length = (frames - 1) * spectra.hop
        self.stretch = max(self.length, round(_STRETCH * rate))
        self.levels = [level_of(x) for x in clean]
        self.share = torch.tensor([max(len(x), self.length) for x in clean], dtype=torch.float64)

    def rows(self, n: int, source: Generator) -> dict[str, Any]:
        """Differences ``x1`` and degraded spectra ``cond``, ``(n, 2, F, N)`` each."""
        picks = torch.multinomial(self.share, n, replacement=True, generator=source).tolist()
        crops = [self._crop(pick, source) for pick in picks]
        x, y = (self.spectra.of(torch.stack(part)) for part in zip(*crops, strict=True))
        return {"x1": x - y, "cond": y}

    def _crop(self, pick: int, source: Generator) -> tuple[Tensor, Tensor]:
        """Clean and degraded samples of one crop, in the unit of what was degraded."""
        x = self.clean[pick]
        first = _place(len(x), self.stretch, source)
        x = x[first : first + self.stretch]
        if self.degraded is not None:
            y = self.degraded[pick][first : first + self.stretch]
        else:
            others = [other for k, other in enumerate(self.clean) if k != pick] if len(self.clean) > 1 else []
            y = self.degradation.degrade(
                x, self.rate, level=self.levels[pick], generator=source, others=others
            )
        unit = unit_of(y, self.normalise)
        first = _place(len(x), self.length, source)
        return _filled(x[first:] / unit, self.length), _filled(y[first:] / unit, self.length)

    def sizes(self, seed: int) -> tuple[float, float]:
        """Root mean squares of differences and of degraded spectra over some crops."""
        some = self.rows(_PILOT, generator(seed, "pilot crops"))
        return level_of(some["x1"]), level_of(some["cond"])


def _place(n: int, length: int, source: Generator) -> int:
    """Where a stretch begins."""
    return int(torch.randint(max(1, n - length + 1), (), generator=source))


def _filled(x: Tensor, length: int) -> Tensor:
    return torch.nn.functional.pad(x[:length], (0, max(0, length - len(x))))
