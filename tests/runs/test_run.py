"""A whole run on tiny problems: the folder it leaves, going on, and nothing overwritten."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from interpolants.diagnostics import log_density_mismatch
from interpolants.foundations.errors import InvalidInputError
from interpolants.methods import Bridge
from interpolants.metrics.sliced_wasserstein import sliced_wasserstein
from interpolants.runs import InterruptedRunError, execute, make_config
from interpolants.runs import run as run_module
from interpolants.runs.folder import find_bridge, read_results
from interpolants.runs.run import train_only
from interpolants.runs.sources import make_problem

SMALL = {
    "train": {"steps": 12, "batch_size": 32, "log_every": 4},
    "bridge": {"net": {"kind": "mlp", "width": 16, "depth": 2}},
    "evaluate": {"n_steps": 6, "log_prob": 8, "n": 60, "eps": [0, 0.5], "leg_steps": 3, "repeats": 3,
                 "log_prob_method": "heun", "log_prob_steps": 4},
}  # fmt: skip
TASKS = [
    {"name": "flow", "data": {"x1": {"problem": "moons", "n": 300}}, **SMALL},
    {
        "name": "pair",
        "data": {"x0": {"problem": "moons", "n": 300}, "x1": {"problem": "rings", "n": 300}},
        **SMALL,
    },
]
METRIC = {"id", "title", "value", "error", "n", "floor", "floor_error", "baseline", "baseline_name", "better",
          "unit", "note"}  # fmt: skip
TASK = {"name", "kind", "path", "learn", "parameters", "train", "data", "metrics", "table_eps", "checks", "history",
        "classes", "warnings", "arrays"}  # fmt: skip
ARRAYS = {"real", "samples/eps=0", "samples/eps=0.5", "start", "one_start/eps=0", "one_start/eps=0.5",
          "trajectory/eps=0", "trajectory/eps=0.5", "trajectory_times", "transport_pairs_x0", "transport_pairs_x1",
          "log_prob_heldout", "log_prob_train", "nearest_generated", "nearest_training"}  # fmt: skip


@pytest.fixture(autouse=True)
def without_report(monkeypatch):
    monkeypatch.setattr(run_module, "make_report", lambda folder, say: None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    config = make_config({"title": "two", "tasks": TASKS})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "make_report", lambda folder, say: None)
        execute(config, out, progress=False, command="typed")
    return config, out


def test_the_folder_has_the_form_that_reports_read(finished):
    config, out = finished
    results = json.loads((out / "results.json").read_text())
    assert results["format"] == 1
    assert {
        "title",
        "created",
        "command",
        "seed",
        "versions",
        "machine",
        "seconds",
        "tasks",
    } <= results.keys()
    assert results["command"] == "typed"
    assert make_config(json.loads((out / "config.json").read_text())) == config
    assert [task["kind"] for task in results["tasks"]] == ["generation", "translation"]
    for task, extra in zip(results["tasks"], (set(), {"reverse"}), strict=True):
        assert task.keys() >= TASK
        assert all(metric.keys() == METRIC for metric in task["metrics"])
        assert [row["eps"] for row in task["table_eps"]] == [0.0, 0.5]
        assert all(check["verdict"] in ("pass", "warn", "fail") for check in task["checks"])
        assert [row["step"] for row in task["history"]] == [4, 8, 12]
        assert load_file(out / task["arrays"]).keys() == ARRAYS | extra
    assert "leg" not in [t["name"] for t in results["tasks"]]
    assert any("no density" in text for text in results["tasks"][1]["warnings"])


@pytest.mark.parametrize("start", [execute, train_only])
@pytest.mark.parametrize(
    "wrong",
    [{"times": "some"}, {"heads": ["velocit"]}, {"net": {"kind": "mlp", "widht": 3}}, {"held_out": 0.1}],
)
def test_a_mistake_leaves_no_folder_behind(start, wrong, tmp_path):
    config = make_config({"data": {"x1": {"problem": "moons", "n": 40}}, "bridge": wrong})
    with pytest.raises(InvalidInputError):
        start(config, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_numbers_and_arrays_belong_together(finished):
    _, out = finished
    task = read_results(out)["tasks"][1]
    arrays = load_file(out / task["arrays"])
    values = {metric["id"]: metric for metric in task["metrics"]}
    measured = sliced_wasserstein(
        arrays["samples/eps=0"], arrays["real"], generator=torch.Generator().manual_seed(5)
    )
    assert values["sliced_w2_ode"]["value"] == pytest.approx(measured.value, abs=3 * measured.error)
    assert values["log_likelihood"]["value"] == pytest.approx(
        float(arrays["log_prob_heldout"].mean()), rel=1e-5
    )
    exact = make_problem("rings", {}).log_prob(arrays["real"][:8])
    assert values["log_likelihood"]["floor"] == pytest.approx(float(exact.mean()), rel=1e-5)
    torch.testing.assert_close(
        arrays["trajectory/eps=0"][0], arrays["start"][:8]
    )  # through other units and back
    assert torch.equal(arrays["trajectory/eps=0.5"][-1], arrays["samples/eps=0.5"][:8])
    assert torch.equal(arrays["one_start/eps=0"][0], arrays["one_start/eps=0"][1])
    assert not torch.equal(arrays["one_start/eps=0.5"][0], arrays["one_start/eps=0.5"][1])


def test_the_saved_bridge_gives_the_same_samples_and_keeps_its_leg(finished):
    _, out = finished
    arrays = load_file(out / "pair/arrays.safetensors")
    bridge = Bridge.load(find_bridge(out, "pair"))
    again = bridge.transport(arrays["start"], n_steps=6, seed=1)
    assert torch.equal(again, arrays["samples/eps=0"])
    assert bridge.state["leg"] is not None


def test_another_length_of_the_leg_is_obeyed_when_a_run_goes_on(tmp_path):
    out, pair = tmp_path / "out", {**TASKS[1], "evaluate": {**SMALL["evaluate"], "check": False, "eps": [0]}}
    lengths = []
    for leg_steps in (3, 3, 5):
        config = make_config({"tasks": [pair]}, [f"evaluate.leg_steps={leg_steps}"])
        execute(config, out, progress=False, resume=True)
        leg = Bridge.load(find_bridge(out)).state["leg"]
        lengths.append((leg.steps, leg.history[-1]["step"], leg.history[-1]["loss"]))
    assert [length[:2] for length in lengths] == [(3, 3), (3, 3), (5, 5)]
    assert lengths[0] == lengths[1]  # the same one, not one like it


def test_nothing_is_overwritten_and_a_finished_run_is_judged_again_on_request(finished, tmp_path):
    config, out = finished
    before = (out / "results.json").read_bytes()
    with pytest.raises(InvalidInputError, match=r"holds a finished run\. Pass --resume"):
        execute(config, out, progress=False)
    other = make_config({"title": "two", "tasks": TASKS}, ["train.lr=0.5"])
    with pytest.raises(
        InvalidInputError, match=r"must keep its settings, got tasks\.0\.train\.lr 0\.002 -> 0\.5"
    ):
        execute(other, out, progress=False, resume=True)
    assert (out / "results.json").read_bytes() == before
    (tmp_path / "photo.txt").write_text("mine")
    with pytest.raises(InvalidInputError, match="which holds other files"):
        execute(config, tmp_path, progress=False, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.txt"]


def test_an_interrupted_run_goes_on_to_the_same_weights(finished, tmp_path, monkeypatch):
    config = make_config({"tasks": TASKS[:1]})
    straight = tmp_path / "straight"
    execute(config, straight, progress=False)

    fit = Bridge.fit

    def stopped(self, *args, **options):
        def stop(moment):
            if moment.step == 5:  # seen before the next step is finished
                os.kill(os.getpid(), signal.SIGINT)

        return fit(self, *args, callbacks=[stop], **options)

    out = tmp_path / "out"
    monkeypatch.setattr(Bridge, "fit", stopped)
    with pytest.raises(
        InterruptedRunError, match=r"what was learnt is saved. Go on with: interpolants run .* --resume"
    ) as caught:
        execute(config, out, progress=False)
    assert caught.value.signal == 2
    assert not (out / "results.json").exists()
    monkeypatch.setattr(Bridge, "fit", fit)
    execute(config, out, progress=False)  # unfinished and of the same settings: taken up without being asked
    for name in ("flow/bridge/tensors.safetensors", "flow/arrays.safetensors"):
        one, two = load_file(straight / name), load_file(out / name)
        assert all(torch.equal(one[key], two[key]) for key in one)


def test_labels_are_judged_by_a_classifier_of_real_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    np.savez("t.npz", x=(rng.normal(size=(200, 2)) + 20 * labels[:, None]).astype(np.float32), y=labels)
    settings = {**SMALL, "data": {"x1": {"file": "t.npz", "key": "x", "labels": "y"}, "condition": "labels"}}
    task = execute(make_config(settings), "out", progress=False).results["tasks"][0]
    values = {metric["id"]: metric for metric in task["metrics"]}
    assert values["accuracy_ode"]["floor"] == 1.0  # two classes 20 deviations apart
    assert values["accuracy_ode"]["better"] == "higher"
    assert task["conditional"]
    arrays = load_file("out/main/arrays.safetensors")
    assert torch.equal(arrays["samples_labels"], arrays["real_labels"])


def test_samples_are_guided_where_that_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("t.npz", x=rng.normal(size=(200, 2)).astype(np.float32), y=rng.integers(0, 2, 200))
    settings = {
        **SMALL,
        "data": {"x1": {"file": "t.npz", "key": "x", "labels": "y"}, "condition": "labels"},
        "bridge": {**SMALL["bridge"], "drop_condition": 0.2},
        "evaluate": {**SMALL["evaluate"], "log_prob": 0, "guidance": 3.0, "guidance_interval": [0.2, 0.8]},
    }
    task = execute(make_config(settings), "out", progress=False).results["tasks"][0]
    titles = {metric["id"]: metric["title"] for metric in task["metrics"]}
    assert titles["sliced_w2_ode"].endswith("ODE, guidance 3")
    kept = load_file("out/main/arrays.safetensors")
    bridge = Bridge.load("out/main/bridge")
    options = {"cond": kept["samples_labels"], "n_steps": 6, "seed": 1}
    guided = bridge.transport(kept["start"], guidance=3.0, guidance_interval=(0.2, 0.8), **options)
    assert torch.equal(kept["samples/eps=0"], guided)
    assert not torch.equal(guided, bridge.transport(kept["start"], **options))
    with pytest.raises(
        InvalidInputError, match=r"'evaluate.guidance': guidance needs a condition that training drops"
    ):
        make_config({**settings, "bridge": SMALL["bridge"]})


def test_a_learnt_log_density_is_held_against_that_of_its_flow(tmp_path):
    """The reported spread is that of u - log q over the held-out points, whatever the units of the data."""
    penalty = {"kind": "fokker_planck_residual", "weight": 0.1, "points": 16}
    own = {**SMALL["bridge"], "path": "one_sided_linear", "heads": ["log_density"], "penalties": [penalty]}
    config = make_config({**SMALL, "bridge": own, "data": {"x1": {"problem": "moons", "n": 300}}})
    execute(config, tmp_path / "out", progress=False)
    task = read_results(tmp_path / "out")["tasks"][0]
    (row,) = [metric for metric in task["metrics"] if metric["id"] == "log_density_mismatch"]
    assert "fokker_planck" in task["history"][-1]
    bridge, arrays = (
        Bridge.load(tmp_path / "out" / "main" / "bridge"),
        load_file(tmp_path / "out" / task["arrays"]),
    )
    x = bridge.frame.encode(arrays["real"][: row["n"]])
    found = log_density_mismatch(bridge.fields, x, bridge.path.base, method="heun", n_steps=4)
    assert row["value"] == pytest.approx(found.spread, rel=1e-3)
