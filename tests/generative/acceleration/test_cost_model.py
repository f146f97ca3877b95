"""Seconds of encoder and decoder, and the share of them that keys leave."""

import re

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.acceleration.cost_model import PropagationCost, propagation_cost
from interpolants.nets import MLP, UNet


def unet():
    return UNet((1, 8, 8), channels=8, multipliers=(1, 2), blocks=1, attention=()).eval()


def test_the_cost_model_counts_the_seconds_of_keys_and_of_all_steps():
    cost = PropagationCost(encoder=3.0, decoder=1.0, keys=4, n_steps=20)
    assert cost.ratio == pytest.approx((4 * 3.0 + 20 * 1.0) / (20 * 3.0 + 20 * 1.0))
    assert cost.share == 0.75
    assert propagation_cost(unet(), torch.zeros(2, 1, 8, 8), keys=5, n_steps=20, repeats=1).encoder > 0


def test_the_cost_model_is_printed_from_measured_seconds():
    found = propagation_cost(unet(), torch.zeros(8, 1, 8, 8), keys=5, n_steps=20, repeats=3)
    assert (found.keys, found.n_steps) == (4, 20)
    assert found.ratio == pytest.approx(1 - 0.8 * found.share)
    assert re.search(r"encoder .* ms, decoder .* 4 of 20 steps", str(found))
    with pytest.raises(InvalidInputError, match="encode and decode"):
        propagation_cost(MLP(2), torch.zeros(3, 2))
