"""Bits per dimension: known entropies in any scaling, and the likelihood of diffusion paths stopped early."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.likelihood import LogProb, bits_per_dim, dequantise, log_prob
from interpolants.paths import VP, SubVP
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

F64 = torch.float64


def made_up(x, density, error=0.0):
    return LogProb(density, torch.full_like(density, error), x, 1, torch.zeros(len(x), dtype=torch.long))


@pytest.mark.parametrize(
    ("low", "high", "offset"), [(0.0, 1.0, 8), (-1.0, 1.0, 7), (0.0, 256.0, 0), (-3.0, 5.0, 5)]
)
def test_uniform_values_of_eight_bits_cost_eight_bits_in_any_scaling(low, high, offset):
    """A uniform density over the range is the distribution itself: 8 bits. The offset is what the scaling adds."""
    x = torch.full((5, 2, 3), low, dtype=F64)
    density = torch.full((5,), -6 * math.log(high - low), dtype=F64)
    found = bits_per_dim(made_up(x, density), (high - low) / 256)
    assert found.mean == pytest.approx(8)
    assert found.mean - bits_per_dim(made_up(x, density)).mean == pytest.approx(offset)


def test_entries_may_be_scaled_apart():
    level = torch.tensor([0.5, 2.0, 0.125], dtype=F64)
    x, density = torch.zeros(2, 3, dtype=F64), torch.tensor([0.0, math.log(4)], dtype=F64)
    # the widths multiply to 1/8
    assert_close(bits_per_dim(made_up(x, density), level).values, torch.tensor([1.0, 1 / 3], dtype=F64))


def test_dequantised_lattice_values_cost_their_entropy_under_the_piecewise_constant_distribution():
    """Lattice values of unequal probability; their own density is constant over cells, so the bound is tight."""
    p = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=F64)  # 1.75 bits
    n, level, low = 40_000, 0.3, -0.6
    source = torch.Generator().manual_seed(0)
    lattice = torch.multinomial(p, n, replacement=True, generator=source)[:, None]
    x = dequantise(low + level * lattice.double(), level, generator=source)
    cell = ((x - low) / level).floor().long()
    assert torch.equal(cell, lattice)
    found = bits_per_dim(made_up(x, (p[cell[:, 0]] / level).log()), level)
    assert abs(found.mean - 1.75) < 5 * found.error
    assert found.error < 0.01


def test_the_errors_are_those_of_points_and_of_probes():
    x, density = torch.zeros(4, 2, dtype=F64), torch.tensor([0.0, 1.0, 2.0, 3.0], dtype=F64)
    found = bits_per_dim(made_up(x, density, error=0.2))
    unit = 2 * math.log(2)
    assert found.error == pytest.approx(math.sqrt(5 / 3) / 2 / unit)
    assert found.probe_error == pytest.approx(0.2 / math.sqrt(4) / unit)
    assert math.isnan(bits_per_dim(made_up(x, density, error=math.nan)).probe_error)


@pytest.mark.slow
def test_the_error_of_probes_is_the_spread_over_their_seeds():
    """Sixteen seeds of eight probes each: a standard deviation to 18 %, so a factor of two is 4 sigma."""
    path, data = VP(), GaussianMixture.random(3, 5, 1.0, seed=1)
    fields = GaussianMixtureBridge(path.base, data).fields(path)
    x = data.sample(6, generator=torch.Generator().manual_seed(0))
    run = {"divergence": "hutchinson", "probes": 8, "method": "heun", "n_steps": 12, "invariant": False}
    found = [bits_per_dim(log_prob(fields, x, path.base, seed=seed, **run)) for seed in range(16)]
    spread = float(torch.tensor([each.mean for each in found]).std())
    wanted = sum(each.probe_error for each in found) / 16
    assert 0.5 < spread / wanted < 2
    assert all(each.error > each.probe_error for each in found)


DATA = GaussianMixture(
    torch.tensor([0.3, 0.45, 0.25], dtype=F64),
    torch.tensor([[-2.0, 0.0], [1.5, 1.5], [1.0, -2.0]], dtype=F64),
    torch.tensor([[0.5, 0.3], [0.2, 0.2], [0.25, 0.6]], dtype=F64),
)


@pytest.mark.parametrize("path", [VP(), SubVP()])
def test_the_likelihood_of_a_diffusion_stopped_early_is_that_of_its_data(path):
    """200 points, from the score alone, times 0 to 0.999, error control 1e-5: within 5e-3 nats on average.

    The start is the base in place of the true distribution at t = 0, which ``start_kl`` bounds at 1e-4 nats here.
    """
    x = DATA.sample(200, generator=torch.Generator().manual_seed(0))
    fields = LearnedFields(path, score=GaussianMixtureBridge(path.base, DATA).fields(path).score)
    found = log_prob(fields, x, path.base, time_grid=(0.0, 0.999), rtol=1e-5, atol=1e-5)
    assert float((found.log_prob - DATA.log_prob(x)).abs().mean()) <= 5e-3
    assert int(found.nfe.max()) < 200
    assert float(path.start_kl(x).mean()) < 2e-4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: bits_per_dim(made_up(x, x[:, 0]), 0.0), r"level must be finite and > 0, got 0.0"),
        (lambda x: dequantise(x, -0.1), r"level must be finite and > 0, got -0.1"),
        (
            lambda x: bits_per_dim(made_up(x, x[:, 0]), torch.ones(3)),
            r"level must be a number or have the event's shape \(2,\), got \(3,\)",
        ),
        (
            lambda x: log_prob(
                GaussianMixtureBridge(VP().base, DATA).fields(VP()), x, VP().base, method="ancestral"
            ),
            r"method must be an ODE solver with a quadrature, got 'ancestral'",
        ),
        (
            lambda x: log_prob(
                GaussianMixtureBridge(VP().base, DATA).fields(VP()), x, VP().base, method="euler_maruyama"
            ),
            r"eps = 0 needs an ODE solver, got 'euler_maruyama'",
        ),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make(torch.zeros(4, 2, dtype=F64))
