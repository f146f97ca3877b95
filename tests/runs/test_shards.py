"""A large job in parts gives what one call gives."""

import pytest
import torch

from interpolants.methods.bridge.bridge import Bridge
from interpolants.runs.shards import scored


@pytest.fixture(scope="module")
def bridge():
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    net = {"kind": "mlp", "width": 16, "depth": 2}
    return Bridge("one_sided_linear", net=net).fit(x1=x, steps=20, batch_size=64, progress=False)


@pytest.mark.parametrize("divergence", ["exact", "hutchinson"])
def test_scores_do_not_depend_on_how_many_points_are_taken_at_a_time(bridge, divergence):
    points = torch.randn(150, 2, generator=torch.Generator().manual_seed(1))
    how = {"divergence": divergence, "method": "midpoint", "n_steps": 5}
    at_once = bridge.log_prob(points, details=True, **how).log_prob
    for batch_size in (7, 64, 150):
        assert torch.equal(scored(bridge, points, None, batch_size, how), at_once)
