"""The first-hitting sampler against known tables, the distribution of its times, and what it shares between batches."""

import math

import pytest
import torch
from torch.testing import assert_close

from generative.tokens.discrete.enumerated import frequencies, variation, variation_floor
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import BlockNoise
from interpolants.generative.tokens.discrete.first_hitting import FirstHitting
from interpolants.generative.tokens.discrete.paths import Masked, UniformBase
from interpolants.generative.tokens.discrete.posterior import ExactPosterior, FunctionPosterior
from interpolants.generative.tokens.discrete.sampler import TOKEN_STREAM
from interpolants.generative.tokens.discrete.schedules import CosineKeep, LinearKeep, PolynomialKeep
from interpolants.generative.tokens.discrete.tau_leaping import TauLeaping
from interpolants.generative.tokens.problems.token_sources import random_markov, random_table

TABLE = random_table(4, 3, seed=0)
P = TABLE.table.flatten()
EXACT = ExactPosterior(TABLE, Masked(3))
N = 40_000


def test_samples_of_a_joint_table_are_at_the_sampling_floor():
    found = FirstHitting().sample(EXACT, N, 4, seed=0)
    assert variation(frequencies(found.x, 3), P) <= 1.3 * variation_floor(P, N)
    assert (found.nfe == 4).all()
    assert found.draws == 4 * 3


@pytest.mark.parametrize("sampler", [TauLeaping, FirstHitting])
def test_few_steps_of_a_grid_are_far_from_it_and_so_are_few_steps_in_parallel(sampler):
    n = 10_000
    far = [
        variation(frequencies(sampler(num_steps=m).sample(EXACT, n, 4, seed=0).x, 3), P) for m in (2, 4, 64)
    ]
    assert far[0] > far[1] > 3 * variation_floor(P, n)
    assert far[2] <= 1.5 * variation_floor(P, n)


@pytest.mark.slow  # 200 calls of an exact posterior for 400 sequences, about 4 s
def test_a_fine_grid_draws_the_same_markov_source_at_many_times_the_calls_and_draws():
    length, v, n, steps = 16, 4, 400, 200
    source = random_markov(length, v, order=2, seed=0)
    exact = ExactPosterior(source, Masked(v))
    first, grid = (
        sampler.sample(exact, n, length, seed=3) for sampler in (FirstHitting(), TauLeaping(num_steps=steps))
    )
    nats = [-source.log_prob(done.x) / length for done in (first, grid)]
    errors = [float(x.std()) / n**0.5 for x in nats]
    for found, error in zip(nats, errors, strict=True):
        assert abs(float(found.mean()) - source.entropy() / length) <= 3 * error
    assert abs(float(nats[0].mean() - nats[1].mean())) <= 2 * math.hypot(*errors)
    assert (first.nfe == length).all()
    assert (grid.nfe == steps).all()
    assert (first.draws, grid.draws) == (length * v, steps * length * v)


def test_two_tokens_per_step_lie_between_one_and_all():
    far = [
        variation(frequencies(FirstHitting(tokens_per_step=k).sample(EXACT, N, 4, seed=0).x, 3), P)
        for k in (1, 2, 4)
    ]
    assert far[0] < far[1] < far[2]
    # All at once is the product of the marginals.
    joint = TABLE.posterior(torch.ones(1, 4, 3))[0]
    product = torch.einsum("a,b,c,d->abcd", *joint).flatten()
    drawn = FirstHitting(tokens_per_step=4).sample(EXACT, N, 4, seed=0)
    assert variation(frequencies(drawn.x, 3), product) <= 1.3 * variation_floor(product, N)
    assert (drawn.nfe == 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [LinearKeep(), CosineKeep(), PolynomialKeep(power=3.0)])
def test_hidden_shares_at_the_hits_are_order_statistics_and_each_step_is_a_power_of_a_uniform(schedule):
    n, length = 20_000, 5
    source = random_markov(length, 2, order=1)
    found = FirstHitting().sample(ExactPosterior(source, Masked(2, schedule)), n, length, seed=1)
    hidden = schedule.hidden(found.hit_times).sort(1, descending=True).values
    expected = torch.arange(length, 0, -1) / (length + 1)
    # The k-th of L uniforms has the variance k (L + 1 - k) / ((L + 1)^2 (L + 2)).
    error = (expected * (1 - expected) / (length + 2) / n).sqrt()
    assert ((hidden.mean(0) - expected).abs() <= 4.5 * error).all()
    left = torch.arange(length, 0, -1)
    u = (hidden / torch.cat([torch.ones(n, 1, dtype=torch.float64), hidden[:, :-1]], 1)) ** left
    assert ((u.mean(0) - 0.5).abs() <= 4.5 * (1 / 12 / n) ** 0.5).all()
    assert ((u.square().mean(0) - 1 / 3).abs() <= 4.5 * (4 / 45 / n) ** 0.5).all()
    correlation = torch.corrcoef(u.T) - torch.eye(length)
    assert correlation.abs().max() <= 4.5 / n**0.5


