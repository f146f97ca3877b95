import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.types import Distribution
from interpolants.problems import GaussianMixture, get_problem, paper_mixture, random_mixture
from problems.bridges import F64, RHO0, RHO1, states

DIAGONAL = GaussianMixture([0.25, 0.75], [[0.0, 1.0], [2.0, -1.0]], [[0.5, 2.0], [1.0, 0.3]]).to(dtype=F64)
ROUND = GaussianMixture([0.25, 0.75], [[0.0, 1.0], [2.0, -1.0]], [0.5, 1.3]).to(dtype=F64)
EACH = pytest.mark.parametrize(
    "distribution", [RHO0, RHO1, DIAGONAL, ROUND], ids=["full2", "full3", "diagonal", "round"]
)


@EACH
def test_density_integrates_to_one_and_gives_the_moments(distribution):
    side = torch.linspace(-12, 12, 481, dtype=F64)
    x = torch.cartesian_prod(side, side)
    mass = distribution.log_prob(x).exp() * (side[1] - side[0]) ** 2
    # The trapezoid rule is spectrally accurate for Gaussians that are wider than the grid.
    assert_close(mass.sum(), torch.ones((), dtype=F64), rtol=1e-9, atol=1e-9)
    mean = mass @ x
    assert_close(mean, distribution.mean, rtol=1e-8, atol=1e-8)
    assert_close((mass[:, None] * (x - mean)).mT @ (x - mean), distribution.covariance, rtol=1e-8, atol=1e-8)


@EACH
def test_score_is_the_slope_of_the_log_density(distribution):
    x = states(20).requires_grad_()
    (slope,) = torch.autograd.grad(distribution.log_prob(x).sum(), x)
    assert_close(distribution.score(x.detach()), slope)


def test_log_density_agrees_with_torchs_own():
    parts = torch.distributions.MultivariateNormal(RHO1.means, RHO1.covariances)
    wanted = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(RHO1.weights), parts)
    x = states(50)
    assert_close(RHO1.log_prob(x), wanted.log_prob(x))
    joint = parts.log_prob(x[:, None]) + RHO1.weights.log()
    assert_close(RHO1.responsibilities(x), (joint - joint.logsumexp(1, keepdim=True)).exp())


def test_far_states_keep_a_finite_density_and_score():
    x = torch.tensor([[3e3, -2e3]], dtype=F64)
    assert bool(torch.isfinite(RHO1.log_prob(x)).all())
    assert bool(torch.isfinite(RHO1.score(x)).all())


@EACH
def test_no_samples_are_none(distribution):
    drawn = distribution.sample_with_labels(0)
    assert drawn.x.shape == (0, 2)
    assert drawn.label.shape == (0,)
    assert drawn.label.dtype == torch.int64


@EACH
def test_samples_have_the_distribution(distribution):
    n = 40_000
    drawn = distribution.sample_with_labels(n, generator=torch.Generator().manual_seed(2))
    share = torch.bincount(drawn.label, minlength=distribution.n_modes) / n
    error = (distribution.weights * (1 - distribution.weights) / n).sqrt()
    assert bool(((share - distribution.weights).abs() <= 4 * error).all())
    for k in range(distribution.n_modes):
        x = drawn.x[drawn.label == k]
        spread = distribution.variances[k]
        assert bool(((x.mean(0) - distribution.means[k]).abs() <= 4 * (spread / len(x)).sqrt()).all())
        # A sample covariance has variance (C_ii C_jj + C_ij^2)/n.
        c = distribution.covariances[k]
        slack = ((c.diagonal()[:, None] * c.diagonal() + c.square()) / len(x)).sqrt()
        assert bool(((x.T.cov() - c).abs() <= 4 * slack).all())


