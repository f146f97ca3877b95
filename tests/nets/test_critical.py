"""Critical initialisation in place: variances, and what 30 layers make of a signal."""

import pytest
import torch
from torch import nn

from interpolants import nets
from interpolants.foundations.errors import InvalidInputError


def test_weights_have_the_critical_variance():
    layers = nn.Sequential(nn.Linear(400, 300), nn.Tanh(), nn.Linear(300, 500))
    point = nets.critical_(layers, "gelu", seed=1)
    for layer in (layers[0], layers[2]):
        assert float(layer.weight.detach().var() * layer.in_features) == pytest.approx(
            point.weight_variance, rel=0.02
        )
    assert float(layers[2].bias.detach().var()) == pytest.approx(point.bias_variance, rel=0.2)


def test_seeds_decide_and_the_rest_is_left_alone():
    one, two = (nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)) for _ in range(2))
    nets.critical_(one, "relu", seed=3)
    state = torch.get_rng_state()
    nets.critical_(two, "relu", seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one[0].weight, two[0].weight)
    nets.critical_(two, "relu", seed=4)
    assert not torch.equal(one[0].weight, two[0].weight)
    assert torch.equal(one[1].weight, torch.ones(4))


def passed(net, x, activation):
    """Root mean square after each hidden layer."""
    sizes, h = [], net.stem(x, 0.0)
    for layer in net.hidden:
        h = layer(activation(h))
        sizes.append(float(h.detach().square().mean().sqrt()))
    return sizes


def test_the_signal_of_the_librarys_network_at_thirty_layers():
    """Critical tanh fades as ``1 / sqrt(2 l)``; PyTorch's own draw is gone after a few layers."""
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    net = nets.MLP(2, width=200, depth=30, activation="tanh", time_features=0)
    nets.critical_(net.hidden, "tanh", seed=2)
    critical = passed(net, x, torch.tanh)
    assert critical[-1] == pytest.approx((2 * 30) ** -0.5, rel=0.35)
    for layer in net.hidden:
        nn.init.uniform_(layer.weight, -(200**-0.5), 200**-0.5, generator=torch.Generator().manual_seed(1))
    assert passed(net, x, torch.tanh)[-1] < 1e-5


def test_refusals():
    with pytest.raises(InvalidInputError, match="linear layers"):
        nets.critical_(nn.Conv2d(1, 1, 3), "relu")
    with pytest.raises(InvalidInputError, match="sigmoid"):
        nets.critical_(nn.Linear(2, 2), "sigmoid")


def test_as_a_setting_of_the_perceptron():
    net, drawn = (
        nets.MLP(2, width=16, depth=5, activation="tanh", init=init, seed=4) for init in ("critical", "gain")
    )
    by_hand = [torch.nn.Linear(16, 16) for _ in range(4)]
    nets.critical_(nn.ModuleList(by_hand), "tanh", seed=4)
    assert all(torch.equal(one.weight, other.weight) for one, other in zip(net.hidden, by_hand, strict=True))
    assert torch.equal(net.input.weight, drawn.input.weight)
    assert net.settings["init"] == "critical"
    with pytest.raises(InvalidInputError, match="plain layers"):
        nets.MLP(2, depth=3, residual=True, init="critical")
    with pytest.raises(InvalidInputError, match="softplus"):
        nets.MLP(2, depth=3, activation="softplus", init="critical")
    with pytest.raises(InvalidInputError, match="init"):
        nets.MLP(2, init="xavier")
