"""Rivals on families of equations: the mean of solutions, and least squares on a linear family."""

from dataclasses import dataclass, field

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import generator
from interpolants.sciml.pinn.laplace_inversion import LaplaceInversion
from interpolants.sciml.pinn.mean_field import MeanField
from interpolants.sciml.pinn.pde.family import PDEFamily
from interpolants.sciml.pinn.pde.nonlinear_poisson import NonlinearPoisson


@dataclass(frozen=True)
class Fields:
    """``u = z x (1 - x) / 2`` with a closed form."""

    z: torch.Tensor

    def at(self, points):
        return self.z * (points * (1 - points) / 2)[..., 0]


@dataclass(frozen=True)
class Beam(PDEFamily):
    """``u'' = -z``, u = 0 at both ends: linear in z."""

    box: dict = field(default_factory=lambda: {"x": (0.0, 1.0)})
    unknown: dict = field(default_factory=lambda: {"z": (-2.0, 4.0)})
    known: dict = field(default_factory=dict)

    def residual_at(self, points, u, z, w):
        return u("xx") + z

    def solution(self, z, w):
        return Fields(z.double())


def test_the_mean_field_is_that_of_solutions():
    problem = NonlinearPoisson(degree=1)
    method = MeanField(draws=3).fit(problem)
    solved = problem.solution(*problem.draw(3, generator(0, "mean field")))
    x = torch.tensor([[-0.5, 0.1, 0.2, 1.5], [0.3, -0.9, 0.0, 1.1]])
    expected = solved.at(x[None, :, :1].double().expand(3, -1, -1))
    found = method.predict(x.double())
    assert_close(found.mean[:, 0], expected.mean(0))
    assert_close(found.std[:, 0], expected.std(0))


def test_least_squares_on_a_linear_family_is_the_exact_posterior():
    """Precision ``12 / 36 + |phi|^2 / noise^2`` and mean by hand."""
    g = torch.Generator().manual_seed(0)
    x = torch.rand(9, 1, dtype=torch.float64, generator=g)
    phi = (x * (1 - x) / 2)[:, 0]
    u = 1.7 * phi + 0.05 * torch.randn(9, dtype=torch.float64, generator=g)
    found = LaplaceInversion(noise=0.05).fit(Beam()).infer(torch.cat([x, u[:, None]], 1))
    precision = 1 / 3 + phi.square().sum() / 0.05**2
    mean = (1 / 3 + (phi @ u) / 0.05**2) / precision
    assert_close(found.mean, mean.reshape(1, 1), atol=1e-6, rtol=0)
    assert_close(found.std, precision.rsqrt().reshape(1, 1), atol=1e-6, rtol=1e-5)


@dataclass(frozen=True)
class Bent(Beam):
    """The same with z squared for the load."""

    def residual_at(self, points, u, z, w):
        return u("xx") + z**2

    def solution(self, z, w):
        return Fields(z.double() ** 2)


def test_least_squares_on_a_bent_family_is_the_least_of_a_grid():
    """With noise that lets the prior count: at its middle it would be 1, without it 1.7."""
    x = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)[:, None]
    phi = (x * (1 - x) / 2)[:, 0]
    u, z = 1.7**2 * phi, torch.linspace(-2, 4, 60_001, dtype=torch.float64)
    misfit = ((u - z[:, None] ** 2 * phi) / 0.5).square().sum(1) + (z - 1) ** 2 / 3
    found = LaplaceInversion(noise=0.5, steps=20).fit(Bent()).infer(torch.cat([x, u[:, None]], 1))
    assert float(found.mean) == pytest.approx(float(z[misfit.argmin()]), abs=2e-3)


def test_families_without_a_solver_are_refused():
    class Unsolved(Beam):
        def solution(self, z, w):
            return None

    for method in (MeanField(), LaplaceInversion()):
        with pytest.raises(InvalidInputError, match="the family must have a solver, got Unsolved"):
            method.fit(Unsolved())


class Exponential(Beam):
    """``u'' = -exp(z)``."""

    def residual_at(self, points, u, z, w):
        return u("xx") + z.exp()

    def solution(self, z, w):
        return Fields(z.double().exp())


def test_where_values_say_little_the_answer_is_the_mode_of_the_posterior():
    x = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)[:, None]
    phi = (x * (1 - x) / 2)[:, 0]
    found = LaplaceInversion(noise=0.2).fit(Exponential()).infer(torch.cat([x, 0.3 * phi[:, None]], 1))
    z = torch.linspace(-2, 4, 60_001, dtype=torch.float64)[:, None]
    misfit = ((0.3 * phi - z.exp() * phi) / 0.2).square().sum(1)
    mode = z[(misfit + (z[:, 0] - 1).square() / 3).argmin()]
    assert_close(found.mean, mode.reshape(1, 1), atol=2e-3, rtol=0)
