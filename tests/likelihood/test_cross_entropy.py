"""Cross-entropies against those of Gaussians, at both ends, by flow and by SDE."""

import math

import pytest
import torch

from interpolants.fields import LearnedFields
from interpolants.foundations.randomness import generator
from interpolants.likelihood import cross_entropy
from interpolants.paths import Linear
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge

F64 = torch.float64
START = GaussianMixture([1.0], torch.zeros(1, 2, dtype=F64), torch.tensor([1.0], dtype=F64))
DATA = GaussianMixture([1.0], torch.tensor([[1.0, -1.0]], dtype=F64), torch.tensor([0.25], dtype=F64))
EXACT = GaussianMixtureBridge(START, DATA).fields(Linear())
ENTROPY = {1: math.log(2 * math.pi * math.e * 0.25), 0: math.log(2 * math.pi * math.e)}


@pytest.mark.parametrize("eps", [0.0, 0.5])
@pytest.mark.parametrize("end", [0, 1])
def test_exact_fields_reach_the_entropy(end, eps):
    here, there = (DATA, START) if end == 1 else (START, DATA)
    x = here.sample(200, generator=generator(0))
    found = cross_entropy(EXACT, x, there, eps=eps, end=end, paths=2, n_steps=30, seed=0)
    assert abs(found.value - ENTROPY[end]) < 4 * found.error
    assert found.upper == pytest.approx(found.value, abs=0.01)
    excess, error = found.divergence(here.log_prob(x))
    assert abs(excess) < 0.01
    assert error < 0.01
    assert found.n == 200


def test_a_wrong_score_costs_the_sde_and_its_bound_more_and_the_flow_nothing():
    fields = LearnedFields(Linear(), velocity=EXACT.velocity, score=lambda x, t: EXACT.score(x, t) + 1.0)
    x = DATA.sample(60, generator=generator(1))
    true = DATA.log_prob(x)
    flow = cross_entropy(fields, x, START, method="rk4", n_steps=20)
    sde = cross_entropy(fields, x, START, eps=0.5, paths=32, n_steps=30, seed=0)
    assert abs(flow.divergence(true)[0]) < 1e-3
    assert 0.05 < sde.divergence(true)[0] < sde.upper - flow.value < 1.0
