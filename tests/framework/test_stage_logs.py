"""Logs of the stages of a fit: of gradients, of a loop, of a method inside, and while they grow."""

import math
import os

import pytest
import torch

from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stage_logs import stage_logs
from interpolants.methods.bridge.bridge import Bridge

NET = {"kind": "mlp", "width": 8, "depth": 1}


@pytest.fixture
def fitted(tmp_path):
    x0, x1 = torch.randn(2, 100, 2, generator=torch.Generator().manual_seed(0))
    bridge = Bridge(net=NET, steps=20, batch_size=16, log_every=5, leg={"steps": 12, "log_every": 4}, seed=0)
    bridge.fit(x0, x1, out=tmp_path / "out", progress=False)
    return bridge, tmp_path / "out"


def test_gradient_stages_are_read_with_their_times_and_those_of_a_method_inside(fitted):
    bridge, out = fitted
    logs = stage_logs(out)
    assert list(logs) == ["match", "leg/match"]
    assert logs["match"].rows == bridge.about["history"]["match"]
    assert [row["step"] for row in logs["leg/match"].rows] == [4, 8, 12]
    assert (logs["match"].steps, logs["leg/match"].steps) == (20, 12)
    assert len(logs["match"].seconds) == 4
    assert all(math.isfinite(s) for s in logs["match"].seconds[-1:])
    assert logs["match"].seconds[-1] > 0


def test_the_stage_that_was_written_last_is_the_last(fitted):
    _, out = fitted
    os.utime(out / "leg" / "match" / "log.jsonl", (1.0, 1.0))
    assert list(stage_logs(out)) == ["leg/match", "match"]


def test_a_log_that_grows_is_read_up_to_its_last_whole_line(fitted):
    _, out = fitted
    file = out / "match" / "log.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:2]) + '{"step": 15, "lo')
    assert [row["step"] for row in stage_logs(out)["match"].rows] == [5, 10]
    file.write_text("")
    assert "match" not in stage_logs(out)


class Counted(Method):
    """A method of one loop that logs."""

    def roles(self):
        return (Role(name="x"),)

    def learn(self, data, run):
        def log(state):
            return {"sum": float(state["sum"])}

        def step(state, k, source):
            return {"sum": state["sum"] + k}

        run.once("alone", lambda source: {"nothing": torch.zeros(1)})
        return run.loop("count", lambda source: {"sum": torch.zeros(1)}, step, 30, log=log, log_every=10)


def test_a_loop_is_read_from_its_newest_checkpoint_and_what_logs_nothing_is_left_out(tmp_path):
    Counted().fit(torch.zeros(3, 1), out=tmp_path / "out")
    logs = stage_logs(tmp_path / "out")
    assert list(logs) == ["count"]
    assert logs["count"].rows == [
        {"step": 10, "sum": 55.0},
        {"step": 20, "sum": 210.0},
        {"step": 30, "sum": 465.0},
    ]
    assert (logs["count"].steps, logs["count"].seconds) == (30, ())


def test_a_folder_without_stages_has_no_logs(tmp_path):
    assert stage_logs(tmp_path) == stage_logs(tmp_path / "absent") == {}
