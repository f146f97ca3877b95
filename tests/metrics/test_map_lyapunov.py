"""Exponents of maps: one that is known in closed form, a linear one, and Hénon's."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.metrics.lyapunov import map_lyapunov_spectrum

F64 = torch.float64


def logistic(u):
    return 4 * u * (1 - u), (4 - 8 * u)[..., None]


def henon(u):
    x, y = u.unbind(1)
    slope = torch.stack(
        [
            torch.stack([-2.8 * x, torch.ones_like(x)], 1),
            torch.tensor([0.3, 0.0], dtype=F64).expand(len(u), 2),
        ],
        1,
    )
    return torch.stack([1 - 1.4 * x.square() + y, 0.3 * x], 1), slope


def test_the_logistic_map_grows_by_two():
    start = torch.rand(200, 1, dtype=F64, generator=torch.Generator().manual_seed(0))
    found = map_lyapunov_spectrum(logistic, start, steps=500, settle=20)
    assert abs(float(found.exponents[0]) - math.log(2)) < 4 * float(found.errors[0]) < 0.02


def test_a_linear_map_has_the_logarithms_of_its_eigenvalues():
    matrix = torch.tensor([[0.5, 1.0], [0.0, 0.9]], dtype=F64)
    found = map_lyapunov_spectrum(
        lambda u: (u @ matrix.T, matrix.expand(len(u), 2, 2)), torch.ones(2, dtype=F64), steps=400, settle=200
    )
    assert_close(found.exponents, torch.tensor([0.9, 0.5], dtype=F64).log(), atol=1e-9, rtol=0)
    assert found.divergence == pytest.approx(math.log(0.45))


def test_exponents_of_henons_map_sum_to_its_contraction():
    start = 0.1 * torch.randn(20, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    found = map_lyapunov_spectrum(henon, start, steps=3000, settle=100)
    assert float(found.exponents[0]) == pytest.approx(0.4192, abs=0.01)
    assert float(found.exponents.sum()) == pytest.approx(math.log(0.3), abs=1e-9)


def test_bad_input_and_divergence_are_told():
    with pytest.raises(InvalidInputError, match="steps must be a whole number >= 1"):
        map_lyapunov_spectrum(logistic, torch.zeros(1, 1), steps=0)
    with pytest.raises(DivergedError, match="became NaN or infinite"):
        map_lyapunov_spectrum(
            lambda u: (u * 1e200, torch.ones(1, 1, 1, dtype=F64)), torch.ones(1, 1), steps=5
        )
