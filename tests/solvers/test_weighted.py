"""Weighted paths against the Cameron-Martin formula, with and without resampling.

Known answer: for Brownian motion W from 0, ``E exp(-theta^2/2 int_0^T W^2 dt) = cosh(theta T)^(-1/2)``; under the
tilted distribution ``Var W_T = tanh(theta T)/theta``.
"""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from interpolants.foundations.brownian import BrownianPath
from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.foundations.randomness import BlockNoise
from interpolants.solvers import (
    EulerMaruyama,
    Multinomial,
    Node,
    Population,
    Residual,
    StochasticHeun,
    Stratified,
    Systematic,
    integrate_weighted,
)
from interpolants.solvers.weighted import check_groups, kernel_log_ratio

F64 = torch.float64
THETA = 6.0
Z = math.cosh(THETA) ** -0.5


@dataclass
class Potential(Node):
    rate: Tensor | None = None


def node(x, t):
    return Potential(x, torch.zeros_like(x), -0.5 * THETA**2 * x.square().sum(1))


def trapezoid(at, after, step):
    return (at.rate + after.rate) * (step.dt / 2)


def left(at, after, step):
    return at.rate * step.dt


def brownian(grid, count, seed):
    return BrownianPath(grid, lambda level: BlockNoise(seed, (level,), count=count, shape=(1,), dtype=F64))


def run(groups, size, resampler, seed=0, steps=100, increment=trapezoid, **options):
    count = groups * size
    grid = torch.linspace(0, 1, steps + 1).tolist()
    draws = (resampler.draws(size),)
    uniforms = BlockNoise(seed, (9,), count=groups, shape=draws, dtype=F64)
    population = Population(resampler, groups, uniforms, torch.zeros(count, dtype=F64))
    done = integrate_weighted(
        node,
        torch.zeros(count, 1, dtype=F64),
        grid,
        EulerMaruyama(),
        [1.0] * (steps + 1),
        brownian(grid, count, seed),
        increment,
        between=population,
        **options,
    )
    return done, population


@pytest.mark.parametrize("ess", [0.0, 0.5, 1.0])
def test_the_mean_weight_and_the_tilted_variance(ess):
    groups, size = 64, 256
    done, population = run(groups, size, Systematic(ess))
    z = population.log_z(done.log_weights).exp()
    error = float(z.std() / math.sqrt(groups))
    # The trapezoidal rule over 100 steps is off by theta^2 h^2 / 12 or so.
    assert abs(float(z.mean()) - Z) < 4 * error + 1e-3
    weights = (done.log_weights.reshape(groups, size) + z.log()[:, None]).exp()
    moment = (weights * done.node.x.square().reshape(groups, size)).sum(1) / weights.sum(1)
    error = float(moment.std() / math.sqrt(groups))
    assert abs(float(moment.mean()) - math.tanh(THETA) / THETA) < 4 * error + 3e-3


def test_resampling_keeps_the_effective_size_up():
    _, without = run(8, 256, Systematic(0.0))
    _, population = run(8, 256, Systematic(0.5))
    assert float(torch.stack(without.sizes).min()) < 0.4 * 256
    # It may fall below the threshold for the one step after which it is resampled.
    assert float(torch.stack(population.sizes).min()) > 0.4 * 256
    assert len(population.sizes) == 101
    assert bool((population.families() < 256).all())
    assert torch.equal(without.families(), torch.full((8,), 256))


@pytest.mark.parametrize("scheme", [Systematic(0.0), Multinomial(0.8), Multinomial(1.0)], ids=repr)
def test_the_reported_error_is_the_spread_over_runs(scheme):
    groups, size = 400, 200
    done, population = run(groups, size, scheme, steps=20)
    spread = float(population.log_z(done.log_weights).std())
    told = float(population.log_z_error(done.log_weights).square().mean().sqrt())
    # The spread of 400 runs is known to 1/sqrt(800) = 3.5 %; the logarithm and the tail of weights add a little.
    assert told == pytest.approx(spread, rel=0.15)


@pytest.mark.parametrize("scheme", [Systematic(0.6), Stratified(0.6), Residual(0.6)], ids=repr)
def test_the_reported_error_of_other_schemes_is_right_or_too_large(scheme):
    groups, size = 400, 200
    done, population = run(groups, size, scheme, steps=20)
    spread = float(population.log_z(done.log_weights).std())
    told = float(population.log_z_error(done.log_weights).square().mean().sqrt())
    assert 0.9 * spread < told < 1.6 * spread


def test_a_left_point_increment_needs_no_evaluation_at_the_end():
    seen = []

    def counted(x, t):
        seen.append(float(t))
        return node(x, t)

    grid = [0.0, 0.5, 1.0]
    ends = []
    done = integrate_weighted(
        counted,
        torch.zeros(4, 1, dtype=F64),
        grid,
        EulerMaruyama(),
        [1.0] * 3,
        brownian(grid, 4, 0),
        left,
        end=lambda x: ends.append(x) or Potential(x),
    )
    assert seen == [0.0, 0.5]
    assert done.nfe == 2
    assert torch.equal(ends[0], done.node.x)
    assert done.node.rate is None


