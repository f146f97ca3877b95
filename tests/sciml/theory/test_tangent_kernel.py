"""Neural tangent kernel: a closed form, a gradient step, drift and alignment."""

import pytest
import torch
from torch import nn

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.theory.weight_kernel import kernel_alignment, kernel_drift, tangent_kernel


class Quadratic(nn.Module):
    """``sum_i (w_i . x)^2 / 2``, whose kernel is ``sum_i (w_i . x) (w_i . y) x . y``."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(
            torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        )

    def forward(self, x):
        return 0.5 * (x @ self.w.T).square().sum(1, keepdim=True)


def rows(n, seed):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_closed_form():
    net, x, y = Quadratic(), rows(7, 1), rows(4, 2)
    known = ((x @ net.w.T) @ (y @ net.w.T).T) * (x @ y.T)
    torch.testing.assert_close(tangent_kernel(net, x, y), known.detach())
    torch.testing.assert_close(tangent_kernel(net, x), tangent_kernel(net, x, x))


def test_outputs_move_by_the_kernel_in_a_small_step():
    """``f(x) - eta sum_y K(x, y) r(y)`` after a step of ``-eta`` times the gradient of ``r^2 / 2``."""
    net = nn.Sequential(nn.Linear(3, 20), nn.Tanh(), nn.Linear(20, 1)).double()
    x, kernel = rows(6, 3), None
    kernel, before = tangent_kernel(net, x), net(x)
    residual = (before - 1.0).detach()
    (residual * before).sum().backward()
    with torch.no_grad():
        for weight in net.parameters():
            weight -= 1e-6 * weight.grad
        moved = net(x) - before
    torch.testing.assert_close(moved, -1e-6 * kernel @ residual, rtol=1e-4, atol=1e-12)


def test_frozen_weights_and_buffers_take_no_part():
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1)).double()
    whole = tangent_kernel(net, rows(3, 4))
    net[0].requires_grad_(False)
    part = tangent_kernel(net, rows(3, 4))
    hidden = net[0](rows(3, 4)).detach()
    torch.testing.assert_close(part, hidden @ hidden.T + 1)
    assert float((whole - part).diagonal().min()) > 0
    with pytest.raises(InvalidInputError, match="learn"):
        tangent_kernel(net.requires_grad_(False), rows(3, 4))


def test_alignment_and_drift():
    y = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    assert kernel_alignment(torch.outer(y, y), y) == pytest.approx(1)
    assert kernel_alignment(torch.eye(3, dtype=torch.float64), y) == pytest.approx(3**-0.5)
    assert kernel_drift(1.5 * torch.eye(3), torch.eye(3)) == pytest.approx(0.5)
