"""Weights against quadrature of their definition, published errors, exact steps, and the price in nats."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import special
from scipy.integrate import quad
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.processes.kernels.fractional_gaussian import motion_covariance
from interpolants.sciml.processes.kernels.incomplete_gamma import lower, scaled_upper
from interpolants.sciml.processes.kernels.markov_fractional import (
    ExactSteps,
    MarkovMotion,
    _normal_equations,
    geometric_rates,
    optimal_weights,
    path_covariance,
    relative_error,
    stationary_root,
    unit_scale,
)

F64 = torch.float64


def real(x):
    return torch.tensor(x, dtype=F64)


def test_incomplete_gamma_functions_are_scipys_on_both_sides_of_the_switch():
    z = real([1e-6, 0.1, 1.0, 7.99, 8.01, 20.0, 300.0])
    for a in (0.55, 1.0, 1.45, 2.4):
        assert_close(lower(real(a), z), torch.from_numpy(special.gammainc(a, z.numpy())), rtol=1e-13, atol=0)
    big = real([9.0, 30.0, 500.0])
    exact = torch.from_numpy(special.gammaincc(0.8, big.numpy()))
    assert_close(scaled_upper(real(0.8), big) * (-big).exp(), exact, rtol=1e-12, atol=0)


def test_the_slope_of_the_lower_gamma_function_is_the_density():
    """Also where the fraction, which is not for such a small z, ends in a division by 0."""
    a = real([1.096, 1.0735, 1.0585, 0.6, 1.4, 2.4])
    z = real([0.0014981274432869231, 0.001160769793394523, 0.0009311284881327043, 1e-3, 5.0, 20.0])
    (slope,) = torch.autograd.grad(lower(a, z.requires_grad_()).sum(), z)
    assert_close(
        slope, torch.distributions.Gamma(a, real(1.0)).log_prob(z.detach()).exp(), rtol=1e-10, atol=0
    )


def covariance_with_motion(t, g, hurst, kind):
    """E[state(t) B(t)] by quadrature of the two kernels; the state less its start for kind 1."""
    a, decay = hurst + 0.5, np.exp
    own = quad(lambda v: decay(-g * v), 0, t, weight="alg", wvar=(a - 1, 0))[0]
    if kind == 2:
        return own / math.gamma(a)

    def past(v):
        return (decay(-g * (t + v)) - decay(-g * v)) * ((t + v) ** (a - 1) - v ** (a - 1))

    edges = [0, 1e-6, 1e-3, 0.1, 1, 5, 40]
    return (own + sum(quad(past, lo, hi)[0] for lo, hi in itertools.pairwise(edges))) / math.gamma(a)


@pytest.mark.parametrize("kind", [1, 2])
@pytest.mark.parametrize("hurst", [0.2, 0.5, 0.9])
def test_normal_equations_are_integrals_of_covariances(kind, hurst):
    horizon, g = 2.0, real([0.7, 3.0, 12.0])
    gram, across = _normal_equations(real(hurst), g, horizon, kind)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    times = horizon / 2 * (nodes + 1)
    by_hand = [
        horizon
        / 2
        * sum(w * covariance_with_motion(t, rate, hurst, kind) for t, w in zip(times, weights, strict=True))
        for rate in g.tolist()
    ]
    assert_close(across, real(by_hand), rtol=2e-4, atol=1e-5)
    pair = real([0.0, 1.0, 1.0])
    both = [path_covariance(pair, g, torch.from_numpy(times), kind=kind).diagonal()]
    only = [
        path_covariance(torch.eye(3).double()[k], g, torch.from_numpy(times), kind=kind).diagonal()
        for k in (1, 2)
    ]
    cross = (both[0] - only[0] - only[1]) / 2
    assert_close(gram[1, 2], horizon / 2 * (cross * torch.from_numpy(weights)).sum(), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("kind", "rates", "errors"),
    [
        (2, geometric_rates(5, 1 / 20, 20), [0.410, 0.055, 0.003, 0.008, 0.011]),
        (1, geometric_rates(5, 1 / 20, 20), [0.465, 0.133, 0.270, 0.523, 0.844]),
        (1, geometric_rates(10, 1e-5, 100), [0.397, 0.046, 0.004, 0.043, 0.369]),
    ],
    ids=["Riemann-Liouville", "Mandelbrot-Van Ness", "a longer grid"],
)
def test_errors_of_the_path_that_are_known(kind, rates, errors):
    found = [float(relative_error(real(h), rates, 6.0, kind=kind)) for h in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert found == pytest.approx(errors, abs=6e-4)


def test_weights_are_differentiable_in_the_hurst_index():
    for kind, slowest, fastest in ((1, 1e-4, 20.0), (2, 0.05, 20.0), (1, 1e-4, 1e7)):
        rates = geometric_rates(6, slowest, fastest)
        h = real(0.37).requires_grad_()
        assert torch.autograd.gradcheck(lambda h, r=rates, k=kind: optimal_weights(h, r, 6.0, kind=k), h)


@pytest.mark.parametrize(("hurst", "nats"), [(0.2, 0.1), (0.3, 0.02), (0.5, 0.01), (0.7, 0.02), (0.9, 0.1)])
def test_what_the_approximation_costs_in_nats_of_a_path_of_256_values(hurst, nats):
    """Kullback-Leibler divergence of the exact motion from its approximation, with noise of 1 %."""
    n = 256
    times, noise = torch.arange(1, n + 1, dtype=F64), 1e-4 * torch.eye(n, dtype=F64)
    rates = geometric_rates(12, 1e-4 / n, 100.0)
    near = path_covariance(optimal_weights(real(hurst), rates, float(n)), rates, times) + noise
    exact = motion_covariance(hurst, times) + noise
    gain = torch.linalg.solve(near, exact)
    assert 0.5 * float(gain.trace() - n + near.logdet() - exact.logdet()) < nats


def test_exact_steps_compose_and_have_the_covariances_of_the_states():
    rates = geometric_rates(6, 1e-3, 50.0)
    one, two = ExactSteps.of(rates, real([0.1])), ExactSteps.of(rates, real([0.2]))
    assert_close(one.decay[0] ** 2, two.decay[0])
    first = one.factor[0] @ one.factor[0].T
    again = one.decay[0][:, None] * first * one.decay[0] + first
    assert_close(again, two.factor[0] @ two.factor[0].T, rtol=1e-9, atol=1e-13)
    start = stationary_root(rates)
    stationary = start @ start.T
    assert_close(one.decay[0][:, None] * stationary * one.decay[0] + first, stationary, rtol=1e-8, atol=1e-10)
    # a constant control moves each state by int exp(-g s) ds, at no more than its length
    assert_close((one.factor[0] @ one.push[0]), (1 - one.decay[0]) / rates, rtol=1e-6, atol=1e-12)
    assert float(one.push.square().sum()) <= 0.1 + 1e-9


def test_what_has_no_weights_is_refused():
    rates = geometric_rates(4, 0.1, 10.0)
    with pytest.raises(InvalidInputError, match=r"hurst must lie in \(0, 1\), got 1.0"):
        optimal_weights(real(1.0), rates, 6.0)
    with pytest.raises(InvalidInputError, match="rates must be positive and increase"):
        optimal_weights(real(0.3), rates.flip(0), 6.0)
    with pytest.raises(InvalidInputError, match="far enough apart"):
        optimal_weights(real(0.3), real([1.0, 1.0 + 1e-9]), 6.0)
    with pytest.raises(InvalidInputError, match="count must be"):
        geometric_rates(0, 0.1, 10.0)


@pytest.mark.parametrize("kind", [1, 2])
@pytest.mark.parametrize("hurst", [0.3, 0.5, 0.7])
def test_both_kinds_have_variance_one_at_time_one(kind, hurst):
    a = hurst + 0.5
    variance = quad(lambda v: 1 / math.gamma(a) ** 2, 0, 1, weight="alg", wvar=(2 * a - 2, 0))[0]
    if kind == 2:
        assert_close(unit_scale(real(hurst), 2), real(variance), rtol=1e-8, atol=0)
    rates = geometric_rates(14, 1e-4 if kind == 1 else 0.02, 3000.0)
    weights = optimal_weights(real(hurst), rates, 5.0, kind=kind)
    found = path_covariance(weights, rates, real([1.0, 4.0]), kind=kind).diagonal()
    assert_close(found, real([1.0, 4.0 ** (2 * hurst)]), rtol=0.02, atol=0)


@pytest.mark.parametrize("kind", [1, 2])
def test_noise_for_an_equation_has_the_covariance_of_the_motion_at_uneven_times(kind):
    noise = MarkovMotion(hurst=0.3, horizon=3.0, finest=0.05, kind=kind)
    times = real([0.0, 0.05, 0.4, 1.0, 3.0])
    drawn = noise.sample(20_000, times, generator=torch.Generator().manual_seed(0))
    assert bool((drawn[:, 0] == 0).all())
    exact = path_covariance(noise.weights, noise.rates, times, kind=kind)
    error = (exact.diagonal()[:, None] * exact.diagonal() + exact.square()).sqrt() / 20_000**0.5
    assert bool(((drawn.T @ drawn / 20_000 - exact).abs() <= 5 * error + 1e-12).all())
    if kind == 1:
        assert_close(exact, motion_covariance(real(0.3), times), rtol=0.05, atol=0.03)
    with pytest.raises(InvalidInputError, match=r"times must be strictly increasing within \[0, 3\]"):
        noise.sample(1, real([0.0, 3.1]), generator=torch.Generator())
