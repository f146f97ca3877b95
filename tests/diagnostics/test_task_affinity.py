"""Affinity of times whose gradients are known."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.diagnostics.gradient_affinity import task_affinity
from interpolants.foundations.errors import InvalidInputError


class Linear(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(size))


def test_cosines_of_linear_losses():
    net = Linear(3)
    directions = {0.1: [1.0, 0.0, 0.0], 0.5: [2.0, 2.0, 0.0], 0.9: [-3.0, 0.0, 0.0]}

    def loss_at(t):
        return net.w @ torch.tensor(directions[round(t, 1)])

    found = task_affinity(net, loss_at, torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64))
    assert_close(
        found.cosines,
        torch.tensor([[1, 0.5**0.5, -1], [0.5**0.5, 1, -(0.5**0.5)], [-1, -(0.5**0.5), 1]]).double(),
    )
    assert_close(found.lengths, torch.tensor([1, 8**0.5, 3]).double())


def test_the_sketch_keeps_cosines_within_its_noise():
    net = Linear(200_000)
    source = torch.Generator().manual_seed(0)
    shared, own = torch.randn(200_000, generator=source), torch.randn(4, 200_000, generator=source)
    times = torch.linspace(0.1, 0.4, 4, dtype=torch.float64)

    def loss_at(t):
        return net.w @ (shared + own[round(10 * t) - 1])

    whole, sketched = (task_affinity(net, loss_at, times, projected=p).cosines for p in (None, 4096))
    assert_close(whole[0, 1], torch.tensor(0.5).double(), atol=0.01, rtol=0)
    assert float((sketched - whole).abs().max()) < 5 / 4096**0.5


def test_the_sketch_keeps_gradients_of_one_sign_apart():
    """Half of the parameters at one time, half at the other: every place holds many of both."""
    net = Linear(20_000)
    halves = torch.ones(2, 20_000)
    halves[0, 10_000:], halves[1, :10_000] = 0, 0
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    found = task_affinity(net, lambda t: net.w @ halves[round(t)], times, projected=1024)
    assert abs(float(found.cosines[0, 1])) < 5 / 1024**0.5


def test_no_cosine_is_above_one():
    net = Linear(7)
    rows = torch.randn(40, 7, generator=torch.Generator().manual_seed(0))
    found = task_affinity(net, lambda t: net.w @ rows[round(t)], torch.arange(40, dtype=torch.float64))
    assert float(found.cosines.max()) == 1


def test_what_does_not_fit_is_refused():
    net = Linear(3)
    with pytest.raises(InvalidInputError, match="at least two entries"):
        task_affinity(net, lambda t: net.w.sum(), torch.tensor([0.5]))
    with pytest.raises(InvalidInputError, match="finite and not zero"):
        task_affinity(net, lambda t: 0 * net.w.sum(), torch.tensor([0.1, 0.5]))


def test_parameters_that_a_time_does_not_use_have_no_gradient_there():
    net = Linear(2)
    net.other = nn.Parameter(torch.zeros(3))

    def loss_at(t):
        return net.w @ (torch.tensor([1.0, 0.0]) if t < 0.5 else torch.tensor([0.0, 1.0]))

    found = task_affinity(net, loss_at, torch.tensor([0.1, 0.9], dtype=torch.float64))
    assert_close(found.cosines, torch.eye(2, dtype=torch.float64))
