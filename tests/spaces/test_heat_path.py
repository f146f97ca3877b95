import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.spaces import Product, Reals, Rotations, Sphere
from interpolants.spaces.heat_kernel import heat_kernel
from interpolants.spaces.heat_path import HeatPath, heat_flow

F = torch.float64
SPACES = [Sphere(1), Sphere(2), Sphere(5), Rotations(), Reals(2), Product([Sphere(2), Sphere(1), Reals(1)])]


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(n, size, seed=0):
    return torch.randn(n, size, dtype=F, generator=source(seed))


def base(space, n, seed=0):
    return space.base(normal(n, space.size, seed))


def angles(half=False, n=4001):
    return torch.linspace(0, math.pi / 2 if half else math.pi, n, dtype=F)


@pytest.mark.parametrize("tau", [0.005, 0.029, 0.031, 0.2, 1.0])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_heat_kernel_of_a_sphere_has_mass_one_and_the_mean_cosine_of_the_heat_equation(n, tau):
    theta = angles()
    area = theta.sin().clamp_min(0).pow(n - 1)
    density = heat_kernel(n, theta, torch.tensor(tau, dtype=F)).log_ratio.exp() * area
    mass = torch.trapezoid(density, theta) / torch.trapezoid(area, theta)
    assert abs(float(mass) - 1) < 1e-3
    mean = torch.trapezoid(density * theta.cos(), theta) / torch.trapezoid(density, theta)
    assert math.isclose(float(mean), math.exp(-n * tau), rel_tol=5e-5)


def test_the_heat_kernel_of_rotations_has_the_mean_trace_of_the_heat_equation():
    theta = angles(half=True)
    for tau in (0.02, 0.2, 1.0):
        density = (
            heat_kernel(3, theta, torch.tensor(tau / 4, dtype=F), even=True).log_ratio.exp()
            * theta.sin() ** 2
        )
        trace = torch.trapezoid(density * (1 + 2 * (2 * theta).cos()), theta) / torch.trapezoid(
            density, theta
        )
        assert math.isclose(float(trace), 3 * math.exp(-2 * tau), rel_tol=1e-6)


def test_the_heat_kernel_of_the_circle_is_the_wrapped_normal_density():
    theta, tau = angles(n=7), torch.tensor([0.01, 0.1, 1.0, 12.5], dtype=F)[:, None]
    turns = 2 * math.pi * torch.arange(-9, 10, dtype=F)
    images = (-(theta + turns[:, None, None]).square() / (4 * tau)).exp().sum(0) / (4 * math.pi * tau).sqrt()
    found = heat_kernel(1, theta, tau).log_ratio.exp() / (2 * math.pi)
    assert_close(found, images, rtol=1e-8, atol=1e-12)


def test_the_slope_is_that_of_the_density_and_not_of_a_flat_gaussian():
    theta = torch.tensor([0.4, 1.2, 2.6], dtype=F, requires_grad=True)
    kernel = heat_kernel(2, theta, torch.tensor(0.2, dtype=F))
    (gradient,) = torch.autograd.grad(kernel.log_ratio.sum(), theta)
    assert_close(kernel.slope * theta, gradient)
    published = torch.tensor([-0.932, -2.774, -5.397], dtype=F)  # by an independent sum of the series
    assert_close(gradient, published, atol=1e-3, rtol=0)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10])
def test_series_and_expansion_meet(n):
    theta = torch.tensor([0.0, 1e-3, 0.2, 0.5], dtype=F)
    before, after = (heat_kernel(n, theta, torch.tensor(tau, dtype=F)) for tau in (0.03 - 1e-9, 0.03 + 1e-9))
    assert_close(before.slope, after.slope, rtol=2e-3, atol=0)
    assert_close(before.log_ratio, after.log_ratio, rtol=0, atol=7e-3)


