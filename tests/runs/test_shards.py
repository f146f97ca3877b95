"""A large request in parts gives what one call gives."""

import numpy as np
import pytest
import torch

from interpolants.framework.capabilities import capabilities_of
from interpolants.framework.role import Role
from interpolants.methods import Bridge, FlowMap
from interpolants.runs.shards import Request, can_be_cut, in_parts

NET = {"kind": "mlp", "width": 16, "depth": 2}


@pytest.fixture(scope="module")
def bridge():
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    return Bridge("one_sided_linear", net=NET).fit(
        x1=x, cond=torch.arange(300) % 3, steps=20, batch_size=64, progress=False
    )


def request(verb, rows, data=None, **options):
    return Request(None, verb, rows, data or {}, options)


@pytest.mark.parametrize("divergence", ["exact", "hutchinson"])
def test_scores_do_not_depend_on_how_many_points_are_taken_at_a_time(bridge, divergence):
    points = torch.randn(150, 2, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(150) % 3
    how = {"divergence": divergence, "method": "midpoint", "n_steps": 5}
    at_once = bridge.log_prob(points, cond=labels, **how)
    for batch_size in (7, 64, 150):
        asked = request("log_prob", 150, {"x": points, "cond": labels}, **how)
        assert np.array_equal(in_parts(bridge, asked, batch_size)["log_prob"], at_once.numpy())


def test_one_condition_is_for_all_rows_and_a_file_of_them_is_cut(bridge):
    at_once = bridge.sample(70, cond=2, seed=3, eps=0.5, n_steps=4)
    asked = request("sample", 70, {"cond": 2}, n=70, seed=3, eps=0.5, n_steps=4)
    assert np.array_equal(in_parts(bridge, asked, 9)["x"], at_once.numpy())
    labels = torch.arange(70) % 3
    at_once = bridge.sample(70, cond=labels, seed=3, n_steps=4)
    asked = request("sample", 70, {"cond": labels}, n=70, seed=3, n_steps=4)
    assert np.array_equal(in_parts(bridge, asked, 64)["x"], at_once.numpy())


def test_a_capability_is_cut_where_its_rows_are_numbered():
    assert can_be_cut(capabilities_of(Bridge)["sample"])
    assert not can_be_cut(capabilities_of(Bridge)["check"])
    assert not can_be_cut(capabilities_of(Bridge)["sample"], [Role(name="context", kind="series")])
    assert can_be_cut(capabilities_of(FlowMap)["sample"]) == (
        "first_index" in capabilities_of(FlowMap)["sample"].parameters
    )
