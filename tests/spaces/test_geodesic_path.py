import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.spaces import Product, Reals, Rotations, Sphere
from interpolants.spaces.flow import flow
from interpolants.spaces.geodesic_path import GeodesicPath

F = torch.float64


def base(space, n, seed=0):
    return space.base(torch.randn(n, space.size, dtype=F, generator=torch.Generator().manual_seed(seed)))


def lattice(n=40_000):
    """Points of the unit sphere, evenly rms_distance by area (Fibonacci)."""
    k = torch.arange(n, dtype=F)
    z, angle = 1 - (2 * k + 1) / n, math.pi * (1 + math.sqrt(5)) * k
    side = (1 - z * z).sqrt()
    return torch.stack([side * angle.cos(), side * angle.sin(), z], -1)


THREE = Sphere(2).project(torch.tensor([[0.0, 0.1, 1.0], [1.0, 0.2, 0.1], [-0.3, 0.9, -0.5]], dtype=F))


def test_ends_are_exact_and_the_speed_is_constant():
    space = Product([Sphere(2), Sphere(1), Reals(2)])
    x0, x1 = base(space, 50), base(space, 50, 1)
    path = GeodesicPath(space)
    for t, end in ((0.0, x0), (1.0, x1)):
        point, rate = path.sample(x0, x1, torch.full((50,), t, dtype=F))
        assert_close(point, end)
        assert_close(space.norm(rate), space.distance(x0, x1))


@pytest.mark.parametrize("t", [0.3, 0.6])
def test_the_conditional_density_on_a_sphere_has_mass_one_and_the_moments_of_draws(t):
    x1, grid = THREE[:1], lattice()
    path, time = GeodesicPath(Sphere(2)), torch.tensor([t], dtype=F)
    weight = path.log_conditional(grid, x1, time).exp() * 4 * math.pi / len(grid)
    assert abs(float(weight.sum()) - 1) < 2e-3  # the lattice's error at the edge of the support
    drawn, _ = path.sample(base(Sphere(2), 100_000), x1.expand(100_000, 3), time.expand(100_000))
    expected = (weight[:, None, None] * grid[:, :, None] * grid[:, None, :]).sum(0)
    assert_close(drawn.T @ drawn / len(drawn), expected, atol=6e-3, rtol=0)


def test_the_conditional_density_on_the_circle_is_flat_on_an_arc():
    space, t = Sphere(1), torch.tensor([0.6], dtype=F)
    angle = torch.tensor([0.0, 1.2, 1.27], dtype=F)  # the arc ends at 0.4 pi = 1.2566
    x = torch.stack([angle.cos(), angle.sin()], -1)
    found = GeodesicPath(space).log_conditional(x, x[:1], t).exp()
    flat = 1 / (2 * math.pi * 0.4)
    assert_close(found, torch.tensor([flat, flat, 0.0], dtype=F))


def test_the_angle_of_rotations_at_half_time_has_its_closed_mean():
    space, n = Rotations(), 100_000
    x1 = base(space, 1, 3).expand(n, 4)
    x, _ = GeodesicPath(space).sample(base(space, n), x1, torch.full((n,), 0.5, dtype=F))
    angle = space.distance(x, x1)
    assert abs(float(angle.mean()) - (math.pi / 2 + 2 / math.pi) / 2) < 5 * 0.4 / math.sqrt(n)
    # density of the angle: p_t times the area of the angle's shell, 8 pi (1 - cos w) / 2
    w = torch.linspace(0.05, 1.5, 30, dtype=F)
    q = torch.stack([(w / 2).cos(), (w / 2).sin(), 0 * w, 0 * w], -1)
    one = torch.tensor([[1.0, 0, 0, 0]], dtype=F)
    density = GeodesicPath(space).log_conditional(q, one, torch.tensor([0.5], dtype=F)).exp()
    assert_close(density * 8 * math.pi * (1 - w.cos()), (1 - (2 * w).cos()) / (math.pi * 0.5))


def test_a_flow_with_the_exact_field_carries_the_law_of_the_path():
    path, n = GeodesicPath(Sphere(2)), 4000
    times = torch.linspace(0, 0.6, 13, dtype=F)
    found = flow(path.space, lambda x, t: path.empirical_velocity(THREE, x, t), base(Sphere(2), n), times).x
    grid = lattice()
    weight = (
        path.empirical_log_prob(THREE, grid, torch.tensor([0.6], dtype=F)).exp() * 4 * math.pi / len(grid)
    )
    assert_close(found.mean(0), weight @ grid, atol=5 * 0.6 / math.sqrt(n), rtol=0)


def test_the_exact_field_of_a_product_weighs_rows_by_all_factors():
    space, t = Product([Sphere(1), Reals(1)]), torch.tensor([0.5], dtype=F)
    data = torch.tensor([[1.0, 0.0, -2.0], [0.0, 1.0, 2.0]], dtype=F)
    x = torch.tensor([[0.8, 0.6, 0.5]], dtype=F)  # within both arcs: the real factor decides
    normal = torch.distributions.Normal(0.5 * data[:, 2], torch.tensor(0.5, dtype=F))
    weight = torch.softmax(normal.log_prob(x[:, 2]), 0)
    mean = (weight[:, None] * space.log(x, data)).sum(0) / 0.5
    assert_close(GeodesicPath(space).empirical_velocity(data, x, t)[0], mean)


