"""Sampling: the mechanics. Whether the distribution is right is measured in tests/laws/test_truth.py."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.dynamics import ConstantNoise, GammaNoise, Sampling, Status, sample, time_grid
from interpolants.fields import Fields, LearnedFields
from interpolants.foundations.errors import DivergedError, InvalidInputError, NotIdentifiableError
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths import Linear, OneSidedLinear, Trigonometric, VariancePreserving, ZeroEnvelope
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge

F64 = torch.float64
DATA = GaussianMixture(
    torch.tensor([0.3, 0.7], dtype=F64),
    torch.tensor([[2.0, -1.0], [-1.0, 1.0]], dtype=F64),
    torch.tensor([[[0.5, 0.2], [0.2, 0.4]], [[0.3, -0.1], [-0.1, 0.6]]], dtype=F64),
)
START = GaussianMixture.from_gaussian(Gaussian((2,)), 2)

AT_ONCE = {"invariant": False, "chunk": 1000}  # a call for all rows, not one for each block of 64


def exact(path=None, rho0=START):
    return GaussianMixtureBridge(rho0, DATA).fields(Linear() if path is None else path)


def points(n=12, seed=0):
    return torch.randn(n, 2, dtype=F64, generator=torch.Generator().manual_seed(seed))


class Counting(Fields):
    """Counts calls and evaluated rows of a field."""

    bounded_quantity = "score"

    def __init__(self, fields):
        self.fields, self.path, self.calls = fields, fields.path, []

    def provides(self, quantity):
        return self.fields.provides(quantity)

    def evaluate(self, x, t, want, cond=None):
        self.calls.append((x.clone(), t.clone(), tuple(want)))
        return self.fields.evaluate(x, t, want, cond)


# --- counting -----------------------------------------------------------------------------------------------

STAGES = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4, "dopri5": None, "tsit5": None, "ddim": 1}
SDE_STAGES = {"euler_maruyama": 1, "stochastic_heun": 2, "sra1": 2}


@pytest.mark.parametrize("method", ["euler", "midpoint", "heun", "rk4", "ddim", *SDE_STAGES])
@pytest.mark.parametrize("finish", ["step", "denoise"])
def test_evaluations_are_counted_exactly(method, finish):
    fields, noisy = Counting(exact()), method in SDE_STAGES
    found = sample(
        fields,
        points(),
        eps=0.5 if noisy else 0.0,
        method=method,
        n_steps=7,
        seed=0,
        invariant=False,
        chunk=100,
        finish=finish,
    )
    stages = (STAGES | SDE_STAGES)[method]
    assert found.nfe == (7 * stages if finish == "step" else 6 * stages + 1)
    # Before the run the chunks may ask a few rows once; nothing else is evaluated.
    assert found.nfe <= len(fields.calls) <= found.nfe + 1


@pytest.mark.parametrize("method", ["dopri5", "tsit5"])
def test_evaluations_of_an_adaptive_solver_are_counted_per_sample(method):
    """Every call carries whole blocks of 64 rows; each sample's own rows are counted in the network's calls."""
    fields = Counting(exact())
    found = sample(fields, points(40), method=method, invariant=False, chunk=100)
    assert found.nfe.shape == (40,)
    calls = [call for call in fields.calls if call[0].shape[0] >= 16]
    assert int(found.nfe.max()) <= len(calls) <= int(found.nfe.max()) + 1
    rows = sum(call[0].shape[0] for call in calls)
    assert int(found.nfe.sum()) <= rows <= int(found.nfe.sum()) + 64 * len(calls)
    assert len(set(found.nfe.tolist())) > 3  # samples differ in what they cost


def test_results_say_what_ran():
    found = sample(exact(), points(), n_steps=4)
    assert (found.method, found.seed, found.path, found.rejected) == ("midpoint", None, None, None)
    assert_close(found.times, torch.linspace(0, 1, 5, dtype=F64))
    assert found.ok.all()
    noisy = sample(exact(), points(), eps=1.0, n_steps=4)
    assert noisy.method == "stochastic_heun"
    assert isinstance(noisy.seed, int)
    again = sample(exact(), points(), eps=1.0, n_steps=4, seed=noisy.seed)
    assert torch.equal(noisy.x, again.x)
    assert sample(exact(), points(), method="dopri5").rejected.shape == (12,)


# --- known answers of one trajectory ------------------------------------------------------------------------


def shift():
    """Between two unit Gaussians two units apart the flow is the shift x0 + 2t, whatever the solver."""
    rho0, rho1 = (
        GaussianMixture(torch.ones(1, dtype=F64), torch.full((1, 2), m, dtype=F64), torch.ones(1, dtype=F64))
        for m in (0.0, 2.0)
    )
    path = Trigonometric(envelope=ZeroEnvelope())
    return GaussianMixtureBridge(rho0, rho1).fields(path)


@pytest.mark.cases(2)
@pytest.mark.parametrize("method", ["euler", "midpoint", "heun", "rk4", "dopri5", "tsit5"])
@pytest.mark.parametrize("reverse", [False, True])
def test_the_flow_between_shifted_gaussians_is_the_shift(method, reverse):
    x = points()
    found = sample(shift(), x, method=method, n_steps=400, reverse=reverse)
    assert_close(found.x, x - 2 if reverse else x + 2, atol=6e-3 if method == "euler" else 1e-4, rtol=0)


@pytest.mark.parametrize("method", ["heun", "rk4", "dopri5", "ddim"])
def test_there_and_back_again(method):
    """The flow is a bijection; the error left is that of two integrations."""
    fields, x = exact(OneSidedLinear()), points(50)
    settings = {"method": method, "n_steps": 400 if method == "ddim" else 100, "rtol": 1e-8, "atol": 1e-8}
    there = sample(fields, x, **settings)
    back = sample(fields, there.x, reverse=True, **settings)
    tolerance = {"heun": 1e-4, "rk4": 1e-7, "dopri5": 1e-6, "ddim": 5e-2}[method]
    assert float((back.x - x).abs().max()) < tolerance
    assert float((there.x - x).abs().max()) > 0.5


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    "path", [OneSidedLinear(), VariancePreserving(), Linear(), Linear(envelope=ZeroEnvelope())]
)
def test_the_denoising_integrator_tends_to_the_flow_with_order_one(path):
    fields, x = exact(path), points(50)
    wanted = sample(fields, x, method="dopri5", rtol=1e-9, atol=1e-9).x
    errors = [
        float((sample(fields, x, method="ddim", n_steps=n, time_grid="cosine").x - wanted).abs().mean())
        for n in (100, 200, 400)
    ]
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.25)
    assert errors[1] / errors[2] == pytest.approx(2, abs=0.25)


def test_the_denoising_integrator_is_the_formula_of_the_paper():
    """X' = (beta'/beta) X + (alpha' - alpha beta'/beta) eta(t, X), from t > 0 on, for a one-sided linear path."""
    path = OneSidedLinear()
    fields, x, grid = exact(path), points(), np.array([0.2, 0.5, 0.9, 1.0])
    found = sample(fields, x, method="ddim", time_grid=grid).x
    for now, then in pairwise(grid):
        eta = fields.evaluate(x, torch.tensor(now, dtype=F64), ("noise",))["noise"]
        x = then / now * x + ((1 - then) - (1 - now) * then / now) * eta
    assert_close(found, x)


@pytest.mark.parametrize("eps", [0.0, 0.7])
@pytest.mark.parametrize("reverse", [False, True])
def test_finishing_by_denoising_replaces_the_last_step_by_the_mean_end_point(eps, reverse):
    fields = exact()
    grid = np.linspace(0, 1, 11)
    kept = grid[1:] if reverse else grid[:-1]
    whole = {"eps": eps, "seed": 3, "reverse": reverse, "method": "euler"}
    found = sample(fields, points(), time_grid=grid, finish="denoise", return_path=True, **whole)
    last = torch.tensor(kept[0] if reverse else kept[-1], dtype=F64)
    quantity = "endpoint0" if reverse else "denoised"
    assert_close(found.x, fields.evaluate(found.path[-2], last, (quantity,))[quantity])
    assert found.path.shape == (11, 12, 2)
    assert torch.equal(found.path[-1], found.x)
    if eps == 0:
        stopped = sample(fields, points(), time_grid=kept, **whole)
        assert_close(found.path[-2], stopped.x)


# --- grids --------------------------------------------------------------------------------------------------


def test_named_grids_have_their_shapes_and_exact_ends():
    u = np.linspace(0, 1, 9)
    np.testing.assert_allclose(time_grid(8), u)
    np.testing.assert_allclose(time_grid(8, "quadratic"), 1 - (1 - u) ** 2)
    np.testing.assert_allclose(time_grid(8, "cosine"), np.sin(np.pi * u / 2) ** 2)
    for name in ("uniform", "quadratic", "cosine"):
        grid = time_grid(37, name, start=0.1, stop=0.7)
        assert (grid[0], grid[-1]) == (0.1, 0.7)
        assert (np.diff(grid) > 0).all()
    assert np.diff(time_grid(8, "quadratic"))[-1] < np.diff(time_grid(8, "quadratic"))[0]


def test_the_automatic_grid_is_dense_at_the_ends_where_the_noise_is_like_a_square_root():
    cosine = torch.from_numpy(time_grid(6, "cosine"))
    uniform = torch.from_numpy(time_grid(6))
    x = points()
    assert_close(sample(exact(), x, n_steps=6).times, uniform)
    assert_close(sample(exact(), x, n_steps=6, eps=1.0).times, cosine)
    assert_close(sample(exact(OneSidedLinear()), x, n_steps=6, eps=1.0).times, uniform)
    fields = exact()
    derived = LearnedFields(Linear(), mean_rate=fields.mean_rate, noise=fields.noise, margin=1e-3)
    direct = LearnedFields(Linear(), velocity=fields.velocity, noise=fields.noise)
    assert_close(sample(direct, x, n_steps=6).times, uniform)
    inside = {"start": 0.01, "stop": 0.99, "n_steps": 6}
    assert_close(
        sample(derived, x, **inside).times, torch.from_numpy(time_grid(6, "cosine", start=0.01, stop=0.99))
    )


@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_a_users_grid_is_stepped_through_and_kept(method):
    grid = [0.0, 0.05, 0.3, 1.0]
    found = sample(
        exact(), points(), method=method, time_grid=torch.tensor(grid, dtype=F64), return_path=True
    )
    assert torch.equal(found.times, torch.tensor(grid, dtype=F64))
    assert found.path.shape == (4, 12, 2)
    assert torch.equal(found.path[0], points())
    assert torch.equal(found.path[-1], found.x)
    part = sample(exact(), points(), method=method, time_grid=grid[:3])
    if method == "rk4":
        assert torch.equal(part.x, found.path[2])


@pytest.mark.parametrize("method", ["heun", "euler_maruyama", "dopri5", "ddim"])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_path_is_recorded_at_its_times(method, reverse):
    eps = 0.5 if method == "euler_maruyama" else 0.0
    settings = {
        "method": method,
        "n_steps": 5,
        "eps": eps,
        "seed": 1,
        "reverse": reverse,
        "time_grid": "uniform",
    }
    found = sample(exact(), points(), return_path=True, **settings)
    wanted = torch.linspace(1, 0, 6, dtype=F64) if reverse else torch.linspace(0, 1, 6, dtype=F64)
    assert_close(found.times, wanted)
    assert found.path.shape == (6, 12, 2)
    assert torch.equal(found.path[0], points())
    assert torch.equal(found.path[-1], found.x)
    assert bool(torch.isfinite(found.path).all())
    tolerance = 1e-4 if method == "dopri5" else 0  # reporting times change the steps of an adaptive solver
    assert_close(found.x, sample(exact(), points(), **settings).x, atol=tolerance, rtol=tolerance)


def test_a_truncated_bridge_starts_and_stops_where_it_is_told():
    """The flow over [0, 1] is the flow over [0.4, 1] after that over [0, 0.4]."""
    fields, x = exact(), points()
    tight = {"method": "dopri5", "rtol": 1e-9, "atol": 1e-9}
    first = sample(fields, x, stop=0.4, **tight)
    second = sample(fields, first.x, start=0.4, **tight)
    assert_close(second.x, sample(fields, x, **tight).x, atol=1e-6, rtol=0)
    back = sample(fields, second.x, start=0.4, reverse=True, **tight)
    assert_close(back.x, first.x, atol=1e-6, rtol=0)


# --- randomness ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "order", "brownian"),
    [("euler_maruyama", 1.0, "nested"), ("sra1", 1.5, "nested"), ("sra1", 1.5, "universal")],
)
def test_the_brownian_path_is_the_same_at_any_number_of_steps(method, order, brownian):
    """Strong convergence along one path: with independent noise the differences would not shrink at all."""
    fields, x = exact(), points(200)
    settings = {"eps": 0.5, "method": method, "seed": 5, "time_grid": "uniform", "start": 0.1, "stop": 0.9}
    settings |= {"brownian": brownian, **AT_ONCE}
    fine = sample(fields, x, n_steps=1024 if brownian == "nested" else 512, **settings).x

    def error(n, **other):
        # the median: a few paths near the ridge between the modes decide the mean
        found = sample(fields, x, n_steps=n, **settings | other).x
        return float((found - fine).square().mean(1).sqrt().median())

    coarse, finer = error(16), error(128)
    assert math.log(coarse / finer) / math.log(8) > order - 0.25
    assert error(128, seed=6) > 10 * finer


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
def test_one_brownian_path_serves_any_number_of_steps_when_asked(reverse):
    """Step counts that share no factor, on uneven grids too: along one path all are near the finest run."""
    fields, x = exact(), points(200)
    settings = {"eps": 0.5, "method": "euler", "seed": 5, "start": 0.1, "stop": 0.9, "reverse": reverse}
    settings |= {"time_grid": "uniform", "brownian": "universal", **AT_ONCE}
    fine = sample(fields, x, n_steps=512, **settings).x

    def error(n, **other):
        found = sample(fields, x, n_steps=n, **settings | other).x
        return float((found - fine).square().mean(1).sqrt().median())

    errors = [error(n) for n in (15, 49, 121)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] / errors[2] > 4  # of order one: 8
    assert error(121, time_grid="quadratic") < errors[0]
    # The path of nested grids is another one for these counts.
    assert error(121, brownian="nested") > 10 * errors[2]


@pytest.mark.slow
def test_all_schemes_see_one_brownian_path_when_asked():
    """With independent paths the differences would be of the size of the noise, 0.5, at any number of steps."""
    fields, x = exact(), points(200)
    settings = {"eps": 0.5, "seed": 5, "start": 0.1, "stop": 0.9, "time_grid": "uniform", **AT_ONCE}

    def run(method, brownian="universal", n=512):
        return sample(fields, x, n_steps=n, method=method, brownian=brownian, **settings).x

    def gap(one, two):
        return float((one - two).square().mean(1).sqrt().median())

    finest = run("sra1")
    assert gap(finest, run("heun")) < 0.002
    assert gap(finest, run("euler")) < 0.01
    assert gap(run("sra1", "nested", 64), run("heun", "nested", 64)) > 0.1


def test_a_seed_gives_the_same_samples_and_another_one_others():
    runs = [sample(exact(), points(), eps=1.0, n_steps=5, seed=s).x for s in (0, 0, 1)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize("eps", [0.0, 1.0])
def test_the_global_generator_is_not_touched(eps):
    before = torch.get_rng_state()
    sample(exact(), points(), eps=eps, n_steps=3)
    assert torch.equal(torch.get_rng_state(), before)


# --- eps ----------------------------------------------------------------------------------------------------


def test_a_constant_given_in_four_ways_is_the_same_noise():
    x, settings = points(), {"n_steps": 9, "seed": 2}
    wanted = sample(exact(), x, eps=0.5, **settings).x
    for eps in (torch.tensor(0.5), ConstantNoise(0.5), lambda t: torch.full_like(t, 0.5), lambda t: 0.5):
        assert torch.equal(sample(exact(), x, eps=eps, **settings).x, wanted)


def test_gamma_noise_is_proportional_to_gamma():
    x, settings = points(), {"n_steps": 9, "seed": 2, "cap_noise": False}
    by_name = sample(exact(), x, eps=GammaNoise(1.5), **settings).x
    by_hand = sample(exact(), x, eps=lambda t: 1.5 * torch.sqrt(t * (1 - t)), **settings).x
    assert torch.equal(by_name, by_hand)
    one_sided = exact(OneSidedLinear())
    by_name = sample(one_sided, x, eps=GammaNoise(1.5), **settings).x
    assert torch.equal(by_name, sample(one_sided, x, eps=lambda t: 1.5 * (1 - t), **settings).x)


@pytest.mark.parametrize("eps", [0, 0.0, torch.tensor(0.0), ConstantNoise(0.0), -0.0])
def test_no_noise_is_the_flow(eps):
    found = sample(exact(), points(), eps=eps, n_steps=4)
    assert found.method == "midpoint"
    assert torch.equal(found.x, sample(exact(), points(), n_steps=4).x)


def test_a_little_noise_is_close_to_the_flow():
    fields, x = exact(), points(100)
    settings = {"n_steps": 200, **AT_ONCE}
    flow = sample(fields, x, method="rk4", **settings).x
    gaps = [
        float((sample(fields, x, eps=eps, seed=0, **settings).x - flow).square().mean(1).median().sqrt())
        for eps in (1e-2, 1e-4)
    ]
    # The path moves by sqrt(2 eps); the median, for paths near the ridge between the modes move further.
    assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.3)


@pytest.mark.parametrize("method", SDE_STAGES)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("known", ["score", "noise"])
def test_noise_comes_with_its_level_times_the_score(method, reverse, known):
    """``b + eps s`` forwards, ``b - eps s`` backwards: either way a constant s adds ``eps s`` per unit of time."""
    path, s, eps = Linear(), torch.tensor([[2.0, -1.0]], dtype=F64), 0.05

    def end(there):
        def field(x, t):
            return there * s.expand_as(x) * (1 if known == "score" else -path.noise_scale(t)[:, None])

        fields = LearnedFields(path, velocity=lambda x, t: torch.ones_like(x), **{known: field})
        settings = {"method": method, "eps": eps, "seed": 0, "reverse": reverse, "finish": "step"}
        return sample(fields, points(), time_grid=[0.2, 0.5, 0.7], **settings).x

    assert_close(end(1.0) - end(0.0), (0.5 * eps * s).expand(12, 2), atol=1e-9, rtol=0)


@pytest.mark.parametrize("covariance", [None, torch.tensor([[4.0, 1.0], [1.0, 9.0]])], ids=["white", "full"])
def test_a_step_without_noise_at_the_end_is_the_drift_at_its_start(covariance):
    """``b + eps s`` at the first of two times, whatever the base, with a level that changes in time."""
    base = Gaussian() if covariance is None else Gaussian(covariance=covariance)
    fields = exact(OneSidedLinear(base), GaussianMixture.from_gaussian(base, 2))
    learnt = LearnedFields(fields.path, velocity=fields.velocity, noise=fields.noise)
    x, t, h = points(), torch.tensor(0.2, dtype=F64), 0.5
    run = {"method": "euler_maruyama", "time_grid": [0.2, 0.7], "finish": "mean", "seed": 0}
    made = sample(learnt, x, eps=lambda t: t**2, **run)
    drift = fields.velocity(x, t) + 0.2**2 * fields.score(x, t)
    assert_close(made.x, x + h * drift, rtol=1e-6, atol=1e-6)


# --- gradients ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"method": "rk4"}, {"eps": 0.5, "seed": 0}, {"method": "dopri5"}])
def test_gradients_flow_to_the_start_when_asked(settings):
    """Directional derivative against a central difference."""
    fields, x = exact(), points(6)
    direction = points(6, seed=1)
    settings = settings | {"n_steps": 10, "rtol": 1e-8, "atol": 1e-8}
    start = x.clone().requires_grad_(True)
    out = sample(fields, start, differentiable=True, **settings).x
    (slope,) = torch.autograd.grad(out.sin().sum(), start)
    h = 1e-5
    plus, minus = (sample(fields, x + s * h * direction, **settings).x.sin().sum() for s in (1, -1))
    assert float((slope * direction).sum()) == pytest.approx(float(plus - minus) / (2 * h), rel=1e-5)


def test_gradients_flow_to_the_network_when_asked():
    net = nn.Linear(2, 2).double()
    fields = LearnedFields(Linear(envelope=ZeroEnvelope()), velocity=lambda x, t: net(x))
    out = sample(fields, points(), n_steps=3, method="euler", differentiable=True).x
    (slope,) = torch.autograd.grad(out.sum(), net.weight)
    with torch.no_grad():
        net.weight[0, 0] += 1e-6
        plus = sample(fields, points(), n_steps=3, method="euler").x.sum()
    assert float(slope[0, 0]) == pytest.approx(float((plus - out.detach().sum()) / 1e-6), rel=1e-4)


def test_samples_can_be_used_in_training_afterwards():
    x = sample(exact(), points(), n_steps=2).x
    assert not x.requires_grad
    start = x.requires_grad_(True)
    (slope,) = torch.autograd.grad(start.square().sum(), start)
    assert_close(slope, 2 * start.detach())


def test_a_field_may_differentiate_inside():
    def velocity(x, t):
        with torch.enable_grad():
            point = x.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(-0.5 * point.square().sum(), point)
        return slope

    fields = LearnedFields(Linear(envelope=ZeroEnvelope()), velocity=velocity)
    assert_close(
        sample(fields, points(), method="rk4", n_steps=50).x, points() * math.exp(-1), atol=1e-7, rtol=0
    )


def test_an_energy_serves_as_a_score():
    fields = exact()
    learned = LearnedFields(Linear(), velocity=fields.velocity, energy=lambda x, t: -fields.log_prob(x, t))
    settings = {"eps": 0.5, "n_steps": 10, "seed": 0}
    assert_close(sample(learned, points(), **settings).x, sample(fields, points(), **settings).x)


# --- conditions ---------------------------------------------------------------------------------------------


def conditional():
    """dx/dt = c x with a rate per sample: x1 = x0 exp(c); negative rates finish in other steps than positive ones."""
    return LearnedFields(
        Linear(envelope=ZeroEnvelope()), velocity=lambda x, t, cond: cond["rate"][0][:, None] * x
    )


@pytest.mark.cases(2)
@pytest.mark.parametrize("method", ["rk4", "dopri5", "tsit5"])
@pytest.mark.parametrize("n", [5, 40, 200])
def test_conditions_stay_with_their_samples(method, n):
    x = points(n)
    rate = torch.linspace(-6, 2, n, dtype=F64)[torch.randperm(n, generator=torch.Generator().manual_seed(0))]
    cond = {"rate": (rate,)}
    found = sample(
        conditional(),
        x,
        cond=cond,
        method=method,
        n_steps=200,
        rtol=1e-8,
        atol=1e-8,
        chunk=64,
        return_path=True,
    )
    assert_close(found.x, x * rate.exp()[:, None], atol=1e-5, rtol=1e-5)
    middle = int((found.times - 0.5).abs().argmin())
    assert_close(found.path[middle], x * (rate * found.times[middle]).exp()[:, None], atol=1e-5, rtol=1e-5)


def test_conditions_reach_the_drift_of_an_sde():
    fields = LearnedFields(
        Linear(),
        velocity=lambda x, t, cond: cond.expand_as(x),
        score=lambda x, t, cond: torch.zeros_like(x),
    )
    x, cond = points(), torch.arange(12, dtype=F64)[:, None]
    one = sample(fields, x, eps=1.0, seed=0, cond=cond, n_steps=5, chunk=5).x
    zero = sample(fields, x, eps=1.0, seed=0, cond=torch.zeros_like(cond), n_steps=5).x
    assert_close(one - zero, cond.expand_as(x))


# --- failures -----------------------------------------------------------------------------------------------


def bursting(rows_apart=False):
    """dx/dt = x^2 has x(t) = x0/(1 - x0 t): starts above 1 leave the finite numbers before t = 1."""
    return LearnedFields(Linear(envelope=ZeroEnvelope()), velocity=lambda x, t: x * x)


def test_a_failing_sample_raises_and_says_where_and_when():
    x = torch.full((20, 2), 0.1, dtype=F64)
    x[7] = 4.0
    x[3] = 2.0
    with pytest.raises(
        DivergedError, match=r"2 of 20 samples left the finite numbers, row 3 at t=0\.\d+"
    ) as caught:
        sample(bursting(), x, method="euler", n_steps=400)
    when = float(str(caught.value).split("t=")[1].split(". ")[0])
    alone = sample(bursting(), x[3:4], method="euler", n_steps=400, on_failure="keep", return_path=True)
    finite = torch.isfinite(alone.path[:, 0]).all(1)
    assert when == pytest.approx(float(alone.times[int(finite.long().argmin())]), abs=1e-6)
    assert when > 0.5  # row 3 bursts at t = 0.5, its worse neighbour at t = 0.25


def test_a_failing_sample_of_a_later_chunk_is_told_as_without_chunks():
    x = torch.full((12, 2), 0.1, dtype=F64)
    x[7] = 2.0
    told = []
    for chunk in (12, 5):
        with pytest.raises(DivergedError, match="row 7 at t=0") as caught:
            sample(bursting(), x, method="euler", n_steps=100, chunk=chunk)
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_a_failing_sample_can_be_kept_and_does_not_touch_its_neighbours():
    x = torch.full((20, 2), 0.1, dtype=F64)
    x[7] = 4.0
    for method in ("euler", "dopri5"):
        found = sample(bursting(), x, method=method, n_steps=400, on_failure="keep")
        assert found.ok.tolist() == [i != 7 for i in range(20)]
        assert found.status.dtype == torch.long
        assert_close(found.x[0], torch.full((2,), 0.1 / 0.9, dtype=F64), atol=1e-4, rtol=0)


def test_an_sde_that_fails_in_its_last_denoising_step_says_so():
    fields = exact()
    broken = LearnedFields(
        Linear(), velocity=fields.velocity, noise=fields.noise, denoised=lambda x, t: x / 0
    )
    with pytest.raises(DivergedError, match=r"12 of 12 samples left the finite numbers, row 0 at t=1\."):
        sample(broken, points(), eps=0.5, n_steps=5, seed=0, finish="denoise")


def test_an_adaptive_solver_that_cannot_reach_its_tolerance_says_so():
    with pytest.raises(
        DivergedError, match=r"dopri5 ended with max_steps for 12 of 12 samples, first row 0\. Loosen"
    ):
        sample(exact(), points(), method="dopri5", rtol=1e-12, atol=1e-12, max_steps=5)
    kept = sample(exact(), points(), method="dopri5", rtol=1e-12, atol=1e-12, max_steps=5, on_failure="keep")
    assert set(kept.status.tolist()) == {int(Status.MAX_STEPS)}
    burst = torch.full((3, 2), 4.0, dtype=F64)
    with pytest.raises(DivergedError, match="dopri5 ended with"):
        sample(bursting(), burst, method="dopri5")


# --- bad input ----------------------------------------------------------------------------------------------

GOOD = {"x": points(4)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eps": -0.1}, r"ConstantNoise: eps must be finite and >= 0, got -0\.1. eps=0 runs the ODE"),
        ({"eps": "much"}, r"must be a number, a function of t or a NoiseLevel, got much"),
        ({"eps": lambda t: t - 0.5}, r"schedule must be finite and >= 0; at t=0, got -0\.5"),
        ({"eps": lambda t: t[:2]}, r"one value per time, \(3,\), got \(2,\)"),
        ({"x": torch.zeros(4, 2, dtype=torch.long)}, r"floating-point tensor \(B, \*D\), got torch.int64"),
        ({"x": torch.zeros(4)}, r"of shape \(4,\)"),
        ({"x": [[0.0, 0.0]]}, "got list"),
        ({"x": torch.zeros(0, 2)}, "at least one sample"),
        (
            {"x": torch.tensor([[0.0, 0.0], [math.nan, 0.0]])},
            r"x must be finite, got nan or inf in 1 rows, first row 1",
        ),
        ({"x": torch.tensor([[math.inf, 0.0]])}, "x must be finite"),
        ({"time_grid": [0.0, 1.5]}, r"times must lie in \[0, 1\], got \(0.0, 1.5\)"),
        ({"time_grid": [-0.1, 1.0]}, r"times must lie in \[0, 1\]"),
        ({"time_grid": [0.0, 0.5, 0.5, 1.0]}, "times must increase"),
        ({"time_grid": [1.0, 0.0]}, r"must increase.* reverse=True"),
        ({"time_grid": [0.5]}, "at least two times"),
        ({"time_grid": [0.0, math.nan]}, r"\[0, 1\]"),
        ({"time_grid": "cosin"}, "Did you mean 'cosine'"),
        ({"time_grid": ["a", "b"]}, "times must be numbers"),
        ({"n_steps": 0}, r"^sample \(in Sampling\): n_steps must be a whole number >= 1, got 0"),
        ({"start": 0.5, "stop": 0.5}, "start < stop"),
        ({"method": "huen"}, "Did you mean 'heun'"),
        ({"method": "euler_maruyama"}, "eps = 0 needs an ODE solver, got 'euler_maruyama'. One of: .*euler"),
        ({"method": "rk4", "eps": 1.0}, "eps > 0 needs an SDE solver, got 'rk4'. One of: .*euler_maruyama"),
        ({"method": "ddim", "eps": 1.0}, "eps > 0 needs an SDE solver"),
        ({"finish": "denoise", "method": "dopri5"}, "finish='denoise' needs fixed steps, got 'dopri5'"),
        ({"cond": torch.zeros(3, 1)}, "cond must have one row per sample, 4, got 3"),
        ({"cond": {"label": torch.zeros(5)}}, "cond must have one row per sample, 4, got 5"),
        ({"cond": (torch.zeros(4), torch.zeros(3))}, "cond must have one row per sample, 4, got 3"),
        ({"first_index": -1}, "first_index must be a whole number >= 0"),
        ({"seed": -1, "eps": 1.0}, "seed must be a whole number >= 0, got -1"),
        ({"seed": 0.5, "eps": 1.0}, "seed must be a whole number"),
    ],
)
def test_bad_input_is_refused_with_its_value(change, message):
    settings = {"n_steps": 2} | GOOD | change
    with pytest.raises(InvalidInputError, match=message):
        sample(exact(), settings.pop("x"), **settings)


@pytest.mark.parametrize("ends", [{"start": 0.2}, {"stop": 0.6}])
def test_own_times_and_ends_that_differ_are_refused(ends):
    grid = [0.1, 0.5, 0.9]
    with pytest.raises(
        InvalidInputError, match=rf"{next(iter(ends))} must be that of the times given, 0\.\d, got 0"
    ):
        sample(exact(), points(), time_grid=grid, **ends)
    whole = sample(exact(), points(), time_grid=grid, start=0.1, stop=0.9)
    assert whole.times.tolist() == grid


def test_bad_input_is_found_before_anything_is_evaluated():
    """An integer state with eps > 0 and no score: the state is named, whatever else is wrong."""
    fields = LearnedFields(Linear(envelope=ZeroEnvelope()), velocity=lambda x, t: x)
    with pytest.raises(InvalidInputError, match="floating-point"):
        sample(fields, [0.0], eps=1.0)


def test_noise_without_a_score_is_refused_and_says_what_to_learn():
    plain = LearnedFields(Linear(envelope=ZeroEnvelope()), velocity=lambda x, t: x)
    with pytest.raises(NotIdentifiableError, match=r"no latent noise .* eps = 0"):
        sample(plain, points(), eps=0.5)
    half = LearnedFields(Linear(), velocity=lambda x, t: x)
    with pytest.raises(NotIdentifiableError, match="Learn the noise"):
        sample(half, points(), eps=0.5)


def test_a_field_of_another_shape_is_refused():
    fields = LearnedFields(Linear(envelope=ZeroEnvelope()), velocity=lambda x, t: x[:, :1])
    with pytest.raises(InvalidInputError, match=r"velocity: the output must have shape"):
        sample(fields, points())


def test_progress_is_reported_after_each_chunk():
    seen = []
    sample(exact(), points(200), n_steps=2, chunk=64, progress=seen.append)
    assert seen[-1] == 200
    assert seen == sorted(seen)
    assert len(seen) == 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("settings", [{}, {"eps": 0.5, "seed": 0}, {"method": "dopri5"}, {"method": "ddim"}])
def test_the_precision_is_kept_and_the_start_is_not_written_to(dtype, settings):
    x = points().to(dtype)
    before = x.clone()
    assert sample(exact(), x, n_steps=3, **settings).x.dtype == dtype
    assert torch.equal(x, before)


# --- settings ------------------------------------------------------------------------------------------------


def test_settings_in_an_object_are_those_by_name():
    how = Sampling(eps=0.5, n_steps=4, method="heun")
    by_name = sample(exact(), points(), eps=0.5, n_steps=4, method="heun", seed=3).x
    assert torch.equal(sample(exact(), points(), how, seed=3).x, by_name)
    changed = sample(exact(), points(), how, seed=3, n_steps=6)
    assert torch.equal(changed.x, sample(exact(), points(), eps=0.5, n_steps=6, method="heun", seed=3).x)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"nsteps": 4}, "Did you mean 'n_steps'"), ({"finish": "x"}, "finish"), ({"brownian": "x"}, "brownian")],
)
def test_settings_that_there_are_not_are_refused(options, message):
    with pytest.raises(InvalidInputError, match=message):
        sample(exact(), points(), **options)
