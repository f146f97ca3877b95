"""Nonlinear Poisson equations and Chebyshev grids: closed forms, another solver, the residual of the solutions."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.foundations.randomness import generator
from interpolants.pde import Jet
from interpolants.sciml.pinn.pde.chebyshev import ChebyshevGrid
from interpolants.sciml.pinn.pde.family import PDEFamily, check_family
from interpolants.sciml.pinn.pde.nonlinear_poisson import NonlinearPoisson, _System


def test_polynomials_are_differentiated_and_interpolated_exactly():
    grid = ChebyshevGrid(-1.0, 3.0, 6)
    x, at = grid.x, torch.tensor([-1.0, -0.3, 0.7, 3.0]).double()
    assert_close(x[[0, -1]], torch.tensor([-1.0, 3.0]).double())
    assert_close(grid.derivative @ (x**5 - x), 5 * x**4 - 1, atol=1e-10, rtol=0)
    assert_close(grid.interpolation(at) @ (x**5 - x), at**5 - at, atol=1e-11, rtol=0)
    assert_close(grid.interpolation(x), torch.eye(6).double())


def test_interpolation_has_no_slope_rather_than_a_wrong_one():
    grid = ChebyshevGrid(-1.0, 1.0, 6)
    assert not grid.interpolation(torch.tensor([0.3, 1.0], requires_grad=True)).requires_grad


@pytest.mark.parametrize("dimension", [1, 2])
def test_newtons_matrix_is_the_slope_of_the_equations(dimension):
    family = NonlinearPoisson(dimension=dimension, degree=2)
    system = _System(family, ChebyshevGrid(-1.0, 1.0, 7))
    z, w = (part[0] for part in family.draw(1, generator(0, "test")))
    s, inside = system.basis @ z, system.inside
    u = torch.randn(len(system.points), dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def residual(part):
        return system._residual(u.index_put((inside,), part), s, w)

    assert_close(system._jacobian(u, s), torch.autograd.functional.jacobian(residual, u[inside]))


def test_a_smooth_function_converges_faster_than_any_power():
    grid = ChebyshevGrid(0.0, 2.0, 24)
    assert_close(grid.derivative @ torch.sin(5 * grid.x), 5 * torch.cos(5 * grid.x), atol=1e-7, rtol=0)


def test_kirchhoffs_transform_of_a_material_that_is_the_same_everywhere():
    """``int_0^u kappa = w (1 - x^2) / 2`` where s is a constant."""
    family = NonlinearPoisson(degree=0)
    z, w = torch.tensor([[0.9], [-0.8]]).double(), torch.tensor([[1.7], [1.2]]).double()
    x = torch.linspace(-0.9, 0.9, 7).double()
    u = family.solution(z, w).at(x[None, :, None].expand(2, -1, -1))
    share = (torch.arange(20_000).double() + 0.5) / 20_000
    kappa = torch.nn.functional.softplus(u[..., None] * share * z[..., None]) + 0.1
    assert_close(kappa.mean(-1) * u, w * (1 - x**2) / 2, atol=1e-8, rtol=0)


def test_it_agrees_with_another_solver():
    integrate = pytest.importorskip("scipy.integrate")
    family = NonlinearPoisson()
    z, w = family.draw(4, generator(3, "test"))
    x = np.linspace(-1, 1, 21)
    found = family.solution(z, w).at(torch.from_numpy(x)[None, :, None].expand(4, -1, -1))
    for own, a, b in zip(found.numpy(), z.numpy(), w[:, 0].tolist(), strict=True):

        def slopes(x, y, a=a, b=b):
            kappa = np.logaddexp(0, y[0] * np.polynomial.chebyshev.chebval(x, a)) + 0.1
            return np.array([y[1] / kappa, np.full_like(x, -b)])

        mesh = np.linspace(-1, 1, 101)
        start = np.stack([0.7 * (1 - mesh**2), -mesh])
        theirs = integrate.solve_bvp(
            slopes, lambda p, q: np.array([p[0], q[0]]), mesh, start, tol=1e-8, max_nodes=20_000
        )
        assert np.abs(theirs.sol(x)[0] - own).max() < 1e-7


def test_the_centre_of_a_plate_that_conducts_alike_everywhere():
    """``-kappa (u_xx + u_yy) = w`` on the square of side 2 has 0.29468541 w / kappa at its centre."""
    family = NonlinearPoisson(dimension=2, degree=1)
    found = family.solution(torch.zeros(1, 3).double(), torch.tensor([[1.5]]).double())
    exact = 1.5 / (math.log(2) + 0.1) * 0.29468541
    assert float(found.at(torch.zeros(1, 1, 2).double())) == pytest.approx(exact, rel=1e-6)


def test_a_material_that_is_reached_in_stages_has_the_same_solution(monkeypatch):
    family = NonlinearPoisson()
    z, w = family.draw(1, generator(0, "test"))
    system = _System(family, ChebyshevGrid(-1.0, 1.0, 12))
    wanted, newton, calls = system.solve(z[0], w[0]), system._newton, []

    def fails_in_one_go(u, s, w):
        calls.append(s)
        if len(calls) == 2:
            raise DivergedError("too far")
        return newton(u, s, w)

    monkeypatch.setattr(system, "_newton", fails_in_one_go)
    assert_close(system.solve(z[0], w[0]), wanted)
    assert len(calls) > 3


@pytest.mark.parametrize(("dimension", "degree"), [(1, 4), (2, 2)])
def test_solutions_solve_the_equation_of_the_residual(dimension, degree):
    """Derivatives of the grid's values, in the order of the residual: kappa differentiated by hand, not by the grid."""
    family = NonlinearPoisson(dimension=dimension, degree=degree)
    z, w = family.draw(1, generator(0, "test"))
    solution = family.solution(z, w)
    slope, values = solution.grid.derivative, solution.values[0]
    first, second = slope @ values, slope @ slope @ values
    jet = {"": values, "x": first, "xx": second}
    if dimension == 2:
        jet |= {"y": values @ slope.T, "yy": values @ slope.T @ slope.T}
    points = torch.cartesian_prod(*[solution.grid.x] * dimension).reshape(-1, dimension)
    rows = {name: value.reshape(-1, 1) for name, value in jet.items()}
    n = len(points)
    left = family.residual_at(points, Jet(rows), z.expand(n, -1), w.expand(n, -1))
    inside = (points.abs() < 0.9).all(1)
    assert float(left[inside].abs().max()) < 1e-3
    assert float(rows["xx"].abs().max()) > 1
    wrong = family.residual_at(points, Jet(rows), z.flip(1).expand(n, -1), w.expand(n, -1))
    assert float(wrong[inside].abs().max()) > 0.05