def test_every_position_is_equally_likely_to_be_first_and_times_are_independent_of_tokens():
    found = FirstHitting().sample(EXACT, N, 4, seed=2)
    first = torch.bincount(found.hit_times.argmin(1), minlength=4) / N
    assert ((first - 0.25).abs() <= 4.5 * (0.1875 / N) ** 0.5).all()
    tokens = torch.nn.functional.one_hot(found.x, 3).double().flatten(1)
    both = torch.corrcoef(torch.cat([tokens, found.hit_times], 1).T)[:12, 12:]
    assert both.abs().max() <= 4.5 / N**0.5


@pytest.mark.parametrize("schedule", [LinearKeep(), CosineKeep()])
def test_a_posterior_that_uses_the_time_is_given_the_hit_time(schedule):
    # mu(token 0) = t, each position by itself: P(token 0) is the mean time of a hit.
    asked = []

    def mu(x, t, cond):
        asked.append(t)
        chance = torch.as_tensor(t, dtype=torch.float64).expand(len(x))[:, None].expand(x.shape)
        return torch.stack([chance, 1 - chance], -1)

    posterior = FunctionPosterior(mu, Masked(2, schedule), uses_time=True)
    found = FirstHitting().sample(posterior, N, 2, seed=3, invariant=False, chunk=N)
    mean = 0.5 if isinstance(schedule, LinearKeep) else 2 / math.pi
    share = float((found.x == 0).all(1).double().mean())
    assert abs(share - mean**2) <= 4.5 * (mean**2 * (1 - mean**2) / N) ** 0.5
    given = torch.stack([t for t in asked if isinstance(t, torch.Tensor) and t.ndim == 1][-2:], 1)
    assert torch.equal(given, found.hit_times.sort(1).values)
    # The grid, which asks at its own times, comes to the same.
    fine = TauLeaping(num_steps=100).sample(posterior, N, 2, seed=3, invariant=False, chunk=N)
    gap = float((fine.x == 0).all(1).double().mean()) - mean**2
    assert abs(gap) <= 0.01 + 4.5 * (0.25 / N) ** 0.5


def test_prompts_are_kept_and_filled_in_by_the_exact_conditional_distribution():
    prompt = torch.tensor([2, 3, 3, 1])
    found = FirstHitting().sample(EXACT, N, prompt=prompt, seed=5)
    assert (found.x[:, [0, 3]] == torch.tensor([2, 1])).all()
    wanted = TABLE.table[2, :, :, 1].flatten()
    wanted = wanted / wanted.sum()
    assert variation(frequencies(found.x[:, 1:3], 3), wanted) <= 1.3 * variation_floor(wanted, N)
    assert found.hit_times.isnan().equal(torch.tensor([True, False, False, True]).expand(N, 4))
    assert (found.nfe == 2).all()
    assert found.draws == 2 * 3


def test_prompts_may_differ_by_row_be_a_beginning_or_be_complete():
    prompts = torch.tensor([[3, 3, 3, 3], [0, 3, 3, 3], [0, 1, 2, 0]]).repeat(100, 1)
    found = FirstHitting().sample(EXACT, prompt=prompts, seed=5)
    assert (found.nfe == torch.tensor([4, 3, 0]).repeat(100)).all()
    kept = prompts != 3
    assert torch.equal(found.x[kept], prompts[kept])
    assert (found.x < 3).all()
    begun = FirstHitting().sample(EXACT, 50, 4, prompt=torch.tensor([1, 2]), seed=5)
    assert (begun.x[:, :2] == torch.tensor([1, 2])).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", [{}, {"tokens_per_step": 3}, {"num_steps": 7}], ids=["exact", "tokens", "steps"]
)
def test_a_sample_does_not_depend_on_its_batch(mode):
    source = random_markov(12, 4, order=1, seed=2)
    posterior, sampler = ExactPosterior(source, Masked(4)), FirstHitting(**mode)
    whole = sampler.sample(posterior, 200, 12, seed=6)
    for size, begin in ((1, 70), (7, 126), (64, 64), (130, 3)):
        part = sampler.sample(posterior, size, 12, seed=6, first_index=begin)
        rows = slice(begin, begin + size)
        assert torch.equal(part.x, whole.x[rows])
        assert torch.equal(part.hit_times, whole.hit_times[rows])
        assert torch.equal(part.nfe, whole.nfe[rows])
    chunked = sampler.sample(posterior, 200, 12, seed=6, chunk=33)
    assert torch.equal(chunked.x, whole.x)
    assert not torch.equal(sampler.sample(posterior, 200, 12, seed=7).x, whole.x)


