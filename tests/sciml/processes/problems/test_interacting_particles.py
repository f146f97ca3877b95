"""Opinions and neurons against solutions that were found another way."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.processes.problems.interacting_particles import FitzHughNagumoNetwork, OpinionDynamics

F64 = torch.float64


def test_two_opinions_approach_each_other_by_the_integral_and_far_ones_do_not():
    """Of two the distance d falls as ``d' = -phi(d) d``, so the time from a to b is ``int_b^a dr / (phi(r) r)``."""
    model = OpinionDynamics(length=11, horizon=0.2, noise=0.0, substeps=200)
    path = model.continued(torch.tensor([[-0.4], [0.6]], dtype=F64))[..., 0]
    apart = path[1] - path[0]
    r = np.linspace(float(apart[-1]), 1.0, 20_001)
    rate = 1 / (6 * np.exp(-0.01 / (1 - (r - 0.2) ** 2)) * r)
    assert np.trapezoid(rate, r) == pytest.approx(0.2, rel=2e-3)
    assert_close(path.mean(0), torch.full((11,), 0.1, dtype=F64))  # actions are mutual
    still = model.continued(torch.tensor([[-1.0], [0.3]], dtype=F64))[..., 0]
    assert_close(still[:, -1], still[:, 0])  # 1.3 apart


def test_the_mean_opinion_moves_by_noise_alone_and_systems_are_independent():
    """Its variance over systems of 4 is ``noise^2 t / 4`` beyond that of the start."""
    model = OpinionDynamics(length=6, horizon=0.5, noise=0.4, particles=4, strength=2.0)
    x = model.sample(4 * 2000, generator=torch.Generator().manual_seed(0))[..., 0].reshape(2000, 4, 6).mean(1)
    assert float((x[:, -1] - x[:, 0]).var()) == pytest.approx(0.4**2 * 0.5 / 4, rel=0.1)


def test_opinions_gather_in_two_groups_and_then_in_one():
    found = []
    for horizon in (0.5, 1.2):
        model = OpinionDynamics(length=31, horizon=horizon, particles=400)
        found.append(model.sample(400, generator=torch.Generator().manual_seed(1))[:, -1, 0].abs())
    middle, sides = ((found[0] < 0.4).sum(), ((found[0] > 0.5) & (found[0] < 1.3)).sum())
    assert int(sides) > 3 * int(middle)
    assert float((found[1] < 0.4).double().mean()) > 0.95


def test_a_neuron_without_noise_is_that_of_an_adaptive_solver():
    integrate = pytest.importorskip("scipy.integrate")

    def rate(t, x):
        v, w, y = x
        opening = 1 / (1 + math.exp(-0.2 * (v - 2)))
        voltage = v - v**3 / 3 - w + 0.5 - (v - 1) * y
        return [voltage, 0.08 * (v + 0.7 - 0.8 * w), opening * (1 - y) - y]

    start = [0.4, 0.2, 0.3]
    model = FitzHughNagumoNetwork(length=5, noise=0.0, substeps=500)
    found = model.continued(torch.tensor([start], dtype=F64))[0]
    exact = integrate.solve_ivp(rate, (0, 2), start, t_eval=np.linspace(0, 2, 5), rtol=1e-9, atol=1e-9).y.T
    assert_close(found, torch.from_numpy(exact), atol=2e-3, rtol=0)


def test_every_neuron_feels_the_mean_gate_of_its_own_time_and_a_noise_of_its_own():
    model, x = FitzHughNagumoNetwork(), torch.tensor([[0.5, 0.1, 0.2], [-1.0, 0.3, 0.6]], dtype=F64)
    alone = FitzHughNagumoNetwork(coupling=0.0)
    t = torch.zeros((), dtype=F64)
    felt = alone.drift(x, t) - model.drift(x, t)
    assert_close(felt[:, 0], (x[:, 0] - 1) * 0.4)  # the mean of 0.2 and 0.6, for both
    strength = model.strengths(x, t)
    assert_close(strength[:, 0, 1], -0.2 * (x[:, 0] - 1) * 0.4)
    assert_close(strength[:, 0, 0], torch.full((2,), 0.5, dtype=F64))
    chi = 0.1 * torch.exp(-0.5 / (1 - (2 * x[:, 2] - 1) ** 2))
    opening = 1 / (1 + torch.exp(-0.2 * (x[:, 0] - 2)))
    assert_close(strength[:, 2, 2], (opening * (1 - x[:, 2]) + x[:, 2]).sqrt() * chi)
    outside = torch.tensor([[0.0, 0.0, 1.2], [0.0, 0.0, -0.1]], dtype=F64)
    assert_close(model.strengths(outside, t)[:, 2, 2], torch.zeros(2, dtype=F64))


def test_another_start_is_refused():
    with pytest.raises(InvalidInputError, match=r"start must be \(n, 3\)"):
        FitzHughNagumoNetwork().continued(torch.zeros(2, 2))


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda **more: FitzHughNagumoNetwork(horizon=1000, **more), "Use substeps=200"),
        (lambda **more: OpinionDynamics(horizon=1000, **more), "Use substeps=480"),
        (lambda **more: OpinionDynamics(strength=12, **more), "Use substeps=1"),
    ],
)
def test_steps_that_are_too_long_are_refused_with_as_many_as_are_enough(make, remedy):
    needed = int(remedy.partition("=")[2])
    if needed > 1:
        with pytest.raises(InvalidInputError, match=remedy):
            make(substeps=needed - 1)
    assert make(substeps=needed).substeps == needed


def test_steps_at_the_limit_keep_the_law():
    """Against steps of a fifth: the spread of opinions and the mean voltage."""

    def last(model):
        return model.sample(500, generator=torch.Generator().manual_seed(0))[:, -1, 0]

    coarse, fine = (
        float(last(OpinionDynamics(13, 0.5, noise=0.3, particles=100, substeps=k)).std()) for k in (1, 5)
    )
    assert coarse == pytest.approx(fine, rel=0.1)
    coarse, fine = (float(last(FitzHughNagumoNetwork(21, substeps=k)).mean()) for k in (1, 5))
    assert coarse == pytest.approx(fine, abs=0.1)


def test_the_slope_of_the_pull_is_finite_just_beyond_its_reach():
    """Automatic differentiation against central differences; two opinions are 1.2 + 1e-7 apart, two 1.9."""
    model = OpinionDynamics()
    y = torch.tensor([-0.3, 0.2, 0.9000001, 1.6], dtype=F64)
    found = torch.autograd.functional.jacobian(model.pull, y)
    step = 1e-5 * torch.eye(4, dtype=F64)
    differences = torch.stack([(model.pull(y + e) - model.pull(y - e)) / 2e-5 for e in step], 1)
    assert_close(found, differences, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("particles", [1, 7, 32])
def test_systems_side_by_side_are_those_that_follow_each_other(particles):
    """8,192 systems of one particle took minutes, one after the other."""
    problem = OpinionDynamics(length=5, strength=1.0, particles=particles)
    found = problem.sample(100, generator=torch.Generator().manual_seed(3))
    source = torch.Generator().manual_seed(3)
    start = 4 * torch.rand(100, 1, dtype=torch.float64, generator=source) - 2
    alone = [problem.continued(one, generator=source) for one in start.split(particles)]
    assert torch.equal(found, torch.cat(alone))
