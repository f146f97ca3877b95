"""A game between two networks, where the law is known."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import DataWarning
from interpolants.objectives.critic import gradient_penalty
from interpolants.sciml.uq.wasserstein_gan import WassersteinGAN, _Game


@pytest.mark.slow
def test_a_gaussian_is_found_again():
    """Mean within 0.1 deviations, covariance within 15 %, of a Gaussian with two scales."""
    x = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 0.1]) + 5
    made = WassersteinGAN(steps=800).fit(x, progress=False).sample(5000)
    assert float(((made.mean(0) - 5) / torch.tensor([3.0, 0.1])).abs().max()) < 0.1
    assert_close(made.std(0), torch.tensor([3.0, 0.1]), rtol=0.15, atol=0)
    assert abs(float(torch.corrcoef(made.T)[0, 1])) < 0.1


@pytest.mark.slow
def test_training_brings_both_halves_of_a_two_sided_law():
    """No mode is dropped; a Gaussian with these moments has 38 % of its draws between the two."""
    source = torch.Generator().manual_seed(0)
    side = torch.where(torch.rand(1000, 1, generator=source) < 0.5, -1.0, 1.0)
    x = torch.cat([side, side], 1) + 0.1 * torch.randn(1000, 2, generator=source)
    model = WassersteinGAN(steps=300, hidden=(32, 32), lr=1e-3).fit(x, progress=False)
    made = model.sample(2000, seed=1)
    assert 0.4 < float((made[:, 0] > 0).float().mean()) < 0.6
    assert float((made.abs() < 0.5).all(1).float().mean()) < 0.36
    # A model of one step does not do it.
    short = WassersteinGAN(steps=1, hidden=(32, 32)).fit(x, progress=False).sample(2000)
    assert float((short.abs() < 0.5).all(1).float().mean()) > 0.6


def test_the_penalty_of_a_straight_critic_is_known():
    """``(|g| - 1)^2`` for a slope g."""
    slope = torch.tensor([3.0, 4.0])
    x, y = torch.randn(2, 10, 2, generator=torch.Generator().manual_seed(0))
    found = gradient_penalty(lambda rows: rows @ slope, x, y, torch.Generator().manual_seed(1))
    assert_close(found, torch.tensor(16.0))


def test_a_draw_belongs_to_its_seed_and_index():
    x = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = WassersteinGAN(steps=2, hidden=(8,)).fit(x, progress=False)
    assert model.sample(3).dtype == torch.float64
    assert torch.equal(model.sample(100)[70:], model.sample(30, first_index=70))
    assert not torch.equal(model.sample(3), model.sample(3, seed=1))


def test_one_row_alone_is_refused():
    with pytest.raises(InvalidInputError, match="two rows or more"):
        WassersteinGAN().fit(torch.zeros(1, 2))


def test_a_constant_column_is_named():
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 0.0])
    with pytest.warns(DataWarning, match=r"WassersteinGAN.fit: column 1 of x1 is constant"):
        WassersteinGAN(steps=1, hidden=(4,)).fit(x, progress=False)


def test_samples_of_float64_rows_far_from_zero_are_no_numbers_of_single_precision():
    """At 2^20 these lie 1/8 apart, and decoding in them put the deviation off by 0.04."""
    x = 2.0**20 + torch.randn(300, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = WassersteinGAN(steps=3).fit(x).sample(100)
    assert y.dtype == torch.float64
    assert not torch.equal(y.float().double(), y)
    assert len(y[:, 0].unique()) == 100


def test_the_distance_does_not_feel_a_constant_of_the_critic():
    rows = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    method = WassersteinGAN(hidden=(8,), lr=1e-9)
    maker, critic = method._net("generator", rows), method._net("critic", rows)
    with torch.no_grad():
        list(critic.parameters())[-1].add_(1000.0)
    told = _Game(method, rows, maker, critic).step(1, torch.Generator().manual_seed(0))
    assert abs(told["distance"]) < 10
