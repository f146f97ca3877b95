"""A network between vectors of different lengths."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.nets.perceptron import Perceptron


def test_it_is_the_plain_composition_of_its_layers(generator):
    net = Perceptron(2, 5, (7, 3), seed=1)
    x = torch.randn(4, 2, generator=generator)
    first, second, last = net.layers
    expected = last(torch.relu(second(torch.relu(first(x)))))
    assert_close(net(x), expected)
    assert [tuple(layer.weight.shape) for layer in net.layers] == [(7, 2), (3, 7), (5, 3)]


def test_weights_belong_to_the_seed_and_not_to_the_global_generator():
    one, same, other = (Perceptron(2, 3, seed=seed) for seed in (4, 4, 5))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.layers[0].bias, other.layers[0].bias)


@pytest.mark.parametrize("gain", [None, 0.58])
def test_weights_and_biases_begin_with_the_spread_that_is_said(gain):
    net = Perceptron(3, 300, (200, 150, 100), gain=gain).requires_grad_(False)
    first, *inner, last = net.layers
    # ReLU halves the mean square, so that layers that keep it have twice the variance.
    gains = {first: gain or 1.0, last: gain or 1.0, **dict.fromkeys(inner, gain or 2**0.5)}
    assert len(gains) == 4
    for layer, factor in gains.items():
        scaled = layer.weight * layer.in_features**0.5
        assert_close(scaled.std(), torch.tensor(factor), rtol=0.05, atol=0)
    for layer in (first, *inner):  # 1/sqrt(3) of the reach
        scaled = layer.bias * layer.in_features**0.5
        assert float(scaled.abs().max()) <= 1
        assert_close(scaled.std(), torch.tensor(3**-0.5), rtol=0.15, atol=0)
    assert not last.bias.any()


def test_of_one_positive_input_it_is_no_straight_line():
    """With zero biases ReLU layers are homogeneous: f(2 z) = 2 f(z). A curve could not begin to bend."""
    net = Perceptron(1, 3, seed=0)
    z = torch.tensor([[0.25], [0.5], [1.0]])
    out = (net(z) - net.layers[-1].bias).detach()
    assert float((out[2] - 2 * out[1]).abs().max()) > 0.01


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Perceptron(0, 3), "width must be"),
        (lambda: Perceptron(2, 3, ()), r"hidden must have at least one width, got \[\]"),
        (lambda: Perceptron(2, 3, activation="rely"), "Did you mean 'relu'"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()
