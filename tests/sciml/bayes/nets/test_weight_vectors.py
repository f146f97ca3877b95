"""Networks given by vectors, against modules and against the variance that their scaling keeps."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.bayes.nets.weight_vectors import WeightVectors


def test_every_vector_is_the_network_with_these_layers():
    net = WeightVectors(inputs=3, outputs=2, hidden=(5, 4))
    g = torch.Generator().manual_seed(0)
    w, x = torch.randn(3, net.count, generator=g), torch.randn(3, 7, 3, generator=g)
    for k in range(3):
        layers = [nn.Linear(3, 5), nn.Linear(5, 4), nn.Linear(4, 2)]
        at = 0
        for layer in layers:
            a, b = layer.in_features, layer.out_features
            layer.weight.data = w[k, at : at + a * b].reshape(a, b).T / math.sqrt(a)
            layer.bias.data = w[k, at + a * b : at + a * b + b]
            at += a * b + b
        module = nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])
        assert_close(net(w, x)[k], module(x[k]))
    assert_close(net(w, x[0])[1], net(w[1:2], x[0])[0])


def test_a_wide_linear_layer_of_unit_weights_keeps_the_variance():
    net = WeightVectors(inputs=400, outputs=1, hidden=())
    w = torch.randn(4000, net.count, generator=torch.Generator().manual_seed(0))
    assert_close(
        float(net(w, torch.ones(1, 400)).var()), 2.0, rtol=0.08, atol=0
    )  # of the weights and of the bias


def test_one_number_for_each_part_is_spread_over_its_weights():
    net = WeightVectors(inputs=2, outputs=1, hidden=(3,))
    assert net.spread(torch.arange(4.0)).tolist() == [0.0] * 6 + [1.0] * 3 + [2.0] * 3 + [3.0]


def test_vectors_of_another_length_are_refused():
    with pytest.raises(InvalidInputError, match=r"w must have shape \(B, 13\)"):
        WeightVectors(inputs=2, outputs=1, hidden=(3,))(torch.zeros(1, 4), torch.zeros(5, 2))
