"""Tracking of runs by the real packages: what is logged, the same run after a resume, and refusals before the fit."""

import importlib.util
import json
import sys
import typing

import numpy as np
import pytest
from typer.testing import CliRunner

from interpolants.cli.app import app
from interpolants.foundations.errors import InvalidInputError, MissingExtraError
from interpolants.framework.method import load
from interpolants.runs import trackers
from interpolants.runs.recipe_files import RecipeFolder, changed_recipe
from interpolants.runs.recipe_run import RecipeRun
from interpolants.runs.trackers import TensorBoard, Tracker, make_tracker

STEPS = 24


def needs(name):
    return pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"needs {name}")


def tables(folder, **track):
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    np.save(folder / "x.npy", rng.normal(size=(120, 2)))
    method = {"kind": "bridge", "path": "one_sided_linear", "steps": STEPS, "batch_size": 16}
    method |= {"net": {"kind": "mlp", "width": 8, "depth": 1}, "validate_every": 6, "checkpoint_every": 10}
    method |= {"keep_best": "held_out_loss", "log_every": 1}
    found = {
        "data": {"x1": str(folder / "x.npy")},
        "split": {"test": 0.2, "held": 0.2},
        "method": method,
        "ask": [{"question": "sample_quality", "n": 40}],
    }
    return {**found, **({"track": track} if track else {})}


class Memory(Tracker):
    """A tracker in memory; runs by id."""

    runs: typing.ClassVar = {}

    def open(self, folder, name, id):
        run = self.runs.setdefault(id or f"run{len(self.runs)}", MemoryRun(id or f"run{len(self.runs)}"))
        run.opened += 1
        return run


class MemoryRun:
    def __init__(self, id):
        self.id, self.opened, self.told, self.rows, self.images, self.ends = id, 0, {}, [], {}, []

    def settings(self, values):
        assert not self.told, "settings are logged once"
        self.told = dict(values)

    def scalars(self, group, values, step):
        self.rows.append((group, step, dict(values)))

    def image(self, name, png):
        self.images[name] = png

    def close(self, *, finished):
        self.ends.append(finished)


@pytest.fixture
def memory(monkeypatch):
    monkeypatch.setattr(Memory, "runs", {})
    monkeypatch.setattr(Memory, "package", "json", raising=False)
    monkeypatch.setattr(trackers, "TRACKERS", {"memory": Memory})
    return Memory.runs


def folder_of(out, data, **track):
    return RecipeFolder(out, changed_recipe(tables(data, **track)))


def losses(run):
    return {step: values for group, step, values in run.rows if not group.startswith("score/")}


def test_settings_losses_scores_with_floors_and_figures_are_logged(tmp_path, memory):
    answers = folder_of(tmp_path / "a", tmp_path, kind="memory", interval=8).run()
    (run,) = memory.values()
    assert run.told["task.method.net.width"] == "8"
    assert run.told["seed"] == "0"
    assert run.told["library"]
    (file,) = (tmp_path / "a/work/main/train").rglob("log.jsonl")
    log = [json.loads(line) for line in file.read_text().splitlines()]
    seen = losses(run)
    assert [step for step in seen if "velocity" in seen[step]] == [1, 8, 16, 24]
    assert seen[16]["velocity"] == pytest.approx(log[15]["velocity"], rel=1e-6)
    assert [step for step in seen if "held_out_loss" in seen[step]] == [6, 12, 18, 24]
    scores = {group: values for group, _, values in run.rows if group.startswith("score/")}
    for score in answers.scores:
        told = scores[f"score/{score.name}"]
        assert told["value"] == pytest.approx(score.value)
        if isinstance(score.floor, float) and np.isfinite(score.floor):
            assert told["floor"] == score.floor
    assert any("floor" in values for values in scores.values())
    assert set(run.images) == {figure.name for figure in answers.figures}
    assert run.ends == [True]


def test_tracking_changes_no_result_and_is_no_setting(tmp_path, memory):
    folder_of(tmp_path / "a", tmp_path, kind="memory").run()
    folder_of(tmp_path / "b", tmp_path).run()
    one, two = (load(tmp_path / name / "work/main/model").sample(5, seed=0) for name in "ab")
    assert (one == two).all()
    again = RecipeFolder.stored(tmp_path / "a")
    assert again.recipe.track == {"kind": "memory"}
    assert RecipeRun(again.recipe).cells() == RecipeRun(folder_of(tmp_path / "b", tmp_path).recipe).cells()


