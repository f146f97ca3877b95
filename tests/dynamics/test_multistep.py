"""Multistep solvers: polynomials and published updates exactly, measured orders, grids made for a model."""

import functools
import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import Modifier, Work, optimise_grid, sample
from interpolants.dynamics.grids import by_noise
from interpolants.dynamics.optimised_grid import _errors, _pilot_grid, choose_grid, equidistribute
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.likelihood import log_prob
from interpolants.paths import VP, Linear, OneSidedLinear, OneSidedTrigonometric, VariancePreserving
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from interpolants.solvers import available, get_solver
from interpolants.solvers.multistep import Measure

F64 = torch.float64
METHODS = available("multistep")
PATH = OneSidedTrigonometric()
# Signal over noise e^-5 at the start; noise 0.02 at the end.
START, STOP = PATH.time_at_log_snr(torch.tensor([-10.0, 2 * math.log(50)], dtype=F64)).tolist()
INSIDE = {"start": START, "stop": STOP}
FOUR = GaussianMixture(
    torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=F64),
    torch.tensor([[1.5, 0.0], [-1.0, 1.0], [0.0, -1.5], [1.0, 1.5]], dtype=F64),
    torch.tensor([0.01, 0.04, 0.09, 0.02], dtype=F64),
)
EXACT = GaussianMixtureBridge(Gaussian((2,)), FOUR).fields(PATH)


