"""Likelihood of errors and weights by agreement: derivatives, known optima, effective sizes."""

import math
from itertools import permutations

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.row_weights import effective_rows
from interpolants.foundations.tell import FitWarning
from interpolants.sciml.rl.error_variance import (
    inverse_error_variance_weights,
    sample_excess_kurtosis,
    shrunk_variance,
)
from interpolants.sciml.rl.generalized_gaussian import GeneralizedGaussian, log_density
from interpolants.sciml.rl.generalized_likelihood import generalized_gaussian_loss

F64 = torch.float64


def draws(power, n=20_000, seed=0):
    law = GeneralizedGaussian(power, (1,))
    return law.noise((n, 1), generator=torch.Generator().manual_seed(seed), dtype=F64)[:, 0]


def test_value_and_slopes_are_those_of_the_formula():
    d = torch.tensor([-2.0, -0.3, 0.1, 1.7], dtype=F64, requires_grad=True)
    b = torch.tensor([0.8, 1.3, 2.0, 3.1], dtype=F64, requires_grad=True)
    one = torch.ones((), dtype=F64)
    loss = generalized_gaussian_loss(d, b, one)
    assert_close(loss, -log_density(d, b, one), rtol=1e-10, atol=1e-10)
    by_d, by_b = torch.autograd.grad(loss.sum(), (d, b))
    assert_close(by_d, b * d.abs() ** (b - 1) * d.sign(), rtol=1e-8, atol=1e-8)
    expected = d.abs() ** b * d.abs().log() - 1 / b - torch.digamma(1 / b) / b**2
    assert_close(by_b, expected, rtol=1e-8, atol=1e-8)


def test_an_error_of_0_has_finite_slopes_and_a_small_one_a_bounded_slope():
    d = torch.tensor([0.0, 1e-12, 3.0], dtype=F64, requires_grad=True)
    b = torch.full((3,), 0.4, dtype=F64, requires_grad=True)
    a = torch.full((3,), 0.5, dtype=F64, requires_grad=True)
    slopes = torch.autograd.grad(generalized_gaussian_loss(d, b, a).sum(), (d, b, a))
    assert all(bool(torch.isfinite(s).all()) for s in slopes)
    assert float(slopes[0].abs().max()) == pytest.approx(100 / 0.5)
    assert float(slopes[0][0]) == 0


@pytest.mark.parametrize(("power", "product"), [(0.8, 0.69), (1.3, 0.85), (2.0, 0.92)])
def test_the_best_power_is_the_true_one_and_that_of_the_product_is_not(power, product):
    """20,000 draws at scale 1, seed 0; 3 %, two standard errors."""
    d, grid = draws(power), torch.linspace(0.5, 2.5, 401, dtype=F64)
    best = [
        float(grid[torch.stack([generalized_gaussian_loss(d, b, torch.ones((), dtype=F64), product=p).mean()
                                for b in grid]).argmin()])
        for p in (False, True)
    ]  # fmt: skip
    assert best[0] == pytest.approx(power, rel=0.03)
    assert best[1] == pytest.approx(product, rel=0.03)


@pytest.mark.parametrize(
    ("power", "members", "factor"), [(2.0, 5, 2 / 3), (1.0, 5, 10 / 21), (2.0, 10, 9 / 11), (1.0, 10, 0.6569)]
)
def test_the_factor_of_the_variance_is_the_one_of_least_error(power, members, factor):
    """The best multiple of s^2 in 400,000 ensembles is ``E s^2 sigma^2 / E s^4``; 2 %."""
    sigma = math.exp(math.lgamma(3 / power) - math.lgamma(1 / power))
    errors = draws(power, 400_000 * members, seed=3).reshape(-1, members)
    s = errors.var(1, correction=1)
    assert float(sigma * s.mean() / s.square().mean()) == pytest.approx(factor, rel=0.02)
    kurtosis = {2.0: 0.0, 1.0: 3.0}[power]
    assert_close(shrunk_variance(errors, kurtosis), factor * s, rtol=1e-3, atol=0)


