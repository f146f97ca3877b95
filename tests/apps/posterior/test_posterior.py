"""theta ~ N(0, I), x = theta + n / 2: the posterior is N(0.8 x, 0.2); of m observations it has precision 1 + 4 m."""

import functools
import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import interpolants as itp
from interpolants.apps.posterior import Box, GaussianLinear, LogNormal, Normal, Posterior, TwoMoons
from interpolants.apps.posterior.composition import _prior_score, composition
from interpolants.apps.posterior.posterior_checks import check_posterior
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import DataWarning, FitWarning, OutsideWarning
from interpolants.paths import OneSidedLinear

X = torch.tensor([0.5, -0.5], dtype=torch.float64)
SMALL = {"net": {"kind": "mlp", "width": 64, "depth": 3}, "steps": 800, "batch_size": 256}
TINY = {"net": {"kind": "mlp", "width": 8, "depth": 1}, "steps": 5, "batch_size": 32}


def simulations(prior, n=4000):
    g = torch.Generator().manual_seed(0)
    theta = prior.sample(n, generator=g)
    return theta, theta + 0.5 * torch.randn(theta.shape, generator=g, dtype=torch.float64)


@functools.cache
def normal():
    prior = Normal([0.0, 0.0], [1.0, 1.0])
    return Posterior(prior, **SMALL).fit(*simulations(prior))


@functools.cache
def tiny():
    prior = Box([-1.0, -1.0], [1.0, 1.0])
    return Posterior(prior, **TINY).fit(*simulations(prior, 1200))


@pytest.mark.slow
def test_draws_and_densities_are_those_of_the_conjugate_posterior():
    draws = normal().sample(4000, x=X)
    assert_close(draws.mean(0), 0.8 * X, rtol=0, atol=0.05)
    assert_close(draws.std(0), torch.full((2,), 0.2**0.5).double(), rtol=0.08, atol=0)
    side = torch.linspace(-2, 3, 51, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side - 1)
    assert abs(float(normal().log_prob(grid, x=X).exp().sum()) * 0.01 - 1) < 1e-3


def test_a_new_prior_by_weights_is_the_conjugate_one():
    """The spec's check: N(1, 0.09) on N(0.8, 0.2) is N(1, 0.257248^2)."""
    new = normal().with_prior(Normal([1.0, 1.0], [0.3, 0.3]))
    one = torch.ones(2, dtype=torch.float64)
    draws = new.sample(2000, x=one)
    assert_close(draws.mean(0), one, rtol=0, atol=0.05)
    assert_close(draws.std(0), one * 0.257248, rtol=0.08, atol=0)
    exact = -2 * math.log(0.257248 * math.sqrt(2 * math.pi))
    assert abs(float(new.log_prob(one[None], x=one)) - exact) < 0.25
    assert 0.3 < new.ess(one) < 0.6  # 0.659^2 = 0.434 in two coordinates
    assert normal().ess(one) == 1.0


def test_the_summary_is_that_of_the_conjugate_posterior():
    table = normal().summary(X)
    assert list(table.index) == ["theta 1", "theta 2"]
    width = 0.2**0.5
    for column, exact in {"mean": 0.8 * X, "50%": 0.8 * X, "5%": 0.8 * X - 1.645 * width}.items():
        assert_close(torch.tensor(table[column].to_numpy()), exact, rtol=0, atol=0.1)
    assert table["contraction"].between(0.74, 0.86).all()
    assert (table["ess"] == 2000).all()
    narrow = normal().with_prior(Normal([1.0, 1.0], [0.3, 0.3])).summary(torch.ones(2).double())
    assert narrow["ess"].between(600, 1200).all()  # 0.434 of 2,000
    assert narrow["contraction"].between(0.16, 0.37).all()  # 1 - 0.257248^2 / 0.09 = 0.265


@pytest.mark.slow
@pytest.mark.parametrize("using", ["particles", "gauss"])
def test_several_observations_are_the_conjugate_posterior(using):
    observed = torch.tensor([[0.5, -0.5], [0.7, -0.2], [0.1, 0.1]], dtype=torch.float64)
    draws = normal().infer(observed, n=1000, using=using)
    assert_close(draws.double().mean(0), observed.sum(0) / 0.25 / 13, rtol=0, atol=0.06)
    assert_close(draws.double().std(0), torch.full((2,), 13**-0.5).double(), rtol=0.12, atol=0)


