"""Sweeps by Optuna: the same trials twice, after a kill too; pruned trials, ranges, refusals, and the command."""

import csv
import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("optuna")

import optuna

from interpolants.cli.app import app
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework import experiment
from interpolants.runs.optuna_sweep import OptunaSweep, trials_figure
from interpolants.runs.recipe_files import read_recipe
from interpolants.runs.search_space import Range
from interpolants.runs.sweep import Sweep
from interpolants.runs.sweep_run import best_of

STEPS = 60


def recipe(folder, **method):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    np.save(folder / "x.npy", rng.normal(size=(200, 2)) * 0.2 + rng.choice([-3, 3], size=(200, 1)))
    method = {"kind": "bridge", "path": "one_sided_linear", "steps": STEPS, "batch_size": 32, **method}
    method |= {"net": {"kind": "mlp", "width": 16, "depth": 1}, "ema": None, "warmup": 0}
    method |= {"validate_every": 10, "keep_best": "held_out_loss"}
    task = {"data": {"x1": str(folder / "x.npy")}, "split": {"by": "time", "test": 40}}
    return {"tasks": [{**task, "method": method, "ask": [{"question": "sample_quality"}]}]}


SPACE = {"method.lr": Range(1e-6, 1e-1, log=True), "method.net.width": Range(8, 24)}


def made(folder, trials=9, space=SPACE, prune=True, **more):
    return OptunaSweep(Sweep(recipe(folder), (), **more), space, trials, prune)


def told(sweep, out):
    return [(one.setting, one.value, one.steps, one.reason) for one in sweep.finished_trials(out)]


@pytest.mark.slow
def test_the_same_study_twice_and_a_killed_one_give_the_same_trials(tmp_path, monkeypatch):
    sweep = made(tmp_path / "data")
    sweep.run(tmp_path / "one")
    first = told(sweep, tmp_path / "one")
    assert len(first) == 9
    assert {reason for *_, reason in first} == {"", "pruned"}  # or nothing below tells of pruning
    real, count = experiment._run_cell, []

    def killing(run, *rest):
        count.append(rest)
        if len(count) in (2, 5):  # within a fit, after its first validation
            (callback,) = run.fit_options["callbacks"]

            def stop(moment):
                callback(moment)
                if moment.step == 30:
                    raise KeyboardInterrupt

            run.fit_options["callbacks"] = [stop]
        return real(run, *rest)

    monkeypatch.setattr(experiment, "_run_cell", killing)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            sweep.run(tmp_path / "two")
    sweep.run(tmp_path / "two")
    assert told(sweep, tmp_path / "two") == first
    for name in ("sweep.csv", "trials.csv", "best.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.slow
def test_a_study_is_extended_and_its_best_setting_is_that_of_the_table(tmp_path):
    made(tmp_path / "data", 3).run(tmp_path / "a")
    sweep = made(tmp_path / "data", 7)
    rows = sweep.run(tmp_path / "a")
    once = made(tmp_path / "data", 7)
    once.run(tmp_path / "b")
    assert told(sweep, tmp_path / "a") == told(once, tmp_path / "b")
    complete = [one for one in sweep.finished_trials(tmp_path / "a") if not one.reason]
    assert best_of(rows).mean == min(one.value for one in complete)
    chosen = read_recipe(tmp_path / "a" / "best.json")
    assert chosen.tasks[0].method["lr"] == best_of(rows).setting["method.lr"]
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{tmp_path / 'a' / 'optuna.db'}")
    assert study.best_value == best_of(rows).mean
    with pytest.raises(InvalidInputError, match="must have a study of the same settings"):
        made(tmp_path / "data", 7, seeds=2).run(tmp_path / "a")


@pytest.mark.slow
def test_later_trials_look_where_earlier_ones_were_good(tmp_path):
    space = {"method.lr": Range(1e-7, 1e-1, log=True)}
    sweep = made(tmp_path / "data", 22, space, prune=False)
    sweep.run(tmp_path / "a")
    trials = sweep.finished_trials(tmp_path / "a")
    assert all(not one.reason for one in trials)
    assert np.mean([one.value for one in trials[10:]]) < np.mean([one.value for one in trials[:10]])


@pytest.mark.slow
def test_a_score_that_is_better_when_higher_is_maximised(tmp_path):
    recipe(tmp_path / "data")
    sweep = made(tmp_path / "data", 3, by="held_out_likelihood.log_likelihood", seeds=2)
    assert not sweep.prunes
    rows = sweep.run(tmp_path / "a")
    trials = sweep.finished_trials(tmp_path / "a")
    assert {row.better for row in rows} == {"higher"}
    assert best_of(rows).mean == max(one.value for one in trials)
    assert all(len(row.values) == 2 for row in rows)


@pytest.mark.slow
def test_trials_that_diverge_or_are_refused_are_counted_and_lose(tmp_path):
    space = {
        "method.schedule": ["constant", "cosine"],
        "method.restarts": [[], [20]],
        "method.lr": [5e-3, 1e6],
    }
    sweep = OptunaSweep(Sweep(recipe(tmp_path / "data"), ()), space, 12)
    rows = sweep.run(tmp_path / "a")
    reasons = {one.reason for one in sweep.finished_trials(tmp_path / "a")}
    assert any("restarts are for" in reason for reason in reasons), reasons
    assert any("finite losses" in reason for reason in reasons), reasons
    assert {row.setting["method.lr"] for row in rows} == {5e-3}
    figure = trials_figure(sweep.finished_trials(tmp_path / "a"), "loss", higher=False)
    best = figure.panels[0].series[0].arrays["y"].tolist()
    assert best == sorted(best, reverse=True)


def command(tmp_path, *words):
    (tmp_path / "r.json").write_text(json.dumps(recipe(tmp_path / "data")))
    start = ["sweep", "-c", str(tmp_path / "r.json"), "-o", str(tmp_path / "s")]
    return CliRunner().invoke(app, [*start, *words])


@pytest.mark.slow
def test_the_command_writes_trials_report_and_what_to_run_next(tmp_path):
    done = command(tmp_path, "--over", "method.lr=1e-6..1e-2:log", "--trials", "3", "--json")
    assert done.exit_code == 0, done.output
    chosen = json.loads(done.stdout[done.stdout.index("{") :])["chosen"]
    with (tmp_path / "s" / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert chosen["method.lr"] in [float(row["method.lr"]) for row in rows]
    assert all(math.isfinite(float(row["validation"])) for row in rows)
    page = (tmp_path / "s" / "report.html").read_text()
    assert "the test rows were not used for the choice" in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--over", "method.lr=1e-6,1e-2", "--trials", "2", "--halving", "2"], "--trials and --halving"),
        (["--over", "method.lr=1e-6,1e-2", "--trials", "2", "--workers", "2"], "one fit at a time"),
        (["--over", "method.lrr=1..2", "--trials", "2"], "must be one it has"),
        (["--over", "method.lr=1e-6,-1", "--trials", "2"], "lr"),
        (["--over", "seed=0..4", "--trials", "2"], "seeds are no setting to choose"),
        (
            ["--over", "method.lr=1e-3,1e-2", "--trials", "2", "--by", "copied_rows.closer"],
            "better direction",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused(tmp_path, words, said):
    done = command(tmp_path, "-q", *words)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
    assert not (tmp_path / "s" / "trials").exists()
