"""The study of noise on thin data: its yardsticks have known values, and the quick size runs to its figures."""

import math

import pytest
import torch
from studies.common import run
from studies.singular import experiment
from studies.singular.experiment import STUDY

from interpolants.problems import ClosedCurve


def test_the_distance_to_a_shifted_set_is_the_shift(generator):
    x = ClosedCurve().sample(200, generator=generator)
    shift = torch.tensor([0.3, 0.0, 0.4], dtype=torch.float64)
    far = x + 100 * shift
    assert experiment.w1(x[torch.randperm(200, generator=generator)], far) == pytest.approx(50.0)


def test_points_on_the_curve_are_on_it_and_the_centre_is_not(generator):
    x = ClosedCurve().sample(50, generator=generator)
    assert experiment.off_the_curve(x) < 2e-3
    # the nearest points to the origin have cos 2a = 0: distance 1
    assert experiment.off_the_curve(torch.zeros(1, 3, dtype=torch.float64)) == pytest.approx(1.0, abs=1e-4)


def test_levels_are_in_data_units_and_fixed_noise_stays_above_the_least():
    x = ClosedCurve().sample(500, generator=torch.Generator().manual_seed(0)).float()
    assert experiment.unit(x) == pytest.approx(math.sqrt((0.5 + 0.5 + 0.125) / 3), rel=0.05)
    settings = {**experiment.SETTINGS["quick"]["curve"], "steps": 2, "compared": 50}
    found = experiment._curve("fixed", 0.4, 0, settings)
    assert found["s"].value == pytest.approx(math.hypot(0.003, 0.4))


def test_cases_are_distinct_and_none_is_missing():
    cases = experiment.cases(experiment.SETTINGS["laptop"])
    assert len(set(cases)) == len(cases) == 4 + 3 + 5 + 2 + 2 + 2 + 2


@pytest.mark.slow  # three curves of 500 steps and two encoders of 150, about 10 s of one core
def test_the_quick_study_runs_and_too_much_noise_loses_the_curve(tmp_path):
    results = run(STUDY, "quick", range(1), tmp_path)
    assert (tmp_path / "noise.png").stat().st_size > 5_000

    def value(level, name):
        return results.values(f"curve, learnt, noise {level:g}", name)[0]

    assert value(0.8, "W1") > 1.8 * min(value(0.0, "W1"), value(0.1, "W1"))
    assert value(0.1, "off the curve") < 0.05
