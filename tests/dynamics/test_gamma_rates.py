"""Steps that take the increment of gamma in closed form: exact for a constant noise, and of the solver's order."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import GammaNoise, sample
from interpolants.dynamics.gamma_rates import GammaRates, _stencil
from interpolants.fields import LearnedFields
from interpolants.foundations.gaussian import Gaussian
from interpolants.guidance import ClassifierFree
from interpolants.likelihood import log_prob
from interpolants.paths import (
    BrownianEnvelope,
    Linear,
    Mirror,
    OneSidedLinear,
    QuadraticEnvelope,
    ZeroEnvelope,
)
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from interpolants.solvers import available, get_solver

F64 = torch.float64
FIXED = [name for name in available("ode") if not get_solver(name).adaptive]
UNEVEN = [0.0, 0.1, 0.45, 0.5, 1.0]
V, N = torch.tensor([[0.5, -2.0]], dtype=F64), torch.tensor([[3.0, 1.0]], dtype=F64)


def constant(path, **more):
    """A mean rate and a mean noise that are the same everywhere."""
    parts = {"noise": lambda x, t: N.expand_as(x)} | more
    return LearnedFields(path, **parts)


def moving(path):
    return constant(path, mean_rate=lambda x, t: V.expand_as(x))


def exact(path):
    """The fields of a narrow and a wide mode, as if mean rate and noise had been learnt without error."""
    rho0 = GaussianMixture(torch.ones(1, dtype=F64), torch.zeros(1, 2, dtype=F64), torch.ones(1, dtype=F64))
    rho1 = GaussianMixture(
        torch.tensor([0.4, 0.6], dtype=F64),
        torch.tensor([[-1.5, 0.0], [1.5, 1.0]], dtype=F64),
        torch.tensor([0.1, 0.4], dtype=F64),
    )
    bridge = GaussianMixtureBridge(rho0, rho1)
    fields = bridge.fields(path)
    return fields, LearnedFields(path, mean_rate=fields.mean_rate, noise=fields.noise)


@pytest.mark.parametrize("method", [*FIXED, *available("sde")])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("ends", [(0.0, 1.0), (0.1, 0.45)])
def test_a_constant_rate_and_noise_are_integrated_exactly(method, reverse, ends):
    """``x + (t' - t) v + (gamma(t') - gamma(t)) n``, although gamma' is infinite at both ends."""
    path, start = Linear(BrownianEnvelope(scale=2.0)), torch.zeros(3, 2, dtype=F64)
    grid = [t for t in UNEVEN if ends[0] <= t <= ends[1]]
    eps = 0.0 if method in FIXED else GammaNoise(0.0)
    done = sample(moving(path), start, eps=eps, method=method, time_grid=grid, reverse=reverse, seed=0)
    gamma = [math.sqrt(2.0 * t * (1 - t)) for t in ends]
    moved = (ends[1] - ends[0]) * V + (gamma[1] - gamma[0]) * N
    assert_close(done.x, (-moved if reverse else moved).expand(3, 2))


@pytest.mark.parametrize("method", FIXED)
def test_every_state_on_the_way_is_exact_too(method):
    path = Linear()
    done = sample(
        moving(path), torch.zeros(1, 2, dtype=F64), method=method, time_grid=UNEVEN, return_path=True
    )
    expected = torch.stack([t * V + path.envelope.gamma(torch.tensor(t, dtype=F64)) * N for t in UNEVEN])
    assert_close(done.path, expected)


@pytest.mark.parametrize("envelope", [BrownianEnvelope(scale=2.0), QuadraticEnvelope()])
def test_at_a_time_of_no_stage_the_rate_is_the_slope_of_gamma(envelope):
    rates = GammaRates(Linear(envelope), "heun", np.array(UNEVEN))
    for number in (0.2, 0.5, 0.77):
        t = torch.tensor(number, dtype=F64, requires_grad=True)
        (slope,) = torch.autograd.grad(envelope.gamma(t), t)
        assert_close(rates.at(t.detach()), slope)


def test_the_rate_is_finite_at_the_ends_where_the_slope_of_gamma_is_not():
    rates = GammaRates(Linear(), "heun", np.array(UNEVEN))
    first, last = (rates.at(torch.tensor(end, dtype=F64)) for end in (0.0, 1.0))
    assert 10 < float(first) < math.inf
    assert -math.inf < float(last) < -10


def test_a_path_at_rest_has_the_noise_alone():
    """From half way, where a mirror's gamma is largest, to its end."""
    fields = constant(Mirror())
    done = sample(fields, torch.zeros(1, 2, dtype=F64), method="midpoint", time_grid=[0.5, 0.7, 1.0])
    assert_close(done.x, -Mirror().envelope.gamma(torch.tensor(0.5, dtype=F64)) * N)


