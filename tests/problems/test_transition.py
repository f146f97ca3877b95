"""Transition distributions: density, sampler, scores and point-source fields of the two forecasting problems."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics import crps
from interpolants.metrics.crps import crps_of_cases
from interpolants.paths import Diffusive
from interpolants.problems import NoisyLorenz, RotatingMixture, get_problem

F64 = torch.float64
PROBLEMS = {"rotating_mixture": RotatingMixture(), "noisy_lorenz": NoisyLorenz()}
each_problem = pytest.mark.parametrize("name", PROBLEMS)


def test_they_are_made_by_name():
    assert isinstance(get_problem("noisy_lorenz", lag=0.1), NoisyLorenz)
    assert isinstance(get_problem("rotating_mixture", tau=0.2), RotatingMixture)


def test_the_density_of_the_plane_integrates_to_one_and_has_the_stated_moments():
    problem = PROBLEMS["rotating_mixture"]
    now = torch.tensor([[2.5, -1.0]], dtype=F64)
    side = torch.linspace(-6, 6, 241, dtype=F64)
    grid, cell = torch.cartesian_prod(side, side), float(side[1] - side[0]) ** 2
    mass = problem.log_transition(grid, now.expand(len(grid), 2)).exp() * cell
    assert_close(float(mass.sum()), 1.0, rtol=1e-6, atol=0)
    mean = mass @ grid
    assert_close(mean[None], problem.mean(now), rtol=0, atol=1e-6)
    apart = grid - mean
    assert_close(
        torch.einsum("n,ni,nj->ij", mass, apart, apart)[None], problem.covariance(now), rtol=0, atol=1e-5
    )


@each_problem
def test_draws_follow_the_density(name, generator):
    """E exp(-log p) over a box equals its volume: importance sampling with the density itself."""
    problem = PROBLEMS[name]
    now = problem.sample(1, generator=generator)
    y = problem.members(now, 40_000, generator=generator)[0]
    assert_close(y.mean(0), problem.mean(now)[0], rtol=0, atol=4 * float(y.std()) / 200)
    spread = problem.covariance(now)[0]
    assert_close(torch.cov(y.T), spread, rtol=0, atol=6 * float(spread.diagonal().max()) / 200)
    centre = problem._centres(now)[0, 0]
    inside = ((y - centre).abs() < problem.tau).all(1)
    p = problem.log_transition(y, now.expand(len(y), -1)).exp()
    estimate = inside / p
    volume = (2 * problem.tau) ** problem.dim
    assert abs(float(estimate.mean()) - volume) < 4 * float(estimate.std()) / 200


def test_a_point_is_drawn_to_the_circle_and_turned_by_the_jump_of_its_branch():
    problem = RotatingMixture(0.5, (0.0, 1.0), (0.4, 0.6), pull=0.25, radius=2.0)
    found = problem.centres(torch.tensor([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]], dtype=F64))
    turns = torch.tensor([0.5, 1.5], dtype=F64)
    turned = torch.stack([turns.cos(), turns.sin()], 1)
    assert_close(found[0], (0.75 * 3 + 0.25 * 2) * turned)
    assert_close(found[1], (0.75 * 1 + 0.25 * 2) * torch.stack([-turned[:, 1], turned[:, 0]], 1))
    assert_close(found[2], torch.zeros(2, 2, dtype=F64))  # nowhere to be drawn to


def test_a_rollout_goes_on_from_where_it_is(generator):
    problem = RotatingMixture(0.3, (0.0,), (1.0,), tau=1e-9)
    x = torch.randn(4, 2, dtype=F64, generator=generator)
    path = problem.rollout(x, 3, generator=generator)
    assert path.shape == (4, 4, 2)
    for before, after in pairwise(path):
        assert_close(after, problem.centres(before)[:, 0], rtol=0, atol=1e-7)


def test_the_flow_is_that_of_lorenz():
    problem = NoisyLorenz(lag=0.2, substeps=100)
    x = np.array([1.0, 2.0, 20.0])

    def rate(_, s):
        return [10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]]

    truth = solve_ivp(rate, (0, 0.2), x, rtol=1e-10, atol=1e-10).y[:, -1]
    assert_close(problem.flow(torch.tensor(x)[None])[0], torch.from_numpy(truth), rtol=0, atol=1e-6)


def test_kicks_are_as_long_as_stated_and_opposite_along_their_direction():
    problem = NoisyLorenz(kick=1.5, up=0.8, direction=(0.0, 3.0, 4.0))
    x = torch.tensor([[1.0, 2.0, 20.0]], dtype=F64)
    kick = torch.tensor([0.0, 0.9, 1.2], dtype=F64)
    assert_close(problem.centres(x)[0] - problem.flow(x), torch.stack([kick, -kick]))
    assert_close(problem.mean(x), problem.flow(x) + (0.8 - 0.2) * kick)


@pytest.mark.slow
def test_the_flow_is_chaotic(generator):
    """Small errors grow at the known largest Lyapunov exponent, 0.906 per unit of time, within a fifth."""
    problem = NoisyLorenz(lag=0.5, substeps=50)
    x = problem.sample(400, generator=generator)
    for _ in range(6):  # off the kicks and onto the attractor
        x = problem.flow(x)
    apart = 1e-7 * torch.randn(x.shape, generator=generator, dtype=F64)
    logs = []
    for step in range(24):
        moved = problem.flow(x + apart)
        x = problem.flow(x)
        growth = (moved - x).norm(dim=1, keepdim=True) / apart.norm(dim=1, keepdim=True)
        apart = (moved - x) / growth
        if step >= 4:
            logs.append(growth.log().mean())
    assert float(torch.stack(logs).mean()) / 0.5 == pytest.approx(0.906, rel=0.2)


@each_problem
def test_the_exact_score_is_the_limit_of_the_ensembles(name, generator):
    problem = PROBLEMS[name]
    now, later = problem.pairs(400, generator=generator)
    exact = problem.crps(later, now)
    drawn = crps(problem.members(now, 400, generator=generator), later)
    # the same cases: only the members' sampling noise is left, at most spread / sqrt(400 * 400)
    spread = problem.covariance(now).diagonal(dim1=1, dim2=2).mean().sqrt()
    assert drawn.value == pytest.approx(float(exact.mean()), abs=4 * float(spread) / 400)


@each_problem
def test_the_truth_exceeds_its_own_score_by_nothing_and_others_by_what_they_should(name, generator):
    problem, many = PROBLEMS[name], 50
    now = problem.sample(400, generator=generator)
    members = problem.members(now, 16, generator=generator)
    own = problem.excess(members, now)
    assert abs(own.value) < 4 * own.error
    assert own.error < 0.01
    shifted = members + 2 * problem.tau
    found = problem.excess(shifted, now)
    # the same by drawing many outcomes for each start and scoring ensemble and truth on them
    later = problem.members(now, many, generator=generator).reshape(-1, problem.dim)
    truth = problem.crps(later, now.repeat_interleave(many, 0))
    gap = crps_of_cases(shifted.repeat_interleave(many, 0), later, fair=True) - truth
    error = float(gap.std()) / math.sqrt(len(gap)) / float(truth.mean())
    assert found.value == pytest.approx(float(gap.mean() / truth.mean()), abs=5 * error)
    assert found.value > 10 * error


@each_problem
def test_the_score_given_the_start_is_that_of_the_mixture_by_autograd(name, generator):
    """The density of x_t given x0 is a mixture written down here; its gradient is the score of the fields."""
    problem, path, t = PROBLEMS[name], Diffusive(scale=2.0), 0.6
    x0 = problem.sample(5, generator=generator)
    time = torch.tensor(t, dtype=F64)
    alpha, beta, gamma = (float(c(time)) for c in (path.alpha, path.beta, path.envelope.gamma))
    z = torch.randn(5, problem.dim, generator=generator, dtype=F64)
    x = (alpha * x0 + beta * problem.mean(x0) + gamma * z).requires_grad_(True)
    variance = (beta * problem.tau) ** 2 + gamma**2
    apart = x[:, None] - alpha * x0[:, None] - beta * problem._centres(x0)
    log_p = (problem.weights.log() - 0.5 * apart.square().sum(2) / variance).logsumexp(1)
    (score,) = torch.autograd.grad(log_p.sum(), x)
    fields = problem.fields(path)
    given = {"x0": x0, "cond": None}
    assert_close(fields.score(x.detach(), t, given), score, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RotatingMixture(weights=(0.5, 0.6, 0.2)), "sum 1"),
        (lambda: RotatingMixture(jumps=(0.0, 1.0)), "one entry per weight"),
        (lambda: RotatingMixture(pull=0.0), "pull must lie"),
        (lambda: RotatingMixture(tau=-1.0), "noise must be finite and > 0, got -1.0"),
        (lambda: NoisyLorenz(up=1.0), "up must lie"),
        (lambda: NoisyLorenz(direction=(0.0, 0.0, 0.0)), "not all zero"),
        (lambda: NoisyLorenz(lag=-math.inf), "lag must be finite and > 0"),
        (lambda: NoisyLorenz(lag=3), r"at most 0.05, got 0.3\. Use substeps=60 for lag=3"),
        (lambda: NoisyLorenz().mean(torch.zeros(2, 2)), r"shape \(B, 3\)"),
    ],
)
def test_bad_settings_are_refused_with_their_value(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()
