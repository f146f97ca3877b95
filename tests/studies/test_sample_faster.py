"""The table of ways to sample: its front, its gaps, its judge; and the whole of it in its smallest size."""

import pytest
import torch
from studies.common import run
from studies.sample_faster import experiment
from studies.sample_faster.experiment import SETTINGS, STUDY
from studies.sample_faster.judge import DIGITS, FASHION, distances, images, judge
from studies.sample_faster.systems import EXIT, FEW, FITTED, MAP, ONCE, STRAIGHT, SYSTEMS

from interpolants.data import load_fashion_mnist
from interpolants.data.bundled import is_there
from interpolants.framework.answered import measured
from interpolants.framework.seeds import Results

CASE = f"{DIGITS}: {ONCE}"


def results(rows, seeds=(0,)):
    """Rows: name -> seconds and distance."""
    values, timed = {}, []
    for name, (seconds, distance) in rows.items():
        values |= {f"{name}, evaluations": 1, f"{name}, judge": distance, f"{name}, components": distance}
        values[f"{name}, seconds"] = seconds
        timed.append(f"{name}, seconds")
    answers = {(CASE, seed): measured(values, timed=timed) for seed in seeds}
    return Results(SETTINGS["laptop"], answers)


def test_the_front_has_the_rows_that_none_is_faster_and_better_than():
    rows = {
        "slow": (9.0, 0.1),
        "middle": (3.0, 0.5),
        "beaten": (4.0, 0.6),
        "fast": (1.0, 2.0),
        "equal": (5.0, 0.5),
    }
    assert experiment._front(results(rows), DIGITS) == {(CASE, name) for name in ("slow", "middle", "fast")}


def test_what_was_not_measured_is_said():
    text = experiment.table(results({"DDIM 5": (1.0, 1.0)}, seeds=(0, 2)))
    assert "digits: trained once (seeds 1)" in text
    assert "digits: early exit (seeds 0, 1, 2)" in text
    assert "Not measured.\n" in text  # a data set without any row
    assert "| **DDIM 5** | – | 1 | 1.00 ± 0.00 |" in text


def test_all_ways_of_the_question_are_there():
    assert list(SYSTEMS) == [ONCE, FEW, FITTED, STRAIGHT, MAP, EXIT]
    assert len(experiment.cases(SETTINGS["laptop"])) == 12


@pytest.mark.slow
def test_the_judge_reads_digits_and_its_distance_sees_noise():
    pytest.importorskip("sklearn")
    data = images(DIGITS, 600)
    assert abs(float(data.train.mean())) < 1e-5
    assert float(data.train.std()) == pytest.approx(1.0, abs=1e-5)
    net = judge(DIGITS, 600, 200)
    assert net.accuracy(data.test, data.test_labels) > 0.85
    near, far = (distances(x, DIGITS, 600, 200) for x in (data.train, torch.randn_like(data.train)))
    assert near["judge"] < 0.2 * far["judge"]
    assert near["components"] < 0.2 * far["components"]


@pytest.mark.slow  # about 20 s; of Fashion-MNIST one way, and none where it is not installed
def test_the_quick_size_measures_every_way(tmp_path):
    pytest.importorskip("sklearn")
    there = is_there(load_fashion_mnist)
    only = [case for case in experiment.cases(SETTINGS["quick"]) if case.startswith(DIGITS)]
    only += [f"{FASHION}: {STRAIGHT}"] if there else []
    found = run(STUDY, "quick", range(1), tmp_path, only=only)
    assert found.cases == only
    assert len(experiment._samplers(found, CASE)) == 25
    assert (tmp_path / "sample_faster.png").stat().st_size > 10_000
