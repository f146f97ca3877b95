import pytest
import torch
from studies.common import run
from studies.guidance import experiment
from studies.guidance.experiment import STUDY


def test_spread_is_the_mean_squared_distance_within_a_class(generator):
    x = torch.randn(6000, 3, generator=generator) * torch.tensor([1.0, 2.0, 0.5])
    labels = torch.arange(6000) % 2
    x[labels == 1] += 100  # between classes it does not count
    assert experiment.spread(x, labels) == pytest.approx(2 * (1 + 4 + 0.25), rel=0.05)


def test_every_strength_is_a_case_and_the_interval_holds_for_those_above_one():
    cases = experiment.cases(experiment.SETTINGS["quick"])
    assert cases == ["everywhere, w = 0", "everywhere, w = 1", "everywhere, w = 3", "t in [0.2, 0.8], w = 3"]


@pytest.mark.slow  # trains for 30 steps, about 5 s
def test_the_quick_study_runs_to_its_table_and_figure(tmp_path):
    results = run(STUDY, "quick", range(1), tmp_path)
    assert (tmp_path / "guidance.png").stat().st_size > 10_000
    assert results.values("everywhere, w = 1", "accuracy on real")[0] > 0.95
