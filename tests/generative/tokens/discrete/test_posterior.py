"""Posteriors from networks, distributions and functions: the same numbers, and refusals at the public door."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from generative.tokens.discrete.enumerated import all_states
from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.tokens.discrete.first_hitting import FirstHitting
from interpolants.generative.tokens.discrete.paths import Masked, UniformBase
from interpolants.generative.tokens.discrete.posterior import (
    ExactPosterior,
    FunctionPosterior,
    NetPosterior,
    as_posterior,
)
from interpolants.generative.tokens.problems.token_sources import random_table

TABLE, PATH = random_table(3, 3, seed=1), Masked(3)


class Logits(nn.Module):
    """Log probabilities of a distribution's posterior, or any other numbers, as a network would return them."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, t, cond=None):
        return self.function(x)


def exact(x):
    return ExactPosterior(TABLE, PATH)(x, 0.5)


def test_a_network_of_log_probabilities_is_the_distribution_and_visible_tokens_keep_their_mass():
    x = all_states(PATH, 3)
    net = Logits(lambda x: exact(x).clamp(min=1e-30).log().float())
    mu = NetPosterior(net, PATH)(x, 0.5)
    assert mu.dtype == torch.float64
    assert_close(mu, exact(x), atol=1e-6, rtol=0)
    seen = x != PATH.mask
    assert torch.equal(mu[seen], nn.functional.one_hot(x[seen], 3).double())


@pytest.mark.parametrize("states", [3, 4])
def test_some_places_are_the_whole_at_these_places_and_a_logit_of_the_mask_is_dropped(states):
    x = all_states(PATH, 3)
    out = torch.randn(len(x), 3, states, generator=torch.Generator().manual_seed(1))
    posterior = NetPosterior(Logits(lambda x: out), PATH)
    places = torch.randint(3, (len(x), 2), generator=torch.Generator().manual_seed(2))
    mu = posterior(x, 0.5)
    assert_close(posterior.at(x, 0.5, places), mu.gather(1, places[..., None].expand(-1, -1, 3)))
    masked = x == PATH.mask
    assert_close(mu[masked], out[masked][:, :3].double().softmax(-1))


def test_without_a_mask_nothing_is_taken_for_certain():
    path = UniformBase(3)
    x = torch.zeros(2, 3, dtype=torch.int64)
    mu = NetPosterior(Logits(lambda x: torch.zeros(2, 3, 3)), path)(x, 0.5)
    assert_close(mu, torch.full((2, 3, 3), 1 / 3, dtype=torch.float64))


def test_a_posterior_is_made_of_whatever_predicts_tokens():
    assert isinstance(as_posterior(TABLE, PATH), ExactPosterior)
    assert isinstance(as_posterior(Logits(exact), PATH), NetPosterior)
    assert isinstance(as_posterior(lambda x, t, cond: exact(x), PATH), FunctionPosterior)
    assert as_posterior(made := ExactPosterior(TABLE, PATH), PATH) is made
    with pytest.raises(InvalidInputError, match=r"must predict tokens, got int\. Pass a network"):
        as_posterior(3, PATH)


def test_only_networks_that_say_so_do_without_time():
    net = Logits(exact)
    assert NetPosterior(net, PATH).uses_time
    net.uses_time = False
    assert not NetPosterior(net, PATH).uses_time
    assert not ExactPosterior(TABLE, PATH).uses_time
    assert ExactPosterior(TABLE, UniformBase(3)).uses_time


class Clocked(nn.Module):
    """Logits that grow with the time at token 1 and fall with it at token 2."""

    def forward(self, x, t, cond=None):
        t = torch.as_tensor(t).expand(len(x))[:, None].expand(x.shape)
        return torch.stack([torch.zeros_like(t), t, -2 * t], -1)


