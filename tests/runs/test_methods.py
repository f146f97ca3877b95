"""Runs of methods of `bridges`: every recipe with a method is read, and one of each form is run."""

from pathlib import Path

import pytest

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.registry import names
from interpolants.runs import execute, load_config, make_config
from interpolants.runs import run as run_module
from interpolants.runs.config import ProblemSource
from interpolants.runs.folder import read_results
from interpolants.runs.run import train_only
from interpolants.runs.sources import make_problem

RECIPES = Path(__file__).parents[2] / "recipes"
METHODS = [file for file in sorted(RECIPES.glob("*.toml")) if "\n[method]" in file.read_text()]
SMALL = {"kind": "rectification", "rounds": 1, "n_steps": 4, "net": {"kind": "mlp", "width": 16, "depth": 2}}
DATA = {"x0": {"problem": "moons", "n": 300}, "x1": {"problem": "rings", "n": 300}}


def config(**change):
    method = SMALL | {"train": {"steps": 6, "batch_size": 32}} | change
    return make_config({"data": DATA, "method": method, "evaluate": {"n": 50}}, place="my.toml")


@pytest.mark.parametrize("file", METHODS, ids=lambda file: file.stem)
def test_every_recipe_of_a_method_is_read_and_reads_back(file):
    settings = load_config(file)
    assert settings.tasks[0].method["kind"] in names("bridge")
    assert make_config(settings.dump()) == settings


@pytest.mark.parametrize("file", METHODS, ids=lambda file: file.stem)
def test_the_problems_of_a_recipe_accept_their_settings(file):
    for which in ("x0", "x1"):
        source = getattr(load_config(file).tasks[0].data, which)
        if isinstance(source, ProblemSource):
            make_problem(source.problem, source.settings, which)


def test_a_method_is_fitted_judged_and_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "make_report", lambda folder, say: None)
    done = execute(config(), tmp_path / "out", progress=False, command="typed")
    (task,) = read_results(tmp_path / "out")["tasks"]
    assert done.results["tasks"][0]["metrics"] == task["metrics"]
    found = {metric["id"]: metric for metric in task["metrics"]}
    assert found["sliced_w2_ode"]["title"].startswith("Sliced W2 to held-out data, Rectif")
    assert found["sliced_w2_ode"]["floor"] > 0
    assert found["sliced_w2_ode"]["baseline_name"] == "x0 as it is"
    assert found["sliced_w2_reverse"]["value"] > 0
    own = [name for name in found if name.startswith("own_")]
    assert own
    assert all(found[name]["error"] is None for name in own)
    assert task["method"]["seed"] == 0
    # The same settings give the same samples.
    execute(config(), tmp_path / "again", progress=False, command="typed")
    again = {m["id"]: m["value"] for m in read_results(tmp_path / "again")["tasks"][0]["metrics"]}
    assert again["sliced_w2_ode"] == found["sliced_w2_ode"]["value"]


def test_the_report_of_a_method_is_written(tmp_path):
    pytest.importorskip("matplotlib")
    done = execute(config(), tmp_path / "out", progress=False, command="typed")
    text = done.report.read_text()
    assert "Sliced W2 to held-out data, Rectif" in text
    assert "neither is better" not in text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": {"kind": "rectifcation"}}, r"my.toml: 'method': .*Did you mean 'rectification'"),
        ({"method": {"kind": "rectification", "round": 1}}, "'method': .*'round'. Did you mean 'rounds'"),
        ({"method": {"rounds": 1}}, "must name its kind"),
        ({"method": SMALL, "train": {"steps": 3}}, r"a method replaces 'bridge' and 'train', got 'train'"),
        ({"method": SMALL, "bridge": {}}, "got 'bridge'"),
        ({"method": "rectification"}, "method"),
    ],
)
def test_bad_settings_are_refused_by_name(settings, message):
    with pytest.raises(InvalidInputError, match=message):
        make_config({"data": DATA} | settings, place="my.toml")


def test_training_alone_is_refused_before_anything_is_done(tmp_path):
    with pytest.raises(InvalidInputError, match="trained and judged in one, got 'rectification'"):
        train_only(config(), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()
