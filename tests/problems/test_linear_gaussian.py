import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.operators import Mask
from interpolants.problems import GaussianMixture, LinearGaussian, get_problem

F64 = torch.float64
A = torch.tensor([[1.0, 0.5, -0.3], [0.0, 1.0, 2.0]], dtype=F64)
R = torch.tensor([[0.3, 0.1], [0.1, 0.2]], dtype=F64)
PRIOR = GaussianMixture.random(3, 3, 1.5, seed=2)
Y = torch.tensor([0.8, -1.1], dtype=F64)


def states(n):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(0), dtype=F64)


@pytest.mark.parametrize("prior", [PRIOR, Gaussian(mean=torch.tensor([1.0, 0.0, -1.0]), scale=0.7), None])
def test_bayes_rule_holds_point_by_point(prior):
    problem = LinearGaussian(A, R, prior)
    x = states(20)
    joint = problem.log_prob(x) + problem.log_likelihood(Y, x)
    assert_close(problem.posterior(Y).log_prob(x), joint - problem.evidence().log_prob(Y[None]))


def test_the_likelihood_is_a_gaussian_about_the_image():
    x = states(5)
    wanted = torch.distributions.MultivariateNormal(x @ A.T, R).log_prob(Y)
    assert_close(LinearGaussian(A, R, PRIOR).log_likelihood(Y, x), wanted)


def test_posterior_mean_and_evidence_by_weighted_draws():
    problem, n = LinearGaussian(A, R, PRIOR), 200_000
    x = problem.sample(n, generator=torch.Generator().manual_seed(6))
    w = problem.log_likelihood(Y, x).exp()
    evidence = problem.evidence().log_prob(Y[None]).exp()
    assert abs(float(w.mean() - evidence)) <= 4 * float(w.std()) / n**0.5
    w = w / w.sum()
    mean = w @ x
    error = (w.square() @ (x - mean).square()).sqrt()
    assert bool(((problem.posterior(Y).mean - mean).abs() <= 4 * error).all())


def test_observed_draws_have_the_evidence_as_distribution():
    problem, n = LinearGaussian(A, R, PRIOR), 40_000
    drawn = problem.sample_joint(n, generator=torch.Generator().manual_seed(7))
    distribution = problem.evidence()
    gap = (drawn.y.mean(0) - distribution.mean).abs()
    assert bool((gap <= 4 * (distribution.covariance.diagonal() / n).sqrt()).all())
    rest = drawn.y - drawn.x @ A.T
    slack = ((R.diagonal()[:, None] * R.diagonal() + R.square()) / n).sqrt()
    assert bool(((rest.T.cov() - R).abs() <= 4 * slack).all())


def test_sharp_observations_keep_a_positive_definite_posterior():
    posterior = LinearGaussian(A, 1e-10, PRIOR).posterior(Y)
    assert_close(A @ posterior.mean, Y, rtol=0, atol=1e-8)
    assert float(torch.linalg.eigvalsh(posterior.covariances).min()) > 0


def test_posterior_means_of_many_observations_are_those_of_each():
    problem = LinearGaussian(A, R, PRIOR)
    y = problem.sample_joint(6, generator=torch.Generator().manual_seed(8)).y
    assert_close(problem.posterior_mean(y), torch.stack([problem.posterior(row).mean for row in y]))
    assert problem.posterior_mean(y.float()).dtype == torch.float32


def test_an_operator_stands_for_its_matrix():
    seen = Mask(torch.tensor([True, False, True]))
    by_matrix = LinearGaussian(torch.eye(3, dtype=F64)[[0, 2]], R, PRIOR)
    assert_close(LinearGaussian(seen, R, PRIOR).posterior(Y).mean, by_matrix.posterior(Y).mean)
    with pytest.raises(
        InvalidInputError, match="prior must be a mixture where A is an Operator, got NoneType"
    ):
        LinearGaussian(seen, R)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((torch.ones(3), 1.0), r"operator must have shape \(M, D\), got \(3,\)"),
        ((A, -1.0), "noise must be positive definite, got smallest eigenvalue -1"),
        ((A, torch.ones(3)), r"noise must be a number or have shape \(2,\) or \(2, 2\), got \(3,\)"),
        ((A, 1.0, GaussianMixture.random(2, 2)), "prior must have 3 dimensions, like A, got 2"),
    ],
)
def test_bad_parameters_are_refused(settings, message):
    with pytest.raises(InvalidInputError, match=message):
        LinearGaussian(*settings)


def test_one_observation_at_a_time():
    problem = get_problem("linear_gaussian", operator=[[1.0, 0.0]], noise=0.5)
    with pytest.raises(InvalidInputError, match=r"y must have shape \(1,\), got \(2, 1\). Call it once"):
        problem.posterior(torch.zeros(2, 1))
    # Scalar case by hand: prior N(0, 1), noise 1/2, y = 1: mean 2/3, variance 1/3.
    posterior = problem.posterior(torch.ones(1))
    assert_close(posterior.mean, torch.tensor([2 / 3, 0.0], dtype=F64))
    assert_close(posterior.covariance, torch.tensor([[1 / 3, 0.0], [0.0, 1.0]], dtype=F64))
