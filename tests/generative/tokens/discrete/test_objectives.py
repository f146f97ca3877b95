"""Losses: their mean at an exact network is the entropy or less than anywhere else, and refusals."""

import math

import pytest
import torch
from torch import nn

from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.tokens.discrete.nelbo import exact_nelbo
from interpolants.generative.tokens.discrete.objectives import DiscreteFlowLoss, MaskedCrossEntropy
from interpolants.generative.tokens.discrete.paths import Masked, UniformBase
from interpolants.generative.tokens.discrete.posterior import ExactPosterior, FunctionPosterior
from interpolants.generative.tokens.discrete.schedules import CosineKeep
from interpolants.generative.tokens.problems.token_sources import random_table

TABLE = random_table(3, 3, seed=4)
N = 40_000


class Exact(nn.Module):
    """Logits of the exact posterior, tilted by a parameter."""

    def __init__(self, path, *, states=3):
        super().__init__()
        self.posterior, self.states, self.seen = ExactPosterior(TABLE, path), states, None
        self.tilt = nn.Parameter(torch.zeros(3, 3, dtype=torch.float64))

    def forward(self, x, t, cond=None):
        self.seen = t
        logits = self.posterior(x, t).clamp(min=1e-300).log() + self.tilt
        return nn.functional.pad(logits, (0, self.states - 3), value=1e3)


@pytest.mark.parametrize("time_free", [True, False])
def test_the_mean_loss_of_the_exact_network_is_the_entropy_per_token(time_free, generator):
    path = Masked(3, CosineKeep())
    loss = MaskedCrossEntropy(path, time_free=time_free)
    found = loss(Exact(path), TABLE.sample(N, generator=generator), generator=generator).detach()
    assert found.shape == (N,)
    error = float(found.std()) / N**0.5
    assert abs(float(found.mean()) - TABLE.entropy() / 3) <= 4 * error
    # The two forms have one mean, also for a wrong network.
    net = Exact(path)
    net.tilt.data[0, 1] = 1.5
    found = loss(net, TABLE.sample(N, generator=generator), generator=generator).detach()

    def mu(x, t, cond):
        return net(x, t).softmax(-1)

    wrong = float(TABLE.table.flatten() @ exact_nelbo(mu_of(mu, path), TABLE.sequences())) / 3
    assert abs(float(found.mean()) - wrong) <= 4 * float(found.std()) / N**0.5
    assert wrong > TABLE.entropy() / 3 + 0.01


def mu_of(function, path):
    return FunctionPosterior(lambda x, t, cond: function(x, t, cond).detach(), path, uses_time=False)


def test_the_number_of_masks_is_stratified_and_the_time_is_that_of_the_state(generator):
    path = Masked(3, CosineKeep())
    net, counts = Exact(path), []

    class Watch(nn.Module):
        def forward(self, x, t, cond=None):
            counts.append((x == path.mask).sum(1))
            return net(x, t)

    MaskedCrossEntropy(path)(Watch(), TABLE.sample(3000, generator=generator), generator=generator)
    assert torch.bincount(counts[0]).tolist() == [0, 1000, 1000, 1000]
    hidden = path.schedule.hidden(net.seen)
    for n in (1, 2, 3):
        mine = hidden[counts[0] == n]
        assert abs(float(mine.mean()) - n / 4) <= 4.5 * (n * (4 - n) / 80 / 1000) ** 0.5


@pytest.mark.parametrize("make", [Masked, UniformBase])
def test_the_flow_loss_is_least_at_the_exact_posterior(make, generator):
    path = make(3)
    net = Exact(path)
    x1 = TABLE.sample(N, generator=generator)
    rows = DiscreteFlowLoss(path)(net, x1, generator=generator)
    (slope,) = torch.autograd.grad(rows.mean(), net.tilt)
    # Each entry is a mean of N terms between -1 and 1.
    assert slope.abs().max() <= 4.5 / N**0.5
    least = float(rows.detach().mean())
    for entry in range(3):
        net.tilt.data[:, entry] = 1.0
        worse = DiscreteFlowLoss(path)(net, x1, generator=torch.Generator().manual_seed(0)).mean()
        net.tilt.data[:, entry] = 0.0
        assert float(worse.detach()) > least + 0.02


def test_the_flow_loss_tells_the_network_the_time_of_its_state(generator):
    """Of 400 tokens a share t + (1 - t) / 50 is as in the data."""
    seen = {}

    def net(x, t, cond):
        seen["x"], seen["t"] = x, t
        return torch.zeros(*x.shape, 50)

    DiscreteFlowLoss(UniformBase(50))(net, torch.zeros(64, 400, dtype=torch.int64), generator=generator)
    share = (seen["x"] == 0).double().mean(1)
    assert float((share - seen["t"] - (1 - seen["t"]) / 50).abs().max()) < 5 * 0.5 / 400**0.5


def test_logits_of_the_mask_are_left_out(generator):
    path = Masked(3)
    x1 = TABLE.sample(64, generator=generator)
    losses = [
        MaskedCrossEntropy(path)(Exact(path, states=states), x1, generator=torch.Generator().manual_seed(1))
        for states in (3, 4)
    ]
    assert torch.equal(*losses)


def test_half_precision_logits_are_scored_in_float32(generator):
    path = Masked(3)

    class Half(nn.Module):
        def forward(self, x, t, cond=None):
            return torch.zeros(*x.shape, 3, dtype=torch.bfloat16)

    found = MaskedCrossEntropy(path)(Half(), TABLE.sample(8, generator=generator), generator=generator)
    assert found.dtype == torch.float32
    assert torch.allclose(found, torch.full((8,), math.log(3)))


def test_bad_input_is_refused():
    with pytest.raises(
        InvalidInputError, match=r"the path must have a mask token, got UniformBase\. Use Masked"
    ):
        MaskedCrossEntropy(UniformBase(3))
    with pytest.raises(InvalidInputError, match=r"x1 must be tokens 0 \.\.\. 2, got 3"):
        MaskedCrossEntropy(Masked(3))(Exact(Masked(3)), torch.tensor([[0, 1, 3]]))


def test_the_flow_loss_tells_the_network_the_time_of_the_state(generator):
    """On the linear schedule a share 1 - t is masked: on average 0.9 in the first fifth, 0.1 in the last one."""
    path, seen = Masked(3), []

    class Watch(nn.Module):
        def forward(self, x, t, cond=None):
            seen.append((t, (x == path.mask).double().mean(1)))
            return torch.zeros(*x.shape, 3)

    DiscreteFlowLoss(path)(Watch(), torch.zeros(2000, 6, dtype=torch.int64), generator=generator)
    t, hidden = seen[0]
    assert abs(float(hidden[t < 0.2].mean()) - 0.9) < 0.03
    assert abs(float(hidden[t > 0.8].mean()) - 0.1) < 0.03
