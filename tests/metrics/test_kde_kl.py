import importlib
import math

import numpy as np
import pytest
import torch
from scipy.stats import gaussian_kde
from torch.testing import assert_close

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.metrics import GaussianKDE, kde_kl, log_ratio, pairwise

# The package re-exports a function of the same name.
module = importlib.import_module("interpolants.metrics.kde_kl")


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def draw(seed, n, *, width=1, mean=0.0, std=1.0):
    return mean + std * torch.randn(n, width, generator=seeded(seed), dtype=torch.float64)


def log_normal(mean, std):
    def log_prob(x):
        width = x.shape[1]
        return (
            -0.5 * ((x - mean) / std).square().sum(1)
            - width * math.log(std)
            - width / 2 * math.log(2 * math.pi)
        )

    return log_prob


def gaussian_kl(mean, std):
    """KL(N(0, 1) || N(mean, std^2))."""
    return math.log(std) + (1 + mean**2) / (2 * std**2) - 0.5


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("pairs", [50, 2**20])
def test_density_estimate_is_scipys(monkeypatch, width, pairs):
    monkeypatch.setattr(pairwise, "_PAIRS", pairs)
    mix = (
        torch.randn(width, width, generator=seeded(0), dtype=torch.float64)
        * torch.logspace(-3, 3, width)[:, None]
    )
    x = draw(1, 150, width=width) @ mix.double().T + 1000
    points = torch.cat([x[:40] + 0.1 * x.std(0), x.mean(0) + 30 * x.std(0, keepdim=True)])
    theirs = gaussian_kde(x.numpy().T, bw_method="scott").logpdf(points.numpy().T)
    assert_close(GaussianKDE(x).log_prob(points), torch.as_tensor(theirs), rtol=1e-8, atol=1e-8)
    narrow = gaussian_kde(x.numpy().T, bw_method=0.3).logpdf(points.numpy().T)
    assert_close(
        GaussianKDE(x, bandwidth=0.3).log_prob(points), torch.as_tensor(narrow), rtol=1e-8, atol=1e-8
    )


def test_influence_is_the_derivative_with_respect_to_the_weight_of_a_centre():
    x, points, weights = draw(2, 12), draw(3, 5), torch.rand(5, generator=seeded(4), dtype=torch.float64)
    kde = GaussianKDE(x)
    scaled = GaussianKDE(torch.cat([x, x]), bandwidth=kde.bandwidth * math.sqrt(23 / 22 * 1.0))
    assert_close(scaled.log_prob(points), kde.log_prob(points))  # ddof = 1: (2 n - 1) / 2 (n - 1) = 23 / 22
    mass = torch.full((12,), 1 / 12, dtype=torch.float64, requires_grad=True)
    width = kde.bandwidth * float(x.std())
    density = torch.exp(-((points - x.T) ** 2) / (2 * width**2)) @ mass
    (slope,) = torch.autograd.grad((weights * density.log()).mean(), mass)
    assert_close(kde.influence(points, weights), slope)


def test_known_gaussians_have_the_closed_form():
    x = draw(5, 4000)
    for mean, std in ((0.0, 1.0), (0.3, 1.1), (1.0, 2.0), (0.0, 0.7)):
        found = kde_kl(x, None, log_p=log_normal(0, 1), log_q=log_normal(mean, std))
        assert abs(found.value - gaussian_kl(mean, std)) <= 4 * found.error + 1e-12
        assert found.error < 0.06


def test_control_variate_lowers_the_error_and_the_opposite_sign_raises_it():
    x = draw(6, 4000)
    errors = {}
    for control in (None, 1.0, 0.0, -1.0):
        found = kde_kl(x, None, log_p=log_normal(0, 1), log_q=log_normal(0.1, 1.0), control=control)
        assert abs(found.value - gaussian_kl(0.1, 1.0)) < 4 * found.error
        errors[control] = found.error
    # log p - log q is 0.1 N(0, 1) to first order; c = 1 leaves its square, c = -1 doubles it.
    assert errors[0.0] == pytest.approx(0.1 / math.sqrt(4000), rel=0.1)
    assert errors[-1.0] == pytest.approx(2 * errors[0.0], rel=0.1)
    assert errors[1.0] < 0.12 * errors[0.0]
    assert errors[None] <= errors[1.0]


