import pytest
import torch
from studies.common import run
from studies.inverse_problems import experiment
from studies.inverse_problems.experiment import STUDY

from interpolants.problems import LinearGaussian

QUICK = tuple(sorted(experiment.SETTINGS["quick"].items()))


def test_moments_and_evidence_on_the_grid_are_those_of_the_mixture():
    task = experiment.plane(experiment.LINEAR, 0, QUICK)
    prior = experiment.GaussianMixture.random(4, 2, 1.5, seed=3)
    prior = experiment.GaussianMixture(prior.weights, prior.means, 0.3 * prior.covariances)
    problem = LinearGaussian(torch.tensor([[1.0, 0.6]], dtype=torch.float64), task.noise**2, prior)
    torch.testing.assert_close(task.exact, problem.posterior_mean(task.y), atol=1e-6, rtol=0)
    torch.testing.assert_close(task.log_evidence, problem.evidence().log_prob(task.y), atol=1e-6, rtol=0)
    spreads = torch.stack([problem.posterior(row).covariance.diagonal().sqrt() for row in task.y])
    torch.testing.assert_close(task.std, spreads, atol=1e-6, rtol=0)


def test_what_is_measured_of_an_answer():
    task = experiment.digits(experiment.HALF, 0, QUICK)
    assert task.judge(task.exact)["off the exact mean"] == 0
    assert task.judge(task.exact)["residual"] < 1e-3
    # An error of 0.2 everywhere is 20 log10(2 / 0.2) dB.
    assert task.judge(task.truth + 0.2)["PSNR"] == pytest.approx(20.0)
    plane = experiment.plane(experiment.RING, 0, QUICK)
    assert plane.judge(plane.exact + plane.std)["off, in posterior std"] == pytest.approx(1.0)
    torch.testing.assert_close(plane.operator(plane.truth)[:, 0], plane.truth.norm(dim=1), atol=1e-6, rtol=0)


def test_the_runs_of_the_paper_have_single_draws_and_its_averages():
    runs = experiment.red_options(experiment.SETTINGS["laptop"])
    assert runs["RED-diff, 1000 steps"] == {"antithetic": False, "betas": (0.9, 0.99), "n_steps": 1000}
    assert runs["RED-diff, 100 pairs"] == {"n_steps": 100}
    assert len(runs) == 13


@pytest.mark.slow  # 39 short runs, about 5 s
def test_the_quick_study_runs_to_its_table_and_figure(tmp_path):
    results = run(STUDY, "quick", range(1), tmp_path)
    assert (tmp_path / "inverse_problems.png").stat().st_size > 5_000
    assert results.values(f"{experiment.HALF}: RED-diff, 10 pairs", "evaluations") == [20.0]
    assert results.values(f"{experiment.LINEAR}: {experiment.SMC}", "log evidence error")[0] < 2
