"""Critical points: published numbers, the definition, activations without one."""

import math

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.kernels import (
    ACTIVATIONS,
    NotCriticalError,
    critical_point,
    heuristic_aspect_ratio,
    layer_statistics,
)
from interpolants.kernels.activation_averages import leaky

# Those of GELU and SiLU by 25 digits of quadrature and a secant method.
KNOWN = {
    "relu": (2.0, 0.0, math.nan, "scale_invariant", 5.0),
    "linear": (1.0, 0.0, math.nan, "scale_invariant", 2.0),
    "tanh": (1.0, 0.0, 0.0, "zero", 2 / 3),
    "sin": (1.0, 0.0, 0.0, "zero", 2 / 3),
    "erf": (math.pi / 4, 0.0, 0.0, "zero", 2 / 3),
    "gelu": (1.9830583, 0.1729224, 3.5615528, "half_stable", None),
    "silu": (1.9880046782694920, 0.5551431707215304, 14.320173618025799, "half_stable", None),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_points(name):
    weight, bias, kernel, universality, growth = KNOWN[name]
    found = critical_point(name)
    assert found.weight_variance == pytest.approx(weight, abs=1e-6)
    assert found.bias_variance == pytest.approx(bias, abs=1e-6)
    assert found.kernel == pytest.approx(kernel, abs=1e-6, nan_ok=True)
    assert found.universality == universality
    if growth is not None:
        assert found.vertex_growth == pytest.approx(growth, rel=1e-9)


def test_leaky_slopes():
    """``C_W = 2 / (a+^2 + a-^2)``."""
    assert critical_point(leaky(0.5, 3.0)).weight_variance == pytest.approx(2 / 9.25, rel=1e-14)


@pytest.mark.parametrize("name", ["gelu", "silu"])
def test_both_susceptibilities_are_one_at_an_isolated_point(name):
    point = critical_point(name)
    means = ACTIVATIONS[name].averages(point.kernel)
    assert point.weight_variance * float(means.square_slope) == pytest.approx(1, abs=1e-9)
    assert point.weight_variance * float(means.slope) == pytest.approx(1, abs=1e-12)
    assert point.bias_variance + point.weight_variance * float(means.square) == pytest.approx(point.kernel)


@pytest.mark.parametrize(("name", "sign"), [("gelu", -1), ("silu", 1)])
def test_an_isolated_point_is_half_stable(name, sign):
    """The kernel moves to the same side from both sides of K*: GELU attracts from above, SiLU from below."""
    point = critical_point(name)
    kernel = point.kernel * torch.tensor([0.99, 1.01], dtype=torch.float64)
    after = point.bias_variance + point.weight_variance * ACTIVATIONS[name].averages(kernel).square
    assert bool((sign * (after - kernel) > 1e-9).all())


def test_decay_is_that_of_the_kernel():
    """tanh: ``K^l -> 1 / (2 l)``; sin: ``1 / l``."""
    for name, decay in (("tanh", 2.0), ("sin", 1.0), ("erf", 2.0)):
        assert critical_point(name).decay == pytest.approx(decay, rel=1e-5)
    kernel = layer_statistics("tanh", 300, mean_square=0.7, weight_variance=1.0).kernel
    assert float(kernel[-1] * 300) == pytest.approx(0.5, abs=0.01)


def test_activations_without_a_point_say_so():
    for name in ("sigmoid", "softplus"):
        with pytest.raises(NotCriticalError, match="both 1 nowhere"):
            critical_point(name)
    with pytest.raises(NotCriticalError):
        critical_point(lambda z: 0 * z)
    with pytest.raises(InvalidInputError, match="relu"):
        critical_point("relo")


def test_an_unstable_zero_is_not_taken():
    """sinh passes through 0 with slope 1, but its kernel grows."""
    assert torch.sinh(torch.tensor(1.0)) > 1
    with pytest.raises(InvalidInputError):
        critical_point(lambda z: torch.sinh(z.clamp(-5, 5)))


def test_the_heuristic_ratio():
    assert heuristic_aspect_ratio(critical_point("relu"), outputs=1) == pytest.approx(4 / (23 * 5))
