"""What is opened and what is refused; runs that are looked at while they are made; damaged ones."""

import os
import shutil
import time
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch
from fastapi.testclient import TestClient

from interpolants.foundations.errors import InvalidInputError
from interpolants.runs.recipe import cell_name
from interpolants.runs.recipe_files import RecipeFolder
from interpolants.web import create_app, open_runs
from interpolants.web.run_page import page_of
from interpolants.web.run_registry import first_page
from web.conftest import folder_of, task
from web.growing import Growing


@pytest.fixture
def growing(trained, tmp_path):
    return Growing(trained / "half", tmp_path / "grows")


def page(runs, index=0):
    return page_of(runs[index], index)


# --- opening -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_task_and_every_seed_is_a_line_with_the_words_that_commands_take(trained):
    runs = open_runs([trained / name for name in ("first", "tasks", "seeds", "line")])
    names = ["first", "tasks, near", "tasks, far", "seeds, main, seed 0", "seeds, main, seed 1", "line"]
    assert [shown.name for shown in runs] == names
    addresses = [
        "first",
        "tasks --task near",
        "tasks --task far",
        *[str(Path("seeds", "work", cell_name("main", seed, 2), "model")) for seed in (0, 1)],
        "line",
    ]
    assert [shown.address for shown in runs] == [f"{trained}/{words}" for words in addresses]
    assert [shown.title for shown in runs] == ["Noise to points", "Two: Near", "Two", "", "", ""]


def test_a_list_of_runs_reads_no_model_and_no_result(trained, monkeypatch):
    def refused(*_):
        raise AssertionError

    monkeypatch.setattr("interpolants.web.runs.load", refused)
    monkeypatch.setattr("interpolants.runs.run_answers.stored_answers", refused)
    runs = open_runs([trained / name for name in ("first", "closed", "half", "line")])
    lines = [shown.line(k) for k, shown in enumerate(runs)]
    assert [line["kind"] for line in lines] == ["bridge", "flow_map", "bridge", "bridge"]
    assert [line["state"] for line in lines] == ["done", "done", "trained", "done"]


def test_equal_names_are_told_apart(trained):
    assert [shown.name for shown in open_runs([trained / "first"] * 2)] == ["1: first", "2: first"]


def test_names_are_the_same_before_and_after(growing, trained):
    runs = open_runs([growing.folder, trained / "first", growing.folder])
    names = [shown.name for shown in runs]
    assert names == ["1: grows", "2: first", "3: grows"]
    growing.finish()
    assert [shown.name for shown in runs] == names


def test_the_folder_one_stands_in_has_a_name_and_an_address(growing, monkeypatch):
    monkeypatch.chdir(growing.folder)
    (shown,) = open_runs([Path()])
    assert (shown.name, shown.address) == ("grows", ".")


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "must be one of a run, of a saved method, or a parent"),
        (
            {"config.json": "{}", "results.json": "{}"},
            "config.json was written before.* commit f653ca4 or earlier",
        ),
        ({"recipe.json": '{"tasks": ['}, "recipe.json must be whole"),
        ({"recipe.json": '{"tusks": []}'}, "Did you mean 'tasks'"),
        ({"tree.json": "{"}, "must contain a whole method"),
        ({"tree.json": '{"format": 1, "tree": {"$": "dict", "items": {}}}'}, "must contain a method"),
    ],
)
def test_what_is_neither_a_run_nor_a_method_is_refused_in_one_line(tmp_path, files, told):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInputError, match=told) as caught:
        open_runs([tmp_path])
    assert "\n" not in str(caught.value)


def test_a_parent_folder_stands_for_its_runs_and_what_is_broken_is_told(trained, tmp_path):
    parent = tmp_path / "runs"
    for name in ("first", "closed", "line"):
        shutil.copytree(trained / name, parent / name)
    (parent / "notes").mkdir()
    (parent / "broken").mkdir()
    (parent / "broken" / "recipe.json").write_text('{"tasks": [')
    problems = []
    runs = open_runs([parent], problems)
    assert [shown.name for shown in runs] == ["closed", "first", "line"]
    assert len(problems) == 1
    assert "recipe.json must be whole" in problems[0]
    with TestClient(create_app(runs), base_url="http://127.0.0.1:8000") as client:
        closed, first, line = client.get("/api/index").json()["runs"]
        assert (first["title"], first["what"], first["state"]) == (
            "Noise to points",
            "Bridge between two distributions",
            "done",
        )
        assert first["told"].startswith("Sliced Wasserstein-2 distance to held-out data, ")
        assert closed["what"] == "Flow map"
        assert (line["told"], line["data"]) == ("", None)
        assert first["data"] == closed["data"]
        assert "/api/index" in client.get("/static/runs.js").text
        assert client.get("/runs").status_code == 200


def test_the_first_page_is_the_run_that_was_named_and_two_tasks_of_it_are_not_compared(trained):
    def place(*names):
        folders = [trained / name for name in names]
        return unquote(first_page(folders, open_runs(folders)))

    assert first_page([], []) == ""
    assert place("first") == place("tasks") == place("seeds") == place("line") == "run"
    assert place("tasks", "first") == 'compare#{"run": 0, "other": 2}'
    assert place("first", "second", "line") == "runs"
    assert first_page([trained], open_runs([trained])) == "runs"


