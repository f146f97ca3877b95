"""Mixed table with known distributions: date, season, rain with an atom at zero, temperature with gaps, visitors."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from interpolants.foundations.extras import require

SEASONS = ("autumn", "spring", "summer", "winter")
# Chance of a dry day, mean temperature, and chance of a missing temperature by season.
DRY, WARMTH, GAPS = (0.4, 0.5, 0.8, 0.3), (9.0, 12.0, 21.0, 2.0), (0.02, 0.02, 0.02, 0.2)
_SPREAD, _AMOUNT = 3.0, 6.0


@dataclass(frozen=True)
class MixedTable:
    """Days of some years: date, season, rain in mm (a multiple of 0.1, often 0), temperature with gaps, visitors.

    ``rain = 0`` with chance ``DRY[season]``, else exponential with mean 6 mm; ``temperature ~ N(WARMTH[season], 3^2)``,
    missing with chance ``GAPS[season]``; visitors are Poisson with mean ``exp(temperature / 10)``, halved by rain.
    """

    days: int = 1461
    """Number of days from which dates are drawn, from 2012-01-01."""

    def sample(self, n: int, generator: Generator | None = None) -> Any:
        """DataFrame of ``n`` independent rows."""
        pandas = require("pandas", by="MixedTable")
        day = torch.randint(self.days, (n,), generator=generator)
        date = np.datetime64("2012-01-01", "s") + day.numpy().astype("timedelta64[D]")
        month = date.astype("datetime64[M]").astype(int) % 12
        season = torch.from_numpy(np.array([3, 3, 1, 1, 1, 2, 2, 2, 0, 0, 0, 3])[month])
        dry = _chance(DRY, season, generator)
        rain = (
            torch.empty(n, dtype=torch.float64).exponential_(1 / _AMOUNT, generator=generator) * 10
        ).ceil() / 10
        rain = torch.where(dry, 0.0, rain)
        warmth = torch.tensor(WARMTH, dtype=torch.float64)[season]
        warmth = warmth + _SPREAD * torch.randn(n, generator=generator, dtype=torch.float64)
        rate = (warmth / 10).exp() * torch.where(rain > 0, 0.5, 1.0)
        visitors = torch.poisson(rate, generator=generator)
        missing = _chance(GAPS, season, generator)
        return pandas.DataFrame(
            {
                "date": date,
                "season": pandas.Categorical.from_codes(season.numpy(), list(SEASONS)),
                "rain": rain.numpy(),
                "temperature": torch.where(missing, torch.nan, warmth).numpy(),
                "visitors": visitors.numpy().astype(np.int64),
            }
        )


def _chance(chances: tuple[float, ...], season: Tensor, generator: Generator | None) -> Tensor:
    uniform = torch.rand(season.shape, generator=generator)
    return uniform < torch.tensor(chances)[season]
