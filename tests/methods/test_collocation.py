"""Finite differences and Fourier modes in a box: measured order, exactness, refusals."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.methods.rivals.collocation import Collocation
from interpolants.pde import BoxPDE, Manufactured


def error(solver, problem):
    at = torch.rand(300, len(problem.box), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    truth = problem.truth_at(at)
    return float((solver.solve(at) - truth).norm() / truth.norm())


@pytest.mark.parametrize("equation", ["poisson", "allen_cahn"])
@pytest.mark.parametrize("dimension", [1, 2])
def test_finite_differences_have_second_order(equation, dimension):
    problem = Manufactured(equation=equation, frequency=7.0, dimension=dimension)
    pytest.importorskip("scipy")
    errors = [error(Collocation(points=n).fit(problem), problem) for n in (33, 65)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.25)


@pytest.mark.parametrize(("dimension", "points"), [(1, 40), (2, 16), (1, 41)])
def test_fourier_modes_of_a_periodic_solution_are_exact(dimension, points):
    problem = Manufactured(frequency=4 * math.pi, dimension=dimension)
    assert error(Collocation(scheme="fourier", points=points).fit(problem), problem) < 1e-10


def test_slopes_and_faces_without_values():
    """``u_x + 2 u_y = 0`` from two sides, by one-sided differences on the others."""
    pytest.importorskip("scipy")
    problem = BoxPDE(
        residual=lambda x, y, u: u("x") + 2 * u("y"),
        boundary=lambda x, y: (2 * x - y) ** 2,
        truth=lambda x, y: (2 * x - y) ** 2,
        box=((0.0, 1.0), (0.0, 1.0)),
        faces=("x-", "y-"),
    )
    assert error(Collocation(points=9).fit(problem), problem) < 1e-10  # second order is exact for squares


def test_too_many_modes_and_points_of_another_shape_are_refused():
    with pytest.raises(InvalidInputError, match=r"points \*\* 2 must be at most 4100"):
        Collocation(scheme="fourier", points=100).fit(Manufactured(dimension=2))
    solver = Collocation(scheme="fourier", points=8).fit(Manufactured(frequency=2 * math.pi))
    with pytest.raises(InvalidInputError, match="points must have shape"):
        solver.solve(torch.zeros(3, 2))


def test_points_outside_of_the_box_are_refused_unless_the_solution_is_periodic():
    problem = Manufactured(frequency=2 * math.pi)
    low, high = problem.box[0]
    at = torch.tensor([[low], [high]], dtype=torch.float64)
    solver = Collocation(points=20).fit(problem)
    assert solver.solve(at).shape == (2, 1)
    with pytest.raises(InvalidInputError, match="where the equation was solved"):
        solver.solve(at + 0.1 * (high - low))
    waves = Collocation(scheme="fourier", points=8).fit(problem)
    assert_close(waves.solve(at + high - low), waves.solve(at))
