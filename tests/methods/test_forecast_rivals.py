"""Rivals of a forecast: no change, and any state that was seen."""

import pytest
import torch

import interpolants
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.task import Split, Task
from interpolants.methods import Climatology, Forecaster, Persistence

NOW = torch.arange(12.0).reshape(6, 2)
LATER = NOW + 100


def test_persistence_repeats_the_state():
    found = Persistence().fit(NOW, LATER).forecast(NOW[:3], members=2, steps=4)
    assert found.x.shape == (3, 2, 4, 2)
    assert torch.equal(found.x, NOW[:3, None, None].expand(3, 2, 4, 2))
    assert found.dims == ("time", "feature")
    assert Persistence().fit(NOW, LATER).forecast(NOW[:3]).x.shape == (3, 1, 2)


def test_climatology_draws_rows_that_came_later_equally_often():
    drawn = Climatology().fit(NOW, LATER).forecast(NOW.repeat(100, 1), members=10).x
    rows, counts = drawn.reshape(-1, 2).unique(dim=0, return_counts=True)
    assert torch.equal(rows, LATER)
    assert int((counts - 1000).abs().max()) < 4 * 1000**0.5


def test_a_member_of_climatology_depends_on_case_number_and_lag_alone():
    method = Climatology().fit(NOW, LATER)
    x = torch.zeros(80, 2)
    whole = method.forecast(x, members=6, steps=3, seed=2).x
    assert torch.equal(
        method.forecast(x[70:], members=4, steps=2, seed=2, first_index=70).x, whole[70:, :4, :2]
    )
    assert torch.equal(method.forecast(x, members=6, seed=2).x, whole[:, :, 0])
    assert not torch.equal(whole[:, :, 0], whole[:, :, 1])
    assert not torch.equal(whole[:, 0], whole[:, 1])


@pytest.mark.parametrize("make", [Persistence, Climatology])
def test_rivals_are_fitted_on_the_task_of_a_forecaster_and_stored(make, tmp_path):
    task = Task.of(
        Forecaster().roles(), {"now": NOW, "later": LATER, "cond": torch.arange(6)}, Split(by="time")
    )
    rival = task.fit(make())
    again = interpolants.load(rival.save(tmp_path / "rival"))
    assert torch.equal(task.call(again, "forecast", members=3).x, task.call(rival, "forecast", members=3).x)
    with pytest.raises(InvalidInputError, match="members must be a whole number >= 1"):
        rival.forecast(NOW, members=0)
    with pytest.raises(InvalidInputError, match="event shape"):
        rival.forecast(NOW[:, :1])
