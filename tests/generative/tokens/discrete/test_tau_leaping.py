"""Steps on a grid: the chain's distribution by products of its matrices, its order, and the ways to draw a step."""

import pytest
import torch

from generative.tokens.discrete.enumerated import PATHS, chain_distribution, frequencies, marginal, variation
from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.tokens.discrete.first_hitting import FirstHitting
from interpolants.generative.tokens.discrete.paths import Masked, UniformBase
from interpolants.generative.tokens.discrete.posterior import ExactPosterior
from interpolants.generative.tokens.discrete.precision import gumbel_draw
from interpolants.generative.tokens.discrete.schedules import CosineKeep
from interpolants.generative.tokens.discrete.tau_leaping import TauLeaping
from interpolants.generative.tokens.problems.token_sources import MarkovTokens, random_markov, random_table

TABLE = random_table(2, 3, concentration=0.5, seed=6)
N = 40_000
each = pytest.mark.parametrize("kind", PATHS)


def assert_frequencies(share, p, n):
    """Within 4.5 standard errors, state by state."""
    assert ((share - p).abs() <= 4.5 * (p * (1 - p) / n).sqrt() + 1e-12).all()


@each
@pytest.mark.parametrize("corrector", [0.0, 2.0])
@pytest.mark.parametrize("draw", ["two_stage", "joint"])
def test_samples_have_the_distribution_of_the_chain(kind, corrector, draw):
    path = PATHS[kind](3)
    sampler = TauLeaping(num_steps=5, corrector=corrector, draw=draw)
    found = sampler.sample(ExactPosterior(TABLE, path), N, 2, seed=0)
    assert_frequencies(frequencies(found.x, path.states), chain_distribution(path, TABLE, 5, corrector), N)
    assert (found.x < 3).all()
    assert (found.nfe == 5).all()


@pytest.mark.parametrize("draw", ["two_stage", "joint"])
def test_tokens_are_unmasked_at_the_pace_of_the_schedule(draw):
    path = Masked(3, CosineKeep())
    found = TauLeaping(num_steps=5, draw=draw).sample(ExactPosterior(TABLE, path), N, 2, seed=2)
    for k in range(1, 6):
        t = torch.tensor(k / 5, dtype=torch.float64)
        keep, share = float(path.schedule.keep(t)), float((found.hit_times <= t + 1e-9).double().mean())
        assert abs(share - keep) <= 4.5 * (keep * (1 - keep) / (2 * N)) ** 0.5


@pytest.mark.cases(2)
@each
@pytest.mark.parametrize("corrector", [0.0, 1.0])
def test_the_chain_comes_to_the_data_at_first_order(kind, corrector):
    path = PATHS[kind](3)
    end = marginal(path, TABLE, torch.tensor(1.0, dtype=torch.float64))
    far = [variation(chain_distribution(path, TABLE, m, corrector), end) for m in (64, 128, 256)]
    # Twice the steps, half the distance; with a corrector the limit is reached slowly (1.95 at 1,024 steps).
    for ratio in (far[0] / far[1], far[1] / far[2]):
        assert (1.75 if corrector else 1.88) < ratio < 2.05