def test_the_gaussian_composition_is_exact_for_gaussians_at_every_time():
    g = torch.Generator().manual_seed(0)
    path, m = OneSidedLinear(), 8
    prior, single = torch.eye(2).double(), torch.tensor([[0.2, 0.05], [0.05, 0.3]]).double()
    means = torch.randn(m, 2, generator=g, dtype=torch.float64)
    compose = composition(path, prior, [single] * m)
    precision = (1 - m) * torch.eye(2).double() + m * torch.linalg.inv(single)
    cov = torch.linalg.inv(precision)
    mean = cov @ (torch.linalg.inv(single) @ means.sum(0))
    for t in (0.1, 0.6, 0.95):
        alpha, beta, y = 1 - t, t, torch.randn(5, 2, generator=g, dtype=torch.float64)

        def score(mean, cov, y=y, alpha=alpha, beta=beta):
            return -torch.linalg.solve(
                alpha**2 * torch.eye(2).double() + beta**2 * cov, (y - beta * mean).T
            ).T

        time = torch.full((5,), t, dtype=torch.float64)
        found = compose(time, score(torch.zeros(2).double(), prior), [score(one, single) for one in means])
        assert_close(found, score(mean, cov), rtol=1e-6, atol=1e-6)


def test_no_draw_leaves_the_bounds_and_the_density_is_cut_and_normalised():
    side = torch.linspace(-1.2, 1.2, 61, dtype=torch.float64)
    grid, corner = torch.cartesian_prod(side, side), [0.95, 0.95]
    for bounds in ("reject", "probit"):
        post = tiny() if bounds == "reject" else tiny().clone().set_params(bounds=bounds)
        post = post if post.is_fitted else post.fit(*simulations(post.prior, 1200))
        draws = post.sample(200, x=corner)
        assert bool(post.prior.inside(torch.as_tensor(draws)).all())
        density = torch.as_tensor(post.log_prob(grid, x=torch.tensor(corner))).exp()
        inside = post.prior.inside(grid)
        assert bool((density[~inside] == 0).all())
        assert bool((density[inside] > 0).any())
        if bounds == "reject":
            assert abs(float(density.sum()) * 0.04**2 - 1) < 0.1  # of 1,000 draws and a coarse grid
    assert post.state["outside"] == 0


def test_without_bounds_draws_leave_the_box():
    post = tiny().clone().set_params(bounds="none").fit(*simulations(tiny().prior, 1200))
    assert not bool(post.prior.inside(torch.as_tensor(post.sample(300, x=[0.95, 0.95]))).all())


def test_a_row_of_a_draw_does_not_depend_on_how_many_there_are():
    many = tiny().sample(100, x=[0.0, 0.0], seed=3)
    few = tiny().sample(7, x=[0.0, 0.0], seed=3)
    assert_close(torch.as_tensor(many)[:7], torch.as_tensor(few), rtol=0, atol=1e-4)
    one_row = tiny().sample(7, x=torch.zeros(1, 2), seed=3)
    assert_close(torch.as_tensor(one_row), torch.as_tensor(few), rtol=0, atol=1e-6)


def test_it_is_saved_with_its_prior_and_its_new_prior(tmp_path):
    new = tiny().with_prior(Box([-0.5, -0.5], [0.5, 0.5]))
    again = itp.load(new.save(tmp_path / "posterior"))
    assert again.prior == tiny().prior
    assert again.new_prior == new.new_prior
    assert_close(torch.as_tensor(again.sample(20, x=X)), torch.as_tensor(new.sample(20, x=X)))


def test_positive_parameters_stay_positive_and_are_saved(tmp_path):
    prior = LogNormal([0.0, 0.0], [1.0, 0.5])
    post = Posterior(prior, bounds="logit", **TINY).fit(*simulations(prior, 1200))
    draws = torch.as_tensor(post.sample(300, x=[0.05, 0.5]))
    assert float(draws.min()) > 0
    assert post.state["outside"] == 0
    again = itp.load(post.save(tmp_path / "positive"))
    assert_close(torch.as_tensor(again.sample(300, x=[0.05, 0.5])), draws)


def test_failed_simulations_are_dropped_and_counted():
    theta, x = simulations(tiny().prior, 1200)
    x[:7, 0] = math.nan
    with pytest.warns(DataWarning, match="7 of 1200 simulations have NaN"):
        post = Posterior(tiny().prior, **TINY).fit(theta, x)
    assert post.about["dropped"] == 7
    assert post.about["rows"]["theta"] == 1193


def test_counts_are_numbers_and_no_labels():
    theta, x = simulations(tiny().prior, 1200)
    post = Posterior(tiny().prior, **TINY).fit(theta.numpy(), np.round(10 * x.numpy()).astype(int))
    assert np.asarray(post.sample(3, x=[2.5, 0.0])).shape == (3, 2)


def test_its_check_rejects_a_network_that_was_hardly_trained():
    report = tiny().check(n=120)
    assert not report.ok
    assert {check.name for check in report.checks} >= {"SBC, p-value", "TARP, p-value", "contraction"}


