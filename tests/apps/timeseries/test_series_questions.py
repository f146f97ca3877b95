from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.timeseries.metrics.linear_predictive import linear_predictive_score
from interpolants.apps.timeseries.series_questions import RefinedForecasts, SyntheticWindows
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.methods.parts.series import over_time, series_role

WAVE = np.sin(np.arange(240) * 2 * np.pi / 24) + 2


class Oracle(Method):
    """Knows the wave: refines any forecast to what comes, and samples true windows."""

    def roles(self):
        return (series_role(),)

    def learn(self, data, run):
        return {"series": data["series"]}

    @capability(reads={"context": "series"})
    def refine(self, forecast: Any, context: Any = None, *, members: int = 1, seed: int = 0) -> Any:
        """What comes."""
        steps = forecast.shape[1]
        first = len(context)
        truth = torch.from_numpy(np.sin(np.arange(first, first + steps) * 2 * np.pi / 24) + 2)
        return over_time(truth.expand(1, members, steps)[..., None], context, context.after(steps))

    @capability()
    def sample(self, n: int, *, seed: int = 0) -> torch.Tensor:
        """True windows."""
        start = torch.arange(n, dtype=torch.float64)[:, None]
        return (torch.sin((start + torch.arange(36)) * 2 * torch.pi / 24) + 2)[..., None]


def task_of(values):
    return Task.of((series_role(),), {"series": values}, Split(by="time", test=96))


def test_refinement_by_who_knows_what_comes_takes_the_whole_loss_away():
    task = task_of(WAVE + 0.0)
    found = ask(RefinedForecasts(of={"kind": "seasonal_naive", "season": 1}, steps=12, origins=4, members=2),
                task.fit(Oracle()), task)  # fmt: skip
    assert_close(found["quantile_loss"].value, 0.0, rtol=0, atol=1e-9)
    assert found["before"].value > 0.1
    assert_close(found["gain"].value, found["before"].value)


def test_true_windows_are_as_good_as_real_ones_and_surrogates_are_worse():
    task = task_of(WAVE)
    found = ask(SyntheticWindows(context=24, horizon=12, n=60), task.fit(Oracle()), task)
    assert_close(found["ratio"].value, 1.0, rtol=0, atol=0.2)
    assert found["lead"].value > 0
    windows = torch.from_numpy(np.stack([WAVE[144 + k : 144 + k + 36] for k in range(61)]))[..., None]
    train = torch.from_numpy(np.stack([WAVE[k : k + 36] for k in range(109)]))[..., None]
    spread = train[torch.linspace(0, 108, 60).long()]
    test = windows[torch.linspace(0, 60, 60).long()]
    assert_close(found["score"].floor, linear_predictive_score(spread, test, context=24).value)


def test_windows_of_another_length_and_gaps_everywhere_are_refused():
    task = task_of(WAVE)
    with pytest.raises(InvalidInputError, match="36 times of the model's windows"):
        ask(SyntheticWindows(context=24, horizon=10, n=60), task.fit(Oracle()), task)
    holes = WAVE.copy()
    holes[::5] = np.nan
    with pytest.raises(InvalidInputError, match="windows without gaps"):
        ask(SyntheticWindows(context=24, horizon=12), task_of(holes).fit(Oracle()), task_of(holes))


class Doubler(Method):
    """Refines a forecast to twice its values: what it was given for each series must be that series' own."""

    def roles(self):
        return (series_role(),)

    def learn(self, data, run):
        return {}

    @capability(reads={"context": "series"})
    def refine(self, forecast: Any, context: Any = None, *, members: int = 1, seed: int = 0) -> Any:
        """Twice the forecast, if it goes on from this context."""
        assert_close(forecast[0, 0], context.values[-1])
        return over_time(2 * torch.as_tensor(forecast)[None], context, context.after(forecast.shape[1]))


def test_many_series_are_refined_one_by_one_and_scored_like_columns():
    first, second = WAVE, 5 + 3 * np.roll(WAVE, 5)
    second[190] = np.nan  # a gap in the test part does not count
    task = task_of([first, second])
    asked = RefinedForecasts(of={"kind": "seasonal_naive", "season": 1}, steps=12, origins=3, members=2)
    found = asked.measure(task.fit(Doubler()), task).values
    starts = (144, 186, 228)  # evenly spread behind the cut
    truth = np.stack([[one[k : k + 12] for one in (first, second)] for k in starts])
    last = np.array([[[one[k - 1]] for one in (first, second)] for k in starts])
    size = np.nansum(truth) / len(starts)
    for key, factor in (("before", 1.0), ("quantile_loss", 2.0)):
        by_hand = np.nansum(np.abs(truth - factor * last), (1, 2)) / size
        assert_close(torch.as_tensor(found[key]), torch.from_numpy(by_hand))


def test_windows_of_many_series_lie_in_one_pool():
    holes = 3 * WAVE
    holes[np.arange(240) % 36 == 0] = np.nan  # no window of 36 without a gap
    alone, pooled = (
        SyntheticWindows(context=24, horizon=12, n=30),
        SyntheticWindows(context=24, horizon=12, n=60),
    )
    assert_close(alone._real(task_of([WAVE, holes]), "train"), alone._real(task_of(WAVE), "train"))
    both = pooled._real(task_of([WAVE, 3 * WAVE]), "test")
    starts = np.linspace(0, 121, 60).astype(int)  # 61 windows of each
    expected = [(1 + 2 * (k // 61)) * WAVE[144 + k % 61 :][:36] for k in starts]
    assert_close(both[..., 0], torch.from_numpy(np.stack(expected)))
