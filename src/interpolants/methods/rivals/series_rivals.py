"""Rivals for series that learn nothing: earlier seasons as an ensemble, and straight lines through gaps."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from interpolants.data.windows import interpolated
from interpolants.foundations.kinds import Count, Whole
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.series import Series, listed
from interpolants.framework.stages import Run
from interpolants.methods.parts.series import on_one_clock, one_series, over_time, series_role


class SeasonalNaive(Method):
    """What was seen one season ago, two seasons ago, ...: the members go through the last ``seasons`` in turn.

    ``SeasonalNaive(season=1)`` is persistence, ``SeasonalNaive(season=1, seasons=0)`` climatology.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    only_cpu: ClassVar[str] = "series stay where they were read"
    noun: ClassVar[str] = "forecast"

    season: Count = 1
    """Steps of a season."""
    seasons: Whole = 1
    """Seasons to go through; 0 for as many as the context holds."""

    def roles(self) -> tuple[Role, ...]:
        """A series."""
        return (series_role(),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Keep the series, to forecast what follows it."""
        return {"series": [one_series("SeasonalNaive.fit", one) for one in listed(data["series"])]}

    @capability(reads={"context": "series"}, like="context")
    def forecast(
        self, context: Series | list[Series] | None = None, *, members: Count = 20, steps: Count = 1
    ) -> Ensemble:
        """Repeat earlier seasons: ``(B, members, steps, C)``.

        Args:
            context: The series so far, or B of them; that of the fit if none is given.
            members: Members of the ensemble.
            steps: Steps ahead.
        """
        every = listed(self.state["series"] if context is None else context)
        drawn = [self._repeated(one_series("SeasonalNaive.forecast", one), members, steps) for one in every]
        return on_one_clock(torch.stack(drawn), every, steps)

    def _repeated(self, known: Series, members: int, steps: int) -> Tensor:
        """Members ``(M, S, C)``."""
        ahead = torch.arange(steps)
        first = len(known) + ahead - self.season * (ahead // self.season + 1)
        picks = [self._earlier(known, first, k) for k in range(self._cycle(len(known)))]
        return torch.stack([picks[m % len(picks)] for m in range(members)])

    @capability(reads={"x": "series"}, like="x")
    def complete(self, x: Series, *, members: Count = 20) -> Ensemble:
        """Fill gaps with what was seen at the same place of the seasons around, the nearest first: ``(1, M, T, C)``."""
        known = one_series("SeasonalNaive.complete", x)
        steps = range(1, self._cycle(len(known)) + 1)
        offsets = [sign * k * self.season for k in steps for sign in (-1, 1)]
        fills = [known.values] * members
        for c in range(known.values.shape[1]):
            for t in (~known.seen[:, c]).nonzero()[:, 0].tolist():
                near = [t + o for o in offsets if 0 <= t + o < len(known) and bool(known.seen[t + o, c])]
                found = known.values[near, c] if near else _mean(known, c)[None]
                for m in range(members):
                    fills[m] = fills[m].clone() if fills[m] is known.values else fills[m]
                    fills[m][t, c] = found[m % len(found)]
        return over_time(torch.stack(fills)[None], known, known.times)

    def _cycle(self, length: int) -> int:
        most = max(1, length // self.season)
        return most if self.seasons == 0 else min(self.seasons, most)

    def _earlier(self, known: Series, place: Tensor, back: int) -> Tensor:
        """Values ``(steps, C)``, ``back`` seasons before ``place``; those before where there is a gap."""
        found = torch.stack([_mean(known, c).expand(len(place)) for c in range(known.values.shape[1])], 1)
        missing = torch.ones_like(found, dtype=torch.bool)
        at = place - back * self.season
        while bool((at >= 0).any()) and bool(missing.any()):
            inside = at.clamp(min=0)
            fits = missing & known.seen[inside] & (at >= 0)[:, None]
            found = torch.where(fits, known.values[inside], found)
            missing, at = missing & ~fits, at - self.season
        return found


class Interpolation(Method):
    """Straight lines from the last value that was seen to the next."""

    only_cpu: ClassVar[str] = "series stay where they were read"
    noun: ClassVar[str] = "interpolation"

    def roles(self) -> tuple[Role, ...]:
        """A series, of which only the columns are used."""
        return (series_role(),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Nothing."""
        return {}

    @capability(reads={"x": "series"}, like="x")
    def complete(self, x: Series, *, members: Count = 1) -> Ensemble:
        """Fill gaps, ``(1, members, T, C)`` with equal members."""
        known = one_series("Interpolation.complete", x)
        filled = interpolated(known.values, known.seen)
        return over_time(filled.expand(1, members, *filled.shape), known, known.times)


def _mean(known: Series, column: int) -> Tensor:
    seen = known.seen[:, column]
    return known.values[seen, column].mean() if bool(seen.any()) else known.values.new_zeros(())