@pytest.mark.parametrize("sigma", [0.005, 0.1, 0.6, 1.5])
@pytest.mark.parametrize("n", [2, 3, 5])
def test_draws_have_the_mean_cosine_of_the_kernel(n, sigma):
    x = base(Sphere(n), 1).expand(100_000, -1)
    drawn = Sphere(n).diffuse(x, normal(100_000, n + 1, 1), torch.full((100_000,), sigma**2 / 2, dtype=F))
    cosine = (drawn * x).sum(-1)
    expected = math.exp(-n * sigma**2 / 2)
    error = float(cosine.std()) / 100_000**0.5
    assert abs(float(cosine.mean()) - expected) < 3 * error + 2e-4 * (1 - expected)


def test_draws_of_rotations_and_reals_have_the_moments_of_their_process():
    x, tau = base(Rotations(), 1).expand(100_000, 4), torch.full((100_000,), 0.3, dtype=F)
    angle = Rotations().distance(x, Rotations().diffuse(x, normal(100_000, 4, 1), tau))
    assert abs(float((1 + 2 * angle.cos()).mean()) - 3 * math.exp(-0.6)) < 0.012
    moved = Reals(1).diffuse(torch.full((100_000, 1), 2.0, dtype=F), normal(100_000, 1), tau)
    assert abs(float(moved.mean()) - 2 * math.exp(-0.3)) < 0.01
    assert abs(float(moved.var()) - (1 - math.exp(-0.6))) < 0.01


@pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__ + str(space.dim))
@pytest.mark.parametrize("tau", [0.02, 0.4])
def test_the_gradient_of_the_diffused_density_is_that_of_its_log(space, tau):
    x1, time = base(space, 20), torch.full((20,), tau, dtype=F)
    x = space.diffuse(x1, normal(20, space.size, 2), time).requires_grad_()
    ratio, gradient = space.diffused(x, x1, time)
    (ambient,) = torch.autograd.grad(ratio.sum(), x)
    # the Riemannian gradient of rotations: a unit tangent vector has Euclidean length 1/2
    stretch = 4 if isinstance(space, Rotations) else 1
    assert_close(gradient.detach(), space.tangent(x.detach(), ambient) / stretch, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("space", [Sphere(1), Sphere(2), Sphere(5), Reals(2)], ids=repr)
def test_the_mean_noise_is_that_of_the_generator(space):
    """``E grad log(p / base) . grad f = -E L f``, and each coordinate is an eigenfunction of the generator L."""
    n, tau, gap = 50_000, 0.125, space.spectral_gap
    x1, path = base(space, 1).expand(n, -1), HeatPath(space)
    _, noise = path.sample(x1, normal(n, space.size, 1), path.time(torch.full((n,), 0.5, dtype=F)))
    assert_close(-noise.mean(0) / 0.5, gap * math.exp(-gap * tau) * x1[0], atol=0.05, rtol=0)


THREE = Sphere(2).project(torch.tensor([[0.0, 0.1, 1.0], [1.0, 0.2, 0.1], [-0.3, 0.9, -0.5]], dtype=F))


def arrived(path, data, eps, sigma, steps=20, n=5000, seed=0):
    """Points at a standard deviation, from the base, under the exact field."""
    noise, start = source(seed + 1), base(path.space, n, seed)
    stop = path.time(torch.tensor(sigma, dtype=F))
    return heat_flow(
        path,
        lambda x, s: path.empirical_noise(data, x, s),
        start,
        torch.linspace(0, 1, steps + 1, dtype=F) * stop,
        eps=eps,
        normal=lambda: torch.randn(start.shape, dtype=F, generator=noise),
    ).x


@pytest.mark.parametrize("eps", [0.0, 1.5])
def test_ode_and_sde_carry_the_base_to_the_diffused_data_on_the_sphere(eps):
    x = arrived(HeatPath(Sphere(2)), THREE, eps, 0.5)
    assert_close(x.mean(0), math.exp(-0.25) * THREE.mean(0), atol=0.02, rtol=0)
    # degree 2 of the harmonics falls by exp(-6 tau)
    second = (THREE[:, :, None] * THREE[:, None]).mean(0) - torch.eye(3, dtype=F) / 3
    found = (x[:, :, None] * x[:, None]).mean(0) - torch.eye(3, dtype=F) / 3
    assert_close(found, math.exp(-0.75) * second, atol=0.02, rtol=0)


@pytest.mark.parametrize("eps", [0.0, 1.0])
def test_ode_and_sde_on_the_circle_have_the_wrapped_normal_law_that_a_regressed_score_of_geodesics_misses(
    eps,
):
    data = torch.tensor([[1.0, 0.0], [-0.6, 0.8]], dtype=F)
    x = arrived(HeatPath(Sphere(1)), data, eps, 0.4)
    angle = torch.atan2(x[:, 1], x[:, 0])
    for k in (1, 2, 3, 4):
        exact = (math.exp(-(k**2) * 0.08) * (1j * k * torch.atan2(data[:, 1], data[:, 0])).exp()).mean()
        assert abs(complex((1j * k * angle).exp().mean() - exact)) < 0.03


@pytest.mark.parametrize("eps", [0.0, 1.0])
def test_ode_and_sde_carry_a_product_with_reals(eps):
    space = Product([Sphere(1), Reals(1)])
    data = torch.tensor([[1.0, 0.0, 1.5], [0.0, 1.0, -1.0]], dtype=F)
    x = arrived(HeatPath(space), data, eps, 0.5)
    assert abs(float(x[:, 2].mean()) - 0.25 * math.exp(-0.125)) < 0.03
    assert abs(float(x[:, 2].var()) - (1.25**2 * math.exp(-0.25) + 1 - math.exp(-0.25))) < 0.05
    joint = math.exp(-0.25) * (1.5 * 1 + -1.0 * 0) / 2
    assert abs(float((x[:, 0] * x[:, 2]).mean()) - joint) < 0.03


def test_the_noise_level_is_that_of_the_sde():
    """Without drift, ``dX = sqrt(2 eps) dB`` is Brownian motion for eps times the time of the diffusion."""
    path, x = HeatPath(Sphere(2)), base(Sphere(2), 1).expand(20_000, -1)
    sigma, noise = torch.tensor([0.5, 0.4, 0.3], dtype=F), source()
    walked = heat_flow(
        path,
        lambda y, s: torch.zeros_like(y),
        x,
        path.time(sigma),
        eps=1.5,
        normal=lambda: torch.randn(x.shape, dtype=F, generator=noise),
    ).x
    assert abs(float((walked * x).sum(-1).mean()) - math.exp(-2 * 1.5 * (0.25 - 0.09) / 2)) < 0.005


def test_few_steps_of_the_sde_do_not_widen_the_distribution():
    """Each step is right in distribution up to the error of the ODE, which long steps of Euler-Maruyama are not."""
    x = arrived(HeatPath(Sphere(2)), THREE, 1.0, 0.5, steps=6)
    assert_close(x.mean(0), math.exp(-0.25) * THREE.mean(0), atol=0.03, rtol=0)


def test_log_densities_along_the_ode_are_those_of_the_diffused_data():
    path, sigma = HeatPath(Sphere(2)), torch.tensor(0.4, dtype=F)
    x = path.space.diffuse(THREE.repeat(20, 1), normal(60, 3), torch.full((60,), 0.08, dtype=F))
    times = torch.linspace(1, 0, 61, dtype=F) * path.time(sigma)
    back = heat_flow(path, lambda y, s: path.empirical_noise(THREE, y, s), x, times, density=True)
    found = path.space.base_log_prob(back.x) - back.log_change
    expected = path.empirical_log_prob(THREE, x, sigma.expand(60))
    assert float((found - expected).abs().median()) < 2e-3


def test_the_data_have_diffused_to_the_base_at_the_first_time():
    for space in SPACES:
        path = HeatPath(space)
        x, x1 = base(space, 50), base(space, 50, 1)
        ratio, _ = space.diffused(x, x1, torch.full((50,), path.sigma_max**2 / 2, dtype=F))
        assert float(ratio.abs().max()) < 1e-4
