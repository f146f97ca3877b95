"""A series with gaps: a seasonal mean and an exponential covariance, by maximum likelihood; completes and forecasts."""

from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.series import STEPS, Series, dates
from interpolants.framework.stages import Run
from interpolants.framework.task import Split

SEASONS = 12


class GapSeries(Method):
    """``x_t = season_t + f_t + e_t`` with ``cov(f_s, f_t) = v exp(-|s - t| / l)``, steps as units of time."""

    steps: int = 60

    def roles(self) -> tuple[Role, ...]:
        return (Role(name="series", kind="series", axis="time", gaps=True),)

    def learn(self, data: dict[str, Any], run: Run) -> Any:
        series = data["series"]
        if series.values.shape[1] != 1:
            raise invalid("GapSeries.fit", "series must have one column", series.values.shape[1])
        place, seen = _season(series.times, series.clock), series.seen[:, 0]
        season = run.once("season", lambda g: _means(series.values[:, 0], seen, place))
        y, at = (series.values[:, 0] - season[place])[seen], torch.arange(len(series)).double()[seen]

        def step(s: Any, k: int, g: Any) -> Any:
            p = s["p"].clone().requires_grad_()
            with torch.enable_grad():
                (slope,) = torch.autograd.grad(_negative_log_likelihood(p, y, at), p)
            m, v = 0.9 * s["m"] + 0.1 * slope, 0.99 * s["v"] + 0.01 * slope.square()
            return {
                "p": s["p"] - 0.1 * (m / (1 - 0.9**k)) / ((v / (1 - 0.99**k)).sqrt() + 1e-8),
                "m": m,
                "v": v,
            }

        zeros = torch.zeros(3, dtype=torch.float64)
        done = run.loop(
            "likelihood", lambda g: {"p": zeros, "m": zeros, "v": zeros}, step, self.steps, every=8
        )
        return {"p": done["p"], "season": season, "tail": series[-36:]}

    def _draw(self, series: Series, ahead: int, members: int, seed: int) -> tuple[Tensor, Tensor]:
        """Members over the series and what follows, ``(members, T + ahead)``, given what was seen; and all times."""
        times = torch.cat([series.times, series.after(ahead)]) if ahead else series.times
        mean = self.state["season"][_season(times, series.clock)]
        seen, at = series.seen[:, 0], torch.arange(len(times)).double()
        known = at[: len(series)][seen]
        inside = torch.linalg.cholesky(_covariance(self.state["p"], known, known, noisy=True))
        across = torch.linalg.solve_triangular(inside, _covariance(self.state["p"], known, at), upper=False)
        gap = (series.values[:, 0] - mean[: len(series)])[seen]
        loc = mean + across.T @ torch.linalg.solve_triangular(inside, gap[:, None], upper=False)[:, 0]
        spread = _covariance(self.state["p"], at, at) - across.T @ across
        root = torch.linalg.cholesky(spread + 1e-9 * torch.eye(len(at), dtype=torch.float64))
        z = torch.randn(members, len(at), dtype=torch.float64, generator=generator(seed, "members"))
        return loc + z @ root.T, times

    @capability(reads={"x": "series"})
    def complete(self, x: Series, *, members: int = 16, seed: int = 0) -> Ensemble:
        """Members with the gaps filled; what was seen stays."""
        drawn, times = self._draw(x, 0, members, seed)
        full = torch.where(x.seen, x.values, drawn[..., None])
        return Ensemble(x=full[None], dims=("time", "column"), times=times, clock=x.clock, columns=x.columns)

    @capability(reads={"context": "series"})
    def forecast(
        self, context: Series | None = None, *, steps: int = 6, members: int = 32, seed: int = 0
    ) -> Ensemble:
        """What follows a series, that of the fit if none is given."""
        known = self.state["tail"] if context is None else context
        drawn, times = self._draw(known, steps, members, seed)
        x = drawn[None, :, -steps:, None]
        return Ensemble(
            x=x, dims=("time", "column"), times=times[-steps:], clock=known.clock, columns=known.columns
        )


def _season(times: Tensor, clock: str) -> Tensor:
    """Month of the year, or the step's place among twelve."""
    found = times if clock == STEPS else torch.from_numpy(dates(times, clock).month.to_numpy().copy()) - 1
    return found.long() % SEASONS


def _means(values: Tensor, seen: Tensor, place: Tensor) -> Tensor:
    """Mean of each season; of all where a season was never seen."""
    rows = [seen & (place == k) for k in range(SEASONS)]
    return torch.stack([values[r].mean() if bool(r.any()) else values[seen].mean() for r in rows])


def _covariance(p: Tensor, a: Tensor, b: Tensor, *, noisy: bool = False) -> Tensor:
    found = p[0].exp() * (-(a[:, None] - b).abs() / p[1].exp()).exp()
    return found + p[2].exp() * torch.eye(len(a), dtype=a.dtype) if noisy else found


def _negative_log_likelihood(p: Tensor, y: Tensor, at: Tensor) -> Tensor:
    root = torch.linalg.cholesky(_covariance(p, at, at, noisy=True))
    white = torch.linalg.solve_triangular(root, y[:, None], upper=False)
    return (0.5 * white.square().sum() + root.diagonal().log().sum()) / len(y)


def monthly(n: int = 96) -> Tensor:
    """A year's wave, an AR(1) of coefficient 0.8, noise, and gaps, ``(n,)``."""
    g = generator(0, "toy months")
    shocks, x = torch.randn(n, dtype=torch.float64, generator=g), torch.zeros(n, dtype=torch.float64)
    for t in range(1, n):
        x[t] = 0.8 * x[t - 1] + 0.5 * shocks[t]
    x = x + 2 * torch.sin(2 * torch.pi * torch.arange(n) / SEASONS) + 0.1 * torch.randn(n, generator=g)
    return torch.where(torch.rand(n, generator=g) < 0.15, torch.nan, x)


def quick() -> tuple[GapSeries, dict[str, Any], Split]:
    return GapSeries(steps=20), {"series": monthly()[:, None]}, Split(by="time", test=24)
