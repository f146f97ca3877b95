"""Gaussian averages: closed forms, Monte Carlo, refusals."""

import math

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.kernels import ACTIVATIONS, Activation
from interpolants.kernels.activation_averages import activation_of

K = torch.tensor([1e-3, 0.7, 20.0], dtype=torch.float64)


def test_relu_in_closed_form():
    found = ACTIVATIONS["relu"].averages(K)
    torch.testing.assert_close(found.square, K / 2, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.square_slope, torch.full_like(K, 0.5), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.fourth, 1.5 * K**2, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.mixed, K / 2, rtol=1e-12, atol=0)
    for name in ("slope", "slope_fourth"):
        torch.testing.assert_close(getattr(found, name), torch.full_like(K, 0.5), rtol=1e-12, atol=0)
    assert found.slope_slope.abs().max() < 1e-12


def test_sine_in_closed_form():
    """``<sin^2> = (1 - e^(-2K)) / 2``, ``<cos^4> = 3/8 + e^(-2K)/2 + e^(-8K)/8`` and the like."""
    found, faded = ACTIVATIONS["sin"].averages(K), torch.exp(-2 * K)
    torch.testing.assert_close(found.square, (1 - faded) / 2, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(found.slope, (1 + faded) / 2, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(found.square_slope, faded, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(found.slope_slope, -faded, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(found.slope_fourth, 3 / 8 + faded / 2 + faded**4 / 8, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(found.mixed, (1 - faded**4) / 8, rtol=1e-9, atol=1e-14)


def test_derivatives_in_the_variance_are_those_of_the_averages():
    step = 1e-5
    for name in ("tanh", "gelu", "silu", "elu", "softplus"):
        s = ACTIVATIONS[name]
        up, down, here = s.averages(0.8 + step), s.averages(0.8 - step), s.averages(0.8)
        assert float(here.square_slope) == pytest.approx(
            float(up.square - down.square) / (2 * step), rel=1e-7
        )
        assert float(here.slope_slope) == pytest.approx(float(up.slope - down.slope) / (2 * step), rel=1e-6)


def test_a_function_of_the_users_is_differentiated():
    mine = activation_of("here", lambda z: torch.tanh(z))
    for own, known in zip(mine.averages(2.0), ACTIVATIONS["tanh"].averages(2.0), strict=True):
        assert float(own) == pytest.approx(float(known), rel=1e-12)


def test_what_cannot_be_averaged_is_refused():
    with pytest.raises(InvalidInputError, match="integrated"):
        Activation("step", lambda z: (z > 0.3).to(z), lambda z: 0 * z).averages(1.0)
    with pytest.raises(InvalidInputError, match="finite"):
        Activation("exp", lambda z: torch.exp(z**2)).averages(10.0)
    with pytest.raises(InvalidInputError, match="positive"):
        ACTIVATIONS["tanh"].averages(0.0)
    with pytest.raises(InvalidInputError, match="shape"):
        Activation("sum", lambda z: z.sum(), lambda z: z).averages(1.0)
    with pytest.raises(InvalidInputError, match="tanh"):
        activation_of("here", "tanhh")
    with pytest.raises(InvalidInputError, match="function"):
        activation_of("here", 3)


def test_large_variances_of_saturating_activations():
    """At K = 10^4 the slope of tanh is a needle: ``<s'^2> -> int s'^2 dz / sqrt(2 pi K) = (4/3) / sqrt(2 pi K)``."""
    found = float(ACTIVATIONS["tanh"].averages(1e4).slope)
    assert found == pytest.approx(4 / 3 / math.sqrt(2 * math.pi * 1e4), rel=1e-3)