def normal(n, seed=0, d=2):
    return torch.randn(n, d, dtype=F64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def flow():
    x = normal(100)
    return x, sample(EXACT, x, method="rk4", time_grid="log_snr", n_steps=600, **INSIDE).x


def error(flow, method, n, grid="log_snr"):
    x, right = flow
    found = sample(EXACT, x, method=method, n_steps=n, time_grid=grid, **INSIDE).x
    return float((found - right).square().mean().sqrt())


def _level(t):
    return (PATH.beta(t) / PATH.alpha(t)).log()


def _polynomial(degree):
    """End points that are a polynomial in log(beta / alpha), whatever the state."""
    return LearnedFields(PATH, denoised=lambda x, t: (1 + _level(t[:, None]) ** degree).expand_as(x))


@pytest.mark.parametrize(("method", "degree"), [("exponential_ab2", 1), ("exponential_ab3", 2)])
def test_polynomials_in_the_log_of_signal_over_noise_are_integrated_exactly(method, degree):
    """By hand: ``int e^(l - l') l^k dl``; from the state where there are enough earlier values on."""
    fields, grid = _polynomial(degree), np.array([0.3, 0.35, 0.45, 0.5, 0.62])
    done = sample(fields, torch.zeros(1, 2, dtype=F64), method=method, time_grid=grid, return_path=True)
    t = torch.tensor(grid, dtype=F64)
    alpha, beta, level = PATH.alpha(t), PATH.beta(t), _level(t)
    primitive = {1: lambda s: 1 + s - 1, 2: lambda s: 1 + s**2 - 2 * s + 2}[degree]
    last = done.path[-2]
    moved = beta[4] * (primitive(level[4]) - math.exp(level[3] - level[4]) * primitive(level[3]))
    assert_close(done.x, (alpha[4] / alpha[3] * last + moved).expand(1, 2))


def test_two_steps_of_dpm_solver_by_hand():
    """In the notation of the paper: sigma'/sigma x - alpha' (e^-h - 1) D with D extrapolated to the middle."""
    grid = [0.3, 0.4, 0.6]
    x, t = normal(3), torch.tensor(grid, dtype=F64)
    sigma, alpha, level = PATH.alpha(t), PATH.beta(t), _level(t)
    h0, h1 = (level[1] - level[0]), (level[2] - level[1])
    first = EXACT.denoised(x, t[0])
    y = sigma[1] / sigma[0] * x - alpha[1] * torch.expm1(-h0) * first
    second = EXACT.denoised(y, t[1])
    between = (1 + h1 / (2 * h0)) * second - h1 / (2 * h0) * first
    expected = sigma[2] / sigma[1] * y - alpha[2] * torch.expm1(-h1) * between
    assert_close(sample(EXACT, x, method="dpmpp_2m", time_grid=grid).x, expected)


def test_the_third_step_of_dpm_solver_3m_by_its_published_formula():
    nodes, h = np.array([2.0, 1.4, 0.5]), 0.8
    points, weights = np.polynomial.legendre.leggauss(16)
    at = 2.0 + h / 2 * (1 + points)
    step = Measure(2.0, 2.0 + h, at, h / 2 * weights * np.exp(at - 2.0 - h))
    m = np.array([0.3, -1.0, 2.0])
    r0, r1 = (nodes[0] - nodes[1]) / h, (nodes[1] - nodes[2]) / h
    d10, d11 = (m[0] - m[1]) / r0, (m[1] - m[2]) / r1
    d1, d2 = d10 + r0 / (r0 + r1) * (d10 - d11), (d10 - d11) / (r0 + r1)
    e = math.expm1(-h)
    expected = -e * m[0] + (e / h + 1) * d1 - ((e + h) / h**2 - 0.5) * d2
    assert get_solver("dpmpp_3m").predict(nodes, step) @ m == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_the_order_is_the_one_that_the_solver_states(flow, method):
    errors = [error(flow, method, n) for n in (80, 160, 320)]
    measured = math.log2(errors[1] / errors[2])
    assert measured == pytest.approx(get_solver(method).order, abs=0.35)


@pytest.mark.parametrize(("method", "order"), [("exponential_ab2", 2.0), ("unipc2", 2.7)])
def test_between_two_sample_sets_errors_fall_to_the_order_too(method, order):
    """From one end to the other, where gamma' is infinite."""
    rho0 = GaussianMixture(torch.ones(1, dtype=F64), torch.zeros(1, 2, dtype=F64), torch.ones(1, dtype=F64))
    fields, x = GaussianMixtureBridge(rho0, FOUR).fields(Linear()), normal(50)
    right = sample(fields, x, method="dopri5", rtol=1e-10, atol=1e-10).x
    errors = [
        float(
            (sample(fields, x, method=method, n_steps=n, time_grid="cosine").x - right).square().mean().sqrt()
        )
        for n in (80, 160)
    ]
    assert math.log2(errors[0] / errors[1]) > order - 0.4
    assert errors[1] < 5e-3


def test_one_value_is_the_ddim_step():
    x = normal(4)
    one, other = (sample(EXACT, x, method=m, time_grid=[0.2, 0.7]).x for m in ("unipc3", "ddim"))
    assert_close(one, other)


def test_from_pure_noise_to_the_mean_end_point():
    """Both ends of the log are infinite: the first step uses one value, and the last one leads to it."""
    x = normal(5)
    done = sample(EXACT, x, method="unipc3", time_grid=[0.0, 0.5, 0.8, 1.0])
    assert bool(done.ok.all())
    assert done.nfe == 3
    # a single step from noise leads to the mean of the data
    alone = sample(EXACT, x, method="exponential_ab3", time_grid=[0.0, 1.0]).x
    mean = (FOUR.weights[:, None] * FOUR.means).sum(0)
    assert_close(alone, mean.expand(5, 2), rtol=0, atol=1e-3)


@pytest.mark.cases(2)
@pytest.mark.parametrize("method", METHODS)
def test_runs_backwards_return(method):
    x = normal(20)
    options = {"method": method, "n_steps": 300, "time_grid": "log_snr", **INSIDE}
    there = sample(EXACT, x, **options).x
    back = sample(EXACT, there, reverse=True, **options).x
    assert float((back - x).square().mean().sqrt()) < 0.05


@pytest.mark.parametrize("method", METHODS)
def test_chunks_and_batches_give_the_same_bits(method):
    options = {"method": method, "n_steps": 6, "time_grid": "log_snr", **INSIDE}
    x = normal(130)
    whole = sample(EXACT, x, **options).x
    assert torch.equal(sample(EXACT, x, chunk=64, **options).x, whole)
    assert torch.equal(sample(EXACT, x[64:], first_index=64, **options).x, whole[64:])
    assert torch.equal(sample(EXACT, x, **options).x, whole)


class _Nothing(Modifier):
    def begin(self, x, index):
        return Work()


def test_what_cannot_be_done_is_refused_with_a_reason():
    x = normal(2)
    velocity = LearnedFields(Linear(), velocity=lambda x, t: x)
    with pytest.raises(InvalidInputError, match="needs fields that know mean_rate and noise"):
        sample(velocity, x, method="unipc3")
    with pytest.raises(InvalidInputError, match="modifiers need a solver that does not take a step again"):
        sample(EXACT, x, method="unipc3", modifiers=(_Nothing(),))
    with pytest.raises(InvalidInputError, match="must begin where there is noise"):
        sample(EXACT, x, method="unipc3", reverse=True)
    with pytest.raises(InvalidInputError, match="eps > 0 needs an SDE solver"):
        sample(EXACT, x, method="unipc3", eps=1.0)
    with pytest.raises(InvalidInputError, match="ODE solver with a quadrature"):
        log_prob(EXACT, x, Gaussian((2,)), method="unipc3")
    with pytest.raises(InvalidInputError, match="some signal at its first time"):
        sample(EXACT, x, method="unipc3", time_grid="log_snr")
    with pytest.raises(InvalidInputError, match="needs a one-sided path"):
        sample(velocity, x, method="midpoint", time_grid="karras")
    with pytest.raises(InvalidInputError, match="fixed steps"):
        optimise_grid(EXACT, x, 4, method="dopri5")


def test_karras_spacing_is_that_of_the_paper():
    """``(s0^(1/7) + u (s1^(1/7) - s0^(1/7)))^7`` of noise over signal."""
    times = torch.from_numpy(by_noise(OneSidedLinear(), 5, "karras", start=0.1, stop=0.9))
    s = (1 - times) / times
    roots = s ** (1 / 7)
    assert_close(
        roots, torch.lerp(roots[0], roots[-1], torch.linspace(0, 1, 6, dtype=F64)), rtol=1e-9, atol=0
    )


def test_equal_shares_of_a_known_density():
    """Three quarters of the mass in the first half: of four steps three lie there."""
    grid = np.linspace(0, 1, 11)
    density = np.where(grid[:-1] < 0.5, 3.0, 1.0)
    found = equidistribute(grid, density, 4)
    assert found == pytest.approx([0, 1 / 6, 2 / 6, 0.5, 1])
    assert equidistribute(grid, np.zeros(10), 4) == pytest.approx(np.linspace(0, 1, 5))
    # An empty cell counts as a twentieth of the mean: masses 1 and 0.025, of which a half is 0.5125.
    halves = equidistribute(np.array([0.0, 0.5, 1.0]), np.array([1.0, 0.0]), 2)
    assert halves[1] == pytest.approx(0.5 * 0.5125)


def test_steps_that_are_exact_miss_nothing():
    """Of a denoised state linear in the log of signal over noise; from the second cell on both values are there."""
    fields, grid = _polynomial(1), np.linspace(0.3, 0.62, 9)
    fine = np.interp(np.arange(8 * 16 + 1) / 16, np.arange(9), grid)
    done = sample(fields, torch.zeros(1, 2, dtype=F64), method="rk4", time_grid=fine, return_path=True)
    missed, power = _errors(fields, done.path[::16], grid, "exponential_ab2", None)
    assert power == 3.0
    assert missed[0] > 1e-4
    assert missed[1:].max() < 1e-8


def test_a_grid_has_equal_shares_of_the_errors_of_a_drift_that_knows_the_time_alone():
    """Midpoint steps miss ``h^3 f'' / 24``; of ``f = exp(a t)`` equal shares of ``f''^(1/3)`` are known."""
    a, n = 4.0, 6
    fields = LearnedFields(Linear(), velocity=lambda x, t: torch.exp(a * t)[:, None].expand_as(x))
    found = optimise_grid(fields, normal(3), n, method="midpoint")
    share = np.arange(n + 1) / n
    assert found == pytest.approx(3 / a * np.log(1 + share * (math.exp(a / 3) - 1)), abs=3e-3)


@pytest.mark.slow  # 6 s
@pytest.mark.parametrize("method", ["unipc3", "midpoint"])
def test_a_grid_made_for_the_model_has_a_third_of_the_error(flow, method):
    grid = optimise_grid(EXACT, normal(100, seed=9), 24, method=method, **INSIDE)
    assert error(flow, method, 24, [*grid]) < error(flow, method, 24) / 3


@pytest.mark.slow  # 3 s
def test_sixty_evaluations_reach_a_ten_thousandth(flow):
    """UniPC-3 on a grid that was made for the model.

    Errors have a heavy tail: of 100 starts one pilot in two takes the cosine spacing, of which others have 1.4e-4.
    """
    grid = optimise_grid(EXACT, normal(400, seed=9), 60, method="unipc3", **INSIDE)
    assert error(flow, "unipc3", 60, [*grid]) < 1e-4


# --- the made grid beside the standard ones, and the default of every path

WAYS = {
    "one_sided_linear": OneSidedLinear(),
    "one_sided_trigonometric": PATH,
    "vp": VP(),
    "variance_preserving": VariancePreserving(),
}
# Said on the page of solvers, so that nobody is sent there.
WORSE_THAN_EULER = {
    ("one_sided_trigonometric", 0): {"dpmpp_3m", "exponential_ab3", "unipc3"},
    ("one_sided_trigonometric", 1): set(METHODS) - {"dpmpp_2m"},
    ("vp", 1): {"dpmpp_3m", "exponential_ab2"},
}
MIXTURES = [GaussianMixture.random(3, 2, 1.0, seed=0), GaussianMixture.random(5, 8, 0.5, seed=3)]


@functools.cache
def whole_flow(way, number):
    """Exact fields from end to end, starts of the pilot, others, and where these end."""
    path, mixture = WAYS[way], MIXTURES[number]
    d = mixture.means.shape[1]
    fields = GaussianMixtureBridge(path.base, mixture).fields(path)
    pilot, x = normal(100, 1, d), normal(100, 2, d)
    fine = _pilot_grid(fields, 300, 0.0, 1.0)
    return fields, pilot, x, sample(fields, x, method="rk4", time_grid=fine).x


def distance(found, right):
    return float((found - right).square().mean().sqrt())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("number", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("way", WAYS)
def test_the_kept_grid_is_no_worse_than_the_standard_ones(way, number, method):
    """On starts that the pilot has not seen."""
    fields, pilot, x, right = whole_flow(way, number)
    choice = choose_grid(fields, pilot, 12, method=method, cells=24)
    assert choice.errors[choice.kept] == min(choice.errors.values())
    assert {"made", "auto", "uniform", "quadratic", "cosine"} <= set(choice.errors)
    assert (choice.times == optimise_grid(fields, pilot, 12, method=method, cells=24)).all()
    kept = distance(sample(fields, x, method=method, time_grid=choice.times).x, right)
    standard = [
        distance(sample(fields, x, method=method, n_steps=12, time_grid=spacing).x, right)
        for spacing in ("auto", "uniform", "quadratic", "cosine")
    ]
    assert kept < 1.1 * min(standard)


@pytest.mark.parametrize("number", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("way", WAYS)
def test_by_default_solvers_with_memory_are_better_than_euler_at_ten_evaluations(way, number):
    fields, _, x, right = whole_flow(way, number)
    euler, *others = (
        distance(sample(fields, x, method=method, n_steps=10).x, right) for method in ("euler", *METHODS)
    )
    worse = {method for method, off in zip(METHODS, others, strict=True) if off >= euler}
    assert worse <= WORSE_THAN_EULER.get((way, number), set())
