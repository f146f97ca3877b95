import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.methods.rivals.gaussian_fit import GaussianFit
from interpolants.methods.rivals.nearest_rows import NearestRows
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


def test_the_gaussian_fit_draws_from_its_conditional_distribution():
    g = torch.Generator().manual_seed(0)
    z = torch.randn(20_000, 2, generator=g, dtype=torch.float64)
    x = torch.stack([z[:, 0], 3 + 2 * (0.8 * z[:, 0] + 0.6 * z[:, 1])], 1)
    fit = GaussianFit(ridge=0.0).fit(x)
    rows = torch.tensor([[1.0, torch.nan]], dtype=torch.float64).expand(4000, 2)
    drawn = fit.complete(rows, seed=1)
    assert bool((drawn[:, 0] == 1).all())
    assert_close(drawn[:, 1].mean(), torch.tensor(4.6).double(), atol=0.1, rtol=0)
    assert_close(drawn[:, 1].std(), torch.tensor(1.2).double(), atol=0.06, rtol=0)
    assert torch.equal(drawn[100:110], fit.complete(rows[:10], seed=1, first_index=100))
    full, empty = (
        fit.complete(x[:3]),
        fit.complete(torch.full((4000, 2), torch.nan, dtype=torch.float64), seed=2),
    )
    assert torch.equal(full, x[:3])
    assert_close(torch.cov(empty.T), fit.state["covariance"], atol=0.2, rtol=0)


def test_nearest_rows_copy_each_of_the_nearest_equally_often():
    x = torch.stack([torch.arange(10.0), 100 + torch.arange(10.0)], 1)
    rival = NearestRows(k=3).fit(x1=x)
    gaps = torch.tensor([[4.2, torch.nan]]).expand(3000, 2)
    values, counts = rival.complete(gaps, seed=1)[:, 1].unique(return_counts=True)
    assert values.tolist() == [103.0, 104.0, 105.0]
    assert int(counts.min()) > 900
    anything = rival.complete(torch.full((3000, 2), torch.nan), seed=1)
    assert bool((anything[:, 1] == anything[:, 0] + 100).all())
    assert len(anything[:, 0].unique()) == 10
    with pytest.raises(InvalidInputError, match="x1 must have at least k=11 rows, got 10"):
        NearestRows(k=11).fit(x1=x)
