"""Kuramoto-Sivashinsky: a flux through Cole and Hopf, growth of waves, the residual of the spectral solution."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.pde import FourierGrid, Jet, KuramotoSivashinsky, check_evolution, etdrk4


def points(end):
    g = torch.Generator().manual_seed(0)
    share = torch.rand(200, 2, dtype=torch.float64, generator=g)
    return share * torch.tensor([0.8 * end, 2.0]).double() + torch.tensor([0.1 * end, -1.0]).double()


def test_the_slope_of_a_flux_drives_burgers_equation_as_cole_and_hopf_say():
    """``u = 2 nu pi e sin(pi x) / (2 + e cos(pi x))``, ``e = exp(-nu pi^2 t)``, solves ``u_t + u u_x = nu u_xx``."""
    nu, grid = 0.1, FourierGrid(-1.0, 1.0, 64)

    def exact(t, x):
        e = math.exp(-nu * math.pi**2 * t)
        return 2 * nu * math.pi * e * torch.sin(math.pi * x) / (2 + e * torch.cos(math.pi * x))

    slope = grid.derivative(torch.ones_like(grid.wavenumbers), 1)
    found = etdrk4(
        grid,
        exact(0.0, grid.x),
        -nu * grid.wavenumbers**2,
        lambda u: -u.square() / 2,
        end=1.0,
        steps=100,
        factor=slope,
    )
    assert_close(torch.fft.irfft(found.modes[-1], n=64), exact(1.0, grid.x), atol=1e-9, rtol=0)


def test_long_waves_grow_and_short_ones_decay():
    problem = KuramotoSivashinsky()
    k = math.pi * torch.arange(1, 5, dtype=torch.float64)
    assert_close(problem.symbol(k), 0.5 * k**2 - 0.005 * k**4)
    neutral = (problem.growth / problem.damping) ** 0.5
    assert problem.symbol(torch.tensor(0.99 * neutral)) > 0 > problem.symbol(torch.tensor(1.01 * neutral))


@pytest.mark.parametrize("end", [0.1, 0.5])
def test_the_spectral_solution_solves_the_equation_of_its_residual(end):
    """Time derivative by differences, space derivatives of the modes: other routes than the one that was integrated."""
    problem = KuramotoSivashinsky(end=end)
    run, at, h = problem.solution(500), points(end), 1e-5
    step = torch.tensor([h, 0.0]).double()
    rate = (run.at(at + step) - run.at(at - step)) / (2 * h)
    slopes = {"x" * n: derivative(run, at, n) for n in (1, 2, 4)}
    residual = problem.residual_at(at, Jet({"": run.at(at), "t": rate, **slopes}))
    assert float(rate.abs().max()) > 10
    assert float(residual.abs().max()) < 1e-3 * float(rate.abs().max())


def derivative(run, points, order):
    """A derivative in x of every mode, at the points."""
    moved = [run.grid.derivative(part, order) for part in (run.modes, run.rates)]
    return type(run)(run.grid, run.end, *moved).at(points)


def test_its_mean_stays_zero_and_it_stays_odd():
    run = KuramotoSivashinsky(end=0.4).solution(500)
    assert float(run.modes[:, 0].abs().max()) < 1e-8
    assert float(run.modes[-1].real.abs().max()) < 1e-6 * float(run.modes[-1].imag.abs().max())


def test_times_of_chaos_are_refused_as_truth():
    with pytest.raises(DivergedError, match=r"not settled|became NaN or infinite"):
        KuramotoSivashinsky(end=20.0).truth_at(points(20.0))


def test_what_it_reads_and_refuses():
    assert check_evolution("Test", KuramotoSivashinsky()) == {"t": 1, "x": 4}
    with pytest.raises(InvalidInputError, match="damping must be finite and > 0, got 0"):
        KuramotoSivashinsky(damping=0.0)
