import importlib

import pytest

from interpolants.methods import (
    Bridge,
    FlowMap,
    Forecaster,
    PriorRestoration,
    Rectification,
    Restoration,
)


@pytest.mark.parametrize(
    "name", ["interpolants.estimator", "interpolants.bridges", "interpolants.bridges.flow_map"]
)
def test_a_former_module_is_refused_with_the_one_that_takes_its_place(name):
    with pytest.raises(ImportError, match=r"is interpolants\.methods now"):
        importlib.import_module(name)


@pytest.mark.parametrize(
    ("method", "name", "instead"),
    [
        (FlowMap(), "summary", r"agreement\(x\)"),
        (Restoration(), "summary", r"distance_squared\(x\)"),
        (PriorRestoration(lambda x: x), "summary", r"residual\(x, observed\)"),
        (Rectification(), "summary", r"compare_flows\(x\)"),
        (Forecaster(), "rollout", r"forecast\(x, members=M, steps=S\)"),
        (Bridge(), "normaliser", "frame"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_former_name_is_refused_with_what_takes_its_place(method, name, instead):
    with pytest.raises(AttributeError, match=instead):
        getattr(method, name)
