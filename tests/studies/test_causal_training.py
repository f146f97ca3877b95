import pytest
import torch
from studies.causal_training import experiment
from studies.causal_training.experiment import AC, KS, LAPTOP, LV, STUDY
from studies.common import run
from torch.testing import assert_close


def test_the_steepness_is_that_of_the_causal_ladders_last_rung():
    problem = experiment._SYSTEMS[LV](**LAPTOP[LV]["problem"])
    assert experiment.steepness(LAPTOP[LV], problem) == pytest.approx(10.0 * 64 / 5.5)
    problem = experiment._SYSTEMS[KS](**LAPTOP[KS]["problem"])
    assert experiment.steepness(LAPTOP[KS], problem) == pytest.approx(3e-3 * 32 / 0.2)


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
