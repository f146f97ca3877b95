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


@pytest.mark.parametrize("shape", [(1, 16, 16), (1, 28, 28), (3, 32, 32), (3, 64, 64)])
def test_the_cost_of_a_pixel_is_bounded(shape):
    assert (
        cost(shape) / (shape[1] * shape[2]) < 4e-5
    )  # 0.01 GFLOP at 16 x 16: a step of 256 pictures in 0.13 s


def test_a_size_that_is_set_in_part_is_completed_as_before():
    found = choose_net({"blocks": 2}, (1, 16, 16), 1).settings
    assert (found["channels"], list(found["multipliers"]), found["blocks"]) == (32, [1, 2, 2], 2)


def test_small_images_have_the_networks_own_defaults():
    assert choose_net("auto", (1, 8, 8), 1).settings == choose_net("unet", (1, 8, 8), 1).settings


def test_what_is_named_is_taken():
    assert choose_net("auto", (1, 28, 28), 1).settings["channels"] == 8
    assert choose_net({"channels": 24}, (1, 28, 28), 1).settings["channels"] == 24
    assert choose_net("unet", (1, 28, 28), 1).settings["channels"] == 64


def test_images_without_a_channel_axis_are_told_of():
    with pytest.warns(SettingWarning, match=r"no axis of channels.*pass x\[:, None\] for a U-Net"):
        assert choose_net("auto", (28, 28), 1).settings["name"] == "mlp"
    assert choose_net("mlp", (28, 28), 1).settings["name"] == "mlp"
    assert choose_net("auto", (30, 3), 1).settings["name"] == "mlp"
