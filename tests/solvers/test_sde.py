"""Strong order against an exact solution on the same Brownian path, weak order from exact moments."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from interpolants.foundations.brownian import BrownianPath
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import BlockNoise
from interpolants.solvers import SRA1, EulerMaruyama, StochasticHeun, available, get_solver, integrate_sde

SDE = [get_solver(name) for name in available("sde")]
each_solver = pytest.mark.parametrize("solver", SDE, ids=lambda solver: solver.name)
directions = pytest.mark.parametrize("down", [False, True], ids=["up", "down"])
F64 = torch.float64


def brownian(times, count, *, seed=11, shape=(1,), levy_area=True, dtype=F64):
    return BrownianPath(
        times,
        lambda level: BlockNoise(seed, (level,), count=count, shape=shape, dtype=dtype),
        levy_area=levy_area,
    )


def slope(steps, errors):
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


# A linear equation with coefficients that vary in time: dX = (c(t) - a(t) X) dt + g(t) dW.


def rate(t):
    return 1 + 2 * t


def force(t):
    return torch.cos(4 * t) if isinstance(t, torch.Tensor) else np.cos(4 * t)


def strength(t):
    return torch.exp(-t) + t**2 if isinstance(t, torch.Tensor) else np.exp(-t) + t**2


def drift(x, t):
    return force(t) - rate(t) * x


def decay(s, t):
    """Propagator from s to t, exp(-int_s^t rate)."""
    return np.exp(-(t - s) - (t**2 - s**2))


def gauss_legendre(function, start, end):
    nodes, weights = np.polynomial.legendre.leggauss(60)
    half = (end - start) / 2
    return half * np.dot(weights, function(start + half * (nodes + 1)))


def exact_moments(mean, variance, start, end):
    """Mean and variance at the end, by variation of constants; running down, noise still adds variance."""
    m = decay(start, end) * mean + gauss_legendre(lambda s: decay(s, end) * force(s), start, end)
    noise = gauss_legendre(lambda s: (decay(s, end) * strength(s)) ** 2, start, end)
    return m, decay(start, end) ** 2 * variance + abs(noise)


def exact_on_path(x, path):
    """The solution on a fine Brownian path: the stochastic integral of a smooth integrand, linear per step."""
    times, end = path.times, path.times[-1]
    integrand = decay(times, end) * strength(times)
    total = x * decay(times[0], end) + gauss_legendre(lambda s: decay(s, end) * force(s), times[0], end)
    for n, (w, area) in enumerate(path):
        late = w / 2 - area  # int (r - t_n)/h dW
        total = total + integrand[n] * (w - late) + integrand[n + 1] * late
    return total


@each_solver
@directions
def test_strong_order_against_the_exact_solution_on_the_same_path(solver, down):
    count, start, end = 2000, *((1.0, 0.0) if down else (0.0, 1.0))
    x = torch.full((count, 1), 0.7, dtype=F64)
    exact = exact_on_path(x, brownian(np.linspace(start, end, 1025), count))
    steps, errors = [16, 32, 64, 128], []
    for n in steps:
        grid = np.linspace(start, end, n + 1)
        got = integrate_sde(drift, strength, x, grid, solver, brownian(grid, count)).x
        errors.append(float((got - exact).square().mean().sqrt()))
    # With a linear drift SRA1 has no term of size h^2 per step left: its error falls as h^2.
    order = 2.0 if isinstance(solver, SRA1) else solver.strong_order
    assert slope(steps, errors) == pytest.approx(order, abs=0.15), errors


@pytest.mark.slow
@each_solver
def test_strong_order_of_a_nonlinear_equation(solver):
    """Against the finest path of the scheme of highest order, whose limit the linear tests fix."""
    count = 2000
    f, g = lambda x, t: torch.sin(2 * x) * 2 + t, lambda t: 1 + 0 * t
    x = torch.linspace(-2, 2, count, dtype=F64)[:, None]
    grid = np.linspace(0, 1, 1025)
    exact = integrate_sde(f, g, x, grid, SRA1(), brownian(grid, count)).x
    steps, errors = [16, 32, 64, 128], []
    for n in steps:
        grid = np.linspace(0, 1, n + 1)
        got = integrate_sde(f, g, x, grid, solver, brownian(grid, count)).x
        errors.append(float((got - exact).square().mean().sqrt()))
    assert slope(steps, errors) == pytest.approx(solver.strong_order, abs=0.15), errors


def scheme_moments(solver, mean, variance, grid):
    """Mean and variance of the scheme without sampling: a step is X_new = P X + Q + R dW + S H here."""
    probes = torch.tensor([[0.0], [1.0], [0.0], [0.0]], dtype=F64)
    dw = torch.tensor([[0.0], [0.0], [1.0], [0.0]], dtype=F64)
    area = torch.tensor([[0.0], [0.0], [0.0], [1.0]], dtype=F64)
    for step in pairwise(grid):
        got = integrate_sde(drift, strength, probes, step, solver, [(dw.clone(), area.clone())]).x
        q, p, r, s = got.ravel().tolist()
        p, r, s = p - q, r - q, s - q
        h = abs(step[1] - step[0])
        mean, variance = p * mean + q, p**2 * variance + r**2 * h + s**2 * h / 12
    return mean, variance


@each_solver
@directions
@pytest.mark.parametrize("moment", [0, 1], ids=["mean", "variance"])
def test_weak_order_from_exact_moments(solver, down, moment):
    start, end = (1.0, 0.0) if down else (0.0, 1.0)
    exact = exact_moments(0.7, 0.3, start, end)[moment]
    steps, errors = [64, 128, 256], []
    for n in steps:
        got = scheme_moments(solver, 0.7, 0.3, np.linspace(start, end, n + 1))[moment]
        errors.append(abs(got - exact))
    assert slope(steps, errors) == pytest.approx(solver.weak_order, abs=0.15), errors


def generator_powers(f, g, phi, x, terms):
    """phi, L phi, L^2 phi, ... at x, where L = f d/dx + g^2/2 d^2/dx^2."""

    def derivative(function):
        return torch.func.grad(function)

    function, values = phi, []
    for _ in range(terms):
        values.append(float(function(x)))
        first = derivative(function)
        second = derivative(first)
        function = lambda y, first=first, second=second: f(y) * first(y) + g**2 / 2 * second(y)  # noqa: E731
    return values


@each_solver
@pytest.mark.parametrize("power", [1, 2, 3])
def test_local_weak_order_of_a_nonlinear_equation(solver, power):
    """E phi(X_h) of one step by Gauss-Hermite quadrature against sum_k h^k/k! L^k phi; error ~ h^(order+1)."""
    g, x0 = 0.5, 0.4

    def f(x):
        return torch.sin(2 * x)

    taylor = generator_powers(f, g, lambda y: y**power, torch.tensor(x0, dtype=F64), 5)
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    z, other = (torch.from_numpy(values.ravel()[:, None].copy()) for values in np.meshgrid(nodes, nodes))
    weight = torch.from_numpy(np.outer(weights, weights).ravel()) / (2 * math.pi)
    steps, errors = [128, 181, 256], []
    for n in steps:
        h = 1 / n
        noise = [(z * h**0.5, other * (h / 12) ** 0.5)]
        x = torch.full_like(z, x0)
        got = integrate_sde(lambda x, t: f(x), lambda t: g + 0 * t, x, [0.0, h], solver, noise).x
        exact = sum(h**k / math.factorial(k) * value for k, value in enumerate(taylor))
        errors.append(abs(float(weight @ got.ravel() ** power) - exact))
    assert slope(steps, errors) > solver.weak_order + 1 - 0.15, errors


def test_one_step_of_each_scheme_by_hand():
    """dX = t X dt + (1 + t) dW from X = 2 at t = 1 down to 1/2, dW = 0.4, H = 0.1."""
    x = torch.tensor([[2.0]], dtype=F64)

    def step(solver):
        noise = [(torch.full((1, 1), 0.4, dtype=F64), torch.full((1, 1), 0.1, dtype=F64))]
        return integrate_sde(lambda x, t: t * x, lambda t: 1 + t, x, [1.0, 0.5], solver, noise).x.item()

    assert step(EulerMaruyama()) == pytest.approx(2 - 0.5 * 2 + 2 * 0.4)
    guess = 2 - 0.5 * 2 + 2 * 0.4
    assert step(StochasticHeun()) == pytest.approx(2 - 0.25 * (2 + 0.5 * guess) + 1.75 * 0.4)
    inner = 2 - 0.75 * 0.5 * 2 + 1.5 * 1.5 * 0.3
    expected = 2 - 0.5 / 3 * 2 - 1 / 3 * (0.625 * inner) + 2 * 0.3 + 1.5 * 0.1
    assert step(SRA1()) == pytest.approx(expected)


@each_solver
def test_counts_path_and_observer(solver):
    calls, seen = [], []

    def f(x, t):
        calls.append(t)
        return -x

    grid = np.linspace(0, 1, 13)
    path = brownian(grid, 3, levy_area=solver.levy_area, shape=(2,))
    result = integrate_sde(
        f,
        lambda t: t,
        torch.ones(3, 2, dtype=F64),
        grid,
        solver,
        path,
        on_step=lambda n, t, x: seen.append((n, float(t))),
        return_path=True,
    )
    assert len(calls) == result.nfe == 12 * solver.nfe_per_step
    assert all(t.ndim == 0 for t in calls)
    assert result.path.shape == (13, 3, 2)
    assert torch.equal(result.path[-1], result.x)
    assert seen == [(n + 1, grid[n + 1]) for n in range(12)]


@each_solver
def test_without_noise_it_is_the_ode(solver):
    grid = np.linspace(0, 1, 1025)
    result = integrate_sde(
        lambda x, t: -x * t, torch.zeros_like, torch.ones(1, 1, dtype=F64), grid, solver, brownian(grid, 1)
    )
    assert result.x.item() == pytest.approx(math.exp(-0.5), abs=1e-3)


@each_solver
def test_a_sample_does_not_depend_on_its_batch(solver):
    grid = np.linspace(0, 1, 25)
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))

    def run(first, count):
        noise = lambda level: BlockNoise(1, (level,), first=first, count=count, shape=(2,))  # noqa: E731
        path = BrownianPath(grid, noise, levy_area=solver.levy_area)
        rows = x[first : first + count]
        return integrate_sde(lambda x, t: torch.sin(x) - t * x, lambda t: 1 + t, rows, grid, solver, path).x

    everyone = run(0, 200)
    for first, count in [(0, 1), (70, 7), (60, 64)]:
        assert torch.equal(run(first, count), everyone[first : first + count])


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_a_bad_strength_is_refused_with_its_time(bad):
    grid = [0.0, 0.5, 1.0]
    with pytest.raises(InvalidInputError, match=rf"g must be finite and >= 0, got {bad} at t = 0\.5"):
        integrate_sde(
            drift,
            lambda t: torch.where(t == 0.5, bad, 1.0),
            torch.ones(1, 1, dtype=F64),
            grid,
            EulerMaruyama(),
            brownian(grid, 1),
        )


def test_noise_that_does_not_fit_is_refused():
    x, grid = torch.ones(1, 1, dtype=F64), [0.0, 0.5, 1.0]
    with pytest.raises(InvalidInputError, match="needs the space-time Levy area"):
        integrate_sde(drift, strength, x, grid, SRA1(), brownian(grid, 1, levy_area=False))
    with pytest.raises(InvalidInputError, match="for each of the 2 steps, got 1 of them"):
        integrate_sde(drift, strength, x, grid, EulerMaruyama(), brownian([0.0, 1.0], 1))
    with pytest.raises(InvalidInputError, match="one number per time"):
        integrate_sde(drift, lambda t: t[:2], x, grid, EulerMaruyama(), brownian(grid, 1))
    with pytest.raises(InvalidInputError, match="must return the shape of x"):
        integrate_sde(
            lambda x, t: x.sum(), strength, torch.ones(3, 1, dtype=F64), grid, SRA1(), brownian(grid, 3)
        )