def smooth(x, t):
    """A smooth field on the sphere, no gradient and not free of divergence."""
    f = torch.stack([x[:, 1] * x[:, 2] + t, x[:, 0].sin() - x[:, 2], x[:, 1].square() + 0.5 * t], -1)
    return Sphere(2).tangent(x, f)


def test_heun_by_geodesic_steps_has_order_two_on_the_sphere():
    x = base(Sphere(2), 50)

    def end(n):
        return flow(Sphere(2), smooth, x, torch.linspace(0, 1, n + 1, dtype=F)).x

    exact = end(640)
    errors = [float((end(n) - exact).norm(dim=-1).mean()) for n in (10, 20, 40)]
    orders = [math.log2(errors[k] / errors[k + 1]) for k in (0, 1)]
    assert all(1.85 < order < 2.25 for order in orders), orders
    assert_close(torch.linalg.vector_norm(end(10), dim=-1), torch.ones(50, dtype=F))


def test_the_change_of_the_density_is_the_intrinsic_divergence():
    """Against the divergence in latitude and longitude, ``d(cos lat b_lat)/dlat / cos lat + d b_lon/dlon``."""
    lat, lon = torch.meshgrid(
        torch.linspace(-1, 1, 7, dtype=F), torch.linspace(-3, 3, 9, dtype=F), indexing="ij"
    )
    place = torch.stack([lat.flatten(), lon.flatten()], -1)

    def point(p):
        return torch.stack([p[0].cos() * p[1].cos(), p[0].cos() * p[1].sin(), p[0].sin()])

    def flux(p):
        b = smooth(point(p)[None], torch.tensor([0.2], dtype=F))[0]
        j = torch.func.jacfwd(point)(p)
        return p[0].cos() * torch.linalg.lstsq(j, b[:, None]).solution[:, 0]

    intrinsic = torch.stack([torch.func.jacrev(flux)(p).trace() / p[0].cos() for p in place])
    x, h = torch.stack([point(p) for p in place]), 1e-6
    times = torch.tensor([0.2, 0.2 + h], dtype=F)
    found = flow(Sphere(2), smooth, x, times, density=True).log_change
    assert_close(-found / h, intrinsic, atol=1e-5, rtol=0)


def test_a_rotation_of_the_sphere_leaves_densities_alone():
    def spin(x, t):
        return torch.linalg.cross(torch.tensor([[0.3, -1.0, 2.0]], dtype=F).expand_as(x), x)

    found = flow(Sphere(2), spin, base(Sphere(2), 50), torch.linspace(0, 1, 11, dtype=F), density=True)
    assert float(found.log_change.abs().max()) < 1e-10


@pytest.mark.parametrize("space", [Rotations(), Product([Sphere(1), Reals(2)])])
def test_volumes_of_small_sets_change_as_the_log_density_says(space):
    """On quaternions too: the determinant of the flow's derivative in a tangent frame."""
    weights = torch.randn(
        space.features_size, space.features_size, dtype=F, generator=torch.Generator().manual_seed(1)
    )

    def field(x, t):
        return space.velocity(x, torch.tanh(space.features(x) @ weights) + t[:, None])

    times = torch.linspace(0, 0.5, 41, dtype=F)

    def end(x):
        return flow(space, field, x, times).x

    x = base(space, 1, 5)

    def frame(at):
        """Orthonormal tangent vectors at a point."""
        spans = torch.stack([space.tangent(at, e[None])[0] for e in torch.eye(space.size, dtype=F)])
        return torch.linalg.svd(spans).Vh[: space.dim]

    y, h, own = end(x), 1e-5, frame(x)
    columns = [(end(space.exp(x, h * e[None])) - end(space.exp(x, -h * e[None])))[0] / (2 * h) for e in own]
    volume = torch.linalg.det(torch.stack([frame(y) @ column for column in columns])).abs().log()
    found = flow(space, field, x, times, density=True).log_change[0]
    assert_close(found, -volume, atol=2e-3, rtol=0)


def test_log_densities_by_the_flow_agree_with_the_closed_form():
    path, t = GeodesicPath(Sphere(2)), torch.tensor([0.3], dtype=F)
    x, _ = path.sample(base(Sphere(2), 100), THREE[torch.arange(100) % 3], t.expand(100))
    times = torch.linspace(0.3, 0, 61, dtype=F)
    back = flow(path.space, lambda p, s: path.empirical_velocity(THREE, p, s), x, times, density=True)
    found = path.space.base_log_prob(back.x) - back.log_change
    error = (found - path.empirical_log_prob(THREE, x, t)).abs()
    assert float(error.median()) < 1e-4


def test_jumps_of_the_flow_to_one_point_compose():
    space, x1 = Sphere(2), THREE[:1]

    def jump(x, s, t):
        return space.exp(x, (t - s) / (1 - s) * space.log(x, x1))

    x = base(space, 50)
    assert_close(jump(jump(x, 0.2, 0.5), 0.5, 0.9), jump(x, 0.2, 0.9), atol=1e-14, rtol=0)