def test_the_modes_share_their_times_and_steps_of_time_bound_the_calls():
    exact = FirstHitting().sample(EXACT, 500, 4, seed=8)
    stepped = FirstHitting(num_steps=3).sample(EXACT, 500, 4, seed=8)
    assert torch.equal(exact.hit_times, stepped.hit_times)
    cells = (stepped.hit_times * 3).long()
    assert torch.equal(stepped.nfe, torch.stack([(cells == k).any(1) for k in range(3)]).sum(0))


@pytest.mark.parametrize(
    "mode", [{}, {"tokens_per_step": 3}, {"num_steps": 4}], ids=["exact", "tokens", "steps"]
)
def test_a_plain_loop_over_sequences_and_tokens_draws_the_same(mode):
    source = random_markov(8, 4, order=1, seed=2)
    posterior = ExactPosterior(source, Masked(4))
    rows = 40
    found = FirstHitting(**mode).sample(posterior, rows, 8, seed=10)
    uniform = BlockNoise(10, (TOKEN_STREAM,), count=rows, shape=(8,), dtype=torch.float64).uniform()
    for row in range(rows):
        times = found.hit_times[row]
        order = times.argsort().tolist()
        if "num_steps" in mode:
            groups = [[p for p in order if int(times[p] * 4) == cell] for cell in range(4)]
        else:
            size = mode.get("tokens_per_step", 1)
            groups = [order[k : k + size] for k in range(0, 8, size)]
        x = torch.full((1, 8), 4)
        for group in filter(None, groups):
            mu = posterior(x, 0.5)[0]
            for place in group:
                x[0, place] = int((mu[place].cumsum(0) <= uniform[row, place]).sum())
        assert torch.equal(x[0], found.x[row])


def test_temperature_and_nucleus_sharpen_the_distributions():
    distribution = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)

    def mu(x, t, cond):
        return distribution.expand(*x.shape, 3)

    posterior = FunctionPosterior(mu, Masked(3), uses_time=False)
    for settings, wanted in (
        ({"temperature": 0.5}, distribution.square() / distribution.square().sum()),
        ({"top_p": 0.6}, torch.tensor([0.625, 0.375, 0.0], dtype=torch.float64)),
        ({"top_p": 0.5}, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)),
    ):
        found = FirstHitting(**settings).sample(posterior, N, 1, seed=9)
        share = torch.bincount(found.x.flatten(), minlength=3) / N
        assert_close(share.double(), wanted, atol=4.5 * (0.25 / N) ** 0.5, rtol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: FirstHitting().sample(ExactPosterior(TABLE, UniformBase(3)), 5, 4),
            r"the path must have a mask token, got UniformBase\. Use Masked",
        ),
        (
            lambda: FirstHitting().sample(EXACT, 5, 4, prompt=torch.zeros(6, dtype=torch.int64)),
            r"the prompt must fit the length 4, got 6\. Shorten the prompt",
        ),
        (
            lambda: FirstHitting().sample(EXACT, 5, prompt=torch.zeros(3, 4, dtype=torch.int64)),
            r"prompt must have 5 rows, one per sequence, got 3",
        ),
        (
            lambda: FirstHitting().sample(EXACT, prompt=torch.tensor([0, 7, 3, 3])),
            r"prompt must be tokens 0 \.\.\. 3, got 7",
        ),
        (
            lambda: FirstHitting().sample(EXACT, prompt="in the"),
            r"prompt must be tokens \(L,\) or \(n, L\), got str",
        ),
        (lambda: FirstHitting().sample(EXACT, 5), r"length must be passed if prompt is omitted, got none"),
        (lambda: FirstHitting().sample(EXACT, 0, 4), r"n must be a whole number >= 1, got 0"),
        (
            lambda: FirstHitting().sample(EXACT, 5, 4, first_index=-1),
            r"first_index must be a whole number >= 0, got -1",
        ),
        (lambda: FirstHitting(tokens_per_step=2, num_steps=4), r"must not both be given, got \(2, 4\)"),
        (
            lambda: FirstHitting(temperature=0.0),
            r"temperature must be finite and > 0, got 0\.0\. 1 draws from mu",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call()


def test_tokens_that_are_hit_at_the_very_end_are_unmasked_in_the_last_step():
    """``1 - hidden^100`` rounds to 1 for most: times of exactly 1 belong to the last cell."""
    posterior = ExactPosterior(TABLE, Masked(3, PolynomialKeep(power=0.01)))
    found = FirstHitting(num_steps=4).sample(posterior, 100, 4, seed=11)
    assert float((found.hit_times == 1).double().mean()) > 0.5
    assert (found.x < 3).all()
