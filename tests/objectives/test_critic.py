"""The critic of a Wasserstein distance against distances in closed form."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.nets.perceptron import Perceptron
from interpolants.objectives import critic_loss, fit_critic, gradient_penalty


def draws(n=64, shift=(1.5, 0.0)):
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, n, 2, dtype=torch.float64, generator=g)
    return x + torch.tensor(shift, dtype=torch.float64), y, g


def test_the_penalty_of_a_linear_critic_is_that_of_its_slope():
    x, y, g = draws()
    w = torch.tensor([3.0, 4.0], dtype=torch.float64)
    assert_close(gradient_penalty(lambda x: x @ w, x, y, g).item(), 16.0)
    loss = critic_loss(lambda x: x @ w, x, y, g, weight=2.0)
    assert_close(loss, 2 * 16 - ((x - y) @ w).mean())


def test_the_penalty_is_taken_between_the_draws():
    """|x|^2 / 2 has slope |x|: with x = 0 and y of length 2 the penalty is E (2 u - 1)^2 = 1 / 3."""
    g = torch.Generator().manual_seed(0)
    y = torch.zeros(20_000, 2, dtype=torch.float64)
    y[:, 0] = 2
    found = gradient_penalty(lambda x: 0.5 * x.square().sum(1), torch.zeros_like(y), y, g)
    assert_close(found.item(), 1 / 3, rtol=0.03, atol=0)


def test_a_flat_critic_has_a_penalty_of_one_and_a_finite_slope():
    x, y, g = draws()
    net = nn.Linear(2, 1, dtype=torch.float64)
    nn.init.zeros_(net.weight)
    loss = critic_loss(net, x, y, g)
    loss.backward()
    assert_close(loss.item(), 10.0)
    assert bool(torch.isfinite(net.weight.grad).all())


def test_a_linear_critic_ends_at_the_slope_that_balances_gap_and_penalty():
    """-c s + weight (c - 1)^2 is least at c = 1 + s / (2 weight), s the distance of the means."""
    net = nn.Linear(2, 1, bias=False, dtype=torch.float64)
    x, y, g = draws(4000)
    fit_critic(net, lambda g: (x, y), torch.optim.Adam(net.parameters(), 0.02), 400, g, weight=5.0)
    s = float((x.mean(0) - y.mean(0)).norm())
    assert_close(net.weight.norm().item(), 1 + s / 10, rtol=1e-3, atol=0)


def test_a_network_finds_the_distance_of_shifted_gaussians():
    """W1 of a shift is its length; the penalty lets the critic overshoot by s / (2 weight) = 7.5 %."""
    g = torch.Generator().manual_seed(0)

    def draw(g):
        x, y = torch.randn(2, 256, 2, generator=g)
        return x + torch.tensor([1.5, 0.0]), y

    net = Perceptron(2, 1, (32, 32), activation="softplus", seed=1)
    found = fit_critic(net, draw, torch.optim.Adagrad(net.parameters(), 0.02), 200, g)
    assert_close(found, 1.5 * 1.075, rtol=0.12, atol=0)


def test_training_ends_where_the_slope_of_the_loss_is_small():
    x, y, g = draws()
    net = nn.Linear(2, 1, bias=False, dtype=torch.float64)
    seen = []
    fit_critic(
        net, lambda g: (seen.append(1), (x, y))[1], torch.optim.SGD(net.parameters(), 1e-3), 50, g, stop=1e9
    )
    assert len(seen) == 1


def test_batches_of_two_shapes_are_refused():
    x, y, g = draws()
    with pytest.raises(InvalidInputError, match="x and y must have one shape"):
        gradient_penalty(lambda x: x.sum(1), x, y[:3], g)
