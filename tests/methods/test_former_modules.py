import importlib

import pytest


@pytest.mark.parametrize(
    "name", ["interpolants.estimator", "interpolants.bridges", "interpolants.bridges.flow_map"]
)
def test_a_former_module_is_refused_with_the_one_that_takes_its_place(name):
    with pytest.raises(ImportError, match=r"is interpolants\.methods now"):
        importlib.import_module(name)
