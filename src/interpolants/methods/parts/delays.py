"""What forecasts from delay vectors share: the last L values of each column, told the next, and that again and again.

Letters: T times, C columns, L lags, N delay vectors, M members, S steps ahead.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.kinds import Count, OneOrEach
from interpolants.foundations.randomness import generator
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.series import Series, listed
from interpolants.framework.stages import Run
from interpolants.methods.parts.series import one_series, over_time

# Values further than this from the mean, in standard deviations of the training part, are held there by forecasts that
# feed on themselves; the backtest forecasts this share of the series, from so many places, so many steps ahead.
FARTHEST = 8.0
_BACKTEST, _ORIGINS, _AHEAD = 0.2, 8, 20


def delay_vectors(many: Sequence[Tensor], lags: int, ahead: int = 1) -> tuple[Tensor, Tensor]:
    """Delay vectors of series and what follows them: several ``(T, C)`` -> ``(N, L, C)`` and ``(N, ahead, C)``.

    Series that are too short for one have none.

    Raises:
        InvalidInputError: If there are fewer than two.
    """
    long = [values for values in many if len(values) >= lags + ahead]
    windows = [values.unfold(0, lags + ahead, 1).movedim(-1, 1) for values in long]
    if sum(map(len, windows)) < 2:
        longest = max(map(len, many))
        raise invalid("delay_vectors", f"a series must have at least {lags + ahead + 1} times", longest)
    found = torch.cat(windows)
    return found[:, :lags], found[:, lags:]


class Delayed(Method):
    """A forecast from the last L values, which its own forecasts become; a member writes `taught` and `told`."""

    only_cpu: ClassVar[str] = "series stay where they were read"
    noun: ClassVar[str] = "forecast"

    lags: OneOrEach[Count] = 10
    """Last values of each column that are used; several to choose from by a backtest."""

    def roles(self) -> tuple[Role, ...]:
        """A series, or many with the same columns."""
        about = "series without gaps, with their times; NaN may stand behind the end of a shorter one"
        return (Role(name="series", kind="series", axis="time", about=about),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Units, the number of lags, and what the member learns from the delay vectors."""
        who = f"{type(self).__name__}.fit"
        many = listed(data["series"])
        values = [one_series(who, one).values for one in many]
        pooled = torch.cat(values)
        if len(pooled) < 2:
            raise invalid(who, "the series must have at least two times in total", len(pooled))
        mean, std = pooled.mean(0), pooled.std(0)
        if not bool((std > 1e-12 * (1 + mean.abs())).all()):
            column = int((std <= 1e-12 * (1 + mean.abs())).nonzero()[0])
            raise invalid(who, "every column must vary", f"column {column} is constant", "Leave it out.")
        scaled = [(one - mean) / std for one in values]
        lags = self.lags
        if not isinstance(lags, int):  # those that forecast the last parts best, taught by the parts before
            errors = [self._backtest(scaled, some, run) for some in lags] if len(lags) > 1 else [0.0]
            lags = int(lags[errors.index(min(errors))])
        taught = self.taught(scaled, lags, run, "")
        return {"series": many[-1][-lags:], "mean": mean, "std": std, "lags": lags, "taught": taught}

    def taught(self, many: Sequence[Tensor], lags: int, run: Run, stage: str) -> dict[str, Any]:
        """What is learnt from series of values ``(T, C)`` with mean 0 and deviation 1.

        Args:
            many: The series.
            lags: L.
            run: The run.
            stage: Ending of the names of stages.
        """
        raise NotImplementedError

    def told(self, taught: dict[str, Any], known: Tensor, source: Generator) -> Tensor:
        """The next value, or the next few, ``(B, K, C)``, of delay vectors ``(B, L, C)``.

        Args:
            taught: What was learnt.
            known: Delay vectors, the members of one forecast.
            source: Source of draws, if any.
        """
        raise NotImplementedError

    # --- how many lags

    def _backtest(self, many: Sequence[Tensor], lags: int, run: Run) -> float:
        """Median over origins of the mean square error of a forecast."""
        cuts = [round((1 - _BACKTEST) * len(values)) for values in many]
        taught = self.taught([v[:cut] for v, cut in zip(many, cuts, strict=True)], lags, run, f"-lags{lags}")
        errors = []
        for values, cut in zip(many, cuts, strict=True):
            ahead = min(_AHEAD, len(values) - cut)
            last = len(values) - ahead
            places = torch.linspace(max(cut, lags), last, min(_ORIGINS, last - cut + 1)).long().tolist()
            if ahead < 1 or max(cut, lags) > last:
                continue
            known = torch.stack([values[place - lags : place] for place in places])
            truth = torch.stack([values[place : place + ahead] for place in places])
            source = generator(0, "backtest of lags")
            errors.append((self._rolled(taught, known, ahead, source) - truth).square().mean((1, 2)))
        return float(torch.cat(errors).median()) if errors else float("inf")

    # --- forecasts

    @capability(reads={"context": "series"}, like="context")
    def forecast(self, context: Series | None = None, *, members: Count = 1, steps: Count = 24) -> Ensemble:
        """Equal members of what follows, ``(1, M, S, C)``.

        Args:
            context: The series so far; the last that was fitted if none is given.
            members: M.
            steps: S.
        """
        return self._members(context, members, steps)

    def _rolled(self, taught: dict[str, Any], known: Tensor, steps: int, source: Generator) -> Tensor:
        """Forecasts ``(B, S, C)`` that feed on themselves, from delay vectors ``(B, L, C)``."""
        lags, parts, count = known.shape[1], [], 0
        while count < steps:
            part = self.told(taught, known, source).clamp(-FARTHEST, FARTHEST)
            known = torch.cat([known, part], 1)[:, -lags:]
            parts.append(part)
            count += part.shape[1]
        return torch.cat(parts, 1)[:, :steps]

    def _members(self, context: Series | None, members: int, steps: int, seed: int = 0) -> Ensemble:
        """Members ``(1, M, S, C)``, all equal unless the member draws."""
        who, state = f"{type(self).__name__}.forecast", self.state
        known = state["series"] if context is None else one_series(who, context)
        lags, columns = state["lags"], len(state["mean"])
        if known.values.shape[1] != columns or len(known) < lags:
            rule = f"the context must have {columns} columns and at least {lags} times"
            raise invalid(who, rule, tuple(known.values.shape))
        values = known[-lags:].values
        scaled = (values - state["mean"]) / state["std"]
        source = generator(seed, "delay forecast")
        found = self._rolled(state["taught"], scaled.expand(members, -1, -1), steps, source)
        if not bool(torch.isfinite(found).all()):
            raise DivergedError(f"{who}: a forecast became NaN or infinite.")
        return over_time((state["mean"] + state["std"] * found)[None], known, known.after(steps))
