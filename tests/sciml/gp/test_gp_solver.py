"""The Gaussian process solver: dense algebra on small grids, stationarity, manufactured solutions, refusals."""

import math
import warnings

import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from interpolants import load
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import FitWarning, SettingWarning
from interpolants.kernels import Peaks, SpectralMixture
from interpolants.pde import BoxPDE, Manufactured
from interpolants.pde.box import check_problem
from interpolants.pde.product_grid import ProductGrid
from interpolants.sciml.gp.gp_solver import GPSolver
from interpolants.sciml.gp.grid_system import Factors, System, conjugate_gradients

KERNEL = SpectralMixture()


def system(problem, sizes, precisions=(300.0, 2.0), peaks=None):
    grid = ProductGrid(
        problem,
        check_problem("test", problem),
        [torch.linspace(*side, n, dtype=torch.float64) for side, n in zip(problem.box, sizes, strict=True)],
    )
    peaks = peaks or Peaks.even(5, 2.0, 0.4)
    factors = [
        Factors.of(KERNEL, peaks, x, [o[j] for o in grid.orders.values()], "x") for j, x in enumerate(grid.x)
    ]
    return System(grid, factors, precisions)


def dense(one, v):
    """The Gauss-Newton step from 0 by dense matrices, and the quadratic form that it minimises."""
    factors, grid = one.factors, one.grid
    first = [f.factor.contiguous() for f in factors]
    root = torch.kron(*first)
    second = [f.derivatives[2].contiguous() for f in factors]
    equation = torch.kron(second[0], first[1]) + torch.kron(first[0], second[1])
    given = grid.given.flatten()
    edge, tau = one.precisions
    zero = {name: torch.zeros(grid.shape).double() for name in grid.orders}
    target = -grid.residual(zero).flatten()
    slope = grid.linearised(zero)[1][""].flatten()
    equation = equation + slope[:, None] * root
    matrix = torch.eye(len(root)) + edge * root[given].T @ root[given] + tau * equation.T @ equation
    right = edge * root[given].T @ grid.boundary.flatten()[given] + tau * equation.T @ target
    return torch.linalg.solve(matrix, right)


@pytest.mark.parametrize("equation", ["poisson", "allen_cahn"])
def test_conjugate_gradients_find_the_values_of_dense_algebra(equation):
    problem = Manufactured(dimension=2, frequency=6.0, equation=equation)
    one = system(problem, (7, 6))
    found = one.improved(torch.zeros(7, 6).double(), 1e-13, 500)
    assert_close(found.flatten(), dense(one, found), rtol=1e-8, atol=1e-8)


def test_the_preconditioner_makes_a_few_steps_enough():
    """Conjugate gradients without it are far off after twenty steps; with it they have settled."""
    one = system(Manufactured(dimension=2, frequency=20.0), (24, 20), (1e4, 1e3), Peaks.even(12, 8.0, 0.3))
    start = torch.zeros(24, 20).double()
    exact, after = one.improved(start, 1e-14, 2000), one.improved(start, 1e-14, 25)
    assert float((after - exact).norm() / exact.norm()) < 1e-3


