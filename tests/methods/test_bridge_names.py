"""Columns of tables at both ends of a bridge: by name, or refused."""

import numpy as np
import pandas
import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.roles import read
from interpolants.methods import Bridge

TINY = {"net": {"kind": "mlp", "width": 8, "depth": 1}, "steps": 2}
ROWS = np.random.default_rng(0).normal(loc=(0.0, 10.0), size=(50, 2))


def test_both_ends_have_the_columns_of_x1_in_its_order():
    ends = {
        "x0": pandas.DataFrame(ROWS[:, ::-1], columns=["v", "u"]),
        "x1": pandas.DataFrame(ROWS, columns=["u", "v"]),
    }
    data, _ = read(Bridge(**TINY).roles(), ends, "test")
    assert torch.equal(data["x0"], data["x1"])


def test_other_names_are_refused_with_those_that_are_needed():
    one, two = pandas.DataFrame(ROWS, columns=["p", "q"]), pandas.DataFrame(ROWS, columns=["u", "v"])
    with pytest.raises(
        InvalidInputError, match="x0 must have the columns u, v, as x1 has, got none named 'u'"
    ):
        Bridge(**TINY).fit(one, two, progress=False)


def test_arrays_have_no_names_and_are_taken_as_they_come():
    bridge = Bridge(**TINY).fit(ROWS, pandas.DataFrame(ROWS, columns=["u", "v"]), progress=False)
    assert list(bridge.sample(3, seed=0, n_steps=2).columns) == ["u", "v"]
