import pytest
import torch
from studies.causal_training import experiment
from studies.causal_training.experiment import AC, KS, LAPTOP, LV, STUDY
from studies.common import run
from torch.testing import assert_close


def test_the_steepness_follows_from_the_eps_of_the_published_runs():
    """``steepness = eps n / T`` of the three ladders."""
    told = {LV: [64 / 5.5, 640 / 5.5], AC: [10.0, 50.0], KS: [4.8e-3, 4.8e-2, 0.48]}
    for system, steepness in told.items():
        problem = experiment._SYSTEMS[system](**LAPTOP[system]["problem"])
        assert experiment.ladder(LAPTOP[system], problem.end) == pytest.approx(steepness)


def test_both_phases_grow_out_of_the_unstable_state():
    problem = experiment._SYSTEMS[AC](**LAPTOP[AC]["problem"])
    at = torch.tensor([[0.0, 0.0], [2.0, 0.0], [2.0, -1.0], [2.0, 0.5]]).double()
    assert_close(problem.truth_at(at)[:, 0], torch.tensor([0.2, 1.0, -1.0, 0.0]).double(), atol=2e-3, rtol=0)


@pytest.mark.slow  # about 15 s
def test_the_quick_study_runs_to_its_table_and_figure(tmp_path):
    results = run(STUDY, "quick", range(1), tmp_path)
    assert (tmp_path / "causal_training.png").stat().st_size > 10_000
    assert "runs have an error above" in (tmp_path / "table.md").read_text()
    for case in results.cases:
        # A network that was trained for 30 steps is wrong, and its weight on fresh times says so.
        assert results.values(case, "relative_l2")[0] > 0.1
        assert results.values(case, "w_min")[0] < 0.9
