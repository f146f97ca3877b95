"""Heads after layers and their estimates against their formulas, and where they start."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.generative.acceleration.exit_heads import ESTIMATES, ExitHeads
from interpolants.nets import ImageTransformer
from interpolants.nets.embeddings import FourierTime


def rand(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("head", ["separate", "shared"])
def test_every_layer_but_the_last_has_a_head_and_two_estimates(head):
    exits = ExitHeads(4, 6, 5, head=head)
    assert len(exits.heads) == (3 if head == "separate" else 0)
    assert {name: len(layers) for name, layers in exits.estimates.items()} == dict.fromkeys(ESTIMATES, 3)


def test_heads_start_at_zero_and_estimates_at_one_half():
    net = ImageTransformer((1, 4, 4), width=6, depth=3, attention_heads=2).double()
    exits = ExitHeads(3, 6, net.per_token).double()
    state = net.stem(rand(2, 1, 4, 4), torch.tensor(0.3))
    assert not exits.answer(net, 0, state).any()
    for name in ESTIMATES:
        found = exits.estimate(name, 1, net.tokens(state), torch.tensor(0.3))
        assert_close(found, torch.full((2, 4, net.per_token), 0.5, dtype=torch.float64))


@pytest.mark.parametrize("features", [0, 4])
def test_an_estimate_is_a_sigmoid_of_tokens_and_time_row_by_row(features):
    exits = ExitHeads(3, 6, 5, time_features=features).double()
    for k, parameter in enumerate(exits.parameters()):
        parameter.data = rand(*parameter.shape, seed=k)
    tokens, t = rand(3, 2, 6), torch.tensor([0.1, 0.5, 0.8], dtype=torch.float64)
    found, phi = exits.estimate("gap", 1, tokens, t), FourierTime(features).double()(t)
    for row in range(3):
        for place in range(2):
            one = tokens[row, place]
            one = (one - one.mean()) / (one.var(correction=0) + 1e-5).sqrt()
            told = exits.estimates["gap"][1](torch.cat([one, phi[row]]))
            assert_close(found[row, place], 1 / (1 + (-told).exp()))
        assert_close(exits.estimate("gap", 1, tokens[row : row + 1], t[row])[0], found[row])