def test_networks_and_distributions_are_asked_at_the_time_of_the_state():
    path, t = UniformBase(3), torch.tensor([0.25, 0.875], dtype=torch.float64)
    x, places = torch.tensor([[0, 1, 2], [2, 2, 0]]), torch.tensor([[1], [2]])
    posterior = NetPosterior(Clocked(), path)
    logits = torch.stack([0 * t, t, -2 * t], 1)[:, None].expand(2, 3, 3)
    assert_close(posterior.logits(x, t), logits.float())
    assert_close(posterior(x, t), logits.softmax(-1))
    assert_close(posterior.at(x, t, places), logits.softmax(-1)[:, :1])
    evidence = t[:, None, None] * nn.functional.one_hot(x, 3) + (1 - t)[:, None, None] / 3
    assert_close(ExactPosterior(TABLE, path)(x, t), TABLE.posterior(evidence))
    function = FunctionPosterior(lambda x, t, cond: Clocked()(x, t).softmax(-1), path, uses_time=True)
    assert_close(function(x, t), logits.softmax(-1))


def widened(x):
    """Probabilities over the mask too, with a little mass on it."""
    mu = exact(x)
    return torch.cat([mu * (1 - 2e-4), torch.full_like(mu[..., :1], 2e-4)], -1)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: exact(x).half(), r"probabilities must be float32 or float64, got torch.float16\. Upcast"),
        (lambda x: exact(x).bfloat16(), r"probabilities must be float32 or float64, got torch.bfloat16"),
        (lambda x: exact(x) * 1.0002, r"probabilities must sum to 1 within 0\.0001, got 1\.0002"),
        (widened, r"mu must have no mass on the mask, token 3, got 0\.0002.* set its logit to -inf"),
        (lambda x: exact(x)[..., :2], r"mu must have shape \(5, 3, 3\), got \(5, 3, 2\)"),
        (lambda x: exact(x).log(), r"probabilities must be >= 0.* Pass a softmax, not logits"),
    ],
)
def test_probabilities_that_are_none_are_refused_by_the_sampler(function, message):
    posterior = FunctionPosterior(lambda x, t, cond: function(x), PATH, uses_time=False)
    with pytest.raises(InvalidInputError, match=message):
        FirstHitting().sample(posterior, 5, 3, seed=0, invariant=False, chunk=5)


@pytest.mark.parametrize("rows", [1, 9])
def test_mass_on_the_mask_is_refused_whatever_the_number_of_rows(rows):
    x = torch.full((rows, 3), PATH.mask)
    with pytest.raises(InvalidInputError, match="mu must have no mass on the mask"):
        FunctionPosterior(lambda x, t, cond: widened(x), PATH, uses_time=False)(x, 0.5)
    assert_close(FunctionPosterior(lambda x, t, cond: exact(x), PATH, uses_time=False)(x, 0.5), exact(x))


def test_probabilities_over_all_states_without_mass_on_the_mask_are_welcome():
    def mu(x, t, cond):
        return torch.cat([exact(x), torch.zeros_like(exact(x)[..., :1])], -1)

    found = FirstHitting().sample(FunctionPosterior(mu, PATH, uses_time=False), 50, 3, seed=0)
    assert torch.equal(found.x, FirstHitting().sample(ExactPosterior(TABLE, PATH), 50, 3, seed=0).x)


def test_a_network_of_another_vocabulary_is_refused():
    with pytest.raises(InvalidInputError, match=r"must return logits \(1, 3, 3\), got \(1, 3, 5\)"):
        NetPosterior(Logits(lambda x: torch.zeros(1, 3, 5)), PATH)(torch.zeros(1, 3, dtype=torch.int64), 0.5)


def test_a_network_is_told_the_time():
    path = UniformBase(3)
    bayes, x, t = (
        ExactPosterior(TABLE, path),
        all_states(path, 3),
        torch.linspace(0.1, 0.8, 27, dtype=torch.float64),
    )

    class Timed(nn.Module):
        def forward(self, x, t, cond=None):
            return bayes(x, t).log()

    ours, places = NetPosterior(Timed(), path), torch.tensor([[2, 0]]).expand(27, 2)
    assert_close(ours(x, t), bayes(x, t))
    assert_close(ours.at(x, t, places), bayes(x, t)[:, [2, 0]])
