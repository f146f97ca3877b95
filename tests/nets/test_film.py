"""Time and condition as one vector, and the scales and shifts that are made of it."""

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from interpolants.nets import ConditionKinds
from interpolants.nets.embeddings import Parts
from interpolants.nets.film import Embedding, scaled_and_shifted
from interpolants.nets.net import materialise


def rand(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("between", [(), (5,), (2, 4)])
def test_channels_are_scaled_about_one_and_shifted_row_by_row(rows, between):
    x, both = rand(3, *between, 6), rand(rows, 12, seed=1)
    found = scaled_and_shifted(x, both)
    for row in range(3):
        for channel in range(6):
            told = both[row if rows > 1 else 0]
            expected = x[row, ..., channel] * (1 + told[channel]) + told[6 + channel]
            assert_close(found[row, ..., channel], expected)


@pytest.mark.parametrize("features", [0, 4])
def test_an_embedding_is_two_layers_on_time_and_label(features):
    net = Embedding(6, features, ConditionKinds(who="Net", n_classes=3))
    materialise(net, 0)
    net.double()
    for k, parameter in enumerate(net.parameters()):
        parameter.data += rand(*parameter.shape, seed=k)
    t, label = torch.tensor([0.2, 0.7, 0.9], dtype=torch.float64), torch.tensor([1, -1, 2])
    for parts, rows in ((Parts(label=label), label + 1), (Parts(), torch.zeros(3, dtype=torch.long))):
        told = (
            functional.linear(net.time(t), net.input.weight, net.input.bias) if features else net.start.weight
        )
        told = functional.silu(told + net.condition.table.weight[rows])
        expected = functional.silu(functional.linear(told, net.output.weight, net.output.bias))
        assert_close(net(t, parts).expand(3, -1), expected)
    assert net(t[0], Parts()).shape == (1, 6)  # shared by the batch
