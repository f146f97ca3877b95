"""Classical forecasts of series by statsmodels: exponential smoothing and seasonal ARIMA, column by column.

Letters: T times, C columns, M members, S steps ahead.
"""

import warnings
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from annotated_types import Ge, Interval
from torch import Tensor

from interpolants.data.windows import interpolated
from interpolants.foundations.asked import who
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.kinds import Count
from interpolants.foundations.randomness import key
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.series import Series
from interpolants.framework.stages import Run
from interpolants.methods.parts.series import one_series, over_time, series_role

# Times beyond two seasons that a fit needs.
_FEW = 8
# A column whose deviation is a smaller share of its size does not vary.
_FLAT = 1e-12


_Order = Annotated[int, Interval(ge=0, le=9)]


class _Classical(Method):
    """A model of each column, whose parameters are fitted once; a forecast filters its context with these."""

    only_cpu: ClassVar[str] = "statsmodels works on the CPU"
    noun: ClassVar[str] = "forecast"

    season: Annotated[int, Ge(2)] = 24
    """Steps of a season."""
    memory: Count = 1344
    """Times that are filtered, at most; two seasons and eight at least."""

    def check_settings(self) -> None:
        """Refuse a memory of less than two seasons."""
        remedy = f"Two seasons and {_FEW} times are the least."
        whole(who(), "memory", self.memory, at_least=2 * self.season + _FEW, remedy=remedy)

    def roles(self) -> tuple[Role, ...]:
        """A series."""
        return (series_role(),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Parameters of each column on the last ``memory`` times."""
        series = one_series(f"{type(self).__name__}.fit", data["series"])
        columns = self._columns(series)
        parameters = [torch.as_tensor(self._parameters(column)).double() for column in columns]
        return {"series": series[-self.memory :], "parameters": parameters}

    @capability(reads={"context": "series"}, like="context")
    def forecast(
        self, context: Series | None = None, *, members: Count = 100, steps: Count = 24, seed: int = 0
    ) -> Ensemble:
        """Simulated paths of what follows, ``(1, M, S, C)``.

        Args:
            context: The series so far, of which the last ``memory`` times are filtered; that of the fit
                if none is given.
            members: M.
            steps: S.
            seed: Seed of the paths.
        """
        who = f"{type(self).__name__}.forecast"
        known = self.state["series"] if context is None else one_series(who, context)
        columns, parameters = self._columns(known), self.state["parameters"]
        if len(columns) != len(parameters):
            raise invalid(
                who, f"the context must have the {len(parameters)} columns of the training data", len(columns)
            )
        drawn = [
            self._paths(column, own.numpy(), members, steps, np.random.default_rng(key(seed, "paths", k)))
            for k, (column, own) in enumerate(zip(columns, parameters, strict=True))
        ]
        x = torch.from_numpy(np.stack(drawn, -1)).double()
        return over_time(x[None], known, known.after(steps))

    def _columns(self, series: Series) -> list[np.ndarray[Any, Any]]:
        """The last times of each column, with NaN where the model takes gaps, or before and after what is seen."""
        last = series[-self.memory :]
        if len(last) < (least := 2 * self.season + _FEW):
            rule = f"the context must have at least {least} times, two seasons and {_FEW} more"
            raise invalid(type(self).__name__, rule, len(last))
        if not bool(last.seen.any(0).all()):
            rule = f"every column must have values in the last {self.memory} times"
            at = int((~last.seen.any(0)).nonzero()[0])
            raise invalid(type(self).__name__, rule, f"none in column {at}")
        values = self._ready(last)
        return [column.numpy() for column in values.T]

    def _ready(self, series: Series) -> Tensor:
        raise NotImplementedError

    def _parameters(self, column: Any) -> Any:
        raise NotImplementedError

    def _paths(self, column: Any, parameters: Any, members: int, steps: int, source: Any) -> Any:
        """``(M, S)``."""
        raise NotImplementedError


class ExponentialSmoothing(_Classical):
    """ETS with additive errors, a damped trend and an additive season; paths are simulated with its own errors.

    A column begins with its first value that is seen and ends with its last: what is missing after that is simulated
    as well. Gaps between are filled by straight lines.

    Raises:
        InvalidInputError: If a setting is out of range.
        MissingExtraError: If statsmodels is not installed.

    Source: Hyndman, Koehler, Ord & Snyder (2008), by statsmodels.
    """

    def _model(self, column: Any) -> Any:
        ets = require("statsmodels.tsa.exponential_smoothing.ets", by="ExponentialSmoothing")
        # Optimised first states would be as many as a season has steps; heuristic ones are forgotten soon.
        return ets.ETSModel(
            column, error="add", trend="add", damped_trend=True, seasonal="add", seasonal_periods=self.season,
            initialization_method="heuristic",
        )  # fmt: skip

    def _ready(self, series: Series) -> Tensor:
        lines = interpolated(series.values, series.seen)
        return torch.where(_between(series.seen), lines, torch.nan)

    def _known(self, column: Any) -> tuple[Any, int]:
        """The column from its first to its last value, and the number of times after that."""
        at = np.flatnonzero(~np.isnan(column))
        known = column[at[0] : at[-1] + 1]
        if len(known) < (least := 2 * self.season + _FEW):
            rule = f"a column must have at least {least} times between its first and its last value"
            raise invalid("ExponentialSmoothing", rule, len(known))
        return known, len(column) - 1 - int(at[-1])

    def _parameters(self, column: Any) -> Any:
        return quiet(lambda: self._model(self._known(column)[0]).fit(disp=False)).params

    def _paths(self, column: Any, parameters: Any, members: int, steps: int, source: Any) -> Any:
        known, late = self._known(column)
        found = quiet(lambda: self._model(known).smooth(parameters))
        drawn = found.simulate(
            late + steps, anchor="end", repetitions=members, random_errors="bootstrap", rng=source
        )
        return np.asarray(drawn).reshape(late + steps, members).T[:, late:]


class SeasonalArima(_Classical):
    """ARIMA ``(p, d, q)`` with a seasonal part ``(P, D, Q)``; gaps are filtered as such, paths are simulated.

    A column is fitted and filtered in units of its standard deviation, so that its units do not matter: the first
    states have a variance that statsmodels fixes. Where the optimiser ends at an autoregression that grows without
    end, a stationary one is fitted instead.

    Raises:
        InvalidInputError: If a setting is out of range.
        MissingExtraError: If statsmodels is not installed.

    Source: Box & Jenkins (1970), by statsmodels.
    """

    order: tuple[_Order, _Order, _Order] = (2, 0, 1)
    """p, d, q."""
    seasonal: tuple[_Order, _Order, _Order] = (1, 1, 0)
    """P, D, Q."""

    def _ready(self, series: Series) -> Tensor:
        return series.with_gaps()

    def _model(self, column: Any, *, stationary: bool = False) -> Any:
        states = require("statsmodels.tsa.statespace.sarimax", by="SeasonalArima")
        return states.SARIMAX(
            column, order=self.order, seasonal_order=(*self.seasonal, self.season), simple_differencing=False,
            enforce_stationarity=stationary, enforce_invertibility=False,
        )  # fmt: skip

    def _parameters(self, column: Any) -> Any:
        unit = _unit(column)
        found = quiet(lambda: self._model(column / unit).fit(disp=False, maxiter=30))
        if np.any(np.abs(found.arroots) < 1):
            found = quiet(lambda: self._model(column / unit, stationary=True).fit(disp=False, maxiter=30))
        return _rescaled(found.params, unit)

    def _paths(self, column: Any, parameters: Any, members: int, steps: int, source: Any) -> Any:
        unit = _unit(column)
        found = quiet(lambda: self._model(column / unit).smooth(_rescaled(parameters, 1 / unit)))
        drawn = found.simulate(steps, anchor="end", repetitions=members, rng=source)
        return unit * np.asarray(drawn).reshape(steps, members).T


def _between(seen: Tensor) -> Tensor:
    """Which times lie between the first and the last that are seen of their column, both of them too, ``(T, C)``."""
    begun = seen.cumsum(0) > 0
    return begun & (seen.flip(0).cumsum(0) > 0).flip(0)


def _unit(column: Any) -> float:
    """Standard deviation of what is seen of a column; its size where it does not vary, 1 where that is 0."""
    size = float(np.nanmax(np.abs(column)))
    spread = float(np.nanstd(column))
    return spread if spread > _FLAT * size else size or 1.0


def _rescaled(parameters: Any, factor: float) -> Any:
    """Parameters of a column ``factor`` times as large: only the last one, the variance of the noise, has units."""
    found = np.array(parameters, dtype=np.float64)
    found[-1] *= factor**2
    return found


def quiet(call: Any) -> Any:
    """What a call gives, without the warnings of optimisers that stop early."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()
