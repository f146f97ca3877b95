"""The gap between flow and SDE: none for exact scores, a known one between Gaussians, below its bounds."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.diagnostics import flow_score, ode_sde_gap
from interpolants.diagnostics.ode_sde_gap import FlowScore
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.metrics import bures_wasserstein, energy_distance
from interpolants.paths import VP, OneSidedLinear
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge

F64 = torch.float64
DATA = GaussianMixture.random(3, 2, 1.0, 0)
PATH = VP(bmin=1.0, bmax=8.0)


def starts(n, seed=0):
    return torch.randn(n, 2, dtype=F64, generator=torch.Generator().manual_seed(seed))


def test_with_the_exact_score_nothing_is_seen_above_the_floor():
    """Both are true samples: W2 of two sets of 1000, seeds 0 and 1; the floor's own spread is about a tenth."""
    fields = GaussianMixtureBridge(Gaussian((2,)), DATA).fields(OneSidedLinear())
    found = ode_sde_gap(fields, starts(2000), eps=1.0, n_steps=60, bounds=64, seed=1)
    assert found.ratio < 1.3
    assert found.score.kl_bound < 1e-6
    assert found.score.w2_bound < 1e-2
    assert found.distance.name == "W2"
    assert found.floor.name == "W2 (floor)"
    assert found.ode.shape == found.sde.shape == (1000, 2)


def wrong(factor, path=PATH):
    """The score of N(0, Id) at all times, wrong by a factor: everything stays Gaussian."""
    return LearnedFields(path, score=lambda x, t: -factor * x, margin=0.0)


def slopes(factor, path=PATH, n=4000):
    """Of the velocity in x, in the middles of n steps."""
    t = (torch.arange(n, dtype=F64) + 0.5) / n
    return (path.signal_rate(t) - factor * path.g_squared(t) / 2).tolist()


def variances(factor, eps, path=PATH, n=4000):
    """Variances of flow and SDE at t = 1: ``v' = 2 a v`` and ``v' = 2 (a - eps c) v + 2 eps``, a the slope of b."""
    flow = noisy = 1.0
    for slope in slopes(factor, path, n):
        flow *= math.exp(2 * slope / n)
        rate = 2 * (slope - eps * factor)
        noisy = noisy * math.exp(rate / n) + 2 * eps * math.expm1(rate / n) / rate
    return flow, noisy


@pytest.mark.slow
def test_the_gap_between_gaussians_is_the_known_one_and_within_its_bounds():
    factor, eps = 1.2, 1.0
    flow, noisy = variances(factor, eps)
    eye, zero = torch.eye(2, dtype=F64), torch.zeros(2, dtype=F64)
    true = bures_wasserstein(zero, flow * eye, zero, noisy * eye)
    kl = flow / noisy - 1 - math.log(flow / noisy)
    found = ode_sde_gap(
        wrong(factor), starts(8000), eps=eps, n_steps=100, bounds=2000, metric=energy_distance, seed=1
    )
    assert float(found.ode.var(0).mean()) == pytest.approx(flow, rel=0.06)
    assert float(found.sde.var(0).mean()) == pytest.approx(noisy, rel=0.06)
    assert found.ratio > 3
    assert kl < found.score.kl_bound < 20 * kl
    assert true < found.score.w2_bound < 10 * true


def test_the_score_of_the_flow_is_carried_along_exactly():
    """The flow's distribution is N(0, v_t) throughout, so E|grad log q - s|^2 = 2 v (1/v - c)^2; v_1 as above."""
    factor, n = 1.2, 4000
    found = flow_score(wrong(factor), starts(n), Gaussian((2,)), eps=1.0, n_steps=100)
    v = variances(factor, 1.0)[0]
    wanted = 2 * v * (1 / v - factor) ** 2
    assert abs(float(found.squared[-1]) - wanted) < 4.5 * float(found.error[-1])
    assert float(found.squared[0]) == pytest.approx(2 * 0.04, rel=0.1)
    t = found.t[50]
    slope = float(PATH.signal_rate(t) - factor * PATH.g_squared(t) / 2) - factor
    assert float(found.expansion[50]) == pytest.approx(slope, abs=1e-6)
    assert_close(found.eps[:-2], torch.ones(99, dtype=F64))  # capped in the last steps alone


@pytest.mark.slow
def test_the_comparison_may_be_made_before_the_end():
    """At t = 0.5 flow and SDE have variances of their own: 0.5 is a node of the recursion above."""
    n, factor, stop = 4000, 1.2, 0.5
    flow = math.exp(2 * sum(slopes(factor)[: n // 2]) / n)
    found = ode_sde_gap(
        wrong(factor), starts(8000), stop=stop, n_steps=50, bounds=2000, metric=energy_distance, seed=1
    )
    assert float(found.ode.var(0).mean()) == pytest.approx(flow, rel=0.06)
    assert float(found.score.t[-1]) == stop
    wanted = 2 * flow * (1 / flow - factor) ** 2
    assert abs(float(found.score.squared[-1]) - wanted) < 4.5 * float(found.score.error[-1])


def test_the_bounds_are_integrals_of_the_mismatch():
    """Constant rates: ``eps q / 4`` in KL, and ``eps sqrt(q) (e^L - 1) / L`` in W2."""
    t = torch.linspace(0, 1, 401, dtype=F64)
    one = torch.ones_like(t)
    found = FlowScore(t, 4 * one, 0 * one, 1.5 * one, 0.3 * one)
    assert found.kl_bound == pytest.approx(0.3)
    assert found.w2_bound == pytest.approx(0.3 * 2 * math.expm1(1.5) / 1.5, rel=1e-5)
    early = FlowScore(t, 4 * (t < 1e-9), 0 * one, 2 * t, 800 * one)  # all at once, at the beginning
    assert early.w2_bound == pytest.approx(2 * math.e, rel=1e-9)


def test_too_few_starts_and_no_noise_are_refused():
    with pytest.raises(InvalidInputError, match="x0 must have at least 4 rows, got 3"):
        ode_sde_gap(wrong(1.1), starts(3))
    with pytest.raises(InvalidInputError, match="eps must be > 0"):
        flow_score(wrong(1.1), starts(3), Gaussian((2,)), eps=0.0)