def test_the_kurtosis_of_a_gaussian_is_unbiased_and_the_denominator_stays_positive():
    errors = draws(2.0, 1_000_000, seed=1).reshape(-1, 5)
    assert float(sample_excess_kurtosis(errors).mean()) == pytest.approx(0, abs=0.02)
    assert float((sample_excess_kurtosis(errors) / 5 + 6 / 4).min()) >= 0.7 - 1e-9
    assert bool((shrunk_variance(torch.ones(3, 5)) == 0).all())
    assert bool((sample_excess_kurtosis(torch.ones(3, 5)) == 0).all())


def test_the_kurtosis_is_the_ratio_of_the_unbiased_cumulants():
    """The fourth one by brute force: its polynomial in independent draws, over all orders of the members."""
    errors = draws(1.0, 15, seed=4).reshape(3, 5)
    a, b, c, d = (errors[:, [order[k] for order in permutations(range(5))]] for k in range(4))
    fourth = (a**4 - 4 * a**3 * b - 3 * a**2 * b**2 + 12 * a**2 * b * c - 6 * a * b * c * d).mean(1)
    second = (a**2 - a * b).mean(1)
    assert_close(sample_excess_kurtosis(errors), fourth / second**2)


@pytest.mark.parametrize("unit", [1e-15, 1e-11, 1e11, 1e15])
def test_the_kurtosis_has_no_unit(unit):
    errors = draws(1.0, 15, seed=4).reshape(3, 5).float()
    assert_close(sample_excess_kurtosis(unit * errors), sample_excess_kurtosis(errors))
    assert_close(inverse_error_variance_weights(unit * errors), inverse_error_variance_weights(errors))


def test_the_offset_is_the_least_with_which_enough_rows_count_and_has_the_unit_of_the_errors():
    sizes = torch.logspace(-4, 2, 200, dtype=F64)[:, None]
    errors = sizes * draws(2.0, 1000, seed=2).reshape(200, 5)
    w = inverse_error_variance_weights(errors, effective=16)
    assert float(w.sum()) == pytest.approx(1)
    assert effective_rows(w) == pytest.approx(16, rel=0.01)
    assert_close(inverse_error_variance_weights(1e4 * errors, effective=16), w, rtol=1e-9, atol=0)
    even = draws(2.0, 1000, seed=2).reshape(200, 5)
    v = shrunk_variance(even)
    assert effective_rows(1 / v) > 16
    assert_close(inverse_error_variance_weights(even), (1 / v) / (1 / v).sum())
    assert effective_rows(inverse_error_variance_weights(errors[:9])) == pytest.approx(8, rel=0.01)
    assert_close(inverse_error_variance_weights(torch.zeros(4, 5)), torch.full((4,), 0.25))


def test_bad_input_is_refused():
    with pytest.raises(InvalidInputError, match="at least two rows"):
        inverse_error_variance_weights(torch.randn(1, 5, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(InvalidInputError, match="two members or more"):
        shrunk_variance(torch.zeros(4, 1))
    with pytest.warns(FitWarning, match="four or more"):
        shrunk_variance(torch.tensor([[1.0, 2.0, 4.0]]))
    with pytest.raises(InvalidInputError, match="finite"):
        inverse_error_variance_weights(torch.tensor([[1.0, float("nan")], [0.0, 1.0]]))


@pytest.mark.parametrize(("name", "bad"), [("scale", 0.0), ("scale", -1.0), ("power", 0.0), ("power", -0.5)])
def test_a_power_or_scale_of_no_law_is_refused(name, bad):
    """A scale of 0 gave NaN, which then was in all weights."""
    law = {"power": torch.tensor([1.5, 1.0]), "scale": torch.tensor([1.0, 2.0])}
    law[name] = torch.tensor([1.0, bad], requires_grad=True)
    for product in (False, True):
        with pytest.raises(InvalidInputError, match=f"{name} must be > 0, got {bad:g}"):
            generalized_gaussian_loss(torch.tensor([0.3, 0.0]), **law, product=product)
