"""Run folders from strangers: no write, no deletion and no read goes through a link in them."""

import shutil

import numpy as np
import pytest
import torch

from interpolants import Bridge
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.links import refuse_links
from interpolants.foundations.storage import write_bytes, write_text
from interpolants.framework.experiment import conduct
from interpolants.runs.answers import write_answer
from interpolants.runs.files import write_table
from interpolants.runs.models import find_model
from interpolants.runs.recipe_files import RecipeFolder, changed_recipe
from interpolants.runs.recipe_run import RecipeRun
from interpolants.training import TrainSettings, fit

RECIPE = {
    "tasks": [
        {
            "name": "moons",
            "data": {"x1": {"problem": "moons", "n": 60}},
            "method": {"kind": "gaussian_fit"},
            "ask": [{"question": "sample_quality", "n": 20}],
        }
    ]
}


def snapshot(folder):
    return {f.name: f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    RecipeFolder(folder, changed_recipe(RECIPE)).run()
    return folder


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "outside"
    (folder / "work" / ".tmp-x").mkdir(parents=True)
    for name in ("report.html", "task.log.json", "log.csv", "log.jsonl", "manifest.json"):
        (folder / name).write_text("thesis")
    return folder


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


INSIDE = ["figures", "work", "cells", "results", "gathered", "report.html", "manifest.json", "command.txt"]


def replaced_by_link(run, name, outside):
    place = run / name
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(outside if "." not in name else outside / "report.html")


@pytest.mark.parametrize("name", [*INSIDE, "work/moons/model", "work/moons/fit", "work/moons/data.json"])
def test_no_command_goes_on_with_a_run_that_holds_a_link(run, outside, name):
    from interpolants.cli.recipe_runs import report_folder
    from interpolants.cli.show import Screen

    replaced_by_link(run, name, outside)
    before = snapshot(outside)
    folder = RecipeFolder(run, changed_recipe(RECIPE))
    other = RecipeFolder(run, changed_recipe({**RECIPE, "title": "Others"}))
    for go in (
        lambda: folder.run(resume=True),
        lambda: other.run(resume=True),
        lambda: folder.train(resume=True),
        lambda: conduct(RecipeRun(folder.recipe), run, resume=False),
        lambda: report_folder(run, Screen(quiet=True)),
    ):
        with pytest.raises(InvalidInputError, match="must contain no symbolic link"):
            go()
    assert snapshot(outside) == before


def test_a_link_to_the_folder_itself_is_the_users_own(run, tmp_path):
    (tmp_path / "mine").symlink_to(run)
    RecipeFolder(tmp_path / "mine", changed_recipe(RECIPE)).run(resume=True)
    assert find_model(tmp_path / "mine").is_dir()


@pytest.mark.parametrize("name", ["work", "work/moons", "work/moons/model"])
def test_no_model_is_read_through_a_link(run, finished, name):
    shutil.rmtree(run / name)
    (run / name).symlink_to(finished / name)
    with pytest.raises(InvalidInputError, match="must contain no symbolic link"):
        find_model(run)


def test_a_fit_goes_on_in_no_folder_with_a_link(tmp_path, outside):
    x1 = torch.randn(16, 1)
    made = Bridge(net="mlp", steps=1).fit(x1, x1, out=tmp_path / "fit")
    assert made.is_fitted
    (tmp_path / "fit" / "match" / "old.csv").symlink_to(outside / "log.csv")
    with pytest.raises(InvalidInputError, match="must contain no symbolic link"):
        Bridge(net="mlp", steps=1).fit(x1, x1, out=tmp_path / "fit", resume=True)


def test_a_training_appends_to_no_log_behind_a_link(tmp_path, outside):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "log.csv").symlink_to(outside / "log.csv")
    net = torch.nn.Linear(1, 1)
    with pytest.raises(InvalidInputError, match="must contain no symbolic link"):
        fit(
            net,
            lambda modules, batch, generator: {"a": modules(batch)[:, 0]},
            lambda step, generator, rank, world: torch.ones(2, 1),
            TrainSettings(steps=1, batch_size=2),
            out=tmp_path / "train",
        )
    assert (outside / "log.csv").read_text() == "thesis"


@pytest.mark.parametrize("ending", ["npz", "npy", "csv", "safetensors"])
def test_a_table_replaces_a_link_and_not_what_it_points_to(tmp_path, outside, ending):
    target = tmp_path / f"x.{ending}"
    for name in (target.name, f".{target.name}.part", f".tmp-{target.name}"):
        (tmp_path / name).symlink_to(outside / "report.html")
    write_table(target, {"x": np.zeros((2, 1))}, force=True)
    assert not target.is_symlink()
    assert (outside / "report.html").read_text() == "thesis"


def test_a_link_to_nothing_is_no_free_name(tmp_path):
    (tmp_path / "x.txt").symlink_to(tmp_path / "later.txt")
    with pytest.raises(InvalidInputError, match="must not exist"):
        write_answer("text", tmp_path / "x.txt")
    write_answer("text", tmp_path / "x.txt", force=True)
    assert not (tmp_path / "later.txt").exists()


def test_files_are_written_beside_and_moved_into_place(tmp_path, outside):
    for write, data in ((write_bytes, b"new"), (write_text, "new")):
        (tmp_path / "f").unlink(missing_ok=True)
        (tmp_path / "f").symlink_to(outside / "report.html")
        write(tmp_path / "f", data)
        assert not (tmp_path / "f").is_symlink()
        assert (tmp_path / "f").read_text() == "new"
    assert (outside / "report.html").read_text() == "thesis"


def test_links_are_named_wherever_they_lie(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    refuse_links("report", tmp_path)
    refuse_links("report", tmp_path / "not there")
    (tmp_path / "a" / "b" / "c").symlink_to(tmp_path)
    with pytest.raises(InvalidInputError, match=r"report: .*'a/b/c'.*Delete it"):
        refuse_links("report", tmp_path)