# --- growing -------------------------------------------------------------------------------------------------------


def test_a_run_grows_until_its_questions_are_answered(growing):
    runs = open_runs([growing.folder])
    found = page(runs)
    assert (found["state"], found["journey"], found["stages"]) == ("training", None, {})
    assert found["training"] == "Training has not written its first line yet."
    assert found["card"]["formulas"] == ["x_t = (1 - t) x0 + t x1, x0 Gaussian"]
    growing.write(2, cut='{"step": 30, "lo')
    found = page(runs)
    assert [row["step"] for row in found["stages"]["match"]] == [10, 20]
    assert found["training"].startswith("In training, stage match: step 20 of 60, ")
    growing.write(4)
    assert [row["step"] for row in page(runs)["stages"]["match"]] == [10, 20, 30, 40]

    growing.keep()
    growing.finish()
    assert runs[0].line(0)["state"] == "trained"
    assert page(runs)["journey"]
    assert page(runs)["scores"] == []
    assert runs[0].method() is runs[0].method()  # a model is read once

    RecipeFolder.stored(growing.folder).run(resume=True)
    assert page(runs)["state"] == "done"


def test_samples_of_a_run_in_training_are_those_of_its_newest_checkpoint(trained, tmp_path):
    tables = task(method={"steps": 60, "checkpoint_every": 20, "held_out": 0.1})
    made = folder_of(tables, tmp_path / "grows")
    made.train()
    cell = tmp_path / "grows" / "work" / "main"
    shutil.rmtree(cell / "model")
    shutil.rmtree(cell / "train" / "match" / "checkpoints" / "step-00000060")
    runs = open_runs([made.out])
    found = page(runs)
    assert (found["state"], found["snapshot"], found["verbs"]) == ("training", 40, [])
    assert found["journey"]["shape"] == [2]
    assert found["held_out"]["match"][0]["step"] == 0
    assert page(runs)["snapshot"] == 40
    # A snapshot goes on from its checkpoint for a single step.
    work = runs[0].work
    same = work.task.fit(work.unfitted.clone(), callbacks=[lambda moment: moment.step == 41])
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(runs[0].method().transport(x, n_steps=5), same.transport(x, n_steps=5))
    with TestClient(create_app(runs), base_url="http://127.0.0.1:8000") as client:
        assert (
            client.post("/api/carry", json={"runs": [0], "eps": [0.0], "n": 10, "n_steps": 5}).status_code
            == 200
        )
    assert sorted(entry.name for entry in cell.iterdir()) == [
        "data.json",
        "train",
    ]  # nothing is written there


def test_what_is_no_whole_model_yet_is_a_run_in_training(growing):
    runs = open_runs([growing.folder])
    growing.write(3)
    growing.model.mkdir()
    assert page(runs)["state"] == "training"
    assert len(page(runs)["stages"]["match"]) == 3


def test_the_server_tells_what_is_in_training(growing, trained):
    runs = open_runs([growing.folder, trained / "first"])
    with TestClient(create_app(runs), base_url="http://127.0.0.1:8000") as client:
        states = [run["state"] for run in client.get("/api/runs").json()["runs"]]
        assert states == ["training", "done"]
        refusal = client.post("/api/carry", json={"runs": [0], "eps": [0.0], "n": 10, "n_steps": 5})
        assert refusal.status_code == 422
        assert "not trained yet" in refusal.json()["error"]


def test_a_training_that_has_fallen_silent_is_called_so(growing):
    growing.write(3)
    os.utime(growing.log, (time.time() - 3600,) * 2)
    told = page(open_runs([growing.folder]))["training"]
    assert "Nothing was written for 1 h: it has probably been stopped" in told


# --- damage --------------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(trained, tmp_path):
    return shutil.copytree(trained / "first", tmp_path / "broken")


def test_a_damaged_model_is_told_on_its_page_and_the_rest_is_shown(broken, trained):
    weights = broken / "work" / "main" / "model" / "tensors.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    runs = open_runs([broken, trained / "second"])
    found = page(runs)
    assert "tensors.safetensors" in found["findings"][0]["text"]
    assert found["scores"]
    assert (found["verbs"], found["journey"]) == ([], None)
    assert page(runs, 1)["journey"]
    with TestClient(create_app(runs), base_url="http://127.0.0.1:8000") as client:
        refusal = client.post("/api/carry", json={"runs": [0]})
        assert (refusal.status_code, "tensors.safetensors" in refusal.json()["error"]) == (422, True)


def test_results_of_other_settings_are_told_and_the_model_is_shown(broken, trained):
    shutil.rmtree(broken / "results")
    shutil.copytree(trained / "second" / "results", broken / "results")
    found = page(open_runs([broken]))
    assert "must contain results of recipe with these settings" in found["findings"][0]["text"]
    assert (found["scores"], found["claims"]) == ([], [])
    assert found["journey"]


def test_results_without_a_model_are_shown(broken):
    shutil.rmtree(broken / "work")
    found = page(open_runs([broken]))
    assert "only the results are left" in found["findings"][0]["text"]
    assert found["scores"]
