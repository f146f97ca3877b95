import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.solvers import Dopri5, Euler, Midpoint, available, get_solver, integrate_fixed

ODE = [get_solver(name) for name in available("ode")]
each_solver = pytest.mark.parametrize("solver", ODE, ids=lambda solver: solver.name)
F64 = torch.float64


class Recorder:
    """A field that keeps what it was called with."""

    def __init__(self, f):
        self.f, self.calls = f, []

    def __call__(self, x, t, *want):
        self.calls.append((x, t, *want))
        return self.f(x, t)


def test_one_euler_and_one_midpoint_step_by_hand():
    x = torch.tensor([[2.0]], dtype=F64)
    f = lambda x, t: x * (1 + t)  # noqa: E731
    assert_close(integrate_fixed(f, x, [1.0, 1.5], Euler()).x, x * (1 + 0.5 * 2))
    # Slope at the middle: (2 + 0.25 * 4) * 2.25 = 6.75.
    assert_close(integrate_fixed(f, x, [1.0, 1.5], Midpoint()).x, x + 0.5 * 6.75)


@each_solver
def test_evaluations_are_counted_exactly_and_stay_inside(solver):
    f = Recorder(lambda x, t: -x * t)
    result = integrate_fixed(f, torch.ones(3, 2), np.linspace(0.1, 0.7, 8), solver)
    assert len(f.calls) == result.nfe == 7 * solver.nfe_per_step
    times = torch.stack([call[1] for call in f.calls])
    assert times.shape == (result.nfe,)
    assert times.min() == torch.tensor(0.1)
    assert times.max() <= torch.tensor(0.7)


@each_solver
def test_backwards_returns_to_the_start(solver):
    x = torch.linspace(-1, 1, 6, dtype=F64).reshape(3, 2)
    f = lambda x, t: torch.sin(3 * x) + t  # noqa: E731
    grid = np.linspace(0, 1, 401)
    there = integrate_fixed(f, x, grid, solver).x
    assert (there - x).abs().min() > 0.1
    back = integrate_fixed(f, there, grid[::-1], solver).x
    assert_close(back, x, rtol=0, atol=20 * 400.0**-solver.order + 1e-9)


@each_solver
def test_an_uneven_grid_is_walked_as_given(solver):
    """x' = t^k is exact for k < order on any grid."""
    grid = np.array([0.0, 0.1, 0.5, 0.55, 1.0])
    k = min(solver.order, 4) - 1
    result = integrate_fixed(
        lambda x, t: torch.ones_like(x) * t**k, torch.zeros(2, 1, dtype=F64), grid, solver
    )
    assert_close(result.x, torch.full((2, 1), 1 / (k + 1), dtype=F64), rtol=0, atol=1e-14)


@each_solver
@pytest.mark.parametrize("direction", [1, -1])
def test_quadrature_is_exact_for_polynomials_below_the_order(solver, direction):
    grid = np.array([0.0, 0.1, 0.5, 0.55, 1.0])[::direction]
    k = solver.order - 1

    def f(x, t, want):
        return -x, (t**k).expand(len(x)) if want else None

    result = integrate_fixed(f, torch.ones(2, 3, dtype=F64), grid, solver, quadrature=True)
    assert_close(result.q, torch.full((2,), direction / (k + 1), dtype=F64), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("euler", [1]),
        ("midpoint", [0, 1]),
        ("heun", [1, 1]),
        ("rk4", [1] * 4),
        ("dopri5", [1, 0, 1, 1, 1, 1]),
    ],
)
def test_the_rate_is_asked_for_only_where_it_counts(name, wanted):
    asked = []

    def f(x, t, want):
        asked.append(int(want))
        return -x, x.sum(1) if want else None

    integrate_fixed(f, torch.ones(2, 3), np.linspace(0, 1, 4), get_solver(name), quadrature=True)
    assert asked == wanted * 3


def test_quadrature_follows_the_state():
    """q' = x^2 beside x' = -x: q = (1 - exp(-2 t)) / 2."""
    f = lambda x, t, want: (-x, x.square().sum(1))  # noqa: E731
    result = integrate_fixed(f, torch.ones(2, 1, dtype=F64), np.linspace(0, 1, 65), Dopri5(), quadrature=True)
    assert_close(result.q, torch.full((2,), (1 - math.exp(-2)) / 2, dtype=F64), rtol=0, atol=1e-11)


