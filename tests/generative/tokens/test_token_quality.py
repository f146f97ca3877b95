"""The question about models of tokens and its rival, on a source whose entropy is known."""

import math

import pytest
import torch

import interpolants
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.generative.tokens.metrics.ngrams import ngram_distance
from interpolants.generative.tokens.problems.token_sources import random_markov
from interpolants.generative.tokens.token_bridge import TokenBridge
from interpolants.generative.tokens.token_frequencies import TokenFrequencies
from interpolants.generative.tokens.token_quality import TokenQuality

SOURCE = random_markov(10, 4, order=1, concentration=0.4, seed=3)
TOKENS = SOURCE.sample(2000, generator=torch.Generator().manual_seed(0))
SHARE = torch.bincount(TOKENS.flatten(), minlength=4).double() / TOKENS.numel()
ENTROPY = float(torch.special.entr(SHARE).sum()) / math.log(2)


def texts(tokens):
    return ["".join("abcd"[k] for k in row) for row in tokens.tolist()]


def test_frequencies_have_the_entropy_of_the_frequencies_and_are_drawn_so():
    fit = TokenFrequencies().fit(TOKENS)
    assert -float(fit.log_prob(TOKENS).mean()) / 10 / math.log(2) == pytest.approx(ENTROPY, abs=1e-4)
    drawn = fit.sample(2000, 10, seed=1)
    found = torch.bincount(drawn.flatten(), minlength=4).double() / drawn.numel()
    assert float((found - SHARE).abs().max()) < 4 * 0.5 / 20_000**0.5
    assert torch.equal(fit.sample(30, 10, seed=1, first_index=100), drawn[100:130])
    assert bool(torch.isfinite(fit.log_prob(torch.tensor([[0, 9]]))).all())


def test_frequencies_are_stored_and_answer_with_text(tmp_path):
    fit = TokenFrequencies().fit(texts(TOKENS[:50]))
    again = interpolants.load(fit.save(tmp_path / "m"))
    assert again.sample(3) == fit.sample(3)
    assert set("".join(fit.sample(20))) <= set("abcd")


@pytest.mark.parametrize("data", [TOKENS, texts(TOKENS)], ids=["codes", "texts"])
def test_independent_tokens_are_far_from_the_pairs_of_a_markov_source(data):
    task = Task.of(TokenFrequencies().roles(), {"tokens": data}, Split(test=0.25))
    found = ask(TokenQuality(n=400), task.fit(TokenFrequencies()), task)
    assert found["nelbo"].value == pytest.approx(ENTROPY, abs=0.03)
    assert found["nelbo"].n == 500
    assert found["grams_2"].value > 3 * found["grams_2"].floor
    assert found["token_entropy"].value == pytest.approx(found["token_entropy"].floor, abs=0.02)
    assert found["token_entropy"].value == pytest.approx(ENTROPY, abs=0.05)  # in bits
    assert bool(found.texts) == isinstance(data, list)


def test_the_floor_is_the_distance_of_two_samples_of_the_source():
    task = Task.of(TokenFrequencies().roles(), {"tokens": TOKENS}, Split(test=0.25))
    floor = TokenQuality(n=400).floors(task)["grams_2"]
    truth = SOURCE.sample(400, generator=torch.Generator().manual_seed(7))
    found = ngram_distance(truth, task.test["tokens"][:400], n=2, generator=torch.Generator())
    assert abs(found.value - floor.value) < 4 * floor.error


def test_a_bridge_is_asked_beside_a_rival_case_by_case():
    net = {"width": 16, "depth": 1, "attention_heads": 2}
    model = TokenBridge(net=net, symbols="abcd", steps=3, batch_size=8)
    task = Task.of(model.roles(), {"tokens": TOKENS[:200]}, Split(test=0.25))
    found = ask(TokenQuality(n=30), task.fit(model), task, ["token_frequencies"])
    score = found["nelbo"]
    assert score.value == pytest.approx(model.nelbo(task.test["tokens"], seed=1).bits_per_token)
    assert math.isfinite(score.gaps["token_frequencies"])
    assert {len(line) for line in found.texts["Samples, the first ones"]} == {10}


WORDS = ["a" * (k % 3 + 1) + "b" * (k % 2) for k in range(120)]


def test_frequencies_of_words_end_with_the_probability_of_the_data():
    fit = TokenFrequencies().fit(WORDS)
    count, ends = sum(map(len, WORDS)), len(WORDS)
    end = (ends + 1) / (ends + 1 + count + 3)  # counts are raised by one: a, b, an unknown token, the end
    share = (sum(word.count("a") for word in WORDS) + 1) / (count + 3)
    expected = [k * (math.log(share) + math.log(1 - end)) + math.log(end) for k in (1, 3)]
    assert fit.log_prob(["a", "aaa"]) == pytest.approx(expected)
    drawn = fit.sample(20_000, seed=1)
    lengths = torch.tensor([float(len(word)) for word in drawn])
    mean = (1 - end) / end
    assert float(lengths.mean()) == pytest.approx(mean, abs=4 * (mean / end / 20_000) ** 0.5)
    assert float((lengths == 0).float().mean()) == pytest.approx(end, abs=0.012)
    assert fit.sample(30, seed=1, first_index=100) == drawn[100:130]
    with pytest.raises(InvalidInputError, match="sequences must be of equal length"):
        TokenFrequencies().fit(texts(TOKENS[:50])).log_prob(torch.tensor([[0, 1, -1]]))


def test_words_of_different_lengths_are_asked_about():
    net = {"width": 16, "depth": 1, "attention_heads": 2}
    model = TokenBridge(path="insert", net=net, steps=3, batch_size=8, seed=0)
    task = Task.of(model.roles(), {"tokens": WORDS}, Split(test=0.25))
    found = ask(TokenQuality(n=30), task.fit(model), task, ["token_frequencies"])
    test = task.test["tokens"]
    nats = model.nelbo(test, seed=1).value * len(test)
    tokens = sum(len(word) + 1 for word in test)
    assert found["nelbo"].value == pytest.approx(nats / tokens / math.log(2))
    assert all(math.isfinite(found[name].value) for name in ("grams_2", "grams_3", "token_entropy"))
    assert math.isfinite(found["nelbo"].gaps["token_frequencies"])
    assert list(found.texts["Held-out data"]) == list(test[:8])


def test_an_inserting_model_is_asked_about_words_of_one_length():
    net = {"width": 16, "depth": 1, "attention_heads": 2}
    model = TokenBridge(path="insert", net=net, steps=3, batch_size=8, seed=0)
    task = Task.of(model.roles(), {"tokens": texts(TOKENS[:60])}, Split(test=0.25))
    assert math.isfinite(ask(TokenQuality(n=10), task.fit(model), task)["nelbo"].value)
