"""Sides of a run that follow the process of the other side."""

import pytest

from interpolants.foundations.errors import InvalidInputError
from interpolants.runs import make_config
from interpolants.runs.sources import load_data

FOLLOWS = {"x0": {"problem": "rotating_mixture", "n": 400}, "x1": {"follows": "x0"}}


def test_what_follows_is_a_step_of_the_process_row_by_row():
    sets = load_data(make_config({"data": FOLLOWS}, place="my.toml").tasks[0].data)
    distribution = sets.x0.process
    for now, later in ((sets.x0.train.x, sets.x1.train.x), (sets.x0.test.x, sets.x1.test.x)):
        centres = distribution.centres(now.double())
        nearest = (later.double()[:, None] - centres).square().sum(2).min(1).values
        # the noise around the nearest branch has variance tau^2 in each of two coordinates
        assert float(nearest.mean()) < 2.5 * distribution.tau**2


def test_a_forecast_needs_states_of_a_process():
    data = {"x0": {"problem": "moons", "n": 100}, "x1": {"follows": "x0"}}
    with pytest.raises(InvalidInputError, match="x1 can follow only states of a known process, got moons"):
        load_data(make_config({"data": data}, place="my.toml").tasks[0].data)
    data = {"x0": {"follows": "x0"}, "x1": {"problem": "moons"}}
    with pytest.raises(InvalidInputError, match="only x1 may follow x0"):
        make_config({"data": data}, place="my.toml")
