import pytest
import torch
from studies.bridges_compared import experiment
from studies.bridges_compared.experiment import STUDY
from studies.common import run
from torch.testing import assert_close


@pytest.mark.parametrize("distribution", ["Gaussians, 2-D", "EOT pair, 2-D"])
def test_draws_and_moments_of_a_problem_are_one_plan(distribution):
    exact = experiment.problem(distribution, 0)
    g = torch.Generator().manual_seed(0)
    start = exact.ends(1, g)[0]
    mean, covariance = exact.moments(start)
    x = exact.draw(start.expand(40_000, 2), g)
    # Four standard errors of 40,000 draws, whose fourth moments stay below six squared variances.
    spread = covariance[0].diagonal().sqrt()
    assert bool(((x.mean(0) - mean[0]).abs() < 4 * spread / 200).all())
    assert_close(torch.cov(x.T), covariance[0], rtol=0, atol=float(4 * 6**0.5 / 200 * spread.max() ** 2))


def test_the_exact_drift_has_no_error_and_zero_drift_all_of_it():
    exact = experiment.problem("EOT pair, 2-D", 1)
    assert experiment._drift_error(exact, lambda x, t: exact.drift(x.double(), t), 0) < 1e-5
    assert experiment._drift_error(exact, lambda x, t: torch.zeros_like(x), 0) == pytest.approx(1.0)


def test_digits_are_split_without_overlap_and_scaled():
    pytest.importorskip("sklearn")
    sets = experiment.digits(0)
    assert all(x.shape[1] == experiment.COMPONENTS for x in sets.values())
    assert torch.cat([sets["x0"], sets["x1"]]).std(0).mean().item() == pytest.approx(1.0, abs=1e-3)
    assert float(torch.cdist(sets["x0"], sets["test x0"]).min()) > 0.05
    assert torch.equal(sets["x1"], experiment.digits(0)["x1"])


@pytest.mark.slow  # about 15 s
def test_the_quick_study_runs_to_its_table_and_figure(tmp_path):
    pytest.importorskip("sklearn")
    results = run(STUDY, "quick", range(1), tmp_path)
    assert (tmp_path / "bridges_compared.png").stat().st_size > 10_000
    # The noise of measuring the truth by samples lies below what few iterations leave.
    floor = results.values("Gaussians, 16-D / exact plan", "conditional")[0]
    assert results.values("Gaussians, 16-D / interpolant", "conditional")[0] > 2 * floor
