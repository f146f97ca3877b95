"""The bound of the network with an encoder against importance weights and torch.distributions."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.processes import VariationalRNN
from interpolants.sciml.processes.problems.symbol_skeletons import stochastic_skeleton
from interpolants.sciml.processes.series_windows import WindowBatches
from interpolants.sciml.processes.variational_rnn import _over_gaps

F64 = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def learnt():
    x = stochastic_skeleton(length=9).sample(30, generator=seeded())
    return VariationalRNN(hidden=6, output="bernoulli", steps=300, lr=2e-2).fit(x)


def bounds(model, x, draws):
    """The bound of each draw, and log weights, ``(draws, B)``."""
    net, law = model._restored()
    y = x.transpose(0, 1).repeat_interleave(draws, 1)
    eps = torch.randn(*y.shape[:2], net.latent, dtype=F64, generator=seeded(1))
    states, z, mean, log_std = net.read(y, eps)
    prior = [
        torch.cat(part)
        for part in zip(*[[p[None] for p in net.gaussian(net.prior(h))] for h in states[:-1]], strict=True)
    ]
    own = torch.distributions.Normal(mean, log_std.exp())
    other = torch.distributions.Normal(prior[0], prior[1].exp())
    out, apart = net.bound(y, eps)
    assert_close(apart, torch.distributions.kl_divergence(own, other).sum(2))
    said = law.log_prob(out, y).sum(2)
    weights = (said + (other.log_prob(z) - own.log_prob(z)).sum(2)).sum(0).reshape(-1, draws).T
    return (said - apart).sum(0).reshape(-1, draws).T, weights


def test_its_bound_lies_below_the_log_probability_of_its_own_model(learnt):
    x = stochastic_skeleton(length=9).sample(6, generator=seeded(2))
    bound, weights = bounds(learnt, x, 4000)
    evidence = weights.logsumexp(0) - math.log(4000)
    error = bound.std(0) / 4000**0.5
    assert bool((bound.mean(0) < evidence + 4 * error).all())
    assert float(evidence.mean()) < 0
    assert float((evidence - bound.mean(0)).mean()) < 3


def test_it_learns_where_the_fixed_symbols_are(learnt):
    problem = stochastic_skeleton(length=9)
    x = problem.sample(40, generator=seeded(3))
    found = learnt.forecast(x[:, :6].numpy(), members=30, steps=3).mean
    error = float((found - x[:, 6:]).square().mean())
    assert error < 0.6 * float(x.var())


def test_a_row_does_not_depend_on_the_others_and_draws_are_symbols(learnt):
    drawn = learnt.sample(5, steps=7)
    assert set(drawn.flatten().tolist()) <= {0.0, 1.0}
    assert_close(learnt.sample(2, steps=7, first_index=3), drawn[3:])


def test_bad_input_is_refused(learnt):
    with pytest.raises(InvalidInputError, match="series must be of one length"):
        learnt.forecast([torch.zeros(4, 1).double(), torch.zeros(5, 1).double()])
    with pytest.raises(InvalidInputError, match=r"values must lie in \[0, 1\]"):
        learnt.forecast(torch.full((1, 4, 1), 3.0).double())


def test_windows_that_fit_into_a_batch_are_all_taken_and_shared_by_processes():
    y = torch.arange(4.0)[:, None]
    source = torch.Generator().manual_seed(0)
    batches = WindowBatches(y, torch.ones_like(y), 4)
    assert torch.equal(batches(0, source, 0, 1)["y"], y)
    halves = [WindowBatches(y, torch.ones_like(y), 2)(0, source, rank, 2)["y"] for rank in (0, 1)]
    assert torch.equal(torch.stack(halves, 1).flatten(0, 1), y)
    assert len(WindowBatches(y, torch.ones_like(y), 3)(0, source, 0, 1)["y"]) == 3


def test_a_gap_in_the_context_is_filled_by_the_network_and_not_taken_for_the_mean():
    source = torch.randint(2, (16, 1, 1), generator=seeded(), dtype=F64)
    x = (1 - 2 * (torch.arange(12) // 2 % 2)[None, :, None]) * (
        2 * source - 1
    )  # two up, two down, from either
    model = VariationalRNN(hidden=6, steps=60, lr=4e-2).fit(x)
    known = x[:, :9].clone()
    known[:, [3, 6, 7, 8]] = math.nan
    ahead = model.forecast(known, steps=3, members=10).mean
    assert float((ahead - x[:, 9:]).square().mean().sqrt()) < 0.3  # 1 for a forecast of the mean
    assert_close(model.forecast(known[:2], steps=3, members=10).mean, ahead[:2])


def test_a_column_that_nobody_saw_is_refused_and_small_units_are_none():
    x = torch.randn(4, 8, 2, generator=seeded(), dtype=F64)
    gone = x.clone()
    gone[..., 1] = math.nan
    few = VariationalRNN(hidden=2, steps=1)
    with pytest.raises(InvalidInputError, match="got no value of column 1"):
        few.fit(gone)
    few.fit(1e-15 * x)


def test_a_gap_is_filled_by_what_the_network_draws_from_its_prior():
    """By hand, with a network whose parts are sums: z = h + 2 + e^0.5 eps, y = z + eps'."""

    class Sums:
        latent = 1

        def prior(self, h):
            return h + 2

        def encoder(self, told):
            return told.sum(1, keepdim=True)

        def gaussian(self, mean):
            return mean, torch.full_like(mean, 0.5)

        def out(self, told):
            return told[:, 1:]

        def cell(self, told, h):
            return told[:, :1] + 10 * told[:, 1:] + 100 * h

        cell.hidden_size = 1

    law = SimpleNamespace(encoded=lambda y: y, drawn=lambda out, noise: out + noise)
    eps = torch.tensor([[[0.3, 0.7]], [[-0.2, 0.4]]])
    y, seen = torch.tensor([[[0.0]], [[5.0]]]), torch.tensor([[[False]], [[True]]])
    size = math.exp(0.5)
    z = 2 + size * 0.3
    h = (z + 0.7) + 10 * z  # what is made, and the state it was made with
    told = h + 5 - 0.2 * size  # of the posterior, where something is seen
    assert_close(_over_gaps(Sums(), law, y, seen, eps), torch.tensor([[5 + 10 * told + 100 * h]]))