def test_estimated_gaussians_have_the_closed_form_of_their_smoothed_distributions():
    # A Gaussian KDE of N(m, s^2) is N(m, s^2 (1 + h^2)) on average; points come from the unsmoothed distribution.
    x, y = draw(7, 10000), draw(8, 8000, mean=1.0, std=1.5)
    found = kde_kl(x, y, generator=seeded(9))
    var_p, var_q = 1 + 8000 ** (-0.4), 1.5**2 * (1 + 8000 ** (-0.4))
    wanted = 0.5 * math.log(var_q / var_p) + (1 + 1) / (2 * var_q) - 1 / (2 * var_p)
    assert abs(found.value - wanted) < 4 * found.error
    assert abs(found.value - gaussian_kl(1.0, 1.5)) < 4 * found.error + 0.02
    assert found.n == 2000


def test_one_known_side_and_one_estimated_side():
    x, y = draw(10, 3000, width=2), draw(11, 3000, width=2, mean=0.5)
    wanted = 2 * gaussian_kl(0.5, 1.0)
    for found in (
        kde_kl(x, y, log_p=log_normal(0, 1), generator=seeded(12)),
        kde_kl(x, None, log_q=log_normal(0.5, 1.0), generator=seeded(13)),
    ):
        assert abs(found.value - wanted) < 4 * found.error + 0.04  # smoothing, h^2 = 0.07 of each variance


def test_held_out_points_and_centres_share_the_samples_without_overlap(monkeypatch):
    seen = {}

    class Recorder(GaussianKDE):
        def __init__(self, x):
            seen["centres"] = x
            super().__init__(x)

    def log_q(points):
        seen["points"] = points
        return log_normal(0, 1)(points)

    monkeypatch.setattr(module, "GaussianKDE", Recorder)
    x = draw(14, 400)
    kde_kl(x, None, log_q=log_q, generator=seeded(17))
    assert len(seen["points"]) == 80
    assert_close(torch.cat([seen["points"], seen["centres"]]).sort(0).values, x.sort(0).values)


@pytest.mark.slow
@pytest.mark.parametrize(("mean", "low", "high"), [(1.0, 0.75, 1.35), (0.0, 0.75, 1.9)])
def test_error_is_the_spread_over_repetitions(mean, low, high):
    generator = seeded(18)
    runs = []
    for _ in range(200):
        x, y = torch.randn(400, 1, generator=generator), torch.randn(300, 1, generator=generator) + mean
        runs.append(kde_kl(x, y, log_p=log_normal(0, 1), generator=generator))
    spread = float(torch.tensor([run.value for run in runs]).std())
    claimed = float(torch.tensor([run.error for run in runs]).square().mean().sqrt())
    assert low < claimed / spread < high


def test_dims_select_the_marginal():
    x, y = draw(19, 500, width=5), draw(20, 500, width=5)
    found = kde_kl(x.reshape(500, 5, 1), y.reshape(500, 5, 1), dims=(0, 3), generator=seeded(21))
    assert found == kde_kl(x[:, [0, 3]], y[:, [0, 3]], generator=seeded(21))
    for bad in ((), (0, 0), (5,), (-1,)):
        with pytest.raises(InvalidInputError, match=r"dims must be distinct and lie in 0\.\.4"):
            kde_kl(x, y, dims=bad)


def test_log_ratio_has_the_closed_form_of_a_shift():
    # log p - log q = m^2 / 2 - m x ~ N(m^2 / 2, m^2): the absolute value is a folded normal.
    m, x = 1.5, draw(22, 20000)
    centre = m**2 / 2
    mean = m * math.sqrt(2 / math.pi) * math.exp(-(centre**2) / (2 * m**2)) + centre * math.erf(
        centre / m / math.sqrt(2)
    )
    found = log_ratio(x, None, log_p=log_normal(0, 1), log_q=log_normal(m, 1))
    assert abs(found.mean.value - mean) < 4 * found.mean.error
    assert abs(found.variance.value - (centre**2 + m**2 - mean**2)) < 4 * found.variance.error
    assert found.mean.error == pytest.approx(math.sqrt(found.variance.value / 20000))


