"""Rivals for series: earlier seasons and straight lines, by hand."""

import numpy as np
import pandas as pd
import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.methods.rivals.series_rivals import Interpolation, SeasonalNaive

NAN = float("nan")


def test_members_go_through_the_last_seasons_and_long_horizons_repeat_them():
    x = np.arange(12.0)
    model = SeasonalNaive(season=4, seasons=2).fit(x)
    found = model.forecast(members=3, steps=6).x[0, :, :, 0]
    assert found[0].tolist() == [8, 9, 10, 11, 8, 9]
    assert found[1].tolist() == [4, 5, 6, 7, 4, 5]
    assert torch.equal(found[2], found[0])
    assert SeasonalNaive(season=4, seasons=9).fit(x).forecast(members=4).x.flatten().tolist() == [8, 4, 0, 8]


def test_persistence_and_climatology_are_seasons_of_one_step():
    x = np.arange(5.0)
    assert SeasonalNaive().fit(x).forecast(steps=3, members=1).x.flatten().tolist() == [4, 4, 4]
    every = SeasonalNaive(seasons=0).fit(x).forecast(steps=2, members=5).x[0, :, :, 0]
    assert every.tolist() == [[v, v] for v in (4, 3, 2, 1, 0)]


def test_a_gap_is_passed_over_to_the_season_before_it():
    x = np.array([0.0, 1, 2, 3, NAN, 5, NAN, 7])
    found = SeasonalNaive(season=4).fit(x).forecast(steps=4, members=1).x.flatten()
    assert found.tolist() == [0, 5, 2, 7]
    lost = np.array([NAN, 1.0, NAN, 3.0])
    assert SeasonalNaive(season=2).fit(lost).forecast(steps=2, members=1).x.flatten().tolist() == [2, 3]


def test_gaps_are_completed_from_the_seasons_around_the_nearest_first():
    x = np.array([0.0, 1, 2, NAN, 4, 5, 6, 7])
    found = SeasonalNaive(season=2, seasons=0).fit(x).complete(x, members=3).x[0, :, :, 0]
    assert found[:, 3].tolist() == [1, 5, 7]
    assert torch.equal(found[0, 4:], torch.arange(4.0, 8).double())


def test_straight_lines_and_times_that_stay():
    index = pd.date_range("2024", periods=5, freq="D")
    table = pd.DataFrame({"v": [1.0, NAN, NAN, 4.0, NAN]}, index=index)
    answer = Interpolation().fit(table).complete(table)
    assert answer.x.flatten().tolist() == [1, 2, 3, 4, 4]
    assert answer.summary().index.equals(index.as_unit("us"))
    forecast = SeasonalNaive(season=2).fit(table).forecast(table, steps=2)
    assert [str(t) for t in forecast.summary().index] == ["2024-01-06 00:00:00", "2024-01-07 00:00:00"]


def test_what_does_not_fit_is_refused():
    with pytest.raises(InvalidInputError, match="season must be a whole number >= 1"):
        SeasonalNaive(season=0)
    with pytest.raises(InvalidInputError, match="exactly one series must be passed, got 2 series"):
        SeasonalNaive().fit(np.arange(4.0)).complete([np.arange(4.0), np.arange(5.0)])
    with pytest.raises(InvalidInputError, match="some values must be seen"):
        SeasonalNaive().fit(np.array([NAN, NAN]))


def test_several_series_are_forecast_together():
    answer = SeasonalNaive(season=2).fit([np.arange(4.0), np.arange(6.0)]).forecast(members=1, steps=3)
    assert answer.x[:, 0, :, 0].tolist() == [[2, 3, 2], [4, 5, 4]]
