"""A run that is trained longer by the command line."""

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

import interpolants
from interpolants.cli.app import app
from interpolants.framework import stored
from interpolants.runs.models import CONFIG

RUN = CliRunner()


def call(*words, code=0):
    done = RUN.invoke(app, [*map(str, words), *(["--quiet"] if code == 0 else [])])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(80, 2)))
    small = ["net={kind='mlp',width=8,depth=1}", "batch_size=16", "checkpoint_every=5", "held_out=0"]
    sets = [word for one in small for word in ("--set", f"method.{one}")]
    return ["--x1", tmp_path / "x.npy", *sets]


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_more_steps_are_those_of_a_longer_run(data, tmp_path, schedule):
    data = [*data, "--set", f"method.schedule={schedule}"]
    call("train", *data, "--steps", 12, "--out", tmp_path / "a")
    call("train", "--resume", tmp_path / "a", "--more", 5)
    call("train", "--out", tmp_path / "a", "--more", 3)
    legs = [] if schedule == "constant" else ["--set", "method.restarts=[12,17]"]
    call("train", *data, *legs, "--steps", 20, "--out", tmp_path / "b")
    one, two = (interpolants.load(tmp_path / name) for name in "ba")
    assert stored.fingerprint(two.state) == stored.fingerprint(one.state)
    assert two.steps == 20
    config = json.loads((tmp_path / "a" / CONFIG).read_text())
    assert config["tasks"][0]["method"]["steps"] == 20


@pytest.mark.slow
def test_it_is_judged_anew(data, tmp_path):
    ask = ["--set", 'ask=[{question="sample_quality"}]']
    call("run", *data, *ask, "--steps", 12, "--out", tmp_path / "a")
    before = interpolants.load(tmp_path / "a").state
    call("run", "--out", tmp_path / "a", "--more", 5)
    assert stored.fingerprint(interpolants.load(tmp_path / "a").state) != stored.fingerprint(before)
    assert (tmp_path / "a" / "results").is_dir()


def test_what_cannot_go_on_is_refused(data, tmp_path):
    assert "must be one of a run" in call("train", "--out", tmp_path / "none", "--more", 5, code=2)
    call(
        "train",
        *data,
        "--steps",
        6,
        "--set",
        "method.leg={}",
        "--set",
        "method.path=linear",
        "--out",
        tmp_path / "a",
        "--x0",
        data[1],
    )
    assert "a fit of one training can be trained longer" in call(
        "train", "--out", tmp_path / "a", "--more", 5, code=2
    )
    said = call("train", "--out", tmp_path / "a", "--more", 5, "--steps", 3, code=2)
    assert "--more continues a run without other changes" in said


def test_a_run_does_not_go_on_with_a_file_that_has_changed(data, tmp_path):
    out, file = tmp_path / "run", tmp_path / "x.npy"
    call("run", *data, "--out", out, "--steps", "4", "--set", "ask=[]")
    before = np.load(file)
    np.save(file, before + 1)
    for words in (["--resume"], ["--more", "4"], ["--resume", "--set", "title='Again'"]):
        told = call("run", "--out", out, *words, code=2)
        assert "another file for x1 of main" in told
        assert "Choose another folder, or bring the file back." in told
    np.save(file, before)
    call("run", "--out", out, "--more", "4")
    file.unlink()
    call("run", "--out", out, "--resume")  # what was learnt is there, and nothing is read


def test_a_file_may_be_mended_before_anything_was_learnt(data, tmp_path):
    out, file = tmp_path / "run", tmp_path / "x.npy"
    rows = np.load(file)
    call("run", *data, "--out", out, "--steps", "4", "--set", "ask=[]")
    for name in ("work", "results", "gathered"):
        shutil.rmtree(out / name)
    np.save(file, rows + 1)
    call("run", "--out", out, "--resume")
    np.save(file, rows)
    assert "another file for x1" in call("run", "--out", out, "--resume", code=2)
