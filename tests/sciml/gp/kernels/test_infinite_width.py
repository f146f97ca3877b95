"""Moments of activations against Gaussian quadrature, and the recursion against wide networks."""

import math

import numpy as np
import pytest
import torch
from scipy.special import erf
from torch.testing import assert_close

from interpolants.sciml.gp.kernels.infinite_width import ACTIVATIONS, NNGP

FUNCTIONS = {"relu": lambda u: np.maximum(u, 0), "erf": erf}


def quadrature(function, k, k2, cross):
    """``E[phi(u) phi(v)]`` by polar coordinates for the pair, whose radius and angle a product rule meets."""
    root = np.linalg.cholesky(np.array([[k, cross], [cross, k2]]))
    angle = (np.arange(20_000) + 0.5) * 2 * math.pi / 20_000
    node, weight = np.polynomial.legendre.leggauss(120)
    r, w = 5 * (node + 1), 5 * weight
    z = r[:, None, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    u, v = np.moveaxis(z @ root.T, -1, 0)
    mean = (function(u) * function(v)).mean(1)
    return float((w * r * np.exp(-r * r / 2) * mean).sum())


@pytest.mark.parametrize("name", list(ACTIVATIONS))
@pytest.mark.parametrize(("k", "k2", "cross"), [(1.0, 2.0, 0.7), (0.5, 0.3, -0.2), (1.5, 1.5, 1.4)])
def test_moments_are_those_of_quadrature(name, k, k2, cross):
    found = ACTIVATIONS[name](*(torch.tensor(value, dtype=torch.float64) for value in (k, k2, cross)))
    assert float(found) == pytest.approx(quadrature(FUNCTIONS[name], k, k2, cross), rel=1e-6)


def rows(n=4, d=3, seed=0):
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_variances_are_the_diagonal_and_the_matrix_is_a_covariance(name):
    kernel, x = NNGP(3, name), rows()
    gram = kernel.covariance(x, x, weight=1.3, bias=0.2)
    assert_close(gram.diagonal(), kernel.variance(x, weight=1.3, bias=0.2), rtol=1e-12, atol=1e-12)
    assert_close(gram, gram.T, rtol=1e-14, atol=1e-14)
    assert float(torch.linalg.eigvalsh(gram)[0]) > 0


def test_a_relu_layer_halves_the_variance():
    x = rows()
    exact = 0.25 + 2.25 * (0.25 + 2.25 * x.square().mean(1)) / 2
    assert_close(NNGP(1).variance(x, weight=1.5, bias=0.5), exact)


def test_it_is_the_covariance_of_wide_networks():
    """2000 networks of two hidden layers of 128 units: 4 standard errors."""
    x, source = rows(3, 2), torch.Generator().manual_seed(0)
    h = x.float().expand(2000, -1, -1)
    for layer, width in enumerate((128, 128, 1)):
        scale = 1.4 / math.sqrt(h.shape[2])
        w = torch.randn(2000, h.shape[2], width, generator=source) * scale
        b = torch.randn(2000, 1, width, generator=source) * 0.3
        h = (h.relu() if layer else h) @ w + b
    outputs = h[:, :, 0].double()
    pairs = outputs[:, :, None] * outputs[:, None]
    error = pairs.std(0) / math.sqrt(2000)
    gap = (pairs.mean(0) - NNGP(2).covariance(x, x, weight=1.4, bias=0.3)).abs()
    assert bool((gap < 4 * error).all())


def test_gradients_are_finite_for_equal_inputs():
    weight = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    x = torch.cat([rows(), rows()])
    NNGP(3).covariance(x, x, weight=weight).sum().backward()
    assert bool(torch.isfinite(weight.grad))


def test_opposite_inputs_of_one_relu_layer_are_uncorrelated():
    """Where one unit is on the other is off; the slope in the weights is 0, not that of an arccosine at -1."""
    x, weight = rows(), torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    between = NNGP(1).covariance(x, -x, weight=weight).diagonal()
    assert_close(between, torch.zeros_like(between), atol=1e-9, rtol=0)
    (slope,) = torch.autograd.grad(between.sum(), weight)
    assert float(slope) == pytest.approx(0, abs=1e-6)