def test_slopes_of_the_terms_of_s():
    family = NonlinearPoisson(dimension=2, degree=3)
    points = family.points(6, generator(0, "test"))
    for i, axis in enumerate("xy"):
        step = 1e-6 * torch.eye(2, dtype=torch.float64)[i]
        slopes = (family.basis(points + step) - family.basis(points - step)) / 2e-6
        assert_close(family.basis(points, axis), slopes, atol=1e-8, rtol=0)


# --- a user's own family ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rod(PDEFamily):
    """``u'' = -z u``, ``u(0) = w``, ``u(1) = 0``."""

    box: dict = field(default_factory=lambda: {"x": (0.0, 1.0)})
    unknown: dict = field(default_factory=lambda: {"z": (0.0, 1.0)})
    known: dict = field(default_factory=lambda: {"end": (1.0, 2.0)})

    def residual_at(self, points, u, z, w):
        return u("xx") + z * u()

    def boundary_at(self, points, w):
        return w * (1 - points)

    def distance_at(self, points):
        return points * (1 - points)


def changed(**overrides):
    return type("Changed", (Rod,), overrides)()


def test_values_on_the_boundary_are_zero_where_a_family_says_none():
    points = torch.tensor([[-1.0], [0.3], [1.0]]).double()
    assert_close(
        NonlinearPoisson().boundary_at(points, torch.ones(3, 1).double()), torch.zeros(3, 1).double()
    )


def test_what_a_family_reads_and_draws():
    assert check_family("Test", Rod()) == {"x": 2}
    assert check_family("Test", NonlinearPoisson(dimension=2, degree=1)) == {"x": 2, "y": 2}
    z, w = Rod().draw(1000, generator(0, "test"))
    assert z.shape == w.shape == (1000, 1)
    assert abs(float(z.mean()) - 0.5) < 3 * (1 / 12 / 1000) ** 0.5
    assert float(w.min()) > 1
    assert float(w.max()) < 2
    assert Rod().solution(z, w) is None


@pytest.mark.parametrize(
    ("family", "words"),
    [
        (object(), "must be a family of boundary-value problems, got object"),
        (Rod(box={"x": (1.0, 0.0)}), "range of box x must be"),
        (Rod(unknown={}), "at least one unknown parameter"),
        (Rod(known={"x": (0.0, 1.0)}), "must have different names"),
        (changed(residual_at=lambda self, p, u, z, w: u("xx")[:, 0]), r"one number per point, \(5, 1\)"),
        (changed(residual_at=lambda self, p, u, z, w: u("xx") + u("xy")), "must be along one axis"),
        (changed(distance_at=lambda self, p: p), "distance must be zero where u is given .* got 1"),
        (changed(boundary_at=lambda self, p, w: w[:, 0]), "boundary must be one number per point"),
    ],
)
def test_families_that_do_not_fit_are_refused(family, words):
    with pytest.raises(InvalidInputError, match=words):
        check_family("Test", family)


def test_settings_are_refused():
    with pytest.raises(InvalidInputError, match="low must be below high"):
        ChebyshevGrid(1.0, 1.0, 5)
