import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.processes import FractionalGaussianFit
from interpolants.sciml.processes.problems.fractional_brownian import FractionalBrownianMotion


def draw(hurst, count, length, **settings):
    motion = FractionalBrownianMotion(hurst, length, **settings)
    return motion.sample(count, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("by", ["whittle", "likelihood"])
def test_hurst_sigma_and_noise_of_exact_paths(by):
    count, length = (8, 1024) if by == "whittle" else (8, 128)
    x = draw(0.7, count, length, scale=2.0, noise=1.0)
    found = FractionalGaussianFit(by=by).fit(x).parameters
    assert found["hurst"] == pytest.approx(0.7, abs=0.06)
    assert found["scale"] == pytest.approx(2.0, rel=0.1)
    assert found["noise"] == pytest.approx(1.0, rel=0.15)


def test_densities_of_increments_are_those_of_the_problem():
    motion = FractionalBrownianMotion(0.8, 50)
    x = motion.sample(30, generator=torch.Generator().manual_seed(1))
    steps = torch.cat([x[:, :1], x.diff(dim=1)], 1)
    method = FractionalGaussianFit(by="likelihood", values="increments").fit(steps)
    assert method.parameters["hurst"] == pytest.approx(0.8, abs=0.05)
    like = FractionalBrownianMotion(method.parameters["hurst"], 50, scale=method.parameters["scale"])
    centred = x - method.parameters["drift"] * motion.times[:, None]
    assert_close(method.log_prob(steps), like.log_prob(centred), rtol=0, atol=0.05)  # its noise of 1 %


def test_whittle_takes_the_longest_stretch_and_refuses_short_ones():
    x = draw(0.3, 1, 300)[0]
    x[100] = torch.nan
    cut = FractionalGaussianFit(noise=0.0).fit(x).parameters["hurst"]
    alone = FractionalGaussianFit(noise=0.0).fit(x[101:]).parameters["hurst"]
    assert cut == pytest.approx(alone, abs=0.02)
    x[::5] = torch.nan
    with pytest.raises(InvalidInputError, match="8 values in a row must be seen, got 4"):
        FractionalGaussianFit().fit(x)
    with pytest.raises(InvalidInputError, match="at most 1500 values"):
        FractionalGaussianFit(by="likelihood").fit(torch.randn(2000).cumsum(0))


def test_an_index_at_the_edge_is_told():
    """White levels, and few values, ended at H = 1 with steps of thousands without a word."""
    g = torch.Generator().manual_seed(0)
    white = torch.randn(200, dtype=torch.float64, generator=g)
    with pytest.warns(UserWarning, match="H = 1.000 .* no fractional motion.*values='increments'"):
        FractionalGaussianFit().fit(white)
    assert FractionalGaussianFit(values="increments").fit(white).parameters["hurst"] == pytest.approx(
        0.5, abs=0.1
    )
    line = torch.arange(40, dtype=torch.float64)
    with pytest.warns(UserWarning, match=r"no fractional motion.*by='likelihood'\.$"):
        FractionalGaussianFit().fit(line)


def test_the_density_of_levels_is_that_of_a_brownian_motion_with_drift_from_a_wide_start():
    x = draw(0.5, 1, 60)[0].flatten() + 3 * torch.arange(60, dtype=torch.float64)
    method = FractionalGaussianFit(by="likelihood").fit(x)
    s, t = method.state, torch.arange(60, dtype=torch.float64)
    z, h = (x - s["shift"]) / s["unit"], 2 * float(s["hurst"])
    motion = (t[:, None] ** h + t**h - (t[:, None] - t).abs() ** h) / 2
    wide = max(3.0, 2 * float(z.std(correction=0))) ** 2
    covariance = s["variance"] * motion + wide + s["noise"] * torch.eye(60, dtype=torch.float64)
    law = torch.distributions.MultivariateNormal(s["drift"] * t, covariance)
    assert_close(method.log_prob(x)[0], law.log_prob(z) - 60 * math.log(s["unit"]))
