"""Runs of methods of `bridges`: every recipe with a method is read, and one of each form is run."""

import tomllib
from pathlib import Path

import pytest

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.registry import names
from interpolants.runs import execute, load_config, make_config
from interpolants.runs import run as run_module
from interpolants.runs.config import ProblemSource, method_kind
from interpolants.runs.folder import read_results
from interpolants.runs.recipe_files import is_recipe
from interpolants.runs.run import train_only
from interpolants.runs.sources import load_data, make_problem

RECIPES = Path(__file__).parents[2] / "recipes"
METHODS = [
    file
    for file in sorted(RECIPES.glob("*.toml"))
    if "\n[method]" in file.read_text() and not is_recipe(tomllib.loads(file.read_text()))
]
SMALL = {"kind": "rectification", "rounds": 1, "n_steps": 4, "net": {"kind": "mlp", "width": 16, "depth": 2}}
DATA = {"x0": {"problem": "moons", "n": 300}, "x1": {"problem": "rings", "n": 300}}


def config(**change):
    method = SMALL | {"steps": 6, "batch_size": 32} | change
    return make_config({"data": DATA, "method": method, "evaluate": {"n": 50}}, place="my.toml")


@pytest.mark.parametrize("file", METHODS, ids=lambda file: file.stem)
def test_every_recipe_of_a_method_is_read_and_reads_back(file):
    settings = load_config(file)
    kind = settings.tasks[0].method["kind"]
    assert kind in names(method_kind(kind))
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
    assert task["method"]["seed"] == 0
    # The same settings give the same samples.
    execute(config(), tmp_path / "again", progress=False, command="typed")
    again = {m["id"]: m["value"] for m in read_results(tmp_path / "again")["tasks"][0]["metrics"]}
    assert again["sliced_w2_ode"] == found["sliced_w2_ode"]["value"]


FORECAST = {
    "data": {"x0": {"problem": "rotating_mixture", "n": 400}, "x1": {"follows": "x0"}},
    "method": {
        "kind": "forecaster",
        "net": {"kind": "mlp", "width": 16, "depth": 2},
        "steps": 6,
        "batch_size": 32,
    },
    "evaluate": {"n": 60, "repeats": 4},
}


def test_a_method_with_roles_of_its_own_is_told_how_its_recipe_looks(tmp_path):
    with pytest.raises(
        InvalidInputError, match=r"'forecaster' must have its own roles, now, later, got x0, x1"
    ):
        execute(make_config(FORECAST, place="my.toml"), tmp_path / "out", progress=False)


def test_what_follows_is_a_step_of_the_process_row_by_row():
    sets = load_data(make_config(FORECAST, place="my.toml").tasks[0].data)
    distribution = sets.x0.process
    for now, later in ((sets.x0.train.x, sets.x1.train.x), (sets.x0.test.x, sets.x1.test.x)):
        centres = distribution.centres(now.double())
        nearest = (later.double()[:, None] - centres).square().sum(2).min(1).values
        # the noise around the nearest branch has variance tau^2 in each of two coordinates
        assert float(nearest.mean()) < 2.5 * distribution.tau**2


def test_a_forecast_needs_states_of_a_process():
    data = {"x0": {"problem": "moons", "n": 100}, "x1": {"follows": "x0"}}
    with pytest.raises(InvalidInputError, match="x1 can follow only states of a known process, got moons"):
        load_data(make_config(FORECAST | {"data": data}, place="my.toml").tasks[0].data)
    data = {"x0": {"follows": "x0"}, "x1": {"problem": "moons"}}
    with pytest.raises(InvalidInputError, match="only x1 may follow x0"):
        make_config(FORECAST | {"data": data}, place="my.toml")


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
        (
            {"method": {"kind": "forecaster", "stepps": 1}},
            "'method': .*'stepps'. Did you mean 'steps'",
        ),
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
