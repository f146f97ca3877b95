"""Runs that are looked at while they are made: a log that grows, then a bridge, then what it was judged by."""

import json
import os
import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from interpolants.foundations.errors import InvalidInputError
from interpolants.runs.folder import read_config
from interpolants.runs.run import execute
from interpolants.web import create_app, open_runs
from interpolants.web.run_registry import how_far
from web.growing import Growing


@pytest.fixture
def growing(trained, tmp_path):
    return Growing(trained / "half", tmp_path / "grows")


def test_a_run_grows_on_the_shelf_until_it_is_judged(growing, monkeypatch):
    runs = open_runs([growing.folder])
    page = runs[0].page(0)
    assert (page["growing"], page["has_bridge"], page["history"]) == (True, False, [])
    assert page["training"] == "Training has not written its first line yet."
    growing.write(2, cut='{"step": 30, "lo')
    page = runs[0].page(0)
    assert [row["step"] for row in page["history"]] == [10, 20]
    assert page["training"].startswith("In training: step 20 of 60, ")
    growing.write(4)
    assert [row["step"] for row in runs[0].page(0)["history"]] == [10, 20, 30, 40]

    growing.finish()
    shown = runs[0]
    assert shown.line(0)["has_bridge"]
    assert not shown.line(0)["growing"]
    assert shown.page(0)["metrics"] == []
    assert runs[0] is shown  # a bridge is read once

    monkeypatch.setattr("interpolants.runs.run.make_report", lambda folder, say: None)
    execute(read_config(growing.folder), growing.folder, progress=False, resume=True, command="run")
    assert runs[0].page(0)["metrics"]
    assert len(runs) == len(list(runs)) == 1


def test_what_cannot_be_read_for_a_moment_stays_as_it_was(growing):
    runs = open_runs([growing.folder])
    growing.write(3)
    assert len(runs[0].page(0)["history"]) == 3
    (growing.folder / "main" / "bridge").mkdir()  # a folder that is no bridge
    assert len(runs[0].page(0)["history"]) == 3


def test_results_of_other_tasks_are_refused_and_do_not_take_a_page_down(growing):
    runs = open_runs([growing.folder])
    growing.write(3)
    results = {"format": 1, "tasks": [{"name": "main"}, {"name": "other"}]}
    (growing.folder / "results.json").write_text(json.dumps(results))
    assert runs[0].page(0)["growing"]
    with pytest.raises(InvalidInputError, match="must tell of the 1 tasks of the run's settings, got 2"):
        open_runs([growing.folder])


def test_names_are_the_same_before_and_after(growing, trained):
    runs = open_runs([growing.folder, trained / "first", growing.folder])
    names = [shown.name for shown in runs]
    assert names == ["1: grows", "2: first", "3: grows"]
    growing.finish()
    assert [shown.name for shown in runs] == names


def test_the_folder_one_stands_in_has_a_name(growing, monkeypatch):
    monkeypatch.chdir(growing.folder)
    assert [shown.name for shown in open_runs([Path()])] == ["grows"]


def test_the_server_tells_what_is_in_training(growing, trained):
    runs = open_runs([growing.folder, trained / "first"])
    with TestClient(create_app(runs), base_url="http://127.0.0.1:8000") as client:
        assert [run["growing"] for run in client.get("/api/runs").json()["runs"]] == [True, False]
        refusal = client.post("/api/carry", json={"runs": [0], "eps": [0.0], "n": 10, "n_steps": 5})
        assert refusal.status_code == 422
        assert "not trained yet" in refusal.json()["error"]


def test_what_is_told_of_a_training_is_its_pace_and_its_silence(growing):
    rows = [{"step": step, "seconds": 0.1 * step} for step in (100, 200)]  # ten seconds a row
    assert how_far(rows, 1000, 5.0) == "In training: step 200 of 1,000, 20 s so far, about 1 min 20 s left."
    assert how_far(rows, 1000, 90.0).endswith("left.")
    assert "Nothing was written for 2 min: it has probably been stopped" in how_far(rows, 1000, 120.0)
    bare = [{"step": step} for step in (100, 200)]  # a log of other making
    assert how_far(bare, 1000, 5.0) == "In training: step 200 of 1,000."
    assert how_far(bare, 1000, 120.0).startswith(
        "In training: step 200 of 1,000. Nothing was written for 2 min"
    )
    growing.write(3)
    log = growing.folder / "main" / "train" / "match" / "log.jsonl"
    os.utime(log, (time.time() - 3600,) * 2)
    assert "written for 1 h" in open_runs([growing.folder])[0].page(0)["training"]