@each_solver
def test_a_field_may_return_its_argument_and_keep_it(solver):
    f = Recorder(lambda x, t: x)
    x = torch.ones(2, 2, dtype=F64)
    result = integrate_fixed(f, x, np.linspace(0, 1, 5), solver)
    safe = integrate_fixed(lambda x, t: x.clone(), x, np.linspace(0, 1, 5), solver)
    assert torch.equal(result.x, safe.x)
    assert torch.equal(x, torch.ones(2, 2, dtype=F64))
    assert torch.equal(f.calls[0][0], x)
    assert torch.equal(
        f.calls[-solver.nfe_per_step][0], integrate_fixed(f, x, [0, 0.25, 0.5, 0.75], solver).x
    )


def test_path_and_observer_see_the_same_states():
    seen = []
    result = integrate_fixed(
        lambda x, t: -x,
        torch.ones(2, 1),
        [0.0, 0.25, 1.0],
        Midpoint(),
        on_step=lambda n, t, x: seen.append((n, float(t), x)),
        return_path=True,
    )
    assert result.path.shape == (3, 2, 1)
    assert torch.equal(result.path[0], torch.ones(2, 1))
    assert [(n, t) for n, t, _ in seen] == [(1, 0.25), (2, 1.0)]
    assert torch.equal(torch.stack([x for *_, x in seen]), result.path[1:])
    assert torch.equal(result.path[-1], result.x)


def test_an_observer_may_replace_the_state():
    result = integrate_fixed(
        lambda x, t: torch.ones_like(x),
        torch.zeros(2, 1),
        [0.0, 1.0, 2.0],
        Euler(),
        on_step=lambda n, t, x: x.flip(0) * 10 if n == 1 else None,
    )
    assert torch.equal(result.x, torch.full((2, 1), 11.0))


@each_solver
def test_gradients_flow_through(solver):
    """x(1) = x0 exp(a) up to the order; gradcheck compares with finite differences."""
    x = torch.tensor([[0.5], [1.5]], dtype=F64, requires_grad=True)
    a = torch.tensor(0.7, dtype=F64, requires_grad=True)
    grid = np.linspace(0, 1, 4)

    def end(x, a):
        result = integrate_fixed(
            lambda x, t, want: (a * x * torch.cos(t) + x**2, x.sum(1)), x, grid, solver, quadrature=True
        )
        return result.x, result.q

    assert torch.autograd.gradcheck(end, (x, a))


@pytest.mark.parametrize(
    ("dtype", "clock"),
    [
        (F64, F64),
        (torch.float32, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
    ],
)
def test_types_follow_the_state_and_times_keep_their_precision(dtype, clock):
    f = Recorder(lambda x, t: -x)
    x = torch.ones(2, 1, dtype=dtype)
    result = integrate_fixed(f, x, np.linspace(0, 1, 65), Midpoint())
    assert result.x.dtype == dtype
    assert all(t.dtype == clock and t.ndim == 0 for _, t in f.calls)
    assert_close(result.x, torch.full_like(x, math.exp(-1)), rtol=32 * torch.finfo(dtype).eps, atol=1e-4)


def test_stage_times_hit_the_grid_exactly():
    grid = np.linspace(0, 1, 8) ** 2
    f = Recorder(lambda x, t: -x)
    integrate_fixed(f, torch.ones(1, 1, dtype=F64), grid, get_solver("heun"))
    assert [float(t) for _, t in f.calls] == [t for pair in pairwise(grid) for t in pair]


@pytest.mark.parametrize("bad", [[0.0], [], [0.0, 0.0], [0.0, 1.0, 0.5], [0.0, math.inf]])
def test_a_bad_grid_is_refused(bad):
    with pytest.raises(InvalidInputError, match="integrate_fixed: times must"):
        integrate_fixed(lambda x, t: x, torch.ones(1, 1), bad, Euler())


def test_states_and_velocities_that_do_not_fit_are_refused():
    with pytest.raises(InvalidInputError, match=r"floating-point batch .* got torch.int64 of shape \(2, 1\)"):
        integrate_fixed(lambda x, t: x, torch.ones(2, 1, dtype=torch.long), [0, 1], Euler())
    with pytest.raises(InvalidInputError, match=r"shape of x, \(2, 3\), got \(2, 1\)"):
        integrate_fixed(lambda x, t: x[:, :1], torch.ones(2, 3), [0, 1], Euler())
    with pytest.raises(
        InvalidInputError, match=r"dtype of x, torch\.float32, or a narrower one, got torch\.float64"
    ):
        integrate_fixed(lambda x, t: x.double(), torch.ones(2, 3), [0, 1], Euler())
