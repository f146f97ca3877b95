"""Tempered samplers against normalising constants in closed form, by quadrature and by a transfer matrix."""

import math

import pytest
import torch

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.foundations.tell import FitWarning
from interpolants.sciml.bayes.mcmc.tempering import (
    Moves,
    _quartile_range,
    _variance,
    annealed_importance,
    tempered_smc,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussian(x):
    """N(1, 4) in each coordinate without its constant: log Z = P log sqrt(8 pi)."""
    return -((x - 1).square() / 8).sum(1)


def mixture(x):
    """Normalised: .3 N(-3, .25) + .7 N(3, .25) in the first coordinate, N(0, 1) in the second."""
    constant = -0.5 * math.log(2 * math.pi * 0.25)
    modes = [math.log(w) + constant - 2 * (x[:, 0] - c).square() for w, c in ((0.3, -3), (0.7, 3))]
    return torch.logsumexp(torch.stack(modes), 0) - x[:, 1].square() / 2 - 0.5 * math.log(2 * math.pi)


def many_well(x):
    a, b = x[:, ::2], x[:, 1::2]
    return -(a**4 - 6 * a**2 - a / 2 + b**2 / 2).sum(1)


def phi_four(x, m2=-4.0, lam=1.0):
    steps = (x - x.roll(1, 1)).square().sum(1) / 2
    return -(steps + (m2 / 2 * x**2 + lam * x**4).sum(1))


def many_well_truth(pairs):
    grid = torch.linspace(-6, 6, 20001, dtype=torch.float64)
    first = torch.trapezoid((-(grid**4) + 6 * grid**2 + grid / 2).exp(), grid)
    return pairs * (float(first.log()) + 0.5 * math.log(2 * math.pi))


def phi_four_truth(n, m2=-4.0, lam=1.0):
    """Trace of the n-th power of the transfer matrix on a grid, which converges exponentially for analytic kernels."""
    grid = torch.linspace(-5, 5, 400, dtype=torch.float64)
    own = m2 / 2 * grid**2 + lam * grid**4
    kernel = -(grid[:, None] - grid).square() / 2 - (own[:, None] + own) / 2
    levels = torch.linalg.eigvalsh(kernel.exp() * float(grid[1] - grid[0]))
    return float(levels.pow(n).sum().log())


def agrees(result, truth, most_error):
    told = result.evidence()
    assert told.error < most_error
    assert abs(told.log_z - truth) < 4 * told.error + 0.01
    assert told.lower_bound <= told.log_z


def test_the_truths_are_those_of_the_brute_force():
    assert many_well_truth(16) == pytest.approx(164.69568, abs=1e-5)
    assert phi_four_truth(16) == pytest.approx(18.7338, abs=1e-4)
    grid = torch.linspace(-4, 4, 81, dtype=torch.float64)
    states = torch.cartesian_prod(grid, grid, grid)
    brute = torch.logsumexp(phi_four(states), 0) + 3 * math.log(float(grid[1] - grid[0]))
    assert phi_four_truth(3) == pytest.approx(float(brute), abs=1e-6)


def test_a_gaussian_with_its_moments():
    result = tempered_smc(gaussian, 3, seeded(), scale=3.0, populations=8)
    agrees(result, 1.5 * math.log(8 * math.pi), 0.05)
    mean = result.mean(result.x)
    assert float((mean - 1).abs().max()) < 0.25
    assert float((result.mean(result.x.square()) - mean.square() - 4).abs().max()) < 0.6


def test_a_mixture_with_the_weights_of_its_modes():
    result = tempered_smc(mixture, 2, seeded(1), scale=3.0, particles=512)
    agrees(result, 0.0, 0.1)
    assert float(result.mean((result.x[..., 0] > 0).double())) == pytest.approx(0.7, abs=0.06)


def test_resampled_weights_on_a_chain_with_quartic_energy():
    result = tempered_smc(phi_four, 8, seeded(), options=Moves(resample_below=1.0))
    agrees(result, phi_four_truth(8), 0.15)
    torch.testing.assert_close(result.log_weights, result.log_z[:, None].expand(-1, 256))


@pytest.mark.slow
def test_quartic_energies():
    agrees(tempered_smc(phi_four, 16, seeded(), particles=512), phi_four_truth(16), 0.15)
    agrees(tempered_smc(many_well, 8, seeded(), scale=2.0, particles=512), many_well_truth(4), 0.25)


def test_annealing_is_unbiased_at_coarse_temperatures_and_weights_stay_apart():
    result = annealed_importance(gaussian, 1, seeded(), temperatures=[0, 0.3, 1], scale=3.0, particles=1024)
    agrees(result, 0.5 * math.log(8 * math.pi), 0.05)
    assert len(result.log_weights[0].unique()) == 1024  # nothing was resampled
    assert float(torch.logsumexp(result.log_weights, 1)[0]) - math.log(1024) == pytest.approx(
        float(result.log_z[0])
    )


def test_no_error_from_few_effective_particles():
    narrow = annealed_importance(
        lambda x: -5e5 * (x - 2).square().sum(1), 4, seeded(), temperatures=[0, 1], particles=16
    )
    with pytest.warns(FitWarning, match="fewer than 30"):
        told = narrow.evidence()
    assert math.isnan(told.error)
    assert told.ess < 30


def test_the_seed_decides_and_gradients_are_counted():
    calls = []

    def counted(x):
        calls.append(x.requires_grad)
        return gaussian(x)

    first = tempered_smc(counted, 2, seeded(), particles=32)
    assert torch.equal(first.x, tempered_smc(gaussian, 2, seeded(), particles=32).x)
    assert first.gradients == sum(calls) - 1  # the check at the start is one more


@pytest.mark.parametrize(
    ("density", "rule"),
    [
        (lambda x: -x.square(), r"tensor \(64,\)"),
        (lambda x: -x.square().sum(), r"tensor \(64,\)"),
        (lambda x: -x.detach().square().sum(1), "differentiable"),
        (lambda x: x[:, 0].log(), "finite at the starting"),
    ],
)
def test_bad_log_densities_are_refused(density, rule):
    with pytest.raises(InvalidInputError, match=rule):
        tempered_smc(density, 2, seeded(), particles=16)


@pytest.mark.parametrize("density", [lambda x: x.square().sum(1), lambda x: x.pow(4).sum(1)])
def test_a_density_without_a_finite_integral_is_refused(density):
    with pytest.raises(DivergedError, match="Check the sign"):
        tempered_smc(density, 1, seeded(), particles=16, options=Moves(leaps=2, most_temperatures=60))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("density", [lambda x: 0 * x.sum(1), lambda x: -x[:, 0].square()])
def test_a_flat_direction_is_reported(density, seed):
    """Whichever of the two checks is first."""
    with pytest.raises((FitWarning, DivergedError), match="Check the sign"):
        tempered_smc(density, 2, seeded(seed), particles=64, options=Moves(most_temperatures=60))


@pytest.mark.parametrize("bad", [[0, 0.5], [0.1, 1], [0, 0.6, 0.5, 1], [0, math.nan, 1], 1.0, 0.0])
def test_bad_temperatures_are_refused(bad):
    with pytest.raises(InvalidInputError, match="temperatures"):
        tempered_smc(gaussian, 1, seeded(), temperatures=bad)


@pytest.mark.parametrize("bad", [{"leaps": 0}, {"proposals": 0}, {"target": 1.0}, {"resample_below": 1.5}])
def test_bad_settings_are_refused(bad):
    with pytest.raises(InvalidInputError, match=next(iter(bad))):
        Moves(**bad)


def test_annealing_asks_for_fixed_temperatures():
    with pytest.raises(InvalidInputError, match="sequence from 0 to 1"):
        annealed_importance(gaussian, 1, seeded(), temperatures=0.9)


def test_the_mass_matrix_has_the_weighted_variance_of_each_population():
    x = torch.tensor([[[0.0, 5.0], [4.0, 5.0]], [[1.0, 2.0], [3.0, 8.0]]], dtype=torch.float64)
    weights = torch.tensor([[0.25, 0.75], [0.5, 0.5]], dtype=torch.float64)
    found = _variance(x, weights.log())
    assert found.tolist() == [[3.0, torch.finfo(torch.float64).tiny], [1.0, 9.0]]


def test_a_coordinate_of_equal_values_has_a_ratio_of_ranges():
    """A ratio of zeros would hide that the other coordinates have widened."""
    x = torch.zeros(1, 4, 2, dtype=torch.float64)
    x[0, :, 1] = torch.tensor([0.0, 1.0, 2.0, 3.0])
    assert (_quartile_range(x) / _quartile_range(x)).tolist() == [[1.0, 1.0]]
    assert float(_quartile_range(x)[0, 1]) == 1.5
