"""SBC, TARP and LC2ST on theta ~ N(0, I), x = theta + n / 2, whose posterior is N(0.8 x, 0.2)."""

import pytest
import torch

from interpolants.apps.posterior import lc2st, sbc, tarp
from interpolants.apps.posterior.calibration import central_coverage, misfit
from interpolants.foundations.errors import InvalidInputError

STD = 0.2**0.5


def simulations(n, dim=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    theta = torch.randn(n, dim, generator=g, dtype=torch.float64)
    return theta, theta + 0.5 * torch.randn(n, dim, generator=g, dtype=torch.float64), g


def draws(x, count, g, spread=1.0, shift=0.0):
    z = torch.randn(len(x), count, x.shape[1], generator=g, dtype=torch.float64)
    return 0.8 * x[:, None] + STD * (spread * z + shift)


def prior(x, count, g):
    return torch.randn(len(x), count, x.shape[1], generator=g, dtype=torch.float64)


def test_sbc_passes_the_posterior_and_sees_width_and_shift():
    theta, x, g = simulations(4000, dim=1)
    assert sbc(draws(x, 99, g), theta).p > 0.01
    assert sbc(draws(x, 99, g, spread=0.8), theta).p < 1e-30
    assert sbc(draws(x, 99, g, shift=0.1 / STD), theta).p < 1e-30


def test_sbc_passes_the_prior_and_the_contraction_tells_it():
    theta, x, g = simulations(2000)
    blind = sbc(prior(x, 99, g), theta)
    assert blind.p > 0.01
    assert abs(float(blind.contraction.max())) < 0.1
    assert abs(float(sbc(draws(x, 99, g), theta).contraction.mean()) - 0.8) < 0.02


@pytest.mark.parametrize(("spread", "half", "nine"), [(0.8, 0.4105, 0.8118), (1.25, 0.6008, 0.9602)])
def test_coverage_of_a_wrong_width_is_the_closed_form(spread, half, nine):
    theta, x, g = simulations(4000)
    found = draws(x, 199, g, spread=spread)
    for level, expected in ((0.5, half), (0.9, nine)):
        error = (expected * (1 - expected) / 8000) ** 0.5
        assert abs(float(central_coverage(found, theta, level).mean()) - expected) < 4 * error + 0.002


def test_tarp_passes_the_posterior_and_rejects_one_that_is_too_narrow():
    theta, x, g = simulations(2000)
    assert tarp(draws(x, 200, g), theta, x, generator=g).p > 0.01
    narrow = tarp(draws(x, 200, g, spread=0.8), theta, x, generator=g)
    assert narrow.p < 1e-6


def test_the_prior_passes_tarp_with_random_references_alone():
    theta, x, g = simulations(2000)
    answer = prior(x, 200, g)
    random = 4 * torch.rand(2000, 2, generator=g, dtype=torch.float64) - 2
    assert tarp(answer, theta, references=random, generator=g).p > 0.01
    assert tarp(answer, theta, x, generator=g).p < 1e-20


def test_the_distance_of_two_curves_sees_nothing():
    """A Kolmogorov-Smirnov test of 40 points of the curve has no power: it is the fractions that must be tested."""
    scipy = pytest.importorskip("scipy.stats")
    theta, x, g = simulations(2000)
    fractions = tarp(draws(x, 200, g, spread=0.8), theta, x, generator=g).fractions
    grid = torch.linspace(0, 1, 40, dtype=torch.float64)
    curve = torch.searchsorted(fractions, grid).double() / len(fractions)
    assert scipy.ks_2samp(curve.numpy(), grid.numpy()).pvalue > 0.9


def test_the_p_value_is_that_of_scipy():
    scipy = pytest.importorskip("scipy.stats")
    theta, x, g = simulations(500)
    found = tarp(draws(x, 50, g, spread=0.9), theta, x, generator=g)
    known = scipy.kstest(found.fractions.numpy(), "uniform")
    assert abs(found.distance - known.statistic) < 1e-12
    assert abs(found.p - known.pvalue) < 0.02 * known.pvalue + 1e-3


@pytest.mark.slow
def test_lc2st_passes_the_posterior_and_sees_a_shift():
    theta, x, g = simulations(1000, seed=12)
    x_o = torch.tensor([0.5, -0.5], dtype=torch.float64)
    for shift in (0.0, 0.5):
        single = draws(x, 1, g, shift=shift)[:, 0]
        at = draws(x_o[None], 1000, g, shift=shift)[0]
        found = lc2st(theta, single, x, at, x_o, permutations=39, generator=g)
        assert found.p > 0.05 if shift == 0 else found.p < 0.05


def test_misfit_ranks_an_observation_among_simulations():
    _, x, _ = simulations(500)
    assert misfit(x, torch.zeros(2)).rank > 0.05
    far = misfit(x, torch.tensor([30.0, 0.0]))
    assert far.rank < 0.01
    assert far.distance > 10


def test_bad_input_is_refused():
    theta, x, g = simulations(200)
    with pytest.raises(
        InvalidInputError, match=r"L \+ 1 must be a multiple of bins = 20, got L = 100. .* L = 99"
    ):
        sbc(draws(x, 100, g), theta)
    with pytest.raises(InvalidInputError, match="at least 100 rows, got 50"):
        sbc(draws(x[:50], 99, g), theta[:50])
    with pytest.raises(InvalidInputError, match="x or references must be passed"):
        tarp(draws(x, 99, g), theta)
    with pytest.raises(InvalidInputError, match=r"draws must be \(B, L, D\)"):
        tarp(theta, theta, x)
    with pytest.raises(InvalidInputError, match="must be finite"):
        sbc(draws(x, 99, g) * float("nan"), theta)


def test_a_parameter_that_is_constant_does_not_change_the_regions():
    g = torch.Generator().manual_seed(2)
    theta, draws = (torch.randn(shape, generator=g) for shape in ((200, 1), (200, 19, 1)))
    wide = torch.cat([theta, torch.ones(200, 1)], 1), torch.cat([draws, torch.ones(200, 19, 1)], 2)
    references = torch.randn(200, 1, generator=g)
    one = tarp(draws, theta, references=references, generator=torch.Generator().manual_seed(0))
    both = torch.cat([references, torch.ones(200, 1)], 1)
    two = tarp(wide[1], wide[0], references=both, generator=torch.Generator().manual_seed(0))
    assert one.p == two.p
