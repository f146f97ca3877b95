"""Truncated noise: the closed form against draws, its limits, and what 10, 24 and 53 bits do to a step."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.tokens.categorical import categorical_sample
from interpolants.generative.tokens.discrete.precision import (
    effective_temperature,
    entropy,
    gumbel_cap,
    gumbel_draw,
    step_precision,
    token_entropy,
    truncated_gumbel_distribution,
)


def zipf(count):
    p = 1 / torch.arange(1, count + 1, dtype=torch.float64)
    return p / p.sum()


def test_the_caps_of_the_usual_types():
    assert gumbel_cap(24) == pytest.approx(16.6355, abs=1e-4)
    assert gumbel_cap(53) == pytest.approx(36.7368, abs=1e-4)
    assert gumbel_cap(8) == pytest.approx(5.5432, abs=1e-4)


def test_the_closed_form_is_the_distribution_of_two_million_truncated_draws(generator):
    pi, cap, n = torch.tensor([0.30, 0.05, 0.4, 0.1, 0.15], dtype=torch.float64), 1.0, 2_000_000
    u = torch.rand(n, 5, dtype=torch.float64, generator=generator) * math.exp(-math.exp(-cap))
    drawn = (pi.log() - torch.log(-torch.log(u))).argmax(1)
    share = torch.bincount(drawn, minlength=5).double() / n
    distribution = truncated_gumbel_distribution(pi, cap)
    assert (distribution - share).abs().max() < 1e-3
    assert ((distribution - share).abs() <= 4.5 * (distribution * (1 - distribution) / n).sqrt()).all()
    assert float(distribution.sum()) == pytest.approx(1, abs=1e-14)


def test_far_caps_change_nothing_and_likely_classes_gain_at_near_ones():
    p = zipf(30)
    assert_close(truncated_gumbel_distribution(p, gumbel_cap(53)), p, atol=1e-14, rtol=1e-10)
    distribution = truncated_gumbel_distribution(p, 2.0)
    assert (distribution / p).diff().max() < 0
    assert float(distribution[0]) > float(p[0])
    assert float(entropy(distribution)) < float(entropy(p))


def test_a_very_near_cap_leaves_the_most_likely_class_and_equal_classes_stay_equal():
    assert_close(
        truncated_gumbel_distribution(torch.tensor([0.2, 0.8]), -6.0),
        torch.tensor([0.0, 1.0], dtype=torch.float64),
    )
    assert_close(
        truncated_gumbel_distribution(torch.full((4,), 0.25), 1.0),
        torch.full((4,), 0.25, dtype=torch.float64),
    )
    with_zero = truncated_gumbel_distribution(torch.tensor([0.0, 0.3, 0.7]), 1.0)
    assert float(with_zero[0]) == 0
    assert_close(with_zero[1:], truncated_gumbel_distribution(torch.tensor([0.3, 0.7]), 1.0))


@pytest.mark.parametrize(
    ("steps", "unmask", "nats"), [(64, 0.927, 7.18), (1024, 0.699, 5.72), (16384, 0.456, 4.03)]
)
def test_float32_noise_at_half_time_of_a_vocabulary_of_50257(steps, unmask, nats):
    found = step_precision(zipf(50257), 2 / steps, gumbel_cap(24))
    assert found.unmask == pytest.approx(unmask, abs=6e-4)
    assert found.entropy == pytest.approx(nats, abs=6e-3)
    assert found.true_entropy == pytest.approx(7.566, abs=5e-4)
    assert found.temperature < 1


def test_without_a_cap_a_step_is_as_it_was_meant():
    found = step_precision(zipf(30), 0.3, 60.0)
    assert found.unmask == pytest.approx(1, rel=1e-9)
    assert found.entropy == pytest.approx(float(entropy(zipf(30))), rel=1e-9)
    assert found.true_entropy == pytest.approx(found.entropy, rel=1e-9)
    assert found.temperature == pytest.approx(1, rel=1e-6)


@pytest.mark.slow
def test_ten_bits_bias_a_step_and_float64_does_not(generator):
    # The distribution of a step with the chance 0.2 of unmasking: 200 tokens of a Zipf distribution, and the mask.
    mu, delta, n = zipf(200), 0.2, 100_000
    distribution = torch.cat([delta * mu, mu.new_tensor([1 - delta])])
    truth = float(entropy(mu))
    spread = float((mu * (mu.log() + truth).square()).sum()) ** 0.5

    def draw(how):
        drawn = torch.cat([how(distribution.expand(20_000, -1)) for _ in range(n // 20_000)])
        tokens = drawn[drawn < 200]
        return len(tokens) / n, float(-mu[tokens].log().mean()), len(tokens)

    rate, nats, count = draw(lambda p: categorical_sample(p, generator=generator))
    assert abs(rate - delta) <= 3 * (delta * (1 - delta) / n) ** 0.5
    assert abs(nats - truth) <= 3 * spread / count**0.5
    rate, nats, count = draw(lambda p: gumbel_draw(p, bits=53, generator=generator))
    assert abs(rate - delta) <= 3 * (delta * (1 - delta) / n) ** 0.5
    assert abs(nats - truth) <= 3 * spread / count**0.5
    rate, nats, count = draw(lambda p: gumbel_draw(p, bits=10, generator=generator))
    assert rate == pytest.approx(0.152, abs=0.004)
    assert nats == pytest.approx(3.46, abs=0.04)
    # A grid has an atom at its cap, so the closed form, which has none, is the stronger effect.
    form = step_precision(mu, delta, gumbel_cap(10))
    assert form.unmask * delta == pytest.approx(0.134, abs=6e-4)
    token = truncated_gumbel_distribution(distribution, gumbel_cap(10))[:200]
    assert float(-(token / token.sum() * mu.log()).sum()) == pytest.approx(3.23, abs=6e-3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_the_temperature_of_a_tempered_distribution_is_found(temperature):
    p = zipf(50)
    assert effective_temperature(p, (p.log() / temperature).softmax(0)) == pytest.approx(
        temperature, rel=1e-9
    )


def test_entropies_by_hand():
    assert token_entropy(torch.tensor([[0, 1], [2, 3]]), 5) == pytest.approx(math.log(4))
    assert token_entropy(torch.zeros(3, 3, dtype=torch.int64), 5) == 0
    assert_close(
        entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]])), torch.tensor([math.log(2), 0.0], dtype=torch.float64)
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gumbel_cap(0), r"bits must be a whole number in \[1, 53\], got 0"),
        (lambda: truncated_gumbel_distribution(torch.ones(3), 1.0), r"probabilities must sum to 1"),
        (lambda: truncated_gumbel_distribution(torch.full((2, 2), 0.5), 1.0), r"p must have shape \(K,\)"),
        (lambda: step_precision(zipf(5), 1.0, 3.0), r"delta must lie in \(0, 1\), got 1\.0"),
        (
            lambda: effective_temperature(torch.full((4,), 0.25), zipf(4)),
            r"p must not be uniform, got 4 equal",
        ),
        (lambda: gumbel_draw(torch.full((2,), 0.5).half()), r"float32 or float64, got torch.float16"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call()
