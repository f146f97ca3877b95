"""Small worlds in which everything can be summed: all states, their distributions over time, the chain's matrices."""

import math
from itertools import pairwise

import torch

from interpolants.generative.tokens.discrete.paths import Masked, UniformBase
from interpolants.generative.tokens.discrete.posterior import ExactPosterior
from interpolants.generative.tokens.discrete.schedules import CosineKeep, LinearKeep


def all_states(path, length):
    """``(S^L, L)``."""
    return torch.cartesian_prod(*[torch.arange(path.states)] * length).reshape(-1, length)


def marginal(path, distribution, t):
    """The distribution of x_t over all states, ``(S^L,)``; ``t`` may carry a gradient."""
    keep = path.schedule.keep(t)
    x, x1 = all_states(path, distribution.length), distribution.sequences()
    chance = (1 - keep) * path.base[x][:, None] + keep * (x[:, None] == x1)
    return chance.prod(2) @ distribution.table.flatten()


def product(distributions):
    """Joint distributions of independent tokens: ``(B, L, S)`` -> ``(B, S^L)``."""
    joint = distributions[:, 0]
    for place in range(1, distributions.shape[1]):
        joint = (joint[:, :, None] * distributions[:, None, place]).flatten(1)
    return joint


def chain_distribution(path, distribution, num_steps, corrector=0.0):
    """The distribution of the sampler on a grid after its last step, over all states, by products of its matrices."""
    x, posterior = all_states(path, distribution.length), ExactPosterior(distribution, path)
    p = product(path.base.expand(1, distribution.length, -1))[0]
    grid = torch.linspace(0, 1, num_steps + 1, dtype=torch.float64).tolist()
    for start, stop in pairwise(grid):
        p = p @ product(path.transition(x, posterior(x, start), start, stop, corrector=corrector))
    return p


def frequencies(x, states):
    """Share of each state among samples, in the order of ``all_states``."""
    place = states ** torch.arange(x.shape[1] - 1, -1, -1)
    return torch.bincount((x * place).sum(1), minlength=states ** x.shape[1]).double() / len(x)


def variation(p, q):
    """Total variation distance."""
    return 0.5 * float((p - q).abs().sum())


def variation_floor(p, n):
    """Expected distance of the frequencies of n true samples from their distribution, to leading order."""
    return 0.5 * float((2 * p * (1 - p) / (math.pi * n)).sqrt().sum())


PATHS = {
    "masked": lambda v: Masked(v),
    "masked cosine": lambda v: Masked(v, CosineKeep()),
    "uniform": lambda v: UniformBase(v, LinearKeep()),
    "uniform cosine": lambda v: UniformBase(v, CosineKeep()),
}
