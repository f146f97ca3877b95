"""Stopped, interrupted, killed, damaged, on two processes: the continued run is the undisturbed one."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations import storage
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.storage import StorageError
from interpolants.training import Checkpoint, TrainingInterrupted, TrainSettings, fit
from training import toy

TESTS = Path(__file__).parents[1]
SEARCHED = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
PYTHON = {**os.environ, "PYTHONPATH": SEARCHED, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}


@pytest.fixture(autouse=True)
def one_thread():
    """The number of threads decides the order of sums, so it is part of what must be equal."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(out, steps=60, resume=False, **settings):
    settings = TrainSettings(**(toy.SETTINGS | {"steps": steps} | settings))
    net = toy.network(dropout=0.2)
    keywords = {"out": out, "resume": resume, "progress": False}
    return net, fit(net, toy.noisy_loss, toy.noisy_batches, settings, **keywords)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    run(out)
    torch.set_num_threads(before)
    return toy.digests(out)


@pytest.mark.parametrize("stop", [1, 5, 23, 59])
def test_a_stopped_and_resumed_run_is_the_same_to_the_bit(tmp_path, undisturbed, stop):
    run(tmp_path, steps=stop)
    net, result = run(tmp_path, resume=True)
    assert toy.digests(tmp_path) == undisturbed
    assert toy.digest(dict(net.named_parameters())) == undisturbed[1]
    assert [row["step"] for row in result.history] == sorted({stop, *range(4, 61, 4)})


def test_resuming_a_finished_run_does_nothing_and_resuming_nothing_starts(tmp_path, undisturbed):
    run(tmp_path, resume=True)
    assert toy.digests(tmp_path) == undisturbed
    before = sorted((tmp_path / "checkpoints").iterdir())
    _, result = run(tmp_path, resume=True)
    assert sorted((tmp_path / "checkpoints").iterdir()) == before
    assert (result.steps, result.stopped, result.skipped) == (60, "finished", 0)


def test_a_run_goes_on_only_if_it_is_about_the_same(tmp_path):
    def go(steps, **about):
        keywords = {"out": tmp_path, "resume": True, "about": about, "progress": False}
        return fit(toy.network(), toy.loss, toy.batches, TrainSettings(steps=steps), **keywords).steps

    assert go(2, base="normal", sizes=(1, 2)) == 2
    assert go(4, base="normal", sizes=(1, 2)) == 4
    assert go(5) == 5  # nothing said: nothing to hold against it
    with pytest.raises(
        InvalidInputError, match="must keep the settings of the run, got base 'normal' -> 'heavy'"
    ):
        go(6, base="heavy")


def test_the_last_checkpoints_are_kept(tmp_path):
    run(tmp_path, steps=23, keep=3)
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000015", "step-00000020", "step-00000023"]


def test_a_damaged_checkpoint_is_passed_over_and_reported(tmp_path, undisturbed):
    run(tmp_path, steps=23)
    newest = tmp_path / "checkpoints" / "step-00000023"
    data = (newest / "tensors.safetensors").read_bytes()
    (newest / "tensors.safetensors").write_bytes(data[:-1])
    (tmp_path / "checkpoints" / ".tmp-step-00000025-1-aa").mkdir()
    with pytest.warns(UserWarning, match="damaged checkpoint.*tensors.safetensors"):
        _, result = run(tmp_path, resume=True)
    assert toy.digests(tmp_path) == undisturbed
    assert [row["step"] for row in result.history] == list(range(4, 61, 4))
    left = sorted(p.name[:12] for p in (tmp_path / "checkpoints").iterdir())
    assert left == ["damaged-step", "step-0000005", "step-0000006"]


def test_a_run_with_only_damaged_checkpoints_does_not_start_afresh(tmp_path):
    run(tmp_path, steps=3)
    (tmp_path / "checkpoints" / "step-00000003" / "tree.json").unlink()
    with pytest.raises(InvalidInputError, match=r"tree\.json"):
        run(tmp_path, resume=True)


@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename"])
def test_a_disk_that_fails_during_a_checkpoint_keeps_the_last_one(tmp_path, monkeypatch, undisturbed, call):
    run(tmp_path, steps=10)
    before = toy.digests(tmp_path)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("interpolants.training.logging.write_text", lambda path, text: None)
        patch.setattr(storage.os, call, full)
        with pytest.raises((StorageError, InvalidInputError), match="No space left"):
            run(tmp_path, steps=20, resume=True)
    assert toy.digests(tmp_path) == before
    run(tmp_path, resume=True)
    assert toy.digests(tmp_path) == undisturbed


# --- other processes -------------------------------------------------------------------------------------


