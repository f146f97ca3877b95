import math

import pytest
import torch
from studies.common import run
from studies.feynman_kac import experiment
from studies.feynman_kac.experiment import STUDY

from interpolants.foundations.randomness import generator as seeded
from interpolants.problems import GaussianMixture

F64 = torch.float64


def test_true_draws_of_a_power_are_judged_right():
    beta, count = 3.0, 40_000
    shares = experiment.WEIGHTS**beta * experiment.STDS ** (2 * (1 - beta))
    mode = torch.multinomial(shares, count, replacement=True, generator=seeded(0))
    noise = torch.randn(count, 2, dtype=F64, generator=seeded(1))
    x = experiment.CENTRES[mode] + (experiment.STDS[mode] / beta**0.5)[:, None] * noise
    problem = experiment.annealing(beta)
    found = problem.judge(x, torch.full((count,), 1 / count, dtype=F64), 0, {})
    assert found["TV of modes"] < 4 * 0.5 / math.sqrt(count) * 2
    assert found["variance ratio"] == pytest.approx(1, abs=0.03)
    # and draws of the distribution itself are not
    plain = experiment.FOUR.sample(count, generator=seeded(2))
    wrong = problem.judge(plain, torch.full((count,), 1 / count, dtype=F64), 0, {})
    assert wrong["TV of modes"] > 0.3
    assert wrong["variance ratio"] == pytest.approx(beta, rel=0.15)


def test_the_constant_of_a_power_is_that_of_a_grid():
    grid = experiment.Grid(lambda x: 2 * experiment.FOUR.log_prob(x))
    # Modes are five standard deviations apart at least: the sum of their powers is the power of their sum to 1e-3.
    assert experiment.annealing(2.0).log_z == pytest.approx(grid.log_z, abs=2e-3)


def test_a_grid_has_the_moments_of_its_distribution_and_draws_from_it():
    distribution = GaussianMixture(
        [1.0], torch.tensor([[0.5, -1.0]], dtype=F64), torch.tensor([0.7], dtype=F64)
    )
    grid = experiment.Grid(lambda x: distribution.log_prob(x) + 0.3)
    assert grid.log_z == pytest.approx(0.3, abs=1e-7)
    torch.testing.assert_close(grid.mean, distribution.mean, atol=1e-6, rtol=0)
    x = grid.sample(20_000, seeded(3))
    torch.testing.assert_close(x.mean(0), distribution.mean, atol=4 * 0.85 / 20_000**0.5, rtol=0)
    even = torch.full((20_000,), 1 / 20_000, dtype=F64)
    found = grid.judge(x, even, 0, {"draws": 1000})
    assert found["mean error"] < 0.03
    assert abs(found["energy distance"]) < 0.02


def test_the_average_of_two_bridges_and_the_product_of_digits_are_proper():
    for task in ("bridges, average", "digits, product"):
        assert math.isfinite(experiment.problem_of(task).log_z)
    assert all(distribution.dim == 2 for distribution in experiment.digit_distributions())


@pytest.mark.slow  # twelve small runs and two fits, about 8 s
def test_the_quick_study_runs_to_its_table_and_figure(tmp_path):
    results = run(STUDY, "quick", range(1), tmp_path)
    assert (tmp_path / "targets.png").stat().st_size > 5_000
    assert results.values(f"annealing, beta = 2: {experiment.VELOCITY}", "TV of modes")[0] < 0.2
    assert "**Claims**" in (tmp_path / "table.md").read_text()
