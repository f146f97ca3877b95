"""Distributions that one-sided paths start from: densities, scores and draws against independent ones."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations import BaseDistribution, Gaussian
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import BlockNoise, by_block
from interpolants.foundations.registry import build, describe, names, rebuild
from interpolants.paths import OneSidedLinear
from interpolants.paths.student_t import StudentT

F64 = torch.float64
MATRIX = torch.tensor([[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 0.7]], dtype=F64)
MEAN = torch.tensor([1.0, -2.0, 0.5], dtype=F64)
DISTRIBUTIONS = {
    "gaussian": Gaussian(),
    "gaussian_full": Gaussian(mean=MEAN, covariance=MATRIX),
    "student_t": StudentT(4.5),
    "student_t_scaled": StudentT(3, mean=MEAN, scale=torch.tensor([0.5, 1.0, 3.0], dtype=F64)),
    "student_t_full": StudentT(1.5, mean=MEAN, dispersion=MATRIX),
}
each_distribution = pytest.mark.parametrize("name", DISTRIBUTIONS)


def points(generator, n=5):
    return 2 * torch.randn(n, 3, generator=generator, dtype=F64)


def squared(z):
    return z.square().flatten(1).sum(1)


@pytest.mark.parametrize("df", [0.7, 1, 4, 64, 1e4])
def test_the_density_is_that_of_scipy(df, generator):
    stats = pytest.importorskip("scipy.stats")
    x = points(generator)
    truth = torch.tensor(stats.multivariate_t(MEAN.numpy(), MATRIX.numpy(), df=df).logpdf(x.numpy()))
    assert_close(StudentT(df, mean=MEAN, dispersion=MATRIX).log_prob(x), truth, rtol=1e-9, atol=1e-9)


def test_the_gaussian_density_is_that_of_torch(generator):
    x = points(generator)
    truth = torch.distributions.MultivariateNormal(MEAN, MATRIX).log_prob(x)
    assert_close(DISTRIBUTIONS["gaussian_full"].log_prob(x), truth)


@pytest.mark.parametrize("df", [1e4, 1e6, 1e8, 1e10])
def test_many_degrees_of_freedom_give_the_gaussian_to_first_order(df, generator):
    """``log t - log N = ((|z|^2 - N)^2/4 - N/2) / df + ...``: no digits are lost in the logarithms of factorials."""
    x = points(generator)
    gap = StudentT(df).log_prob(x) - Gaussian().log_prob(x)
    assert_close(gap * df, (squared(x) - 3).square() / 4 - 1.5, rtol=300 / df, atol=1e-3)


@each_distribution
def test_the_score_is_the_slope_of_the_log_density(name, generator):
    distribution, x = DISTRIBUTIONS[name], points(generator).requires_grad_(True)
    (slope,) = torch.autograd.grad(distribution.log_prob(x).sum(), x)
    assert_close(distribution.score(x.detach()), slope)
    assert_close(distribution.score_at(distribution.whiten(x.detach())), slope)


@each_distribution
def test_steepness_bounds_the_slope_of_the_score_and_is_reached_at_the_centre(name, generator):
    distribution = DISTRIBUTIONS[name]

    def slope(x):
        hessian = torch.func.jacrev(lambda y: distribution.score(y[None])[0])(x)
        return float(torch.linalg.eigvalsh(-hessian).max())

    centre = distribution.color(torch.zeros(1, 3, dtype=F64))[0]
    assert slope(centre) == pytest.approx(distribution.steepness(3), rel=1e-9)
    assert max(slope(x) for x in points(generator)) <= distribution.steepness(3) * (1 + 1e-9)


@each_distribution
def test_whitening_undoes_colouring(name, generator):
    distribution, z = DISTRIBUTIONS[name], points(generator)
    assert_close(distribution.whiten(distribution.color(z)), z)
    assert distribution.is_standard == torch.equal(distribution.color(z), z)


@pytest.mark.parametrize(("size", "df"), [(2, 64), (8, 6), (3072, 128)])
def test_radii_and_directions_are_those_of_the_beta_form(size, df):
    """``|z|^2 = df B/(1 - B)``, ``B ~ Beta(N/2, df/2)``, and a direction of its own. Seed 1."""
    stats = pytest.importorskip("scipy.stats")
    z = StudentT(df).noise((4000, size), generator=torch.Generator().manual_seed(1), dtype=F64)
    ratio = squared(z) / (squared(z) + df)
    assert stats.kstest(ratio.numpy(), stats.beta(size / 2, df / 2).cdf).pvalue > 0.01
    entry = z[:, 0] / squared(z).sqrt()  # one entry of a uniform direction, squared: Beta(1/2, (N - 1)/2)
    assert stats.kstest(entry.square().numpy(), stats.beta(0.5, (size - 1) / 2).cdf).pvalue > 0.01
    assert abs(stats.spearmanr(ratio, entry.abs()).statistic) < 4 / math.sqrt(4000)


@pytest.mark.parametrize("size", [2, 8, 3072])
def test_radii_are_those_of_a_normal_distribution_for_a_million_degrees_of_freedom(size):
    stats = pytest.importorskip("scipy.stats")
    z = StudentT(1e6).noise((4000, size), generator=torch.Generator().manual_seed(1), dtype=F64)
    assert stats.kstest(squared(z).sqrt().numpy(), stats.chi(size).cdf).pvalue > 0.01


def test_one_factor_belongs_to_all_entries_of_a_row():
    """Entries are uncorrelated, but not independent: large ones come together."""
    z = StudentT(5).noise((200_000, 2), generator=torch.Generator().manual_seed(0), dtype=F64)
    together = torch.corrcoef(z.abs().log().T)[0, 1]
    # log|z| = log|g| + log(factor): var log|g| = pi^2/8, var of the factor trigamma(df/2)/4
    share = float(torch.special.polygamma(1, torch.tensor(2.5)) / 4)
    assert float(together) == pytest.approx(share / (share + math.pi**2 / 8), abs=5 / math.sqrt(200_000))


def test_the_normal_rows_are_those_of_a_gaussian_with_the_same_seed():
    draw = {
        distribution: distribution.noise((6, 2, 3), generator=torch.Generator().manual_seed(3), dtype=F64)
        for distribution in DISTRIBUTIONS.values()
    }
    ratio = draw[DISTRIBUTIONS["student_t"]] / draw[DISTRIBUTIONS["gaussian"]]
    assert_close(ratio, ratio[:, :1, :1].expand_as(ratio))
    far = StudentT(1e12).noise((6, 2, 3), generator=torch.Generator().manual_seed(3), dtype=F64)
    assert_close(far, draw[DISTRIBUTIONS["gaussian"]], rtol=1e-5, atol=0)


@each_distribution
@pytest.mark.parametrize("dtype", [torch.float32, F64, torch.bfloat16])
def test_types_are_kept(name, dtype, generator):
    distribution = DISTRIBUTIONS[name]
    z = distribution.noise((4, 3), generator=generator, dtype=dtype)
    assert {z.dtype, distribution.color(z).dtype, distribution.score_at(z).dtype} == {dtype}
    assert_close(distribution.score_at(z).double(), distribution.score_at(z.double()), rtol=0.05, atol=0.05)


def test_rows_by_block_are_those_of_block_noise_and_do_not_depend_on_the_batch():
    def draw(source):
        return torch.randn(64, 3, generator=source)

    whole = by_block(draw, 5, (7,), first=0, count=300)
    assert torch.equal(by_block(draw, 5, (7,), first=130, count=9), whole[130:139])
    assert torch.equal(whole, BlockNoise(5, (7,), first=0, count=300, shape=(3,)).normal())


@each_distribution
def test_a_distribution_survives_being_written_down(name, generator):
    again = rebuild(describe(OneSidedLinear(base=DISTRIBUTIONS[name])), "path").base
    assert type(again) is type(DISTRIBUTIONS[name])
    x = points(generator)
    assert_close(again.log_prob(x), DISTRIBUTIONS[name].log_prob(x))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_distribution_that_was_written_down_gives_the_same_bits(dtype, generator):
    for _ in range(20):
        root = torch.randn(3, 3, generator=generator, dtype=F64)
        distribution = Gaussian(covariance=(root @ root.T + torch.eye(3, dtype=F64)).to(dtype))
        again = rebuild(describe(distribution), "base")
        for x in (points(generator), points(generator).float()):
            assert torch.equal(again.color(x), distribution.color(x))
            assert torch.equal(again.whiten(x), distribution.whiten(x))


def test_distributions_are_made_by_name():
    assert {"gaussian", "student_t"} <= set(names("base"))
    assert build("base", "student_t", df=3).df == 3.0


def test_samples_have_the_event_shape_and_precision_of_the_distribution(generator):
    distribution = StudentT(30, (2, 2), mean=torch.ones(2, 2, dtype=F64))
    x = distribution.sample(20_000, generator=generator)
    assert x.dtype == F64
    assert x.shape == (20_000, 2, 2)
    # var z = df/(df - 2)
    assert_close(x.mean(0), torch.ones(2, 2, dtype=F64), atol=5 * math.sqrt(30 / 28 / 20_000), rtol=0)
    assert_close(x.var(0), torch.full((2, 2), 30 / 28, dtype=F64), rtol=5 * math.sqrt(2.5 / 20_000), atol=0)


class OfOne(BaseDistribution):
    """A distribution of one's own: here a logistic distribution."""

    event_shape = (1,)

    def noise(self, shape, *, generator=None, dtype=None, device=None):
        u = torch.rand(*shape, generator=generator, dtype=dtype, device=device)
        return torch.logit(u)

    def log_prob(self, x):
        return (-x - 2 * torch.nn.functional.softplus(-x)).flatten(1).sum(1)

    def score(self, x):
        return -torch.tanh(x / 2)