def test_further_stages_and_zero_strength_solve_the_ode():
    grid = torch.linspace(0, 1, 33).tolist()
    x = torch.linspace(-1, 1, 5, dtype=F64)[:, None]

    def decay(y, t):
        return Potential(y, -y, y.square().sum(1))

    done = integrate_weighted(
        decay, x, grid, StochasticHeun(), [0.0] * 33, brownian(grid, 5, 0), trapezoid, log_weights=x[:, 0]
    )
    assert_close(done.node.x, x * math.exp(-1), rtol=2e-4, atol=0)
    wanted = x[:, 0] + x[:, 0].square() * (1 - math.exp(-2)) / 2
    assert_close(done.log_weights, wanted, rtol=1e-3, atol=0)
    assert done.nfe == 65


def test_rows_carry_everything_a_node_knows():
    first = Potential(torch.arange(3.0)[:, None], torch.ones(3, 1), torch.tensor([5.0, 6.0, 7.0]))
    taken = first.take(torch.tensor([2, 2, 0]))
    assert isinstance(taken, Potential)
    assert taken.x.flatten().tolist() == [2.0, 2.0, 0.0]
    assert taken.rate.tolist() == [7.0, 7.0, 5.0]


def test_the_log_ratio_of_two_steps_is_that_of_their_densities(generator):
    y0, gap, dw = (torch.randn(6, 3, dtype=F64, generator=generator) for _ in range(3))
    g, dt = 0.7, 0.09
    dw = dw * math.sqrt(dt)
    y = y0 + g * dw
    normal = torch.distributions.Normal
    scale = g * math.sqrt(dt)
    wanted = (normal(y0 + gap, scale).log_prob(y) - normal(y0, scale).log_prob(y)).sum(1)
    assert_close(kernel_log_ratio(gap, dw, g, dt), wanted)
    assert_close(kernel_log_ratio(gap, dw, g, -dt), wanted)


def test_a_group_without_finite_weight_is_reported_with_its_time():
    uniforms = BlockNoise(0, (9,), count=2, shape=(1,), dtype=F64)
    population = Population(Systematic(), 2, uniforms, torch.zeros(8, dtype=F64))
    log = torch.zeros(8, dtype=F64)
    log[5] = torch.nan
    population(1, log)
    with pytest.raises(
        DivergedError, match=r"who: the weights of group 1 are not finite at t=0\.25 \(step 1\)"
    ):
        population.check("who", [0.0, 0.25, 1.0])


def test_a_group_copies_the_same_particles_whichever_groups_are_beside_it():
    def population(first, groups):
        uniforms = BlockNoise(0, (9,), first=first, count=groups, shape=(8,), dtype=F64)
        return Population(Multinomial(), groups, uniforms, torch.zeros(groups * 8, dtype=F64))

    even, skewed = torch.zeros(8, dtype=F64), 3.0 * torch.arange(8, dtype=F64)
    together, alone = population(0, 2), population(1, 1)
    together(1, torch.cat([skewed, even]))
    alone(1, even)
    rows, _ = together(2, torch.cat([skewed, skewed]))
    own, _ = alone(2, skewed)
    assert torch.equal(rows[8:] - 8, own)


def test_a_resampling_at_the_end_copies_within_each_group():
    groups, size = 3, 4
    uniforms = BlockNoise(0, (9,), count=groups, shape=(Systematic().draws(size),), dtype=F64)
    log_weights = torch.randn(groups * size, dtype=F64, generator=torch.Generator().manual_seed(0))
    rows, left = Population(Systematic(), groups, uniforms, log_weights).resample(log_weights)
    assert torch.equal(rows.reshape(groups, size) // size, torch.arange(groups)[:, None].expand(groups, size))
    assert torch.equal(left, torch.zeros_like(log_weights))


def test_collapse_names_the_step_the_group_and_the_parents():
    uniforms = BlockNoise(0, (9,), count=2, shape=(1,), dtype=F64)
    population = Population(Systematic(), 2, uniforms, torch.zeros(200, dtype=F64))
    population(1, torch.zeros(200, dtype=F64))
    assert population.collapse(0.05) is None
    log = torch.zeros(200, dtype=F64)
    log[150] = 60.0
    population(2, log)
    assert population.collapse(0.05) == (2, 1, 1)


@pytest.mark.parametrize(
    ("count", "groups", "size", "found"), [(12, None, None, 1), (12, 3, None, 3), (12, None, 4, 3)]
)
def test_groups_from_their_number_or_their_size(count, groups, size, found):
    assert check_groups("who", count, groups, size) == found


@pytest.mark.parametrize(
    ("count", "groups", "size", "message"),
    [
        (12, 5, None, "who: particles must divide into equal groups, got 12 in 5"),
        (12, None, 5, "who: particles must divide into equal groups, got 12 particles in groups of 5"),
        (12, None, 0, "who: particles must divide into equal groups"),
        (12, 3, 4, "groups or group_size may be given, not both"),
        (1, None, None, "a group must have at least 2 particles, got 1"),
        (12, 12, None, "a group must have at least 2 particles, got 1"),
    ],
)
def test_bad_groups_are_refused(count, groups, size, message):
    with pytest.raises(InvalidInputError, match=message):
        check_groups("who", count, groups, size)