def test_a_generator_decides_the_draw_and_precision_follows_the_parameters():
    draws = [RHO1.sample(7, generator=torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*draws)
    low = RHO1.to(dtype=torch.float32)
    assert low.sample(3, generator=torch.Generator().manual_seed(5)).dtype == torch.float32
    x = states(6)
    assert RHO1.log_prob(x.float()).dtype == torch.float32
    assert_close(RHO1.score(x.float()).double(), RHO1.score(x), rtol=1e-4, atol=1e-5)


def test_random_mixtures_repeat_and_spread_as_asked():
    distribution = random_mixture(n_modes=4, dim=3, seed=9)
    assert torch.equal(distribution.means, random_mixture(n_modes=4, dim=3, seed=9).means)
    assert not torch.equal(distribution.means, random_mixture(n_modes=4, dim=3, seed=10).means)
    paper = paper_mixture(seed=1)
    assert (paper.n_modes, paper.dim, paper.event_shape) == (5, 128, (128,))
    # 640 entries: the standard error of a standard deviation is 7.5/sqrt(1280).
    assert abs(float(paper.means.std()) - 7.5) < 4 * 7.5 / 1280**0.5
    # E[W^T W/d + Id] = 2 Id; the trace over d is a mean of chi-squares, of standard error sqrt(2)/128 each.
    assert abs(float(paper.variances.mean()) - 2) < 4 * 2**0.5 / 128 / 5**0.5


@pytest.mark.parametrize(
    "distribution",
    [
        Gaussian(),
        Gaussian(mean=torch.tensor([1.0, 2.0]), scale=0.5),
        Gaussian(covariance=RHO0.covariances[0]),
    ],
)
def test_a_gaussian_becomes_one_mode(distribution):
    x = states(5)
    mixture = GaussianMixture.from_gaussian(distribution, 2)
    assert_close(mixture.log_prob(x), distribution.log_prob(x))
    assert_close(mixture.score(x), distribution.score(x))


def test_it_is_a_distribution_and_comes_by_name():
    assert isinstance(RHO0, Distribution)
    distribution = get_problem("gaussian_mixture", weights=[1.0], means=[[0.0, 0.0]], covariances=[1.0])
    assert distribution.dtype == torch.float32
    assert get_problem("random_mixture", n_modes=2, dim=4).dim == 4
    assert get_problem("paper_mixture").dim == 128
    with pytest.raises(InvalidInputError, match="Did you mean 'gaussian_mixture'"):
        get_problem("gaussian_mixtur")
    with pytest.raises(InvalidInputError, match="Did you mean 'n_modes'"):
        get_problem("random_mixture", n_mode=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (([0.5, 0.6], [[0.0], [1.0]], [1.0, 1.0]), r"weights must sum to 1, got 1\.1"),
        (([0.0, 1.0], [[0.0], [1.0]], [1.0, 1.0]), "weights must be > 0"),
        (([1.0], [[0.0], [1.0]], [1.0, 1.0]), r"weights must have shape \(2,\)"),
        (([1.0], [0.0], [1.0]), r"means must have shape \(K, D\), got \(1,\)"),
        (([1.0], [[0.0, 1.0]], [1.0, 1.0]), r"covariances must have shape \(1, 2, 2\), \(1, 2\) or \(1,\)"),
        (([1.0], [[0.0, 1.0]], [-1.0]), "variances must be > 0, got -1"),
        (([1.0], [[0.0, 1.0]], [[[1.0, 0.0], [0.5, 1.0]]]), "covariance 0 must be symmetric"),
        (
            ([1.0], [[0.0, 1.0]], [[[1.0, 2.0], [2.0, 1.0]]]),
            "covariance 0 must be positive definite, got smallest",
        ),
        (([1.0], [[0.0, float("nan")]], [1.0]), "means must be finite"),
    ],
)
def test_bad_parameters_are_refused_with_their_value(settings, message):
    with pytest.raises(InvalidInputError, match=message):
        GaussianMixture(*settings)


def test_states_of_another_shape_are_refused():
    with pytest.raises(InvalidInputError, match=r"x must have shape \(B, 2\), got \(4, 3\)"):
        RHO0.log_prob(torch.zeros(4, 3))
