"""Climatology of gridded fields: mean and deviation of each point by day of the year, or for the whole year.

Letters: N cases, M members, C variables, G axes of the grid, D days.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.data.gridded import Gridded
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.records import record

DAYS = 365


@record("climatology")
@dataclass(frozen=True, kw_only=True, eq=False)
class GridClimatology:
    """``v = (f - mean_d) / std_d`` per point and variable, d the day of the year.

    Attributes:
        mean: ``(D, C, *G)`` float64; NaN for days without cases.
        std: ``(D, C, *G)`` float64, positive.
        window: Days of the centred window around each day; 0 for one climatology of the whole year, D = 1.
    """

    mean: Tensor
    std: Tensor
    window: int = 0

    @classmethod
    def fit(cls, fields: Gridded, window: int = 0, *, who: str = "GridClimatology.fit") -> "GridClimatology":
        """From cases of the training part, all members alike.

        Args:
            fields: The cases; with dates if there is a window.
            window: Days; an odd number of 1 to 365, or 0.
            who: Name of the caller, used in error messages.

        Raises:
            InvalidInputError: If cases have no dates, or a point does not vary or was never seen.
        """
        whole(who, "window", window, at_least=0, at_most=DAYS)
        day = fields.day_of_year()
        if window and day is None:
            remedy = "Use window=0, one climatology of the whole year."
            raise invalid(who, "a window of days needs cases with dates", "cases without", remedy)
        picks = (
            [torch.ones(len(fields), dtype=torch.bool)]
            if day is None or not window
            else _windows(day, window)
        )
        found = [_moments(fields.values[rows].double()) for rows in picks]
        mean, std = (torch.stack(part) for part in zip(*found, strict=True))
        for d, rows in enumerate(picks):
            if bool(rows.any()):
                _check_varies(std[d], fields, who, f" around day {d + 1} of the year" if window else "")
        return cls(mean=mean, std=std, window=window)

    def at(self, fields: Gridded, *, who: str = "GridClimatology.at") -> tuple[Tensor, Tensor]:
        """Mean and deviation of each case, ``(N, 1, C, *G)``.

        Raises:
            InvalidInputError: If cases have no dates, or a day had none in the training part.
        """
        if not self.window:
            return self.mean[None], self.std[None]
        day = fields.day_of_year()
        if day is None:
            raise invalid(who, "cases must have dates, as those of the fit had", "cases without")
        mean, std = self.mean[day][:, None], self.std[day][:, None]
        missing = mean.flatten(1).isnan().any(1)
        if bool(missing.any()):
            rule = f"the training part must have cases within {self.window // 2} days of each day that is asked for"
            raise invalid(
                who, rule, f"none near day {int(day[missing][0]) + 1} of the year", "Use a wider window."
            )
        return mean, std

    def encode(self, fields: Gridded, *, who: str = "GridClimatology.encode") -> Tensor:
        """Standardised anomalies ``(N, M, C, *G)`` float64."""
        mean, std = self.at(fields, who=who)
        return (fields.values.double() - mean) / std

    def decode(self, v: Tensor, fields: Gridded, *, who: str = "GridClimatology.decode") -> Tensor:
        """Fields ``(N, M, C, *G)`` float64 from anomalies of the cases of ``fields``."""
        mean, std = self.at(fields, who=who)
        return v.double() * std + mean

    def seasonal(self, fields: Gridded) -> Tensor | None:
        """Mean field of each case, standardised over days and points, ``(N, C, *G)``; None if it is constant."""
        if not self.window:
            return None
        axes = [0, *range(2, self.mean.ndim)]
        known = self.mean[~self.mean.flatten(1).isnan().any(1)]
        centre, spread = known.mean(axes, keepdim=True), known.std(axes, keepdim=True)
        return (self.at(fields)[0][:, 0] - centre) / spread.clamp(min=torch.finfo(torch.float32).tiny)


def _windows(day: Tensor, window: int) -> list[Tensor]:
    """For each day of the year, the cases within half a window around it, across the turn of the year."""
    days = torch.arange(DAYS)
    gap = (day[None] - days[:, None]).abs()
    near = torch.minimum(gap, DAYS - gap) <= window // 2
    return list(near)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation over cases and members ``(n, M, *F)``, NaN left out."""
    flat = x.flatten(0, 1)
    seen = flat.isfinite()
    count = seen.sum(0)
    filled = torch.where(seen, flat, 0.0)
    mean = torch.where(count > 0, filled.sum(0) / count.clamp(min=1), torch.nan)
    gap = torch.where(seen, flat - mean, 0.0)
    return mean, torch.where(count > 1, (gap.square().sum(0) / (count - 1).clamp(min=1)).sqrt(), torch.nan)


def _check_varies(std: Tensor, fields: Gridded, who: str, when: str) -> None:
    """Refuse points that do not vary, by variable and place."""
    bad = ~(std > 0)
    if not bool(bad.any()):
        return
    variable, *point = bad.nonzero()[0].tolist()
    grid = fields.grid
    place = ", ".join(_place(fields, name, index) for name, index in zip(grid.dims, point, strict=True))
    value = float(std[variable][tuple(point)])
    told = f"{'0' if value == 0 else 'no value'} for {grid.variables[variable]} at {place}{when}"
    remedy = "Leave the variable or the point out, e.g. a mask of land; or give more cases."
    raise invalid(who, "every point must have a deviation > 0", told, remedy)


def _place(fields: Gridded, name: str, index: int) -> str:
    x = fields.grid.coords.get(name)
    return f"{name} {index if x is None else f'{float(x[index]):g}'}"
