import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.simulation.nets.kernel_integral import KernelIntegral, Pairs, area_weights


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def neighbourhood_mean(rule="mean"):
    """A layer with K = 1 and W = 1."""
    layer = KernelIntegral(2, 1, 1, rule=rule).double()
    layer.outer.weight.zero_(), layer.lift.bias.zero_()
    layer.lift.weight.fill_(1), layer.outer.bias.fill_(1)
    return layer


def mesh(n, generator):
    points = torch.rand(n, 2, generator=generator, dtype=torch.float64)
    return points[(points - 0.5).norm(dim=1) > 0.2]  # a hole, where neighbourhoods are empty


def test_with_a_constant_kernel_it_is_the_mean_of_the_neighbourhood(generator):
    points, queries = mesh(300, generator), torch.rand(60, 2, generator=generator, dtype=torch.float64)
    u = torch.randn(len(points), 1, generator=generator, dtype=torch.float64)
    pairs = Pairs.near(points, queries, 0.1)
    near = torch.cdist(queries, points) <= 0.1
    counts = near.sum(1, keepdim=True)
    assert int((counts == 0).sum()) > 0
    expected = torch.where(counts > 0, (near.double() @ u) / counts.clamp(min=1), 0.0)
    assert_close(neighbourhood_mean()(u, pairs), expected, rtol=0, atol=1e-6)
    assert torch.equal(pairs.found, counts[:, 0] > 0)


def test_it_is_the_sum_over_neighbours_by_a_plain_loop(generator):
    points, queries = mesh(40, generator), torch.rand(9, 2, generator=generator, dtype=torch.float64)
    u, weight = (torch.rand(len(points), n, generator=generator, dtype=torch.float64) for n in (3, 1))
    layer, expected = KernelIntegral(2, 3, 4, rule="mean").double(), torch.zeros(9, 4, dtype=torch.float64)
    for k, query in enumerate(queries):
        total = 0.0
        for point, value, w in zip(points, u, weight, strict=True):
            offset = (point - query) / 0.3
            if (length := float(offset.norm())) <= 1:
                told = torch.cat([offset, torch.tensor([length**2], dtype=torch.float64)])
                kernel = layer.outer(torch.nn.functional.silu(layer.inner(told)))
                expected[k] += w * kernel * layer.lift(value)
                total += float(w)
        expected[k] /= total or 1.0
    assert_close(layer(u, Pairs.near(points, queries, 0.3), weight[:, 0]), expected)


def test_kernels_of_averages_are_positive_and_vanish_at_the_radius_in_every_direction():
    layer, angle = KernelIntegral(2, 1, 3).double(), torch.linspace(0, 6.28, 40, dtype=torch.float64)
    round_it = torch.stack([angle.cos(), angle.sin()], 1)
    assert float(layer.kernel(0.99 * round_it).min()) > 0
    assert float(layer.kernel((1 - 1e-9) * round_it).max()) < 2e-6
    layer.outer.weight.zero_()  # the window alone
    centre = layer.kernel(torch.zeros(1, 2, dtype=torch.float64))
    for r in (0.3, 0.6, 0.9):
        assert_close(layer.kernel(r * round_it), (1 - r**2) * centre.expand(40, 3), rtol=1e-4, atol=1e-5)


def test_a_query_whose_only_point_is_at_the_radius_has_its_value():
    layer = KernelIntegral(1, 2, 3).double()
    points, query = torch.tensor([[0.0], [4.0]]).double(), torch.tensor([[1.0]]).double()
    u = torch.tensor([[2.0, -1.0], [7.0, 7.0]], dtype=torch.float64)
    assert_close(layer(u, Pairs.near(points, query, 1.0)), layer.lift(u[:1]))


@pytest.mark.parametrize("rule", ["mean", "average"])
def test_the_order_of_points_does_not_matter(rule, generator):
    points, queries = mesh(200, generator), torch.rand(30, 2, generator=generator, dtype=torch.float64)
    u = torch.randn(len(points), 3, generator=generator, dtype=torch.float64)
    layer = KernelIntegral(2, 3, 4, rule=rule).double()
    order = torch.randperm(len(points), generator=generator)
    found = layer(u[order], Pairs.near(points[order], queries, 0.15))
    assert_close(found, layer(u, Pairs.near(points, queries, 0.15)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", ["mean", "average"])
def test_halving_the_spacing_changes_a_smooth_field_by_less_than_two_percent(rule, generator):
    layer = neighbourhood_mean(rule)
    queries = 0.2 + 0.6 * torch.rand(50, 2, generator=generator, dtype=torch.float64)
    found = []
    for n in (41, 81):
        line = torch.linspace(0, 1, n, dtype=torch.float64)
        points = torch.cartesian_prod(line, line)
        u = torch.sin(3 * points[:, :1]) * torch.cos(2 * points[:, 1:]) + 2
        found.append(layer(u, Pairs.near(points, queries, 0.15)))
    assert float((found[1] - found[0]).norm() / found[1].norm()) < 0.02


def test_averages_keep_a_constant_field_whatever_the_mesh_and_its_weights(generator):
    points, queries = torch.rand(200, 2, generator=generator), torch.rand(40, 2, generator=generator)
    layer = KernelIntegral(2, 1, 3, rule="average")
    pairs = Pairs.near(points, queries, 0.2)
    weight = torch.rand(200, generator=generator) + 0.1
    found = layer(torch.full((200, 1), 2.0), pairs, weight)
    expected = layer.lift(torch.full((1, 1), 2.0)).expand(40, 3)
    assert bool(pairs.found.all())
    assert_close(found, expected)


def test_weights_by_area_undo_points_that_stand_close_together():
    """A quarter of the line has three quarters of the points; weighted by their cells they give its integral."""
    points = torch.cat([torch.linspace(0, 0.25, 301), torch.linspace(0.25, 1, 101)[1:]])[:, None].double()
    edges = torch.cat([points[:1, 0], (points[1:, 0] + points[:-1, 0]) / 2, points[-1:, 0]])
    layer = KernelIntegral(1, 1, 1, rule="mean").double()
    layer.outer.weight.zero_(), layer.outer.bias.fill_(1)
    layer.lift.weight.fill_(1), layer.lift.bias.zero_()
    pairs = Pairs.near(points, torch.tensor([[0.5]], dtype=torch.float64), 0.6)
    assert_close(layer(points, pairs, edges.diff()).item(), 0.5, rtol=0, atol=1e-3)
    assert layer(points, pairs).item() < 0.35


@pytest.mark.parametrize("rule", ["mean", "average"])
def test_a_point_that_stands_thrice_counts_once_with_weights_by_area(rule, generator):
    single = torch.tensor([[0.0, 0.0], [0.3, 0.0]], dtype=torch.float64)
    thrice = single[[0, 1, 1, 1]]
    u = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    layer, node = KernelIntegral(2, 3, 4, rule=rule).double(), torch.tensor([[0.1, 0.0]], dtype=torch.float64)
    weights = area_weights(thrice, 0.1)
    assert_close(weights, torch.tensor([1.0, 1 / 3, 1 / 3, 1 / 3], dtype=torch.float64))
    expected = layer(u, Pairs.near(single, node, 0.25))
    pairs = Pairs.near(thrice, node, 0.25)
    assert_close(layer(u[[0, 1, 1, 1]], pairs, weights), expected)
    assert float((layer(u[[0, 1, 1, 1]], pairs) - expected).abs().max()) > 1e-3