@pytest.mark.parametrize("reverse", [False, True])
def test_euler_is_the_ddim_step_of_the_path(reverse):
    """Both hold the mean end points and the mean noise for the length of a step."""
    path = Linear()
    x = torch.randn(5, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    inside = [0.1, 0.2, 0.5, 0.9]  # ddim divides by what vanishes at the ends
    one, other = (
        sample(exact(path)[1], x, method=method, time_grid=inside, reverse=reverse).x
        for method in ("euler", "ddim")
    )
    assert_close(one, other)


@pytest.mark.cases(2)
@pytest.mark.parametrize("method", FIXED)
@pytest.mark.parametrize(
    ("path", "ends"),
    [(Linear(QuadraticEnvelope()), (0.0, 1.0)), (Linear(BrownianEnvelope()), (0.1, 0.9))],
    ids=["smooth", "Brownian, inside"],
)
def test_the_order_is_that_of_the_solver_where_gamma_is_smooth(method, path, ends):
    truth, fields = exact(path)
    x = torch.randn(20, 2, dtype=F64, generator=torch.Generator().manual_seed(1))
    limits = {"start": ends[0], "stop": ends[1]}
    right = sample(truth, x, method="dopri5", rtol=1e-11, atol=1e-11, **limits).x
    steps = (16, 32) if get_solver(method).order == 4 else (64, 128)
    errors = [
        float(
            (sample(fields, x, method=method, n_steps=n, time_grid="uniform", **limits).x - right)
            .square()
            .mean()
            .sqrt()
        )
        for n in steps
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(get_solver(method).order, abs=0.3)


@pytest.mark.parametrize("method", ["midpoint", "heun", "rk4"])
def test_few_steps_between_singular_ends_stay_near_the_exact_flow(method):
    """Four steps with learnt-like errors of the noise at the ends, which gamma' would multiply by 50."""
    truth, fields = exact(Linear())
    wrong = LearnedFields(
        Linear(), mean_rate=truth.mean_rate, noise=lambda x, t: truth.noise(x, t) + 0.05 * torch.sin(9 * x)
    )
    x = torch.randn(200, 2, dtype=F64, generator=torch.Generator().manual_seed(1))
    right = sample(truth, x, method="dopri5", rtol=1e-9, atol=1e-9).x
    for some in (fields, wrong):
        assert float((sample(some, x, method=method, n_steps=4).x - right).square().mean().sqrt()) < 0.2


@pytest.mark.slow
def test_a_run_and_its_density_follow_the_same_points():
    """With fixed steps log_prob steps with the slopes that sampling has; both tend to the flow of the velocity."""
    _, fields = exact(Linear())
    x = torch.randn(20, 2, dtype=F64, generator=torch.Generator().manual_seed(1))
    base = Gaussian((2,))
    back = sample(fields, x, method="midpoint", n_steps=8, reverse=True).x
    assert_close(log_prob(fields, x, base, method="midpoint", n_steps=8).x, back, rtol=0, atol=1e-12)
    right = log_prob(fields, x, base, rtol=1e-6, atol=1e-6).log_prob
    gaps = [
        float((log_prob(fields, x, base, method="midpoint", n_steps=n).log_prob - right).abs().mean())
        for n in (32, 64, 128)
    ]
    assert gaps[2] < gaps[1] / 2 < gaps[0] / 4
    assert gaps[2] < 0.01


def test_who_knows_the_latent_term_apart():
    zero = {name: lambda x, t: torch.zeros_like(x) for name in ("velocity", "mean_rate", "noise")}

    def knows(path, *names):
        return LearnedFields(path, **{name: zero[name] for name in names}).knows_latent_apart

    assert knows(Linear(), "mean_rate", "noise")
    assert knows(Mirror(), "noise")
    assert not knows(Linear(), "velocity", "noise")
    assert not knows(Linear(ZeroEnvelope()), "mean_rate")
    assert not knows(OneSidedLinear(), "noise")
    assert ClassifierFree(
        LearnedFields(Linear(), mean_rate=zero["mean_rate"], noise=zero["noise"])
    ).knows_latent_apart


@pytest.mark.parametrize("method", FIXED)
def test_a_learnt_velocity_is_integrated_as_it_is(method):
    """There the increment of gamma cannot be taken apart: the samples are those of the velocity alone."""
    truth, _ = exact(Linear(QuadraticEnvelope()))
    x = torch.randn(5, 2, dtype=F64, generator=torch.Generator().manual_seed(1))
    both = LearnedFields(truth.path, velocity=truth.velocity, noise=truth.noise)
    alone = LearnedFields(truth.path, velocity=truth.velocity)
    one, other = (
        sample(fields, x, method=method, n_steps=3, time_grid="uniform").x for fields in (both, alone)
    )
    assert torch.equal(one, other)


@pytest.mark.parametrize("method", ["heun", "rk4", "stochastic_heun"])
def test_chunks_and_batches_give_the_same_bits(method):
    _, fields = exact(Linear())
    eps = 0.5 if method == "stochastic_heun" else 0.0
    x = torch.randn(130, 2, generator=torch.Generator().manual_seed(1), dtype=F64)
    whole = sample(fields, x, eps=eps, method=method, n_steps=4, seed=0).x
    assert torch.equal(sample(fields, x, eps=eps, method=method, n_steps=4, seed=0, chunk=64).x, whole)
    part = sample(fields, x[64:], eps=eps, method=method, n_steps=4, seed=0, first_index=64).x
    assert torch.equal(part, whole[64:])


def test_two_stages_take_the_increment_up_to_each_and_the_whole_in_the_last():
    nodes, rates = _stencil("midpoint")
    assert nodes.tolist() == [0, 0.5, 1]
    assert rates.tolist() == [[-2, 2, 0], [-1, 0, 1]]
    assert _stencil("heun")[1].tolist() == [[-1, 1], [-1, 1]]