@pytest.mark.slow
def test_a_corrector_may_unmask_again_but_never_touches_the_prompt():
    path = Masked(3)
    prompt = torch.tensor([[2, 3], [3, 3]]).repeat(N // 2, 1)
    found = TauLeaping(num_steps=40, corrector=3.0).sample(ExactPosterior(TABLE, path), prompt=prompt, seed=1)
    assert (found.x[::2, 0] == 2).all()
    conditional = TABLE.table[2] / TABLE.table[2].sum()
    share = torch.bincount(found.x[::2, 1], minlength=3).double() / (N // 2)
    assert_frequencies(share, conditional, N // 2)
    assert found.hit_times[::2, 0].isnan().all()
    assert not found.hit_times[1::2].isnan().any()


def test_the_distribution_of_a_joint_draw_is_that_of_two_stages_at_any_temperature():
    posterior = ExactPosterior(random_table(length=2, vocabulary=2, seed=0), UniformBase(2))
    shares = []
    for draw in ("two_stage", "joint"):
        how = TauLeaping(num_steps=4, corrector=3.0, temperature=0.3, draw=draw)
        x = how.sample(posterior, N, 2, seed=1).x
        shares.append(torch.bincount(2 * x[:, 0] + x[:, 1], minlength=4) / len(x))
    # Four standard errors of a difference of two shares; forgetting by the sharpened distribution is off by 0.021.
    assert float((shares[0] - shares[1]).abs().max()) < 4 * (2 * 0.25 / N) ** 0.5


def test_a_sample_does_not_depend_on_its_batch():
    source = random_markov(10, 4, order=1, seed=2)
    for path in (Masked(4), UniformBase(4)):
        posterior, sampler = ExactPosterior(source, path), TauLeaping(num_steps=6, corrector=0.5)
        whole = sampler.sample(posterior, 150, 10, seed=3)
        part = sampler.sample(posterior, 40, 10, seed=3, first_index=77, chunk=16)
        assert torch.equal(part.x, whole.x[77:117])


def test_remembered_answers_give_the_same_tokens_with_fewer_calls():
    source = random_markov(6, 4, order=1, seed=2)
    posterior = ExactPosterior(source, Masked(4))
    plain = TauLeaping(num_steps=100).sample(posterior, 50, 6, seed=4)
    cached = TauLeaping(num_steps=100, cache=True).sample(posterior, 50, 6, seed=4)
    assert torch.equal(plain.x, cached.x)
    assert (plain.nfe == 100).all()
    # One call at first, and one more after each step in which something changed but the last.
    steps = [len(set(row.tolist()) - {1.0}) for row in plain.hit_times]
    assert cached.nfe.tolist() == [1 + k for k in steps]
    noisy = TauLeaping(num_steps=20, cache=True).sample(ExactPosterior(source, UniformBase(4)), 5, 6, seed=4)
    assert (noisy.nfe == 20).all()  # that posterior uses the time


@pytest.mark.slow
def test_coarse_noise_in_a_joint_draw_lowers_the_entropy_and_a_two_stage_draw_does_not_care():
    zipf = 1 / torch.arange(1, 101, dtype=torch.float64)
    source = MarkovTokens((zipf / zipf.sum()).expand(100, -1), 4)  # independent tokens
    posterior = ExactPosterior(source, Masked(100))

    def coarse(distribution, generator):
        return gumbel_draw(distribution, bits=8, generator=generator)

    steps, n = 60, 400
    joint = TauLeaping(num_steps=steps, draw="joint", joint_sampler=coarse).sample(posterior, n, 4, seed=5)
    clean = TauLeaping(num_steps=steps).sample(posterior, n, 4, seed=5)
    nll = [-source.log_prob(found.x) for found in (joint, clean)]
    error = [float(v.std()) / n**0.5 for v in nll]
    assert abs(float(nll[1].mean()) - source.entropy()) <= 4 * error[1]
    assert float(nll[0].mean()) < source.entropy() - 5 * error[0]


@pytest.mark.parametrize("how", [FirstHitting(), TauLeaping(num_steps=4)])
def test_draws_are_those_of_the_sequences_that_were_asked_for(how):
    posterior = ExactPosterior(TABLE, Masked(3))
    prompt = torch.tensor([[3, 3], [0, 3], [1, 2]])
    times = 4 if isinstance(how, TauLeaping) else 1
    assert how.sample(posterior, prompt=prompt, seed=0).draws == pytest.approx(times * 3 * 3 / 3)
    assert how.sample(posterior, prompt=prompt, seed=0, chunk=1).draws == pytest.approx(times * 3 * 3 / 3)


def test_draws_are_counted():
    posterior = ExactPosterior(TABLE, Masked(3))
    assert TauLeaping(num_steps=10).sample(posterior, 20, 2, seed=0).draws == 10 * 2 * 3
    assert TauLeaping(num_steps=10, draw="joint").sample(posterior, 20, 2, seed=0).draws == 10 * 2 * 4
    assert FirstHitting().sample(posterior, 20, 2, seed=0).draws == 2 * 3


def test_one_step_draws_all_tokens_from_their_marginals():
    posterior = ExactPosterior(TABLE, UniformBase(3))
    found = TauLeaping(num_steps=1).sample(posterior, N, 2, seed=0)
    marginals = [TABLE.table.sum(1), TABLE.table.sum(0)]
    for place, distribution in enumerate(marginals):
        assert_frequencies(torch.bincount(found.x[:, place], minlength=3).double() / N, distribution, N)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: TauLeaping(joint_sampler=gumbel_draw),
            r"joint_sampler goes with draw='joint', got 'two_stage'",
        ),
        (
            lambda: TauLeaping().sample(ExactPosterior(TABLE, UniformBase(3)), prompt=torch.tensor([0, 1])),
            r"a prompt needs a path with a mask token, got UniformBase",
        ),
        (
            lambda: TauLeaping().sample(ExactPosterior(TABLE, UniformBase(3)), 2, 2, seed=1.5),
            r"seed must be a whole number >= 0, got 1\.5",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call()
