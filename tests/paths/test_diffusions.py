"""VP, sub-VP, VE and discrete schedules against their SDEs, their chains and the distributions of Gaussian mixtures."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.gaussian import Gaussian
from interpolants.paths import (
    VE,
    VP,
    DiscreteSchedule,
    OneSidedTrigonometric,
    SubVP,
    VariancePreserving,
    linear_betas,
)

F64 = torch.float64
S = torch.linspace(0.001, 1, 40, dtype=F64)
T = 1 - S


def rate(s, bmin=0.1, bmax=20.0):
    return bmin + s * (bmax - bmin), bmin * s + (bmax - bmin) * s**2 / 2


def test_g_squared_is_that_of_each_sde():
    beta, decay = rate(S)
    assert_close(VP().g_squared(T), beta, rtol=1e-10, atol=0)
    assert_close(SubVP().g_squared(T), beta * (1 - torch.exp(-2 * decay)), rtol=1e-9, atol=0)
    ve = VE(smin=0.02, smax=30.0)
    sigma = 0.02 * 1500**S
    assert_close(ve.noise_std(T), sigma)
    assert_close(ve.g_squared(T), 2 * sigma**2 * math.log(1500))


def test_kernels_are_those_of_the_table():
    _, decay = rate(S)
    for path, std in ((VP(), torch.sqrt(1 - torch.exp(-decay))), (SubVP(), 1 - torch.exp(-decay))):
        assert_close(path.beta(T), torch.exp(-decay / 2))
        assert_close(path.noise_std(T), std)
    assert_close(VE().beta(T), torch.ones_like(T))


@pytest.mark.parametrize("path", [VP(), SubVP(), VE(), DiscreteSchedule(), OneSidedTrigonometric()])
def test_the_noise_near_the_data_keeps_its_digits_in_single_precision(path):
    t = torch.tensor([1 - 2.0**-20, 1 - 2.0**-10, 0.5])  # times that are exact in both precisions
    for name in ("noise_std", "g_squared", "alpha_alpha_dot", "beta_dot"):
        single, double = getattr(path, name)(t), getattr(path, name)(t.double())
        assert_close(single.double(), double, rtol=2e-6, atol=0)


@pytest.mark.parametrize(
    ("path", "left"), [(VP(), 0.00657), (SubVP(), 0.00657), (DiscreteSchedule(), 0.00635)]
)
def test_what_is_left_of_the_data_at_the_start_is_declared(path, left):
    # exp(-B(1)/2) with B(1) = 10.05, and the product of DDPM's table; the noise makes up for it
    assert path.ends.x1_at_0 == pytest.approx(left, abs=1e-5)
    assert path.ends.x0_at_0 == pytest.approx(1.0, abs=5e-5)
    assert path.ends.end_is_exact


def test_variance_exploding_ends_keep_the_data_and_the_least_noise():
    ends = VE(smin=0.01, smax=50.0).ends
    assert (ends.x0_at_0, ends.x1_at_0, ends.x1_at_1) == (1.0, 1.0, 1.0)
    assert ends.x0_at_1 * 50.0 == pytest.approx(0.01)


@pytest.mark.parametrize("path", [VP(), SubVP(), VE(smax=20.0), VP(base=Gaussian(mean=0.5, scale=2.0))])
def test_the_cost_of_the_base_is_a_divergence_of_two_gaussians(path):
    x1 = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    ends, base = path.ends, path.base
    mean, std = base.mean_like(x1), base.std
    start = torch.distributions.Normal(ends.x0_at_0 * mean + ends.x1_at_0 * x1, ends.x0_at_0 * std)
    wanted = torch.distributions.kl_divergence(
        start, torch.distributions.Normal(mean, torch.tensor(std))
    ).sum(1)
    # float64 leaves 1e-16 of a variance ratio next to one
    assert_close(path.start_kl(x1), wanted, rtol=1e-9, atol=1e-14)
    assert float(path.start_kl(x1).mean()) > 0
    assert float(VariancePreserving().start_kl(x1).abs().max()) == 0


def test_the_mean_cost_bounds_the_divergence_of_the_true_start():
    """Data N(1, 4): the start is Gaussian too, so its divergence from the base is known."""
    path = VP(bmin=0.1, bmax=5.0)
    a, b = path.ends.x0_at_0, path.ends.x1_at_0
    variance, mean = a**2 + 4 * b**2, b
    exact = 0.5 * (variance + mean**2 - 1 - math.log(variance))
    x1 = 1 + 2 * torch.randn(20_000, 1, generator=torch.Generator().manual_seed(1), dtype=F64)
    bound = float(path.start_kl(x1).mean())
    assert exact < bound < 0.5 * b**2 * (1 + 4) * 1.2


def test_a_chain_of_noising_steps_ends_in_the_kernel_of_the_table():
    """DDPM's forward chain, step by step: its mean and variance factors are beta and noise_std at the steps."""
    path = DiscreteSchedule()
    signal, variance = torch.ones((), dtype=F64), torch.zeros((), dtype=F64)
    for k, step in enumerate(linear_betas(), start=1):
        signal, variance = math.sqrt(1 - step) * signal, (1 - step) * variance + step
        if k in (1, 2, 10, 500, 1000):
            t = path.time_of(k)
            assert_close(path.beta(t), signal, rtol=1e-12, atol=0)
            assert_close(path.noise_std(t).square(), variance, rtol=1e-11, atol=0)
            assert float(path.step_of(t)) == pytest.approx(k, abs=1e-9)


def test_the_default_table_is_close_to_the_continuous_process_it_came_from():
    t = torch.linspace(0.001, 0.999, 50, dtype=F64)
    # beta_k = (bmin + k/N (bmax - bmin))/N up to O(1/N)
    assert_close(DiscreteSchedule().beta(t), VP().beta(t), rtol=0, atol=2e-3)


def test_a_discrete_schedule_never_gains_signal_and_has_a_continuous_rate():
    path = DiscreteSchedule((0.999, 0.9, 0.89, 0.2, 0.19, 1e-4))
    t = torch.linspace(0, 1, 6001, dtype=F64)
    assert bool((path.beta(t).diff() > 0).all())
    assert bool((path.decay_rate(t) > 0).all())
    nodes = path.time_of(torch.arange(1, 6))
    assert_close(path.decay_rate(nodes - 1e-9), path.decay_rate(nodes + 1e-9), rtol=1e-6, atol=1e-6)


def test_the_rate_at_the_steps_is_right_to_second_order_at_both_ends_too():
    """Table of a known process: twice the steps leave a quarter of the error at the data, between and at the noise."""
    exact, errors = VP(bmin=4.0, bmax=9.0), []
    for steps in (100, 200):
        table = torch.exp(-exact.decay(1 - torch.arange(1, steps + 1, dtype=F64) / steps))
        path = DiscreteSchedule(tuple(table.tolist()))
        nodes = torch.tensor([0.0, 0.5, 1.0], dtype=F64)
        errors.append((path.decay_rate(nodes) - exact.decay_rate(nodes)).abs())
    assert_close(errors[0] / errors[1], torch.full((3,), 4.0, dtype=F64), rtol=0.05, atol=0)


def test_one_step_is_a_schedule_too():
    path = DiscreteSchedule((0.25,))
    assert_close(path.beta(torch.tensor([0.0, 1.0], dtype=F64)), torch.tensor([0.5, 1.0], dtype=F64))
    assert DiscreteSchedule.from_betas([0.75]).alphabar == (0.25,)
