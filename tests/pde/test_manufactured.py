"""Manufactured problems: right sides by hand, residuals of the solution, refusals."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.pde import Jet, Manufactured


def points(d):
    return torch.rand(20, d, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_right_sides_by_hand():
    x = points(1)
    assert_close(Manufactured().source_at(x), -1e4 * torch.sin(100 * x))
    wave = torch.sin(50 * x)
    found = Manufactured(solution="growing", frequency=50, equation="allen_cahn").source_at(x)
    exact = 100 * torch.cos(50 * x) - 2500 * x * wave + x * wave * ((x * wave) ** 2 - 1)
    assert_close(found, exact)


def test_right_sides_of_two_coordinates():
    at = points(2)
    x, y = at[:, :1], at[:, 1:]
    exact = -2 * 9 * torch.sin(3 * x) * torch.sin(3 * y)
    assert_close(Manufactured(dimension=2, frequency=3).source_at(at), exact)
    added = Manufactured(dimension=2, frequency=3, join="sum", solution="sine_on_parabola")
    assert_close(added.source_at(at), -9 * (torch.sin(3 * x) + torch.sin(3 * y)) - 8)


def test_the_residual_vanishes_for_the_solution_alone():
    problem, x = Manufactured(solution="product", frequency=20), points(1)
    u = problem.truth_at(x)
    bent = -(36 + 400) * u - 240 * torch.cos(6 * x) * torch.sin(20 * x)
    assert_close(problem.residual_at(x, Jet({"": u, "xx": bent})), torch.zeros_like(u), atol=1e-9, rtol=0)
    assert float(problem.residual_at(x, Jet({"": u, "xx": 1.01 * bent})).abs().max()) > 1


def test_settings_are_refused():
    with pytest.raises(InvalidInputError, match="Did you mean 'poisson'"):
        Manufactured(equation="poison")
    with pytest.raises(InvalidInputError, match="low must be below high"):
        Manufactured(low=1.0)


def test_scales_of_the_multiscale_solution_are_told_apart():
    x = points(1)
    exact = -torch.sin(x) - 40 * torch.sin(20 * x) - 500 * torch.cos(100 * x)
    assert_close(Manufactured(solution="multiscale").source_at(x), exact)
