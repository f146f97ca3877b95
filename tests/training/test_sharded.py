"""Two processes, with whole and with cut weights, follow the curve of one; checkpoints are read by any number."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import interpolants
from interpolants.foundations.errors import InvalidInputError
from interpolants.training import Checkpoint, TrainSettings, fit
from interpolants.training.batch_parts import part_of
from training import sharded_bridge
from training import sharded_program as program

pytestmark = pytest.mark.filterwarnings("ignore:.*")


def start(folder, processes, *words):
    launch(program, folder, processes, *words)
    return json.loads((folder / "told.json").read_text())


def launch(program, folder, processes, *words):
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command += [program.__file__, str(folder), *words]
    paths = os.pathsep.join([str(Path(program.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    return start(folder, 1), folder


@pytest.mark.slow
@pytest.mark.parametrize("words", [["ddp"], ["fsdp"], ["fsdp", "accumulate=2"], ["fsdp", "shares=whole"]])
def test_two_processes_follow_the_curve_of_one(tmp_path, one, words):
    told = start(tmp_path, 2, *words)
    assert told["cut"] == (words[0] == "fsdp")
    assert_close(torch.tensor(told["curve"]), torch.tensor(one[0]["curve"]), rtol=2e-5, atol=1e-6)
    for part in ("weights", "ema", "best"):
        assert_close(torch.tensor(told[part]), torch.tensor(one[0][part]), rtol=1e-4, atol=2e-6)
    assert told["classes"] == one[0]["classes"]


@pytest.mark.slow
def test_a_method_is_trained_with_cut_weights_and_used_by_one_process(tmp_path):
    launch(sharded_bridge, tmp_path / "model", 2)
    y = interpolants.load(tmp_path / "model").sample(1000, seed=1)
    assert_close(y.mean(0), torch.tensor([2.0, 0.0]), rtol=0, atol=0.25)
    assert (y.std(0) < 0.7).all()


@pytest.mark.slow
def test_a_sharded_checkpoint_goes_on_with_one_process_and_with_two(tmp_path, one):
    start(tmp_path, 2, "fsdp", "shares=whole", "steps=12")
    step = tmp_path / "run" / "checkpoints" / "step-00000012"
    pieces = list((tmp_path / "run" / "checkpoints" / "pieces-00000012").glob("rank-*"))
    assert len(pieces) == 1
    own = sum(x.numel() for x in Checkpoint.load(step).model.values())
    stored = sum(f.stat().st_size for f in step.glob("*.safetensors"))
    assert own == program.NUMBERS
    assert (
        stored < 4 * 5 * program.NUMBERS * 0.75
    )  # weights, average, moments, best; this process has half of them
    for processes in (1, 2):
        told = start(tmp_path, processes, "fsdp", "shares=whole", f"steps={24 if processes == 1 else 30}")
        assert told["begun"] == (12 if processes == 1 else 24)
    assert_close(torch.tensor(told["curve"][:24]), torch.tensor(one[0]["curve"][:24]), rtol=2e-5, atol=1e-6)


def curve(**settings):
    seen = []
    net = program.network()
    batches, loss = program.batches, program.loss
    watch = lambda moment: seen.append(float(torch.cat([v.detach() for v in moment.losses.values()]).mean()))  # noqa: E731
    fit(
        net,
        loss,
        batches,
        TrainSettings(steps=10, batch_size=24, **settings),
        callbacks=[watch],
        progress=False,
    )
    return seen, net.state_dict()


def test_accumulated_gradients_are_those_of_the_whole_batch():
    """By plain steps: Adam would take twice the gradient for the same."""
    plain = {"optimizer": "sgd", "lr": 0.1, "clip_norm": None}
    whole, parts = curve(**plain), curve(accumulate=4, **plain)
    assert_close(torch.tensor(parts[0]), torch.tensor(whole[0]), rtol=1e-5, atol=1e-7)
    for name, value in whole[1].items():
        assert_close(parts[1][name], value, rtol=1e-4, atol=1e-6)


def test_a_batch_is_cut_in_all_of_its_tensors():
    batch = {"x": torch.arange(6), "pair": [torch.arange(12).reshape(6, 2), "word"], "one": torch.zeros(3)}
    second = part_of(batch, 1, 3, 6)
    assert second["x"].tolist() == [2, 3]
    assert second["pair"][0].tolist() == [[4, 5], [6, 7]]
    assert (second["pair"][1], len(second["one"])) == ("word", 3)
    with pytest.raises(InvalidInputError, match="must have tensors of 6 rows"):
        part_of({"x": torch.zeros(5)}, 0, 2, 6)


def test_shares_must_be_whole_numbers_of_rows():
    with pytest.raises(InvalidInputError, match="processes times accumulate, 5"):
        curve(accumulate=5)


def test_blocks_are_gathered_one_at_a_time_and_small_modules_are_left_whole():
    from interpolants.training.sharding import _units

    net = program.network()
    units = _units(net, 0.01 * program.NUMBERS)
    assert net not in units  # it has no parameters of its own
    assert units.index(net.net[2]) < units.index(net.net)
    assert net.shift not in units
    assert all(isinstance(unit, nn.Module) for unit in units)
