import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.methods.rivals.gaussian_fit import GaussianFit
from interpolants.methods.rivals.unchanged import Unchanged


def test_the_gaussian_fit_has_the_moments_of_the_data_and_their_density():
    x = torch.randn(400, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) @ torch.tensor(
        [[1.0, 0.5, 0.0], [0.0, 2.0, 0.3], [0.0, 0.0, 0.1]], dtype=torch.float64
    )
    fit = GaussianFit(ridge=1e-9).fit(x)
    law = torch.distributions.MultivariateNormal(x.mean(0), torch.cov(x.T))
    assert_close(fit.log_prob(x[:20]), law.log_prob(x[:20]), atol=1e-5, rtol=1e-6)
    drawn = fit.sample(20_000, seed=1)
    assert_close(drawn.mean(0), x.mean(0), atol=4 * 2.2 / 20_000**0.5, rtol=0)
    assert torch.equal(drawn[100:130], fit.sample(30, seed=1, first_index=100))
    with pytest.raises(InvalidInputError, match="n"):
        fit.sample(0)


def test_unchanged_gives_rows_of_the_other_end_as_they_are():
    x0 = torch.arange(10.0)[:, None]
    rival = Unchanged().fit(x0=x0, x1=x0 + 100)
    drawn = rival.sample(400, seed=1)
    assert set(drawn[:, 0].tolist()) == set(range(10))
    assert torch.equal(drawn[7:9], rival.sample(2, seed=1, first_index=7))
    assert torch.equal(rival.transport(x0[3:5]), x0[3:5])


def test_a_gaussian_needs_two_rows():
    with pytest.raises(InvalidInputError, match=r"GaussianFit.fit: x1 must have at least two rows, .* got 1"):
        GaussianFit().fit(torch.zeros(1, 2))
