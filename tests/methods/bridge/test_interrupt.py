"""Ctrl-C while a bridge is fitted: the script ends there, the checkpoint is written, and the fit can go on."""

import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest
import torch

from interpolants.training import Checkpoint

SCRIPT = textwrap.dedent(
    """
    import sys, time, torch
    from interpolants.methods import Bridge

    def slow(moment):
        time.sleep(float(sys.argv[2]))
        if moment.step == 3:
            print("started", flush=True)

    torch.set_num_threads(1)
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    out = None if sys.argv[1] == "-" else sys.argv[1]
    bridge = Bridge("one_sided_linear", net={"kind": "mlp", "width": 8, "depth": 1}, steps=40, batch_size=16)
    bridge.fit(x1=x, out=out, resume=out is not None, progress=False, callbacks=[slow])
    print("went on with", bridge.history[-1]["step"], flush=True)
    """
)


def start(out, pause):
    command = [sys.executable, "-c", SCRIPT, str(out), str(pause)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def interrupted(out, number):
    """The script with a signal soon after its third step: what it printed from then on, and its errors."""
    child = start(out, 0.1)
    limit = threading.Timer(100, child.kill)
    limit.start()
    assert child.stdout.readline() == "started\n"
    child.send_signal(number)
    said, errors = child.communicate()
    limit.cancel()
    assert child.returncode != 0, said
    return said, errors


def weights(out):
    found, _ = Checkpoint.latest(out / "match" / "checkpoints")
    return found


@pytest.mark.slow
def test_a_script_does_not_go_on_with_a_half_trained_bridge(tmp_path):
    said, errors = interrupted(tmp_path / "cut", signal.SIGINT)
    assert said == ""
    stored = weights(tmp_path / "cut")
    assert f"SIGINT interrupted the training after step {stored.step}" in errors
    assert 3 <= stored.step < 40
    for out in ("cut", "whole"):
        said, errors = start(tmp_path / out, 0).communicate(timeout=100)
        assert said.endswith("went on with 40\n"), errors
    one, two = weights(tmp_path / "cut"), weights(tmp_path / "whole")
    for name in ("model", "ema", "optimizer"):
        a, b = getattr(one, name), getattr(two, name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)


def test_without_a_folder_it_says_that_nothing_is_saved():
    said, errors = interrupted("-", signal.SIGTERM)
    assert said == ""
    assert "SIGTERM interrupted the training after step" in errors
    assert "Nothing was saved." in errors