@pytest.mark.slow
def test_a_resumed_fit_continues_the_same_run_and_logs_no_step_twice(tmp_path, memory, monkeypatch):
    folder_of(tmp_path / "whole", tmp_path, kind="memory", interval=2).run()
    real, count = MemoryRun.scalars, []

    def killing(self, group, values, step):
        real(self, group, values, step)
        if step == 14 and not count:
            count.append(step)
            raise KeyboardInterrupt

    monkeypatch.setattr(MemoryRun, "scalars", killing)
    with pytest.raises(KeyboardInterrupt):
        folder_of(tmp_path / "cut", tmp_path, kind="memory", interval=2).run()
    folder_of(tmp_path / "cut", tmp_path, kind="memory", interval=2).run(resume=True)
    whole, cut = memory.values()
    assert cut.opened == 2
    assert cut.ends == [False, True]
    steps = [step for group, step, _ in cut.rows if not group.startswith("score/")]
    # Step 14 was logged before its entry in the folder: it is the only one that may come twice.
    assert sorted(set(steps)) == sorted(losses(whole))
    assert len(steps) <= len(set(steps)) + 1
    assert losses(cut) == losses(whole)


def test_stages_without_callbacks_are_logged_from_their_logs(tmp_path, memory):
    recipe = tables(tmp_path, kind="memory")
    recipe["data"]["x0"] = recipe["data"]["x1"]
    recipe["method"] |= {"path": "linear", "leg": {"steps": 6}}
    del recipe["ask"]
    RecipeFolder(tmp_path / "a", changed_recipe(recipe)).train()
    (run,) = memory.values()
    inner = {step for group, step, _ in run.rows if group.startswith("leg/")}
    assert inner >= {1, 2, 3, 4, 5, 6}
    assert {group for group, *_ in run.rows} > {group for group, *_ in run.rows if group.startswith("leg/")}


def test_a_missing_package_is_refused_before_the_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingExtraError, match="pip install tensorboard"):
        folder_of(tmp_path / "a", tmp_path, kind="tensorboard").run()
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("track", "said"),
    [
        ({"kind": "tensorbord"}, "kind must be one of"),
        (
            {"kind": "tensorboard", "project": "x"},
            "every key must be a setting of tensorboard, got 'project'",
        ),
        ({"kind": "wandb", "mode": "on"}, "mode"),
        ({"kind": "mlflow", "interval": 0}, "interval"),
        ({"project": "x"}, "kind must be one of"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, track, said):
    with pytest.raises(InvalidInputError, match=said):
        changed_recipe(tables(tmp_path, **track))


# --- the real packages


@needs("tensorboard")
def test_tensorboard_reads_what_was_logged(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (tmp_path / "r.json").write_text(json.dumps(tables(tmp_path)))
    words = ["run", "-c", str(tmp_path / "r.json"), "-o", str(tmp_path / "a"), "--track", "tensorboard"]
    done = CliRunner().invoke(app, [*words, "--set", "track.interval=8", "-q"])
    assert done.exit_code == 0, done.output
    events = EventAccumulator(str(tmp_path / "a/work/main/tensorboard"))
    events.Reload()
    tags = events.Tags()
    (loss,) = [tag for tag in tags["scalars"] if tag.endswith("/velocity")]
    assert [event.step for event in events.Scalars(loss)] == [1, 8, 16, 24]
    assert any(tag.startswith("score/") and tag.endswith("/floor") for tag in tags["scalars"])
    assert tags["images"]
    assert "settings/text_summary" in tags["tensors"]
    run = TensorBoard().open(tmp_path, "x", str(tmp_path / "a/work/main/tensorboard"))
    run.scalars("bridge", {"more": 1.0}, 99)
    run.close(finished=True)
    events.Reload()
    assert "bridge/more" in events.Tags()["scalars"]


@needs("mlflow")
@needs("alembic")
@pytest.mark.filterwarnings("ignore")
def test_mlflow_stores_one_run_that_a_resume_continues(tmp_path):
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path / 'm.db'}"
    folder_of(tmp_path / "a", tmp_path, kind="mlflow", uri=uri, interval=8).train()
    folder_of(tmp_path / "a", tmp_path, kind="mlflow", uri=uri, interval=8).run(resume=True)
    client = MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("interpolants").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["task.method.steps"] == str(STEPS)
    (loss,) = [name for name in run.data.metrics if name.endswith("/velocity")]
    assert [metric.step for metric in client.get_metric_history(run.info.run_id, loss)] == [1, 8, 16, 24]
    assert any(name.startswith("score/") for name in run.data.metrics)
    assert client.list_artifacts(run.info.run_id, "figures")


@needs("wandb")
@pytest.mark.filterwarnings("ignore")
def test_wandb_writes_one_offline_run_that_a_resume_continues(tmp_path):
    track = {"kind": "wandb", "mode": "offline", "interval": 8, "folder": str(tmp_path / "files")}
    recipe = changed_recipe({**tables(tmp_path), "track": track})
    RecipeFolder(tmp_path / "a", recipe).train()
    RecipeFolder(tmp_path / "a", recipe).run(resume=True)
    id = json.loads((tmp_path / "a/work/main/tracked.json").read_text())["id"]
    files = list((tmp_path / "files").glob(f"wandb/offline-run-*/run-{id}.wandb"))
    assert len(files) == 2  # `wandb sync` joins parts with one id
    assert b"velocity" in files[0].read_bytes() + files[1].read_bytes()


def test_every_kind_has_a_package_and_settings():
    for kind in trackers.TRACKERS:
        assert make_tracker({"kind": kind}).package