def test_a_zero_of_q_costs_everything():
    x = draw(23, 50)
    nowhere = kde_kl(x, None, log_p=log_normal(0, 1), log_q=lambda z: torch.log((z[:, 0] > 0).double()))
    assert nowhere.value == math.inf
    ratio = log_ratio(x, None, log_p=log_normal(0, 1), log_q=lambda z: torch.log((z[:, 0] > 0).double()))
    assert ratio.mean.value == math.inf


def test_an_overflowing_ratio_is_left_out_or_reported():
    x = draw(24, 50)
    steep = {"log_p": lambda z: -1000.0 * z[:, 0].abs(), "log_q": log_normal(0, 1)}
    assert math.isfinite(kde_kl(x, None, **steep).value)
    with pytest.raises(DivergedError, match=r"q/p overflows .* Use control=0"):
        kde_kl(x, None, **steep, control=1.0)


def test_unfit_requests_are_refused():
    x, y = draw(25, 50, width=2), draw(26, 50, width=2)
    known = log_normal(0, 1)
    for pair, given in (((x, y), "both"), ((x, None), "neither")):
        with pytest.raises(
            InvalidInputError, match=rf"exactly one of y and log_q must be passed, got {given}"
        ):
            kde_kl(*pair, log_q=known if given == "both" else None)
    with pytest.raises(InvalidInputError, match=r"held_out must lie in \(0, 1\), got 1"):
        kde_kl(x, y, held_out=1)
    with pytest.raises(InvalidInputError, match=r"at most 3 dimensions, got 4\. Choose coordinates"):
        kde_kl(draw(27, 50, width=4), draw(28, 50, width=4))
    with pytest.raises(
        InvalidInputError, match=r"log_q must return shape \(40,\)|log_q must return shape \(10,\)"
    ):
        kde_kl(x, None, log_q=lambda z: z)
    with pytest.raises(InvalidInputError, match="log_q must return numbers below infinity"):
        kde_kl(x, None, log_q=lambda z: z[:, 0] * math.nan)
    with pytest.raises(InvalidInputError, match="log_p must be finite on samples of p"):
        kde_kl(x, y, log_p=lambda z: torch.full((len(z),), -math.inf))
    with pytest.raises(InvalidInputError, match="x must have more than 2 samples"):
        kde_kl(x[:4], y)


def test_samples_in_a_hyperplane_have_no_density():
    line = draw(29, 50) * torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    for flat in (line, torch.ones(50, 2), torch.stack([torch.ones(50), torch.arange(50.0)], 1)):
        with pytest.raises(InvalidInputError, match="GaussianKDE: x must span 2 dimensions"):
            GaussianKDE(flat)
    with pytest.raises(InvalidInputError, match="bandwidth must be finite and > 0, got 0"):
        GaussianKDE(draw(30, 9), bandwidth=0)
    with pytest.raises(InvalidInputError, match="x must have 1 coordinates, got 2"):
        GaussianKDE(draw(31, 9)).log_prob(np.ones((3, 2)))


def test_numbers_that_are_all_the_same_have_no_density():
    with pytest.raises(InvalidInputError, match="must span 1 dimensions"):
        GaussianKDE(torch.full((50, 1), 0.1, dtype=torch.float64))


def test_the_error_of_a_variance_is_that_of_the_mean_of_squares():
    x = torch.randn(400, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = log_ratio(x, None, log_p=lambda z: z[:, 0] ** 3, log_q=lambda z: torch.zeros(len(z)))
    gaps = np.abs(x.numpy()[:, 0] ** 3)
    squares = (gaps - gaps.mean()) ** 2
    assert found.variance.error == pytest.approx(squares.std(ddof=1) / 20)
    assert found.mean.error == pytest.approx(gaps.std(ddof=1) / 20)


def test_without_a_control_variate_densities_that_are_estimated_add_to_the_error_all_the_same():
    g = torch.Generator().manual_seed(0)
    x, y = (torch.randn(300, 1, generator=g, dtype=torch.float64) for _ in range(2))
    plain, nearly = (
        kde_kl(x, y, control=control, generator=torch.Generator().manual_seed(1)) for control in (0.0, 1e-9)
    )
    assert plain.error == pytest.approx(nearly.error, rel=1e-6)
