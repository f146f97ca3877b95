"""Exact checkerboard fields against weighted draws of the ends, and against the gradient of the smoothed density."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths import Linear, Mirror, OneSidedLinear, Trigonometric
from interpolants.problems import Checkerboard, CheckerboardBridge

PATHS = {"one_sided": OneSidedLinear(), "linear": Linear(), "trigonometric": Trigonometric()}


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("t", [0.3, 0.6, 0.85])
def test_fields_are_the_conditional_means_of_weighted_draws(name, t, generator):
    path, n = PATHS[name], 400_000
    bridge = CheckerboardBridge()
    x1 = bridge.board.sample(n, generator=generator).double()
    time = torch.tensor(t, dtype=torch.float64)
    alpha, beta, gamma = path.alpha(time), path.beta(time), path.envelope.gamma(time)
    variance = alpha**2 + gamma**2
    x = beta * torch.tensor([[1.2, -0.7], [0.1, 2.5], [-3.0, 3.3]], dtype=torch.float64)
    found = bridge.fields(path).evaluate(
        x, time, ("denoised", "endpoint0", "noise", "score", "mean_rate", "velocity")
    )
    for row in range(len(x)):
        weight = torch.softmax(-0.5 * (x[row] - beta * x1).square().sum(1) / variance, 0)
        mean = (weight[:, None] * x1).sum(0)
        error = (weight.square()[:, None] * (x1 - mean).square()).sum(0).sqrt()
        assert ((found["denoised"][row] - mean).abs() < 5 * error + 1e-6).all()
    e1, r = found["denoised"], x - beta * found["denoised"]
    assert_close(found["endpoint0"], alpha / variance * r)
    assert_close(found["score"], -r / variance)
    latent = alpha if path.is_one_sided else gamma
    assert_close(found["noise"], latent / variance * r)
    assert_close(found["mean_rate"], path.alpha_dot(time) * found["endpoint0"] + path.beta_dot(time) * e1)
    extra = 0 if path.is_one_sided else path.envelope.gamma_dot(time) * found["noise"]
    assert_close(found["velocity"], found["mean_rate"] + extra)


def test_the_score_is_the_gradient_of_the_smoothed_density():
    path, t = OneSidedLinear(), torch.tensor(0.7, dtype=torch.float64)
    board = Checkerboard()
    x = torch.tensor([[0.3, 1.1], [2.0, -1.4], [-2.9, 0.2]], dtype=torch.float64, requires_grad=True)
    low = board.filled_cells.double() * 2 - 4
    sigma, beta = path.alpha(t), path.beta(t)

    def cumulative(edge):
        return 0.5 * (1 + torch.erf((x[:, None] - beta * edge) / (sigma * math.sqrt(2))))

    density = (cumulative(low) - cumulative(low + 2)).prod(-1).sum(1)
    (slope,) = torch.autograd.grad(density.log().sum(), x)
    assert_close(CheckerboardBridge(board).fields(path).score(x.detach(), t), slope)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_mean_end_is_right_from_the_first_moments_on(dtype):
    """By Gauss and Legendre's rule in every cell, where the noise hardly tells one end from another."""
    board, path = Checkerboard(), OneSidedLinear()
    nodes, weights = (torch.tensor(part) for part in np.polynomial.legendre.leggauss(20))
    ends = board.filled_cells.double()[..., None] * 2 - 3 + nodes
    x = torch.tensor([[0.3, 1.1], [2.0, -1.4], [-2.9, 0.2], [4.0, -5.0], [0.25, -0.25]], dtype=dtype)
    for t in (1e-12, 1e-5, 1e-4, 1e-3, 2e-3, 3e-3, 4e-3, 5e-3, 1e-2, 0.1):
        time = torch.tensor(t, dtype=dtype)
        beta, sigma = path.beta(time).double(), path.alpha(time).double()
        near = (-0.5 * ((x[:, None, :, None] - beta * ends) / sigma).square()).exp() * weights
        mass = near.sum(-1)
        cell = mass.prod(-1, keepdim=True)
        wanted = ((near * ends).sum(-1) / mass * cell).sum(1) / cell.sum(1)
        found = CheckerboardBridge(board).fields(path).denoised(x, time).double()
        assert_close(found, wanted, rtol=0, atol=3e-9 if dtype == torch.float64 else 1e-6)


def test_the_slope_of_the_mean_end_is_finite_and_the_covariance_of_the_board():
    board, x = Checkerboard(), torch.tensor([[0.3, 1.1]], dtype=torch.float64)
    fields = CheckerboardBridge(board).fields(OneSidedLinear())
    middles = board.filled_cells.double() * 2 - 3
    covariance = torch.cov(middles.T, correction=0) + torch.eye(2).double() * 4 / 12
    for t in (0.0, 1e-6, 1e-4):
        slope = torch.autograd.functional.jacobian(lambda u, t=t: fields.denoised(u, t), x)[0, :, 0]
        assert_close(slope, t * covariance, rtol=1e-2, atol=1e-12)
    far = torch.autograd.functional.jacobian(lambda u: fields.denoised(u, 1e-3), 60 * x)
    assert torch.isfinite(far).all()


def test_the_ends_are_right_and_far_points_stay_finite():
    fields = CheckerboardBridge(scale=2.0).fields(OneSidedLinear(Gaussian(scale=2.0)))
    x = torch.tensor([[0.5, -1.0], [60.0, -60.0]], dtype=torch.float64)
    assert_close(fields.denoised(x, 0.0), torch.zeros_like(x), atol=1e-12, rtol=0)
    assert_close(fields.endpoint0(x, 0.0), x)
    assert torch.isfinite(fields.velocity(x, 0.999)).all()
    inside = Checkerboard().filled_cells.double() * 2 - 3.4
    assert_close(fields.denoised(inside, 1.0), inside)


def test_other_paths_and_bases_are_refused():
    with pytest.raises(InvalidInputError, match="spatially linear with two ends and no basis, got Mirror"):
        CheckerboardBridge().fields(Mirror())
    with pytest.raises(InvalidInputError, match="base must be"):
        CheckerboardBridge(scale=2.0).fields(OneSidedLinear())
