"""A run that chooses its noise level: which rows it takes, the record, the report, the command line."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from interpolants.cli.app import app
from interpolants.methods import Bridge
from interpolants.reports.report import write_report
from interpolants.runs import evaluate, execute, make_config
from interpolants.runs import run as run_module
from interpolants.runs.folder import find_bridge
from interpolants.runs.run import make_bridge
from interpolants.runs.sources import load_data

DATA = {"x0": {"problem": "eight_gaussians", "n": 3000}, "x1": {"problem": "moons", "n": 3000}}
OWN = {
    "data": DATA,
    "bridge": {"path": "linear", "heads": ["velocity", "noise"], "net": {"kind": "mlp", "width": 32, "depth": 2}},
    "train": {"steps": 150, "batch_size": 64},
    "evaluate": {"n": 200, "n_steps": 10, "eps": [0.0, 0.5], "auto_eps": True, "log_prob": 0, "check": False},
}  # fmt: skip


def config(**bridge):
    return make_config({**OWN, "bridge": {**OWN["bridge"], **bridge}}, place="my.toml")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("auto") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "make_report", lambda folder, say: None)
        return out, execute(config(), out, progress=False).results["tasks"][0]


def test_the_choice_is_made_on_rows_that_nothing_is_judged_on(finished):
    _, record = finished
    choice = record["eps_choice"]
    assert not any("compared with" in text for text in record["warnings"])
    assert {c["name"] for c in choice["candidates"]} >= {"schedule", "flow (0)", "schedule x 2"}
    assert choice["criterion"] == "samples"
    rows = {row["eps"]: row["chosen"] for row in record["table_eps"]}
    assert (rows[0.0], rows[0.5]) == (choice["eps"] == 0.0, False)
    assert any(rows.values())


def test_a_leg_of_an_earlier_evaluation_does_not_change_the_choice(finished, monkeypatch):
    out, record = finished
    bridge, legs = Bridge.load(find_bridge(out)), []
    bridge.state["leg"] = Bridge.load(find_bridge(out))
    choose = Bridge.choose_eps
    monkeypatch.setattr(
        Bridge, "choose_eps", lambda self, *a, **k: legs.append(self.leg) or choose(self, *a, **k)
    )
    task = config().tasks[0]
    found = evaluate.evaluate(bridge, load_data(task.data), task.evaluate)
    assert legs == [None]
    assert bridge.state["leg"] is not None
    assert found.eps_choice["criterion"] == record["eps_choice"]["criterion"]
    assert found.eps_choice["name"] == record["eps_choice"]["name"]


def test_the_saved_bridge_samples_with_the_choice_from_python_and_the_command_line(finished, monkeypatch):
    out, record = finished
    bridge = Bridge.load(find_bridge(out))
    assert bridge.eps_choice.name == record["eps_choice"]["name"]
    monkeypatch.chdir(out.parent)
    words = ["sample", "run", "-n", "20", "--eps", "auto", "--steps", "10", "--out", "s.npz"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    with np.load("s.npz") as stored:
        expected = bridge.sample(20, eps=bridge.eps_choice.eps, seed=0, n_steps=10, details=True).x
        torch.testing.assert_close(torch.from_numpy(stored["x"]), expected)


def test_the_report_explains_the_choice(finished):
    page = write_report(finished[0]).read_text()
    assert "The noise level chosen" in page
    assert "schedule x 0.5" in page
    assert "estimated from the residuals on data that training has not seen" in page.replace("\n", " ")


def test_few_rows_are_used_twice_and_the_report_says_so():
    settings = config().tasks[0]
    settings = settings.model_copy(update={"evaluate": settings.evaluate.model_copy(update={"n": 600})})
    data = load_data(settings.data)
    bridge = make_bridge(settings).fit(data.x0.train.x, data.x1.train.x, steps=20, progress=False)
    found = evaluate.evaluate(bridge, data, settings.evaluate)
    assert any("set bridge.held_out" in text for text in found.warnings)
    own = make_bridge(config(held_out=0.2).tasks[0]).fit(
        data.x0.train.x, data.x1.train.x, steps=20, progress=False
    )
    assert evaluate.evaluate(own, data, settings.evaluate).warnings == []
