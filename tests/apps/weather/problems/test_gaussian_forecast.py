"""Fields of a linear-Gaussian forecast against those of one Gaussian, by the problem of mixtures."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.weather.problems.gaussian_forecast import GaussianForecast
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths import OneSidedLinear, OneSidedTrigonometric
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

F64 = torch.float64
SIGMA = torch.tensor([0.1, 2.0], dtype=F64)
NAMES = ("velocity", "score", "noise", "denoised", "endpoint0")


def gaussian(path, mean, variance):
    one = GaussianMixture(torch.ones(1, dtype=F64), mean[None], torch.diag(variance)[None])
    return GaussianMixtureBridge(path.base, one).fields(path)


@pytest.mark.parametrize("path", [OneSidedLinear, OneSidedTrigonometric])
@pytest.mark.parametrize("shrink", [0.0, 0.3])
def test_fields_are_those_of_what_is_to_come_with_and_without_the_observation(path, shrink, generator):
    path = path(base=Gaussian((2,)))
    fields, x = (
        GaussianForecast(SIGMA, shrink).fields(path),
        torch.randn(5, 2, dtype=F64, generator=generator),
    )
    c = torch.tensor([0.7, 0.7], dtype=F64)
    told, none = c.expand(5, 2), torch.full((5, 2), torch.nan, dtype=F64)
    known = gaussian(path, (1 - shrink) * c, SIGMA.square())
    alone = gaussian(path, torch.zeros(2, dtype=F64), 1 + SIGMA.square())
    for t in (torch.tensor(0.4, dtype=F64), torch.linspace(0.1, 0.9, 5, dtype=F64)):
        for wanted, conditions in ((known, (told,)), (alone, (none, None))):
            expected = wanted.evaluate(x, t, NAMES)
            for cond in conditions:
                assert_close(fields.evaluate(x, t, NAMES, cond), expected, rtol=1e-10, atol=1e-12)


def test_outcomes_have_what_was_observed_in_common(generator):
    forecast = GaussianForecast(SIGMA)
    y = forecast.outcomes(forecast.observations(40_000, generator=generator), generator=generator)
    assert_close(y.T.cov(), 1 + SIGMA.square().diag(), rtol=0, atol=5 * 5 * (2 / 40_000) ** 0.5)


def test_other_bases_and_spreads_are_refused():
    with pytest.raises(InvalidInputError, match="sigma must be positive"):
        GaussianForecast([1.0, 0.0])
    with pytest.raises(InvalidInputError, match="base must be a standard Gaussian"):
        GaussianForecast(SIGMA).fields(OneSidedLinear(base=Gaussian(scale=2.0)))
