"""Periodic equations: ETDRK4 against closed forms and its own order; the residual of a spectral solution; refusals."""

import math
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.pde import AllenCahn, FourierGrid, Jet, PeriodicPDE, check_evolution, etdrk4
from interpolants.pde.fourier import coefficients


def points(n=400, end=1.0):
    g = torch.Generator().manual_seed(0)
    share = torch.rand(n, 2, dtype=torch.float64, generator=g)
    return share * torch.tensor([end, 2.0], dtype=torch.float64) - torch.tensor([0.0, 1.0]).double()


def test_a_linear_equation_is_integrated_exactly_whatever_the_step():
    """Heat: ``u_t = nu u_xx`` has ``exp(-nu pi^2 t) sin(pi x)``; time between two steps is cubic."""
    grid = FourierGrid(-1.0, 1.0, 16)
    start = torch.sin(math.pi * grid.x)
    found = etdrk4(grid, start, -0.3 * grid.wavenumbers**2, torch.zeros_like, end=1.0, steps=50)
    at = points()
    exact = torch.exp(-0.3 * math.pi**2 * at[:, 0]) * torch.sin(math.pi * at[:, 1])
    assert_close(found.at(at)[:, 0], exact, atol=1e-7, rtol=0)
    assert_close(found.modes[-1], torch.fft.rfft(start) * math.exp(-0.3 * math.pi**2), atol=1e-12, rtol=0)


def test_coefficients_are_those_of_runge_kutta_where_nothing_is_stiff():
    for found, limit in zip(
        coefficients(torch.zeros(3).double(), 0.1), (0.5, 1 / 6, 1 / 6, 1 / 6), strict=True
    ):
        assert_close(found, torch.full((3,), 0.1 * limit, dtype=torch.float64), atol=1e-14, rtol=0)
    z = torch.tensor([-2.0]).double()
    q, f1, f2, f3 = coefficients(z / 0.1, 0.1)
    e = torch.exp(z)
    assert_close(q, 0.1 * (torch.exp(z / 2) - 1) / z)
    assert_close(f1, 0.1 * (-4 - z + e * (4 - 3 * z + z**2)) / z**3)
    assert_close(f2, 0.1 * (2 + z + e * (z - 2)) / z**3)
    assert_close(f3, 0.1 * (-4 - 3 * z - z**2 + e * (4 - z)) / z**3)


def test_a_logistic_equation_without_space_is_integrated_with_fourth_order():
    """Constant data stay constant in x: ``u' = u - u^3`` from 1/2, ``u = (1 + 3 e^{-2t})^{-1/2}``."""
    grid = FourierGrid(0.0, 1.0, 8)
    exact, errors = (1 + 3 * math.exp(-4)) ** -0.5, []
    for steps in (8, 16, 32):
        done = etdrk4(
            grid,
            torch.full((8,), 0.5).double(),
            1 - grid.wavenumbers**2,
            lambda u: -(u**3),
            end=2.0,
            steps=steps,
        )
        errors.append(abs(float(done.at(torch.tensor([[2.0, 0.3]]))) - exact))
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(3.5 < order < 4.5 for order in orders), orders


def test_a_truth_is_the_fine_solution_where_half_of_it_agrees(monkeypatch):
    """Both are constant here, the one with fewer modes off by a share."""

    def settled(share):
        def solution(problem, steps, modes=None):
            return SimpleNamespace(
                at=lambda places: torch.full((len(places), 1), 2.0 + 2.0 * share * bool(modes))
            )

        monkeypatch.setattr(AllenCahn, "solution", solution)
        return AllenCahn().truth_at(points())

    assert torch.equal(settled(0.0), torch.full((400, 1), 2.0))
    with pytest.raises(DivergedError, match=r"half the steps and modes differ by 0\.5"):
        settled(0.5)


def test_the_solution_of_allen_cahn_solves_the_equation_of_its_residual():
    """Time derivative by differences, space derivatives of the modes: independent of the rates that were integrated."""
    problem, h = AllenCahn(diffusion=1e-3), 1e-4
    run = problem.solution(500)
    at = points(200) * torch.tensor([0.8, 1.0]).double() + torch.tensor([0.1, 0.0]).double()
    step = torch.tensor([h, 0.0]).double()
    rate = (run.at(at + step) - run.at(at - step)) / (2 * h)
    across = torch.tensor([0.0, 1e-4]).double()
    curved = (run.at(at + across) - 2 * run.at(at) + run.at(at - across)) / 1e-8
    residual = problem.residual_at(at, Jet({"": run.at(at), "t": rate, "xx": curved}))
    assert float(residual.abs().max()) < 1e-3 * float(rate.abs().max())
    assert float(rate.abs().max()) > 1
    assert_close(
        run.at(torch.tensor([[0.0, 0.25]])),
        problem.initial_at(torch.tensor([[0.25]]).double()),
        atol=1e-5,
        rtol=0,
    )


