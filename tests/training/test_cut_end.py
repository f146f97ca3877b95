"""Weights that stay cut: trained, stored, read in parts and sampled, and no process has all of them at any time."""

import json

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.training import Checkpoint, TrainSettings, cut_weights, fit, read_cut, without_weights
from training import cut_end as program
from training.test_sharded import launch

BLOCK = 4 * program.WIDTH**2
WEIGHTS = 4 * sum(p.numel() for p in program.network().parameters())

TENSORS = len(list(program.network().parameters()))


def start(folder, processes, *words):
    launch(program, folder, processes, *words)
    return [json.loads((folder / f"{words[0]}-{rank}.json").read_text()) for rank in range(processes)]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cut")
    return folder, start(folder, 2, "train", "0")


def whole_network(folder):
    stored = Checkpoint.load(next((folder / "run" / "checkpoints").glob("step-*")))
    net = program.network()
    net.load_state_dict({**net.state_dict(), **stored.ema})
    return net.eval().requires_grad_(False)


def assert_near(net, average):
    """Equal but for roundings, which Adam enlarges where a gradient is nearly zero; its steps are of 1e-3."""
    for name, value in net.named_parameters():
        assert_close(value, average[name], rtol=0, atol=1e-4)
        assert (value - average[name]).abs().mean() < 1e-7


@pytest.mark.slow
def test_a_training_of_cut_weights_ends_with_cut_weights_and_the_curve_of_one_process(stored):
    net = program.network()
    settings = TrainSettings(**program.SETTINGS)
    one = fit(net, program.loss, program.batches, settings, progress=False)
    for told in stored[1]:
        assert_close(told["curve"], [row["loss"] for row in one.history], rtol=2e-5, atol=1e-6)
        assert 4 * told["held"] < 0.51 * WEIGHTS
    assert_near(whole_network(stored[0]), one.ema)


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "within"), [(2, 0), (4, 0), (4, 2)])
def test_each_process_reads_its_part_and_samples_are_those_of_whole_weights(stored, processes, within):
    folder, _ = stored
    told = start(folder, processes, "sample", str(within))
    expected = program.drawn(whole_network(folder), program.rows())
    part = WEIGHTS / (within or processes)
    for one in told:
        assert torch.equal(torch.tensor(one["samples"]), expected)
        assert (
            one["read"] < 1.05 * part + TENSORS * 2**16
        )  # blocks of 64 KiB that it shares with its neighbours
        assert one["alive"] - one["begun"] < 2.5 * BLOCK  # as it was gathered, and as it is used


@pytest.mark.slow
def test_groups_of_processes_train_as_one_process_does(tmp_path):
    """HSDP: two groups of two; gradients are averaged over all four."""
    told = start(tmp_path, 4, "train", "2")
    net = program.network()
    one = fit(net, program.loss, program.batches, TrainSettings(**program.SETTINGS), progress=False)
    pieces = list((tmp_path / "run" / "checkpoints").glob("pieces-*/rank-*"))
    assert len(pieces) == 1  # two slices, the first in the folder of the step
    for each in told:
        assert_close(each["curve"], [row["loss"] for row in one.history], rtol=2e-5, atol=1e-6)
        assert 4 * each["held"] < 0.51 * WEIGHTS
    assert_near(whole_network(tmp_path), one.ema)


def test_networks_without_weights_take_no_memory_but_for_buffers():
    with without_weights():
        net = program.network()
    assert {p.device.type for p in net.parameters()} == {"meta"}
    assert {b.device.type for b in net.buffers()} == {"cpu"}
    assert not any(p.is_meta for p in program.network().parameters())


def test_weights_are_cut_within_a_process_group_alone():
    with pytest.raises(InvalidInputError, match="a process group must have begun"):
        cut_weights(program.network())


def test_buffers_without_memory_are_refused(tmp_path):
    with torch.device("meta"):
        net = torch.nn.BatchNorm1d(3)
    with pytest.raises(InvalidInputError, match="buffers must have memory"):
        read_cut(net, tmp_path)
