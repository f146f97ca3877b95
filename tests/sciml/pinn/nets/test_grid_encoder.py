"""GridEncoder: kernel means by hand, invariances that hold and one that does not, empty nodes, refusals."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.pinn.nets.grid_encoder import GridEncoder, _spread


def sets(n=9, d=1, seed=0):
    g = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(2, n, d, generator=g) - 1, torch.randn(2, n, 1, generator=g)


def test_channels_are_kernel_means_by_a_plain_loop():
    net, (points, values) = GridEncoder(2, channels=3, nodes=4, shortest=0.2), sets(d=2)
    found, present = net.on_grid(points, values)
    made, line = net.pointwise(values), torch.linspace(-1, 1, 4)
    for b in range(2):
        for g in range(16):
            node = torch.stack([line[g // 4], line[g % 4]])
            for p, length in enumerate(net.lengths):
                weight = torch.exp(-(points[b] - node).square().sum(1) / (2 * length**2))
                near = bool(weight.max() > 1e-6)
                mean = (weight * made[b, :, p]).sum() / weight.sum() if near else torch.tensor(0.0)
                assert_close(found[b, g, p], mean, atol=1e-5, rtol=1e-4)
                assert bool(present[b, g, p]) == near
    assert not bool(present.all())
    assert_close(torch.tensor(net.lengths), torch.tensor([0.2, 0.2**0.5, 1.0]))


@pytest.mark.parametrize("d", [1, 2])
def test_order_and_points_that_come_twice_change_nothing(d):
    net, (points, values) = GridEncoder(d, channels=4, nodes=8), sets(d=d)
    expected, order = net(points, values), torch.randperm(9, generator=torch.Generator().manual_seed(1))
    assert_close(net(points[:, order], values[:, order]), expected, atol=1e-5, rtol=1e-4)
    assert_close(net(points.repeat(1, 2, 1), values.repeat(1, 2, 1)), expected, atol=1e-5, rtol=1e-4)
    assert expected.shape == (2, 64)
    assert not torch.allclose(net(points, values.flip(1)), expected, atol=1e-3)


def test_the_grid_forgets_a_density_of_points_only_in_the_mean():
    """Means of ``sin 3x`` over 30 random points differ from set to set, by a standard deviation of 0.02 to 0.3."""
    net, found = GridEncoder(1, channels=1, shortest=0.2, longest=0.2, nodes=5), []
    net.pointwise.forward = lambda values: values
    for seed in range(40):
        points, _ = sets(30, seed=seed)
        found.append(net.on_grid(points, torch.sin(3 * points))[0][0, 1:4, 0])
    spread = torch.stack(found).std(0)
    assert bool(((spread > 0.02) & (spread < 0.3)).all())


def test_empty_neighbourhoods_leave_no_nan_in_the_gradients():
    net = GridEncoder(1, channels=2, nodes=4, shortest=0.01)
    points, values = torch.tensor([[[-1.0], [0.9]]]), torch.ones(1, 2, 1, requires_grad=True)
    carried, present = net.on_grid(points, values)
    assert not bool(present.all())
    carried.sum().backward()
    assert bool(values.grad.isfinite().all())
    assert float(values.grad.abs().max()) > 0


def test_sets_without_points_or_with_empty_neighbourhoods_are_refused():
    net, (points, values) = GridEncoder(1, channels=2, longest=0.05), sets()
    with pytest.raises(InvalidInputError, match="every node must have a point near it"):
        net(points[:, :1], values[:, :1])
    with pytest.raises(InvalidInputError, match=r"points must be \(B, N, 1\) with N >= 1, got \(2, 0, 1\)"):
        net(points[:, :0], values[:, :0])
    with pytest.raises(InvalidInputError, match="dimension"):
        GridEncoder(3)
    with pytest.raises(InvalidInputError, match="shortest must be at most longest"):
        GridEncoder(1, shortest=2.0)


def test_lengths_are_spread_by_equal_factors_and_a_single_one_lies_in_the_middle():
    assert _spread(0.1, 10.0, 3) == pytest.approx([0.1, 1.0, 10.0])
    assert _spread(0.1, 10.0, 1) == pytest.approx([1.0])
