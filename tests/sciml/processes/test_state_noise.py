"""State-dependent noise: geometric Brownian motion on its own path, one motion for several states, gradients."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.brownian import BrownianPath
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import BlockNoise
from interpolants.sciml.processes.state_noise import SCHEMES, integrate_state_noise
from interpolants.solvers import EulerMaruyama, StochasticHeun, integrate_sde

F64 = torch.float64
RATE, NOISE = 0.3, 0.8


def brownian(times, count, m=1):
    return BrownianPath(times, lambda level: BlockNoise(5, (level,), count=count, shape=(m,), dtype=F64))


def growth(scheme, n, noise=NOISE, count=2000):
    """End of ``dX = RATE X dt + noise X dW`` from 1, and the end of W."""
    grid = np.linspace(0, 1, n + 1)
    w = sum(dw for dw, _ in brownian(grid, count))
    x = torch.ones(count, 1, dtype=F64)
    found = integrate_state_noise(
        lambda x, t: RATE * x,
        lambda x, t: noise * x[..., None],
        x,
        grid,
        brownian(grid, count),
        scheme=scheme,
    )
    return found.x, w


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda one: one.name)
def test_each_scheme_has_its_order_and_solves_the_equation_of_its_integral(scheme):
    shift = NOISE**2 / 2 if scheme.integral == "ito" else 0.0
    steps, errors = [32, 64, 128, 256], []
    for n in steps:
        found, w = growth(scheme.name, n)
        errors.append(float((found - torch.exp(RATE - shift + NOISE * w)).square().mean().sqrt()))
    slope = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(scheme.strong_order, abs=0.15), errors
    assert errors[-1] < 0.1  # and this is the limit: that of the other integral is 0.5 away


@pytest.mark.parametrize("name", ["milstein", "heun"])
def test_gradients_are_those_of_the_exact_solution_along_the_path(name):
    noise = torch.tensor(NOISE, dtype=F64, requires_grad=True)
    found, w = growth(name, 512, noise, count=64)
    (slope,) = torch.autograd.grad(found.sum(), noise)
    ito = name == "milstein"
    exact = torch.exp(RATE - ito * NOISE**2 / 2 + NOISE * w) * (w - ito * NOISE)
    assert_close(slope, exact.sum(), rtol=0.02, atol=0)


def test_one_brownian_motion_correlates_the_states_that_it_drives():
    """Two Ornstein-Uhlenbeck states with rates 1 and 4: covariance (1 - exp(-5 t)) / 5, not 0."""
    rates, count = torch.tensor([1.0, 4.0], dtype=F64), 20_000
    grid = np.linspace(0, 1, 101)
    x = torch.zeros(count, 2, dtype=F64)
    found = integrate_state_noise(
        lambda x, t: -rates * x, lambda x, t: torch.ones_like(x)[..., None], x, grid, brownian(grid, count)
    )
    assert float(found.x.T.cov()[0, 1]) == pytest.approx((1 - np.exp(-5)) / 5, abs=0.006)


@pytest.mark.parametrize(
    ("scheme", "solver"),
    [("euler", EulerMaruyama()), ("milstein", EulerMaruyama()), ("heun", StochasticHeun())],
)
def test_noise_that_depends_on_time_alone_gives_the_steps_of_the_solvers_for_it(scheme, solver):
    """Both integrals are one where g does not depend on the state; drift and strength vary in time."""
    grid, x = np.linspace(0, 0.8, 6) ** 2, torch.ones(4, 1, dtype=F64)
    seen = []
    found = integrate_state_noise(
        lambda x, t: torch.cos(4 * t) - (1 + 2 * t) * x,
        lambda x, t: (torch.exp(-t) + t**2).expand(*x.shape, 1),
        x,
        grid,
        brownian(grid, 4),
        scheme=scheme,
        on_step=lambda n, t, x: seen.append((n, float(t))),
        return_path=True,
    )
    plain = integrate_sde(
        lambda x, t: torch.cos(4 * t) - (1 + 2 * t) * x,
        lambda t: torch.exp(-t) + t**2,
        x,
        grid,
        solver,
        brownian(grid, 4),
        return_path=True,
    )
    assert_close(found.path, plain.path)
    assert found.nfe == plain.nfe
    assert seen == list(enumerate(grid.tolist()))[1:]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_drift_and_noise_are_asked_at_times_of_the_grid_alone(scheme):
    """Which need not lie in [0, 1]: a field may not be known elsewhere."""
    grid, asked = np.array([2.0, 2.5, 3.5]), {"f": [], "g": []}

    def f(x, t):
        asked["f"].append(float(t))
        return -x

    def g(x, t):
        asked["g"].append(float(t))
        return torch.ones_like(x)[..., None]

    integrate_state_noise(f, g, torch.ones(4, 1, dtype=F64), grid, brownian(grid, 4), scheme=scheme)
    for times in asked.values():
        assert set(times) <= set(grid.tolist())
        assert {2.0, 2.5} <= set(times)


def test_several_motions_add_their_shares():
    grid = np.linspace(0, 1, 5)
    g = torch.tensor([[1.0, 2.0], [0.0, -1.0]], dtype=F64)
    zero = torch.zeros(3, 2, dtype=F64)
    found = integrate_state_noise(
        lambda x, t: 0 * x, lambda x, t: g.expand(3, 2, 2), zero, grid, brownian(grid, 3, 2), return_path=True
    )
    w = sum(dw for dw, _ in brownian(grid, 3, 2))
    assert_close(found.x, w @ g.T)
    assert found.path.shape == (5, 3, 2)


def test_what_would_broadcast_or_solve_another_equation_is_refused():
    x, grid = torch.zeros(3, 2, dtype=F64), [0.0, 0.5, 1.0]

    def run(f=lambda x, t: 0 * x, g=lambda x, t: x[..., None], times=grid, noise=None, **options):
        return integrate_state_noise(f, g, x, times, noise or brownian(np.array(grid), 3), **options)

    with pytest.raises(InvalidInputError, match=r"g must return shape \(3, 2, 1\), got \(3, 2\)"):
        run(g=lambda x, t: x)
    with pytest.raises(InvalidInputError, match="f must return the shape"):
        run(f=lambda x, t: x[:, :1])
    with pytest.raises(InvalidInputError, match="times must be increasing"):
        run(times=[1.0, 0.0])
    with pytest.raises(InvalidInputError, match="milstein must have one Brownian motion"):
        run(g=lambda x, t: torch.ones(3, 2, 2), noise=brownian(np.array(grid), 3, 2), scheme="milstein")
    with pytest.raises(InvalidInputError, match="scheme must be one of"):
        run(scheme="rk4")
    with pytest.raises(InvalidInputError, match="each of the 2 steps"):
        run(noise=iter([(torch.zeros(3, 1, dtype=F64), None)]))