def test_allen_cahn_begins_between_the_phases_and_reaches_one_at_the_ends():
    x = torch.tensor([[0.0], [1 / 3], [0.5], [1.0], [-1.0]]).double()
    wanted = torch.tensor([[0.0], [1 / 18], [0.0], [-1.0], [-1.0]]).double()
    assert_close(AllenCahn().initial_at(x), wanted)


def test_modes_give_values_and_derivatives_at_any_point():
    grid = FourierGrid(-1.0, 1.0, 12)
    modes = torch.fft.rfft(torch.cos(math.pi * grid.x) + torch.sin(3 * math.pi * grid.x))
    x = torch.tensor([-0.9, 0.1, 1.3]).double()
    assert_close(grid.at(modes.expand(3, -1), x), torch.cos(math.pi * x) + torch.sin(3 * math.pi * x))
    slope = grid.at(grid.derivative(modes, 1).expand(3, -1), x)
    assert_close(slope, -math.pi * torch.sin(math.pi * x) + 3 * math.pi * torch.cos(3 * math.pi * x))
    assert_close(grid.at(grid.derivative(modes, 2).expand(3, -1), x[:, ]),
                 -(math.pi**2) * torch.cos(math.pi * x) - 9 * math.pi**2 * torch.sin(3 * math.pi * x))  # fmt: skip


def test_modes_meet_any_values_at_the_points_of_the_grid(generator):
    grid = FourierGrid(-1.0, 1.0, 12)
    values = torch.randn(12, dtype=torch.float64, generator=generator)
    assert_close(grid.at(torch.fft.rfft(values).expand(12, -1), grid.x), values)


def heat(t, x, u):
    return u("t") - 0.1 * u("xx")


def own(**changes):
    return PeriodicPDE(**{"residual": heat, "initial": lambda x: torch.sin(math.pi * x), "end": 1.0,
                          "period": (-1.0, 1.0), **changes})  # fmt: skip


def test_a_problem_is_tried_within_its_time_and_period_alone():
    seen = []

    def residual(t, x, u):
        seen.append(torch.stack([t, x], -1))
        return heat(t, x, u)

    check_evolution("Test", own(residual=residual, end=0.5, period=(2.0, 4.0)))
    tried = torch.cat(seen)
    low, high = torch.tensor([[0.0, 2.0], [0.5, 4.0]]).double()
    assert bool(((tried > low) & (tried < high)).all())


def test_what_a_residual_reads_is_found_out():
    assert check_evolution("Test", own()) == {"t": 1, "x": 2}
    assert check_evolution("Test", AllenCahn()) == {"t": 1, "x": 2}
    assert own().truth_at(points()) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"initial": lambda x: x},
            "initial data must be periodic: equal at x = -1 and 1, got values that differ by 2",
        ),
        ({"period": (-1.0, 1.1)}, "initial data must be periodic"),
        ({"initial": lambda x: x[:, None].expand(-1, 2)}, r"initial data must have shape \(5, 1\)"),
        ({"initial": lambda x: 1 / (x - x)}, "initial data must be finite"),
        (
            {"residual": lambda t, x, u: u("t").mean()},
            r"one number per point and component, \(5, 1\) .* got \(\)",
        ),
        ({"residual": lambda t, x, u: u("t") * t[:, None]}, r"got \(5, 5\)"),
        (
            {"residual": lambda t, x, u: u("t") - u("tx")},
            "along one axis: 't', 'tt', ... or 'x', 'xx', ..., got 'tx'",
        ),
        ({"residual": lambda t, x, u: u("t") - u("yy")}, "along one axis"),
        ({"residual": lambda t, x, u: u("xx")}, "must read the derivative"),
    ],
)
def test_problems_that_do_not_fit_are_refused(changes, words):
    with pytest.raises(InvalidInputError, match=words):
        check_evolution("Test", own(**changes))


def test_settings_are_refused():
    with pytest.raises(InvalidInputError, match="period must be"):
        own(period=(1.0, 1.0))
    with pytest.raises(InvalidInputError, match="end must be finite and > 0"):
        own(end=-1.0)
    with pytest.raises(InvalidInputError, match="n must be even"):
        FourierGrid(0.0, 1.0, 7)
    grid = FourierGrid(0.0, 1.0, 8)
    with pytest.raises(DivergedError, match="became NaN or infinite"):
        etdrk4(grid, torch.ones(8), grid.wavenumbers * 0, lambda u: 50 * u**3, end=9.0, steps=9)
