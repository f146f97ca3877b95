"""Sweeps: chosen on validation rows, without a look at the test part; resumed and shared out to the same bytes."""

import csv
import importlib.util
import json
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from interpolants.cli.app import app
from interpolants.executors import Local, RayCluster
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework import experiment
from interpolants.framework.stage_logs import StageLog
from interpolants.runs import sweep as sweeps
from interpolants.runs.recipe_files import read_recipe
from interpolants.runs.sweep import Sweep, read_grid, settings_of_grid
from interpolants.runs.sweep_run import Row, SweepRun, as_good, best_of, figure_of

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray")


def recipe(folder, *, test=0.0, **split):
    """Tables of a tiny recipe on a file whose last fifth is the test; ``test`` is added to these rows."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 2)) * 0.2 + rng.choice([-3, 3], size=(200, 1))
    rows[160:] += test
    np.save(folder / "x.npy", rows)
    method = {"kind": "bridge", "path": "one_sided_linear", "steps": 120, "batch_size": 64}
    method |= {"net": {"kind": "mlp", "width": 32, "depth": 2}, "ema": None, "warmup": 0}
    ask = [{"question": "sample_quality", "rivals": ["gaussian_fit"]}]
    task = {"data": {"x1": str(folder / "x.npy")}, "split": {"by": "time", "test": 40, **split}}
    return {"tasks": [{**task, "method": method, "ask": ask}]}


def sweep(folder, grid=None, **more):
    chosen = settings_of_grid(grid or {"method.lr": [1e-6, 5e-3], "method.net.width": [16, 32]})
    return Sweep(recipe(folder), chosen, **{"seeds": 2, **more})


def kept(out):
    """Everything that does not tell times."""
    found = [
        p for p in sorted(out.rglob("*")) if p.is_file() and p.suffix in (".csv", ".json", ".safetensors")
    ]
    timed = ("log.json", "manifest.json", "times.csv", ".lock")
    return {str(p.relative_to(out)): p.read_bytes() for p in found if p.name not in timed}


def test_a_grid_is_read_with_commas_inside_of_brackets():
    heads = [["velocity"], ["velocity", "noise"]]
    found = read_grid(
        ["method.lr=1e-3, 3e-4", 'method.heads=["velocity"],["velocity", "noise"]', "method.ema=none"]
    )
    assert found == {"method.lr": [1e-3, 3e-4], "method.heads": heads, "method.ema": [None]}
    assert len(settings_of_grid(found)) == 4
    for bad in (["method.lr=1,1"], ["method.lr=1", "method.lr=2"], []):
        with pytest.raises(InvalidInputError, match="--over"):
            read_grid(bad)


@pytest.mark.slow
def test_the_rate_at_which_something_is_learnt_wins(tmp_path):
    rows = SweepRun(sweep(tmp_path / "a")).run(tmp_path / "out")
    assert best_of(rows).setting["method.lr"] == 5e-3
    assert all(row.mean > best_of(rows).mean for row in rows if row.setting["method.lr"] == 1e-6)
    with (tmp_path / "out" / "sweep.csv").open() as file:
        first, *rest = csv.DictReader(file)
    assert len(rest) == 3
    assert math.isclose(float(first["mean"]), best_of(rows).mean, rel_tol=1e-5)
    chosen = read_recipe(tmp_path / "out" / "best.json")
    assert chosen.tasks[0].method["lr"] == 5e-3
    assert chosen.tasks[0].ask[0]["question"] == "sample_quality"  # which are asked on the test part


def test_the_loss_of_the_initial_weights_does_not_count(tmp_path, monkeypatch):
    losses = ({"step": step, "held_out_loss": loss} for step, loss in ((0, 1.0), (10, 3.0), (20, 2.0)))
    log = StageLog([{"step": 20}], held_out=tuple(losses))
    monkeypatch.setattr(sweeps, "stage_logs", lambda _: {"bridge": log})
    work = SimpleNamespace(method=SimpleNamespace(is_fitted=True), folder=tmp_path)
    assert sweeps._held_out_loss(work).value == 2.0


@pytest.mark.slow
def test_test_rows_have_no_say(tmp_path):
    rates = {"method.lr": [1e-6, 5e-3]}
    one = SweepRun(sweep(tmp_path / "data", rates, by="sample_quality.energy_distance", seeds=1))
    rows = one.run(tmp_path / "one")
    two = SweepRun(Sweep(recipe(tmp_path / "data", test=1e3), one.sweep.chosen, by=one.sweep.by))
    again = two.run(tmp_path / "two")
    assert [row.values for row in rows] == [row.values for row in again]
    assert len({row.values for row in rows}) > 1
    held = SweepRun(Sweep(recipe(tmp_path / "data", held=0.3), one.sweep.chosen, by=one.sweep.by))
    assert [row.values for row in held.run(tmp_path / "held")] != [row.values for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["two", pytest.param("ray", marks=needs_ray)])
def test_shared_out_it_leaves_the_same_bytes(tmp_path, workers):
    made = SweepRun(sweep(tmp_path / "data", {"method.lr": [1e-6, 5e-3]}))
    made.run(tmp_path / "one")
    made.run(tmp_path / "two", Local(2) if workers == "two" else RayCluster(2))
    assert kept(tmp_path / "one") == kept(tmp_path / "two")


@pytest.mark.slow
def test_stopped_and_resumed_it_leaves_the_same_bytes(tmp_path, monkeypatch):
    made = SweepRun(sweep(tmp_path / "data", {"method.lr": [1e-6, 5e-3]}))
    made.run(tmp_path / "one")
    real, count = experiment._run_cell, []

    def stopping(*arguments):
        count.append(arguments)
        if len(count) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(experiment, "_run_cell", stopping)
    with pytest.raises(KeyboardInterrupt):
        made.run(tmp_path / "cut")
    made.run(tmp_path / "cut")
    assert kept(tmp_path / "one") == kept(tmp_path / "cut")


@pytest.mark.slow
def test_halving_keeps_the_better_half_for_twice_the_steps(tmp_path):
    made = SweepRun(sweep(tmp_path / "a", seeds=1), halving=2)
    assert made.rungs == [30, 60, 120]
    rows = made.run(tmp_path / "out")
    assert [sum(row.rung == k for row in rows) for k in (1, 2, 3)] == [4, 2, 1]
    first = sorted((row for row in rows if row.rung == 1), key=lambda row: row.mean)
    assert [row.setting for row in rows if row.rung == 2] == [row.setting for row in first[:2]]
    assert list(figure_of(rows, "loss").panels[0].x.ticks) == [30, 60, 120]
    with pytest.raises(InvalidInputError, match="--halving must be at least 2"):
        SweepRun(made.sweep, halving=1)


def test_a_sweep_can_be_widened_in_its_folder(tmp_path):
    SweepRun(sweep(tmp_path / "a", {"method.lr": [1e-2]}, seeds=1)).run(tmp_path / "out")
    told = []
    wide = SweepRun(sweep(tmp_path / "a", {"method.lr": [1e-3, 1e-2]}, seeds=1))
    wide.run(tmp_path / "out", progress=lambda name, seconds: told.append(name))
    assert len(told) == 1


def test_another_file_under_the_same_name_is_refused(tmp_path):
    grid = {"method.lr": [5e-3]}
    SweepRun(sweep(tmp_path, grid, seeds=1)).run(tmp_path / "s")
    rows = np.load(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", rows)  # the same contents, at another time
    SweepRun(Sweep(recipe(tmp_path), [{"method.lr": 5e-3}])).run(tmp_path / "s")
    other = Sweep(recipe(tmp_path, test=1.0), [{"method.lr": 5e-3}])
    with pytest.raises(InvalidInputError, match="must hold results of sweep with these settings"):
        SweepRun(other).run(tmp_path / "s")


def test_settings_that_seeds_do_not_tell_apart_are_named():
    def row(name, *values):
        return Row({"a": name}, 1, 0, values)

    rows = [row("best", 1.0, 2.0, 3.0), row("close", 1.1, 1.95, 3.05), row("worse", 1.5, 2.5, 3.51)]
    assert best_of(rows).setting == {"a": "best"}
    assert [one.setting["a"] for one in as_good(rows)] == ["close"]  # paired: the seeds' own spread is 1
    assert best_of([row("a", math.nan), row("b", 5.0)]).setting == {"a": "b"}
    high = [Row({"a": k}, 1, 0, (float(k),), "higher") for k in (1, 2)]
    assert best_of(high).setting == {"a": 2}
    with pytest.raises(InvalidInputError, match="must have a finite validation"):
        best_of([row("a", math.nan)])


@pytest.mark.slow
def test_the_command_writes_table_report_and_what_to_run_next(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.json").write_text(json.dumps(recipe(tmp_path / "data")))
    words = [
        "sweep",
        "--config",
        "r.json",
        "--over",
        "method.lr=1e-6,5e-3",
        "--seeds",
        "2",
        "--out",
        "s",
        "--json",
    ]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout[done.stdout.index("{") :])
    assert told["chosen"] == {"method.lr": 5e-3}
    page = (tmp_path / "s" / "report.html").read_text()
    assert "the test rows were not used for the choice" in page
    assert "method.lr = 0.005" in page
    assert (tmp_path / "s" / "figures" / "sweep.png").stat().st_size > 3000


REFUSED = [
    (["--over", "method.lrr=1,2"], "must be one it has"),
    (["--over", "method.lr=1e-3", "--set", 'split.by="none"'], "rows that nothing is learnt from"),
    (["--over", "method.lr=1e-3", "--by", "sample_quality.nothing"], "must have this score"),
    (["--over", "method.lr=1e-3", "--halving", "1"], "--halving must be at least 2"),
    (["--over", "method.lr=1e-6..1e-2"], "ranges require --trials"),
    (["--over", "lr"], "must read key.path=value"),
    (["--over", "lr=1e-3,1e-2"], "one of the method or of its data, got 'lr'"),
    (["--over", "seed=0,1"], "seeds are no setting to choose"),
    (["--over", "tasks.0.method.seed=0,1"], "--seeds 3 fits each setting with three seeds"),
    (["--over", "split.held=0.1,0.3"], "compared on the same validation rows"),
    (["--over", "method.steps=4,8", "--halving", "2"], "--halving chooses the steps of each rung"),
    (["--over", "method.lr=1e-3", "--by", "copied_rows.closer"], "must say which way is better"),
]


def test_without_optuna_the_install_line_is_printed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    (tmp_path / "r.json").write_text(json.dumps(recipe(tmp_path / "data")))
    words = ["sweep", "-c", str(tmp_path / "r.json"), "-o", str(tmp_path / "s"), "-q"]
    done = CliRunner().invoke(app, [*words, "--over", "method.lr=1e-4..1e-2", "--trials", "2"])
    assert "pip install 'interpolants[search]'" in done.output
    assert done.exit_code != 0
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(("words", "said"), REFUSED)
def test_what_cannot_be_swept_is_refused(tmp_path, words, said):
    (tmp_path / "r.json").write_text(json.dumps(recipe(tmp_path / "data")))
    done = CliRunner().invoke(
        app, ["sweep", "-c", str(tmp_path / "r.json"), "-o", str(tmp_path / "s"), "-q", *words]
    )
    assert done.exit_code == 2
    assert said in done.output