def start(out, *, mode="noisy", pause=0.0, steps=60, processes=1):
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command += [str(Path(toy.__file__)), str(out), mode, str(pause), str(steps)]
    return subprocess.Popen(command, env=PYTHON, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(child, line, *, seconds=120):
    """Read what the process says until it says this line; fail with its errors if it ends or hangs before."""
    limit = threading.Timer(seconds, child.kill)
    limit.start()
    try:
        while (said := child.stdout.readline()) != f"{line}\n":
            assert said, f"no {line!r} from the process, but:\n{child.communicate(timeout=60)[1]}"
    finally:
        limit.cancel()


def finish(child, code=0):
    said, errors = child.communicate(timeout=120)
    assert child.returncode == code, errors
    return said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_saves_and_stops(tmp_path, undisturbed, number):
    net = toy.network(dropout=0.2)
    send = lambda moment: signal.raise_signal(number) if moment.step == 33 else None  # noqa: E731
    settings = TrainSettings(**toy.SETTINGS)
    keywords = {"out": tmp_path, "callbacks": [send], "progress": False}
    with pytest.raises(TrainingInterrupted, match=r"after step 3[34]\. Saved: .*resume=True") as caught:
        fit(net, toy.noisy_loss, toy.noisy_batches, settings, **keywords)
    result = caught.value.result
    assert (result.stopped, result.signal) == ("interrupted", number)
    assert result.steps == Checkpoint.latest(tmp_path / "checkpoints")[0].step in (33, 34)
    run(tmp_path, resume=True)
    assert toy.digests(tmp_path) == undisturbed


def test_ctrl_c_in_a_process_of_its_own(tmp_path, undisturbed):
    child = start(tmp_path, pause=0.05)
    wait_for(child, "started")
    child.send_signal(signal.SIGINT)
    stopped, steps, by = finish(child).split()
    assert (stopped, int(by)) == ("interrupted", signal.SIGINT)
    assert 1 <= int(steps) == Checkpoint.latest(tmp_path / "checkpoints")[0].step < 60
    run(tmp_path, resume=True)
    assert toy.digests(tmp_path) == undisturbed


def test_a_second_signal_stops_at_once(tmp_path):
    def twice(moment):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(toy.network(), toy.loss, toy.batches, TrainSettings(), callbacks=[twice], progress=False)


def killed_and_resumed(out, rounds, seed):
    """Kill `rounds` times at random moments of a run of 60 slow steps that is resumed each time."""
    delays = torch.rand(rounds, generator=torch.Generator().manual_seed(seed)) * 0.4
    reached, saved = 0, out / "checkpoints"
    for delay in delays.tolist():
        child = start(out, pause=0.01)
        wait_for(child, "ready")
        if reached == 0:  # the first kill falls into a save
            while not any(saved.glob(".tmp-*")) and child.poll() is None:
                pass
        else:
            time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        latest, passed = Checkpoint.latest(saved)
        assert passed == {}
        assert (latest.step if latest else 0) >= reached
        reached = latest.step if latest else 0
    run(out, resume=True)


@pytest.mark.slow
def test_kill_nine_at_random_moments_loses_nothing(tmp_path, undisturbed):
    killed_and_resumed(tmp_path, 3, seed=1)
    assert toy.digests(tmp_path) == undisturbed


@pytest.mark.slow  # about two minutes
def test_kill_nine_at_twenty_random_moments_loses_nothing(tmp_path, undisturbed):
    for batch in range(4):
        killed_and_resumed(tmp_path / str(batch), 5, seed=10 + batch)
        assert toy.digests(tmp_path / str(batch)) == undisturbed


@pytest.mark.slow
def test_two_processes_train_like_one_and_resume_to_the_bit(tmp_path):
    finish(start(tmp_path, mode="three", steps=40, processes=2))
    assert toy.digests(tmp_path / "cut") == toy.digests(tmp_path / "two")
    net = toy.network()
    settings = TrainSettings(**(toy.SETTINGS | {"steps": 40}))
    fit(net, toy.loss, toy.batches, settings, out=tmp_path / "one", progress=False)
    one, _ = Checkpoint.latest(tmp_path / "one" / "checkpoints")
    two, _ = Checkpoint.latest(tmp_path / "two" / "checkpoints")
    assert two.state["world"] == 2
    # Sums in another order: float32 rounding, amplified by Adam where a gradient is near zero.
    for name, value in one.model.items():
        assert_close(two.model[name], value, rtol=1e-3, atol=1e-4)
    # An aggregate whose weights follow from gradients sees those of all processes.
    tasks, _ = Checkpoint.latest(tmp_path / "tasks" / "checkpoints")
    aggregate, net = toy.EqualNorms(), toy.network()
    fit(net, toy.two_tasks, toy.batches, settings, progress=False, aggregate=aggregate)
    assert_close(tasks.aggregate["norms"], aggregate.norms, rtol=1e-3, atol=1e-4)
    for name, value in net.state_dict().items():
        assert_close(tasks.model[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.slow  # about half a minute
def test_two_processes_stop_together_on_a_signal(tmp_path):
    for attempt in range(3):  # whether the launcher comes up is not what is tested here
        cut = tmp_path / f"cut{attempt}"  # its own, for processes may outlive their launcher
        child = start(cut, pause=0.05, processes=2)
        try:
            wait_for(child, "started")
            break
        except AssertionError:
            if attempt == 2:
                raise
    child.send_signal(signal.SIGTERM)  # torchrun passes it on
    child.communicate(timeout=60)
    first, passed = Checkpoint.latest(cut / "checkpoints")
    assert passed == {}
    finish(start(cut, processes=2))
    finish(start(tmp_path / "whole", processes=2))
    assert first is None or first.step < 60
    assert toy.digests(cut) == toy.digests(tmp_path / "whole")
    shutil.rmtree(cut)


def test_a_checkpoint_that_cannot_be_read_now_is_not_called_damaged(tmp_path, monkeypatch):
    run(tmp_path, steps=10)
    before = sorted((tmp_path / "checkpoints").iterdir())

    def refused(path, **options):
        raise StorageError(13, f"cannot read {path}: Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("interpolants.foundations.trees.read_folder", refused)
        with pytest.raises(StorageError, match="Permission denied"):
            run(tmp_path, steps=20, resume=True)
    assert sorted((tmp_path / "checkpoints").iterdir()) == before
