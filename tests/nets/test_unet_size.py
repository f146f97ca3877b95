"""The network that images get when none is named, and images that are taken for vectors."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from interpolants.foundations.tell import SettingWarning
from interpolants.nets.build import choose_net


def cost(shape):
    """GFLOP of one evaluation."""
    net = choose_net("auto", shape, 2)
    with FlopCounterMode(display=False) as count:
        net(torch.zeros(1, *shape), torch.zeros(1))
    return count.get_total_flops() / 1e9


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 16, 16), (1, 28, 28), (3, 32, 32)])
def test_an_image_costs_at_most_015_gflop(shape):
    assert 0.05 < cost(shape) < 0.16


def test_small_images_have_the_networks_own_defaults():
    assert choose_net("auto", (1, 8, 8), 1).settings == choose_net("unet", (1, 8, 8), 1).settings


def test_what_is_named_is_taken():
    assert choose_net({"channels": 24}, (1, 28, 28), 1).settings["channels"] == 24
    assert choose_net("unet", (1, 28, 28), 1).settings["channels"] == 64


def test_images_without_a_channel_axis_are_told_of():
    with pytest.warns(SettingWarning, match=r"no axis of channels.*pass x\[:, None\] for a U-Net"):
        assert choose_net("auto", (28, 28), 1).settings["name"] == "mlp"
    assert choose_net("mlp", (28, 28), 1).settings["name"] == "mlp"
    assert choose_net("auto", (30, 3), 1).settings["name"] == "mlp"
