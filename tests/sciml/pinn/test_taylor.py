"""Taylor coefficients through networks against nested forward mode."""

import math

import pytest
import torch
from torch.func import jvp
from torch.testing import assert_close

from interpolants.sciml.pinn.network import SolutionNet
from interpolants.sciml.pinn.taylor import Orders, product, tanh


def nested(function, points, axis, order):
    """Derivatives of order 1 ... by jvp of jvp of ..."""
    direction = torch.zeros_like(points)
    direction[:, axis] = 1.0
    found = []
    for _ in range(order):
        function = (lambda f: lambda p: jvp(f, (p,), (direction,))[1])(function)
        found.append(function(points))
    return found


@pytest.mark.parametrize("modified", [False, True], ids=["plain", "modified"])
def test_derivatives_in_time_and_space_are_those_of_nested_forward_mode(modified):
    net = SolutionNet(
        2, 0.5, 2.0, period=(-1.0, 3.0), modes=3, width=7, depth=3, modified=modified, seed=1
    ).double()
    points = torch.rand(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2
    jet = net.jet(points, {"t": 2, "x": 4})
    assert_close(jet(), net(points), atol=1e-13, rtol=1e-12)
    for axis, name, order in ((0, "t", 2), (1, "x", 4)):
        for k, expected in enumerate(nested(net, points, axis, order), start=1):
            assert_close(jet(name * k), expected, atol=1e-10, rtol=1e-9)


def test_a_given_start_is_exact_and_its_derivatives_too():
    net = SolutionNet(2, 1.0, 4.0, width=6, start=(0.25, -3.0), seed=2).double()
    points = torch.tensor([[1.0], [1.7], [5.0]], dtype=torch.float64)
    assert net(points)[0].tolist() == [0.25, -3.0]
    jet = net.jet(points, {"t": 3})
    for k, expected in enumerate(nested(net, points, 0, 3), start=1):
        assert_close(jet("t" * k), expected, atol=1e-10, rtol=1e-9)


def test_the_network_is_periodic_with_all_its_derivatives():
    net = SolutionNet(1, 0.0, 1.0, period=(-1.0, 1.0), modes=2, width=5, seed=3).double()
    left, right = (torch.tensor([[0.3, x]], dtype=torch.float64) for x in (-1.0, 1.0))
    for name in ("", "t", "x", "xx"):
        highest = {"t": 1, "x": 2}
        assert_close(net.jet(left, highest)(name), net.jet(right, highest)(name), atol=1e-12, rtol=0)


def test_gradients_in_the_weights_are_those_of_nested_forward_mode():
    net = SolutionNet(1, 0.0, 1.0, period=(-1.0, 1.0), modes=2, width=5, seed=3).double()
    points = torch.rand(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours = torch.autograd.grad(net.jet(points, {"t": 1, "x": 2})("xx").square().sum(), net.layers[0].weight)[
        0
    ]
    theirs = torch.autograd.grad(nested(net, points, 1, 2)[1].square().sum(), net.layers[0].weight)[0]
    assert_close(ours, theirs, atol=1e-9, rtol=1e-8)


def test_series_of_known_functions():
    """``tanh`` about 0 is t - t^3 / 3, and (1 + t)(1 - t) = 1 - t^2."""
    orders = Orders({"t": 3})
    line = [torch.zeros(1, 1), torch.ones(1, 1), torch.zeros(1, 1), torch.zeros(1, 1)]
    assert_close(torch.cat(tanh(line, orders)), torch.tensor([[0.0], [1.0], [0.0], [-1 / 3]]))
    one = torch.ones(1, 1)
    up, down = [one, one, 0 * one, 0 * one], [one, -one, 0 * one, 0 * one]
    assert torch.cat(product(up, down, orders)).flatten().tolist() == [1.0, 0.0, -1.0, 0.0]
    named = orders.derivatives([one, one, one, one])
    assert {name: float(value) for name, value in named.items()} == {
        "": 1,
        "t": 1,
        "tt": 2,
        "ttt": math.factorial(3),
    }