def test_conjugate_gradients_solve_a_small_system():
    a = torch.tensor([[4.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    b = torch.tensor([1.0, 2.0], dtype=torch.float64)
    found = conjugate_gradients(lambda x: a @ x, b, torch.zeros(2).double(), lambda r: r, 1e-14, 10)
    assert_close(found, torch.linalg.solve(a, b))


def test_the_joint_density_is_highest_at_the_values_of_a_linear_equation():
    one = system(Manufactured(frequency=6.0), (12,))
    weight, log = 50.0, torch.tensor([math.log(6.0), math.log(2.0)], dtype=torch.float64)
    best = one.improved(torch.zeros(12).double(), 0, 0).requires_grad_(True)
    (slope,) = torch.autograd.grad(one.log_joint(best, log, weight), best)
    assert float(slope.abs().max()) < 1e-5  # precisions are (weight tau_1, tau_2) = (300, 2)


def test_the_joint_density_is_that_of_three_gaussians():
    one = system(Manufactured(frequency=6.0), (9,))
    v, log = torch.linspace(-1, 1, 9, dtype=torch.float64), torch.tensor([0.3, -0.5]).double()
    u = one.factors[0].factor @ v
    left = one.grid.residual(one.derivatives(v))
    zero = torch.zeros(9).double()
    normal = torch.distributions.MultivariateNormal
    covariance = one.factors[0].factor @ one.factors[0].factor.T
    exact = normal(zero, covariance).log_prob(u)
    edge = (
        torch.distributions.Normal(u[[0, -1]], (-log[0] / 2).exp()).log_prob(one.grid.boundary[[0, -1]]).sum()
    )
    equation = torch.distributions.Normal(left, (-log[1] / 2).exp()).log_prob(zero).sum()
    constant = math.log(2 * math.pi) / 2 * (9 + 7.0 * 2 + 9)
    assert_close(one.log_joint(v, log, 7.0), exact + 7.0 * edge + equation + constant)


# --- whole fits -----------------------------------------------------------------------------------------------


def error(solver, problem, n=500):
    share = torch.rand(n, len(problem.box), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    at = problem.low + (problem.high - problem.low) * share
    truth = problem.truth_at(at)
    return float((solver.solve(at) - truth).norm() / truth.norm())


WAVES = Manufactured(frequency=50.0)
SMALL = {"points": 80, "components": 12, "steps": 150, "top_frequency": 12.0}


def test_the_step_of_adam_falls_at_the_end_in_more_than_one_dimension():
    one, steps = GPSolver(lr=0.05, steps=20), range(20)
    assert {one._rate(k, 1) for k in steps} == {0.05}
    rates = [one._rate(k, 2) for k in steps]
    assert rates[:15] == [0.05] * 15
    assert rates == sorted(rates, reverse=True)
    assert rates[17] == pytest.approx(0.05 * (0.1 + 0.9 * 0.5), rel=1e-12)
    assert one._rate(20, 3) == pytest.approx(0.005, rel=1e-12)


@pytest.mark.slow
def test_fast_waves_are_found_and_a_kernel_without_frequencies_is_far_behind():
    """Eight waves on 80 points."""
    solver = GPSolver(**SMALL).fit(WAVES)
    plain = {"envelope": "gaussian", "components": 1, "top_frequency": 0.0, "lengthscale": 0.02}
    assert error(solver, WAVES) < 1e-3
    assert solver.peaks[0].strongest == pytest.approx(50 / (2 * math.pi), rel=2e-2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SettingWarning)
        warnings.simplefilter("ignore", FitWarning)
        rival = GPSolver(**{**SMALL, **plain}).fit(WAVES)
    assert error(rival, WAVES) > 30 * error(solver, WAVES)


@pytest.mark.slow
def test_an_equation_that_is_not_linear_in_two_dimensions():
    problem = Manufactured(frequency=12.0, dimension=2, equation="allen_cahn")
    solver = GPSolver(points=[20, 22], components=8, steps=100).fit(problem)
    assert error(solver, problem) < 5e-3
    inside = torch.tensor([[0.41, 0.63]], dtype=torch.float64)
    assert float(solver.residual(inside).abs()) < 1e-2 * 288


def own(**changes):
    def equation(x, u):
        return u("xx") + u() * u("x") + 9 * torch.sin(3 * x) - 3 * torch.sin(3 * x) * torch.cos(3 * x)

    given = {"residual": equation, "boundary": lambda x: torch.sin(3 * x), "box": ((0.0, 2.0),)}
    return BoxPDE(**{**given, **changes})


def test_a_problem_of_ones_own_answers_in_tables_and_after_loading(tmp_path):
    problem = own()
    solver = GPSolver(points=30, components=6, steps=80).fit(problem)
    table = solver.solve(pd.DataFrame({"x": [0.3, 1.7]}))
    assert list(table.columns) == ["u"]
    assert table["u"].to_numpy() == pytest.approx([math.sin(0.9), math.sin(5.1)], abs=2e-3)
    back = load(solver.save(tmp_path / "s"), residual=problem.residual, boundary=problem.boundary)
    at = torch.tensor([[0.5]], dtype=torch.float64)
    assert torch.equal(back.residual(at), solver.residual(at))
    lost = load(tmp_path / "s")
    assert torch.equal(lost.solve(at), solver.solve(at))
    with pytest.raises(InvalidInputError, match="user-defined code"):
        lost.residual(at)
    with pytest.raises(InvalidInputError, match="answer"):
        load(tmp_path / "s", residual=lambda x, u: u("xx"), boundary=problem.boundary)


@pytest.mark.slow
def test_values_may_be_given_on_some_faces_only():
    """Transport ``u_x + 4 u_y = 0``: the sides where the flow comes in are enough."""
    problem = BoxPDE(
        residual=lambda x, y, u: u("x") + 4 * u("y"),
        boundary=lambda x, y: torch.sin(4 * x - y),
        truth=lambda x, y: torch.sin(4 * x - y),
        box=((0.0, 1.0), (0.0, 1.0)),
        faces=("x-", "y-"),
    )
    solver = GPSolver(points=14, components=4, steps=40, top_frequency=1.0).fit(problem)
    at = torch.tensor([[0.9, 0.8], [0.3, 0.5]], dtype=torch.float64)
    assert_close(solver.solve(at), problem.truth_at(at), rtol=0, atol=1e-2)


def test_the_boundary_is_not_given_up_for_a_small_residual():
    """Helmholtz: the waves come from the boundary alone, and a function without them has a small residual too."""
    problem = BoxPDE(
        residual=lambda x, u: u("xx") + 1600 * u() - torch.exp(-x),
        boundary=lambda x: torch.sin(40 * x) + torch.exp(-x) / 1601,
        box=((0.0, 1.0),),
    )
    solver = GPSolver(points=80, components=12).fit(problem)
    x = torch.linspace(0, 1, 200, dtype=torch.float64)[:, None]
    exact = torch.sin(40 * x) + torch.exp(-x) / 1601
    assert float((solver.solve(x) - exact).norm() / exact.norm()) < 1e-2


# --- what could come out wrong --------------------------------------------------------------------------------


def test_a_grid_that_is_too_coarse_is_told():
    """Ten points for eight waves: small residuals on the grid belong to a function that is elsewhere between them."""
    with pytest.warns(SettingWarning, match="between the points of the grid the residual is"):
        GPSolver(points=12, components=6, steps=40).fit(WAVES)
    with pytest.warns(SettingWarning, match=r"top_frequency 40 is above 39.5"):
        GPSolver(**{**SMALL, "steps": 40, "top_frequency": 40.0}).fit(WAVES)


NONE = {
    "a slope of 1 between ends that are 15 apart": {
        "residual": lambda x, u: u("x") - 1,
        "boundary": lambda x: 5 * x,
        "box": ((0.0, 3.0),),
    },
    "a right equation in units in which u is huge": {
        "residual": lambda x, u: u("xx") + torch.sin(x / 1e6),
        "boundary": lambda x: 0 * x,
        "box": ((0.0, 3e6),),
    },
}


@pytest.mark.parametrize("case", NONE)
def test_what_is_no_solution_is_told(case):
    with pytest.warns(FitWarning, match="of the equation's terms: this is no solution"):
        GPSolver(points=40, components=6, steps=40).fit(BoxPDE(**NONE[case]))


def test_boundary_values_may_be_of_another_precision():
    single = own()
    problem = BoxPDE(residual=single.residual, boundary=lambda x: single.boundary(x).float(), box=single.box)
    at = torch.tensor([[0.5]], dtype=torch.float64)
    found = [GPSolver(points=12, components=3, steps=10).fit(one).solve(at) for one in (problem, single)]
    assert_close(*found, rtol=1e-5, atol=1e-5)


def test_problems_and_points_that_do_not_fit_are_refused():
    with pytest.raises(InvalidInputError, match="one for each of 1 axes"):
        GPSolver(points=[10, 10]).fit(WAVES)
    with pytest.raises(InvalidInputError, match="at most 250,000"):
        GPSolver(points=600).fit(Manufactured(dimension=2))
    with pytest.raises(InvalidInputError, match=r"box must be one to three pairs \(low, high\)"):
        BoxPDE(residual=lambda x, u: u("x"), boundary=lambda x: x, box=(0.0, 3.0))
    with pytest.raises(InvalidInputError, match="problem must be an equation in a box"):
        GPSolver().fit("poisson")
    solver = GPSolver(points=12, components=3, steps=30).fit(own())
    with pytest.raises(InvalidInputError, match=r"x must lie in \[0, 2\].* got 2.5"):
        solver.solve(torch.tensor([[2.5]]))
    with pytest.raises(InvalidInputError, match=r"points must have shape \(N, 1\)"):
        solver.solve(torch.zeros(2, 2))


def test_values_on_the_boundary_that_are_not_taken_are_told():
    """A solution of 1e-6: precisions are bounded, so that neither its boundary nor its equation weighs anything."""
    wave = BoxPDE(
        residual=lambda x, u: u("xx") + 1e-6 * torch.sin(x),
        boundary=lambda x: 1e-6 * torch.sin(x),
        box=((0.0, 1.0),),
    )
    with pytest.warns(FitWarning) as told:
        GPSolver(points=60, components=8, steps=40).fit(wave)
    assert any("on the boundary the solution is 0.4" in str(one.message) for one in told)