def test_bad_input_is_refused_with_its_value():
    prior = tiny().prior
    theta, x = simulations(prior, 1200)
    with pytest.raises(
        InvalidInputError,
        match=r"Posterior.fit: theta must lie within the bounds of the prior, got 1 of 1200 rows",
    ):
        Posterior(prior, **TINY).fit(torch.cat([theta[1:], 2 * torch.ones(1, 2).double()]), x)
    with pytest.raises(InvalidInputError, match=r"theta must have 2 columns.*got 3\. Pass theta first"):
        Posterior(prior, **TINY).fit(torch.cat([x, x[:, :1]], 1), theta)
    with pytest.raises(InvalidInputError, match="got 1200 rows of theta and 1199 of x"):
        Posterior(prior, **TINY).fit(theta, x[1:])
    with pytest.raises(
        InvalidInputError, match=r"the new prior must not be wider than the old, got .*% of its draws"
    ):
        tiny().with_prior(Box([-2.0, -2.0], [2.0, 2.0]))
    with pytest.raises(InvalidInputError, match="NaN or infinite"):
        tiny().sample(5, x=[math.nan, 0.0])
    with pytest.raises(InvalidInputError, match=r"x must have shape \(50, 2\), got \(3, 2\)"):
        tiny().sample(50, x=torch.zeros(3, 2))
    with pytest.raises(InvalidInputError, match=r"fit Posterior\(prior=\.\.\.\)"):
        Posterior(None, **TINY).fit(theta, x).infer(x[:2])


def test_theta_and_x_that_are_swapped_are_refused_with_and_without_bounds():
    drawn = TwoMoons().sample(1200, generator=torch.Generator().manual_seed(0))
    with pytest.raises(
        InvalidInputError, match=r"got .* rows outside .*seem to be swapped. Pass theta first"
    ):
        Posterior(TwoMoons().prior, **TINY).fit(drawn["x"], drawn["theta"])
    problem = GaussianLinear(dim=2)
    drawn = problem.sample(4000, generator=torch.Generator().manual_seed(0))
    with pytest.raises(
        InvalidInputError, match=r"as x are, got column .* is 0\.\d+ from .*seem to be swapped"
    ):
        Posterior(problem.prior, **TINY).fit(drawn["x"], drawn["theta"])


def test_parameters_of_another_prior_are_told_with_their_distance():
    theta, x = simulations(Normal([0.0, 0.0], [0.5, 1.0]), 1200)
    with pytest.warns(
        DataWarning, match=r"column 0 is 0\.1\d from the prior .*for the distribution of theta"
    ):
        Posterior(Normal([0.0, 0.0], [1.0, 1.0]), **TINY).fit(theta, x)


def test_the_density_of_a_row_does_not_depend_on_the_others():
    theta, x = torch.zeros(2, 2).double(), torch.tensor([[-0.3, 0.2], [0.9, 0.9]], dtype=torch.float64)
    together = torch.as_tensor(tiny().log_prob(theta, x=x))
    assert_close(together[1:], torch.as_tensor(tiny().log_prob(theta[1:], x=x[1:])), rtol=0, atol=1e-5)


def test_an_observation_far_from_all_simulations_is_told_with_its_distance():
    with pytest.warns(
        OutsideWarning, match=r"nearest simulation to x = \(5, 0\) is .* standard deviations away"
    ):
        tiny().log_prob([[0.0, 0.0]], x=[5.0, 0.0])


def test_few_simulations_are_told():
    with pytest.warns(FitWarning, match="300 simulations are few"):
        Posterior(tiny().prior, **TINY).fit(*simulations(tiny().prior, 300))


def test_the_stand_in_of_the_prior_is_normal_at_every_time():
    path, y = OneSidedLinear(), torch.tensor([[0.5, -2.0]])
    for t in (0.0, 0.3, 1.0):
        expected = -y / ((1 - t) ** 2 + t**2)
        assert_close(_prior_score(path, y, torch.tensor(t)), expected)


def test_the_check_names_the_coverage_farthest_from_its_level():
    g = torch.Generator().manual_seed(0)
    theta, x = torch.rand(300, 2, generator=g, dtype=torch.float64), torch.zeros(300, 1, dtype=torch.float64)

    class Narrow:
        held_out_simulations = lambda self: (theta, x)  # noqa: E731

        def __init__(self):
            self.state = {"outside": 0.0}

        def rejected_draws(self, n, observed, n_steps, seed):
            draws = torch.rand(n, 2, generator=g, dtype=torch.float64)
            draws[:, 1] = 0.5 + 0.4 * (draws[:, 1] - 0.5)  # intervals of 90 % hold 36 %
            return draws

    line = next(c for c in check_posterior(Narrow(), n=300, seed=0).checks if c.name.startswith("coverage"))
    assert line.value == pytest.approx(0.36, abs=0.1)
