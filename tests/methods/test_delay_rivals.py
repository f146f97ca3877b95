"""Forecasts from delay vectors: what goes on exactly, lags that are chosen, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.methods.parts.delays import delay_vectors
from interpolants.methods.rivals.delay_rivals import Analogue, Autoregression


def test_delay_vectors_by_hand_never_reach_from_one_series_into_the_next():
    x, y = delay_vectors(
        [torch.arange(4.0)[:, None], torch.arange(10.0, 13.0)[:, None], torch.zeros(1, 1)], 2
    )
    assert x[..., 0].tolist() == [[0, 1], [1, 2], [10, 11]]
    assert y[..., 0, 0].tolist() == [2, 3, 12]


def test_a_linear_recurrence_goes_on_exactly():
    t = np.arange(80)
    wave = np.stack([np.cos(0.3 * t), 5 + 2 * np.cos(0.3 * t + 1)], 1)
    found = Autoregression(lags=2, ridge=1e-12).fit(wave[:60]).forecast(steps=20, members=2)
    assert np.allclose(found.x[0, 1], wave[60:], atol=1e-3)


def test_the_ridge_is_a_penalty_per_row():
    """As ordinary least squares finds it with a row for each weight: sqrt(penalty) times the weight shall be 0."""
    x = torch.randn(40, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    state = Autoregression(lags=2, ridge=0.5).fit(x).state
    past, future = delay_vectors([(x - state["mean"]) / state["std"]], 2)
    rows = torch.cat([past[..., 0], torch.ones(len(past), 1, dtype=torch.float64)], 1)
    more = (0.5 * len(past)) ** 0.5 * torch.eye(3, dtype=torch.float64)
    target = torch.cat([future[:, 0], torch.zeros(3, 1, dtype=torch.float64)])
    assert_close(state["taught"]["weights"], torch.linalg.lstsq(torch.cat([rows, more]), target).solution)


def test_an_analogue_is_what_followed_the_most_similar_past():
    x = np.array([0.0, 1, 5, 0, 2, 7, 0, 1.1])
    model = Analogue(lags=2).fit(x)
    assert model.forecast(steps=2).x.flatten().tolist() == pytest.approx([5, 0])
    assert Analogue(lags=2, neighbours=2).fit(x).forecast(steps=1).x.item() == pytest.approx(6)
    season = np.tile([1.0, 4.0, 2.0, 2.0], 9)
    assert np.allclose(Analogue(lags=3).fit(season).forecast(steps=8).x.flatten(), season[:8])


def test_lags_are_chosen_by_a_backtest():
    season = np.tile([1.0, 2, 1, 3, 1, 2, 1, 4], 12)  # one value back says nothing of what follows a 1
    model = Analogue(lags=(1, 7)).fit(season)
    assert model.state["lags"] == 7
    assert np.allclose(model.forecast(steps=8).x.flatten(), season[:8])


def test_another_context_a_table_and_its_dates():
    index = pd.date_range("2024-01-01", periods=48, freq="h")
    table = pd.DataFrame({"a": np.sin(0.5 * np.arange(48)), "b": np.arange(48) % 3.0}, index=index)
    model = Analogue(lags=4).fit(table)
    ahead = model.forecast(table.iloc[:40], steps=5)
    assert ahead.columns == ("a", "b")
    assert pd.Timestamp(float(ahead.times[0]), unit="s") == index[40]
    with pytest.raises(InvalidInputError, match="at least 4 times"):
        model.forecast(table.iloc[:3])


def test_what_does_not_fit_is_refused_with_its_place():
    gaps = np.where(np.arange(30) == 17, np.nan, np.arange(30.0))
    with pytest.raises(InvalidInputError, match="must have no gaps"):
        Analogue().fit(gaps)
    with pytest.raises(InvalidInputError, match="column 1 is constant"):
        Autoregression(lags=2).fit(np.stack([np.arange(30.0), np.ones(30)], 1))
    with pytest.raises(InvalidInputError, match="at least 12 times"):
        Analogue().fit(np.arange(8.0))
    with pytest.raises(
        InvalidInputError,
        match=r"Autoregression.fit: the series must have at least two times in total, got 1",
    ):
        Autoregression(lags=2).fit(np.ones(1))
    for wrong in (0, [], [3, 0], 2.5):
        with pytest.raises(InvalidInputError, match="lags"):
            Analogue(lags=wrong)


def test_shorter_series_of_an_array_end_where_their_values_do_and_gaps_are_refused():
    long, short = torch.randn(2, 30, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    padded = torch.stack([long, torch.cat([short[:20], torch.full((10, 1), torch.nan)])])
    one, other = (Autoregression(lags=2).fit(x) for x in ([long, short[:20]], padded))
    assert_close(one.state["taught"]["weights"], other.state["taught"]["weights"], rtol=0, atol=0)
    assert_close(one.forecast(steps=3).x, other.forecast(steps=3).x, rtol=0, atol=0)
    gap = long.clone()
    gap[4] = torch.nan
    with pytest.raises(InvalidInputError, match="series must have no gaps, got 1 values that are not seen"):
        Autoregression(lags=2).fit(gap)
    with pytest.raises(InvalidInputError, match="context must have no gaps"):
        one.forecast(gap)