def test_a_distribution_of_ones_own_needs_noise_density_and_score(generator):
    distribution = OfOne()
    draw = OneSidedLinear(base=distribution).sample(x1=torch.zeros(4, 1), t=0.5, generator=generator)
    assert torch.equal(draw.x0, draw.z)
    assert_close(OneSidedLinear(base=distribution).kernel_score(draw), distribution.score(draw.z) / 0.5)
    assert distribution.sample(3, generator=generator).shape == (3, 1)
    with pytest.raises(
        InvalidInputError, match="only distributions with a card can be written to a file, got OfOne"
    ):
        distribution.describe()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StudentT(0), r"StudentT: df must be finite and > 0, got 0. For df = inf take Gaussian"),
        (lambda: StudentT(-1.0), "df must be finite and > 0, got -1.0"),
        (lambda: StudentT(math.inf), "df must be finite and > 0, got inf"),
        (lambda: StudentT(math.nan), "df must be finite and > 0, got nan"),
        (lambda: StudentT(3, scale=0.0), r"scale must be finite and > 0, got 0.0"),
        (lambda: StudentT(3, scale=-2.0), "scale must be finite and > 0, got -2.0"),
        (lambda: StudentT(3, dispersion=-torch.eye(2)), "dispersion must be positive definite"),
        (lambda: StudentT(3, (2,), dispersion=torch.eye(3)), r"dispersion must be \(2, 2\), got \(3, 3\)"),
        (lambda: StudentT(3).sample(2), "event_shape is needed to sample"),
        (lambda: StudentT(3, (4,)).log_prob(torch.zeros(1, 5)), r"event shape \(4,\), got \(5,\)"),
        (lambda: StudentT(3, (4,)).score(torch.zeros(1, 5)), r"event shape \(4,\), got \(5,\)"),
    ],
)
def test_bad_input_is_refused_with_its_value(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()
