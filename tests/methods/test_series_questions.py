"""Questions about series: perfect answers, straight lines, and the coverage of the true distribution."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import generator
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.methods.parts.series import over_time, series_role
from interpolants.methods.questions.completion_quality import CompletionQuality
from interpolants.methods.questions.forecast_by_horizon import ForecastByHorizon
from interpolants.methods.rivals.series_rivals import Interpolation, SeasonalNaive


class White(Method):
    """White noise of deviation 1, which is all there is to know of it."""

    def roles(self):
        return (series_role(),)

    def learn(self, data: Any, run: Any) -> Any:
        return {}

    @capability(reads={"context": "series"})
    def forecast(self, context=None, *, members=10, steps=1, seed=0):
        x = torch.randn(1, members, steps, 1, dtype=torch.float64, generator=generator(seed, "members"))
        return over_time(x, context, context.after(steps))


def task_of(values, test=40):
    return Task.of((series_role(),), {"series": values}, Split(by="time", test=test))


def test_a_line_is_continued_by_persistence_with_an_error_of_the_steps_ahead():
    task = task_of(np.arange(1.0, 101))
    method = task.fit(SeasonalNaive())
    question = ForecastByHorizon(steps=4, origins=3, members=2)
    found = ask(question, method, task)
    # Origins at 60, 78 and 96: truth 61..64, 79..82, 97..100; the errors are 1, 2, 3, 4.
    size = np.concatenate([np.arange(61, 65), np.arange(79, 83), np.arange(97, 101)]).mean()
    assert found["quantile_loss"].value == pytest.approx(2.5 / size, rel=1e-9)
    assert found["median_error"].value == pytest.approx(2.5 / size, rel=1e-9)
    assert found["coverage"].value == 0.0
    assert_close(found.arrays["loss_by_step"] * size, torch.arange(1.0, 5).double())
    assert [figure.name for figure in found.figures] == ["fan", "by_step"]


def test_a_periodic_series_is_repeated_without_an_error():
    task = task_of(np.tile([1.0, 5.0, 2.0], 40))
    found = ask(
        ForecastByHorizon(steps=7, origins=5, members=3),
        task.fit(SeasonalNaive(season=3)),
        task,
        ["seasonal_naive"],
    )
    assert found["quantile_loss"].value == 0.0
    assert found["coverage"].value == 1.0
    assert found["quantile_loss"].rivals["seasonal_naive"] > 0.1


def test_members_of_the_true_distribution_cover_what_they_should():
    x = torch.randn(3000, dtype=torch.float64, generator=generator(0))
    task = task_of(x.numpy(), test=2500)
    question = ForecastByHorizon(steps=20, origins=100, members=40, history=10)
    found = ask(question, task.fit(White()), task)
    assert abs(found["coverage"].value - 0.8) < 4 * found["coverage"].error
    assert found.arrays["coverage_by_step"].shape == (20,)


def test_of_several_series_the_first_is_drawn_with_its_forecasts():
    task = task_of([np.arange(1.0, 101), np.arange(1001.0, 1101)])
    found = ask(ForecastByHorizon(steps=4, origins=3, members=2), task.fit(SeasonalNaive()), task)
    around, bands = found.arrays["around"], found.arrays["bands"]
    assert_close(around[:, -5], bands[:, 2, 0])  # the last value that was known is the forecast
    panel = found.figures[0].panels[0]
    ahead, _, median, seen = (mark.arrays for mark in panel.series)
    assert ahead["x"].tolist() == median["x"].tolist() == [1, 2, 3, 4]
    assert float(seen["y"][seen["x"] == 0]) == float(around[0, -5])


def test_what_was_not_seen_does_not_count():
    x = np.arange(1.0, 101)
    holes = x.copy()
    holes[61] = np.nan  # the second step of the first origin
    task = task_of(holes)
    question = ForecastByHorizon(steps=4, origins=1, members=2)
    found = ask(question, task.fit(SeasonalNaive()), task)
    assert found["quantile_loss"].value == pytest.approx((1 + 3 + 4) / (61 + 63 + 64), rel=1e-9)


@pytest.mark.parametrize("pattern", ["random", "block", "begin", "end"])
def test_straight_lines_complete_a_straight_line(pattern):
    task = task_of(np.arange(1.0, 101))
    question = CompletionQuality(pieces=2, length=20, pattern=pattern, members=2)
    found = ask(question, task.fit(Interpolation()), task, [{"kind": "seasonal_naive", "season": 3}])
    exact = found["quantile_loss"].value < 1e-12
    assert exact == (pattern == "block")
    hidden = found.arrays["hidden"].isfinite()
    assert int(hidden.sum()) == 10
    # What is drawn is one stretch, of the first of the pieces.
    shown = torch.where(hidden, found.arrays["hidden"], found.arrays["seen"])
    assert_close(shown, torch.arange(61.0, 81).double())
    if pattern != "random":
        first = {"block": 5, "begin": 0, "end": 10}[pattern]
        assert hidden.nonzero().flatten().tolist() == [*range(first, first + 10)]
        assert not (found.arrays["seen"].isfinite() & hidden).any()


def test_entries_at_the_ends_are_those_nearest():
    """At the end of 61 .. 80 the last ten are all filled with 70: errors 1 .. 10."""
    task = task_of(np.arange(1.0, 101))
    question = CompletionQuality(pieces=1, length=20, pattern="end", members=2)
    found = ask(question, task.fit(Interpolation()), task)
    assert found["quantile_loss"].value == pytest.approx(5.5 / 75.5, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ForecastByHorizon(steps=0), "steps must be a whole number >= 1"),
        (lambda: ForecastByHorizon(level=1.0), "level must lie in"),
        (lambda: CompletionQuality(pattern="all"), "pattern must be one of"),
        (lambda: CompletionQuality(share=1.0), "share must lie in"),
        (lambda: ask(CompletionQuality(length=50), task_of(np.ones(90)).fit(Interpolation()), task_of(np.ones(90))),
         "at least 50 steps, got 40"),
        (lambda: ask(ForecastByHorizon(steps=50), task_of(np.ones(90)).fit(SeasonalNaive()), task_of(np.ones(90))),
         "at least 50 steps, got 40"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(InvalidInputError, match=words):
        call()


def test_origins_behind_which_nothing_was_seen_do_not_spoil_the_coverage():
    values = generator(0, "white")
    x = torch.randn(120, dtype=torch.float64, generator=values).numpy()
    x[100:108] = np.nan
    task = task_of(x)
    found = ask(ForecastByHorizon(steps=4, origins=10, members=50), task.fit(White()), task)
    assert found["coverage"].n == 8
    assert 0.6 < found["coverage"].value <= 1
