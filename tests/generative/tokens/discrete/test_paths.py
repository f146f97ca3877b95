"""Paths over tokens: their distributions, posteriors and generators against plain enumeration."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from generative.tokens.discrete.enumerated import PATHS, all_states, marginal, product
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.registry import names
from interpolants.generative.tokens.discrete.paths import Masked, UniformBase
from interpolants.generative.tokens.discrete.posterior import ExactPosterior
from interpolants.generative.tokens.discrete.schedules import CosineKeep, CustomKeep
from interpolants.generative.tokens.problems.token_sources import random_table

TABLE = random_table(2, 3, seed=3)
each = pytest.mark.parametrize("kind", PATHS)


def test_every_card_of_the_family_is_under_these_laws():
    assert {type(make(2)).__name__ for make in PATHS.values()} == {"Masked", "UniformBase"}
    # States of insertions have no fixed positions: their laws are in test_insertions.py.
    assert set(names("discrete_path")) - {"insert"} == {"masked", "uniform_base"}


@each
def test_samples_have_the_marginal_distribution(kind, generator):
    path, n = PATHS[kind](3), 60_000
    x1 = TABLE.sample(n, generator=generator)
    found = path.sample(x1=x1, t=0.6, generator=generator)
    place = path.states ** torch.arange(1, -1, -1)
    share = torch.bincount((found.x_t * place).sum(1), minlength=path.states**2).double() / n
    p = marginal(path, TABLE, torch.tensor(0.6, dtype=torch.float64))
    assert ((share - p).abs() <= 4.5 * (p * (1 - p) / n).sqrt() + 1e-12).all()
    assert torch.equal(found.x_t[found.shows_data], x1[found.shows_data])


@each
def test_times_may_differ_by_row_and_the_ends_are_the_base_and_the_data(kind, generator):
    path = PATHS[kind](3)
    x1 = TABLE.sample(6000, generator=generator)
    t = torch.tensor([0.0, 0.5, 1.0]).repeat(2000)
    found = path.sample(x1=x1, t=t, generator=generator)
    assert torch.equal(found.x_t[t == 1], x1[t == 1])
    assert not found.shows_data[t == 0].any()
    share = float(found.shows_data[t == 0.5].double().mean())
    keep = float(path.schedule.keep(torch.tensor(0.5, dtype=torch.float64)))
    assert abs(share - keep) <= 4 * (keep * (1 - keep) / 4000) ** 0.5


@each
def test_the_posterior_is_bayes_rule_by_hand(kind):
    path = PATHS[kind](3)
    t = torch.tensor(0.35, dtype=torch.float64)
    x, x1 = all_states(path, 2), TABLE.sequences()
    keep = path.schedule.keep(t)
    chance = ((1 - keep) * path.base[x][:, None] + keep * (x[:, None] == x1)).prod(2) * TABLE.table.flatten()
    wanted = torch.zeros(len(x), 2, 3, dtype=torch.float64)
    for place in range(2):
        wanted[:, place].index_add_(1, x1[:, place], chance)
    possible = chance.sum(1) > 0
    wanted = wanted / wanted.sum(-1, keepdim=True)
    assert possible.all()
    assert_close(ExactPosterior(TABLE, path)(x, t), wanted)


@each
def test_how_likely_a_token_shows_data_is_bayes_rule_by_hand(kind):
    path, t = PATHS[kind](3), 0.35
    keep = float(path.schedule.keep(torch.tensor(t, dtype=torch.float64)))
    x, x1, p = all_states(path, 2), TABLE.sequences(), TABLE.table.flatten()
    shown = keep * (x[:, None] == x1).double()
    noise = (1 - keep) * path.base[x][:, None].expand_as(shown)
    either = shown + noise
    wanted = torch.stack(
        [((shown[..., i] * either[..., 1 - i]) @ p) / (either.prod(2) @ p) for i in range(2)], 1
    )
    assert_close(path.shows_data(x, ExactPosterior(TABLE, path)(x, t), t), wanted)


@each
@pytest.mark.parametrize("corrector", [0.0, 0.7])
def test_the_rates_carry_the_marginals_along(kind, corrector):
    # Kolmogorov's forward equation, d/dt p_t = p_t Q_t, over all states of two tokens.
    path = PATHS[kind](3)
    x = all_states(path, 2)
    for at in (0.2, 0.7):
        t = torch.tensor(at, dtype=torch.float64, requires_grad=True)
        p = marginal(path, TABLE, t)
        wanted = torch.stack([torch.autograd.grad(value, t, retain_graph=True)[0] for value in p])
        rates = path.rates(x, ExactPosterior(TABLE, path)(x, at), at, corrector=corrector)
        eye = torch.eye(path.states, dtype=torch.float64)
        first = product(torch.stack([rates[:, 0], eye[x[:, 1]]], 1))
        second = product(torch.stack([eye[x[:, 0]], rates[:, 1]], 1))
        assert_close(p.detach() @ (first + second), wanted)
        assert_close(rates.sum(-1), torch.zeros_like(rates[..., 0]))


@each
@pytest.mark.parametrize("corrector", [0.0, 0.7])
def test_a_short_step_moves_at_the_rates_and_any_step_is_a_distribution(kind, corrector):
    path, h = PATHS[kind](3), 1e-6
    x = all_states(path, 2)
    mu = ExactPosterior(TABLE, path)(x, 0.4)
    moved = path.transition(x, mu, 0.4, 0.4 + h, corrector=corrector)
    rates = path.rates(x, mu, 0.4, corrector=corrector)
    assert_close((moved - path.one_hot(x)) / h, rates, atol=2e-5, rtol=2e-5)
    for start, stop in ((0.0, 0.3), (0.3, 0.9), (0.5, 1.0), (0.0, 1.0)):
        distribution = path.transition(x, mu, start, stop, corrector=corrector)
        assert (distribution >= 0).all()
        assert_close(distribution.sum(-1), torch.ones_like(distribution[..., 0]))


def test_a_step_to_the_end_reveals_all_and_the_ancestral_chance_is_the_formula():
    path = Masked(3, CosineKeep())
    x = torch.tensor([[3, 1]])
    mu = torch.tensor([[[0.2, 0.3, 0.5], [0.0, 1.0, 0.0]]], dtype=torch.float64)
    assert_close(path.transition(x, mu, 0.4, 1.0), path.widen(mu))
    s, u = (torch.tensor(v, dtype=torch.float64) for v in (0.3, 0.5))
    stays = path.schedule.hidden(u) / path.schedule.hidden(s)
    distribution = path.transition(x, mu, 0.3, 0.5)
    assert_close(distribution[0, 0], torch.cat([(1 - stays) * mu[0, 0], stays[None]]))
    assert_close(distribution[0, 1], path.one_hot(x)[0, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: Masked(1),
            r"Masked: vocabulary must be a whole number >= 2, got 1\. The mask token is not counted",
        ),
        (lambda: UniformBase(2.0), r"vocabulary must be a whole number >= 2, got 2.0"),
        (lambda: Masked(3).sample(x1=torch.tensor([[0, 3]]), t=0.5), r"x1 must be tokens 0 \.\.\. 2, got 3"),
        (lambda: Masked(3).sample(x1=torch.tensor([[-1]]), t=0.5), r"x1 must be tokens 0 \.\.\. 2, got -1"),
        (
            lambda: Masked(3).sample(x1=torch.zeros(2, 3), t=0.5),
            r"x1 must be int64 tokens \(B, L\), got torch.float32",
        ),
        (lambda: Masked(3).sample(x1=torch.tensor([[0]]), t=1.5), r"t must lie in \[0, 1\], got \[1\.5\]"),
        (
            lambda: Masked(3).sample(x1=torch.tensor([[0]]), t=torch.zeros(2)),
            r"t must be a number or have shape \(1,\), got \(2,\)",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call()


@pytest.mark.parametrize("kind", [Masked, UniformBase])
@pytest.mark.parametrize("corrector", [0.0, 1.0])
def test_a_schedule_may_rest_at_its_ends(kind, corrector):
    """kappa stays 0 until t = 0.2 and 1 from t = 0.8 on; nothing happens then, and chances are numbers."""
    path = kind(3, CustomKeep(lambda t: ((t - 0.2) / 0.6).clamp(0, 1)))
    x, mu = torch.tensor([[0, path.states - 1]]), torch.full((1, 2, 3), 1 / 3)
    for start, stop in ((0.0, 0.1), (0.1, 0.2), (0.1, 0.3), (0.4, 0.5), (0.7, 0.9), (0.8, 0.9), (0.9, 1.0)):
        distribution = path.transition(x, mu, start, stop, corrector=corrector)
        assert_close(distribution.sum(-1), torch.ones(1, 2, dtype=torch.float64))
        if stop <= 0.2 or start >= 0.8:
            assert_close(distribution, path.one_hot(x))


@pytest.mark.parametrize("kind", [Masked, UniformBase])
@pytest.mark.parametrize("corrector", [0.0, 1.0])
def test_rates_of_a_schedule_at_rest_are_zero(kind, corrector):
    path = kind(3, CustomKeep(lambda t: ((t - 0.2) / 0.6).clamp(0, 1)))
    x, mu = torch.tensor([[0, path.states - 1]]), torch.full((1, 2, 3), 1 / 3)
    for t in (0.0, 0.1, 0.9, 1.0):
        rates = path.rates(x, mu, t, corrector=corrector)
        assert_close(rates, torch.zeros_like(rates))


@each
def test_nothing_happens_while_the_schedule_rests(kind):
    """No token comes or goes before t = 1/2 where keep is 0 until then, with a corrector neither."""
    path = PATHS[kind](3)
    path = replace(path, schedule=CustomKeep(lambda t: (2 * t - 1).clamp(min=0)))
    x = path.start(torch.tensor([[0.1, 0.5], [0.7, 0.99]], dtype=torch.float64))
    mu = torch.full((2, 2, 3), 1 / 3, dtype=torch.float64)
    for chance in path.step(x, mu, 0.1, 0.3, corrector=2.0):
        assert torch.equal(chance, torch.zeros_like(chance))
    assert torch.equal(path.transition(x, mu, 0.1, 0.3, corrector=2.0), path.one_hot(x))
