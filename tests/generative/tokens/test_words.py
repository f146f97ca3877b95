"""Sequences of different lengths: words in; new words, completed patterns and bounds out; storage; refusals."""

import math
import re

import numpy as np
import pytest
import torch

import interpolants
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import OutsideWarning
from interpolants.generative.tokens.discrete.first_hitting import FirstHitting
from interpolants.generative.tokens.discrete.insertions import Insert
from interpolants.generative.tokens.token_bridge import TokenBridge

NET = {"width": 16, "depth": 1, "attention_heads": 2}
FAST = {"path": "insert", "net": NET, "steps": 3, "batch_size": 8}
WORDS = ["lima", "oslo", "san jose", "bonn", "london", "ulm"] * 5
ROWS = [[0, 1], [2], [1, 1, 0, 2], [0]] * 4


@pytest.fixture(scope="module")
def small():
    """Three steps of training: enough for everything that does not ask for quality."""
    return TokenBridge(**FAST).fit(WORDS)


def test_words_are_learnt_by_their_characters_and_come_back_as_words(small):
    assert "".join(small.alphabet.symbols) == " abdeijlmnosu"
    assert small.state["length"] == 12  # the longest has 8
    assert small.insertions.path == Insert(13)
    words = small.sample(40, seed=1)
    assert len({len(word) for word in words}) > 2
    assert small.sample(10, seed=1) == words[:10]
    assert small.sample(5, seed=1, first_index=3) == words[3:8]
    assert small.sample(40, seed=2) != words
    details = small.draw(40, seed=1)
    assert small.texts(details.x) == words
    assert details.hit_times is None
    assert small.draw(2, steps=5).nfe.tolist() == [5, 5]


def test_patterns_keep_what_they_tell(small):
    for pattern, form in (
        ("san *", "san .*"),
        ("*an", ".*an"),
        ("s*o", "s.*o"),
        ("*s*", ".*s.*"),
        ("l**m", "l.*m"),
        ("a*nd*s", "a.*nd.*s"),
        ("*", ".*"),
    ):
        words = small.complete(pattern, n=20, seed=3)
        assert all(re.fullmatch(form, word) for word in words), (pattern, words)
        assert small.complete(pattern, seed=3) == words[0]
    assert small.complete(["*an", "s*"], seed=0)[1].startswith("s")
    star = 13
    tokens = small.codes("s*")
    assert torch.equal(tokens, small.codes(["s*"]))
    assert tokens[0, 1] == star
    with pytest.raises(
        InvalidInputError, match=r"beginning, one middle part and an end.* got 2 middle parts in row 1"
    ):
        small.complete(["a*", "a*b*d*e"])
    for pattern, row in (("san", 0), (["s*", "a"], 1)):
        with pytest.raises(
            InvalidInputError, match=rf"must have an open gap, got none in row {row}\. Write '\*'"
        ):
            small.complete(pattern)
    with pytest.raises(InvalidInputError, match=r"characters must be among .*got _\. Use '\*' for what"):
        small.complete("s_n")
    with pytest.raises(InvalidInputError, match=r"patterns must have at most 12 tokens, got 13 in row 0"):
        small.complete("s" * 13 + "*")


def test_lists_arrays_and_tensors_with_ends_are_words():
    padded = torch.tensor([[0, 1, -1, -1], [2, -1, -1, -1], [1, 1, 0, 2], [0, -1, -1, -1]] * 4)
    models = {}
    for data, kind in ((ROWS, list), (padded, torch.Tensor), (padded.numpy(), np.ndarray)):
        model = TokenBridge(**FAST).fit(data)
        models[kind] = model.sample(30, seed=2)
        assert isinstance(models[kind], kind)
        assert model.insertions.path == Insert(3)
        assert model.state["length"] == 8
    assert models[list] == [[token for token in row if token >= 0] for row in models[torch.Tensor].tolist()]
    assert torch.equal(models[torch.Tensor], torch.as_tensor(models[np.ndarray]))
    assert any(len(row) == 0 for row in models[list]) or len({len(row) for row in models[list]}) > 1
    assert TokenBridge(**FAST).fit([np.array(row) for row in ROWS]).sample(30, seed=2) == models[list]
    model = TokenBridge(**FAST).fit(ROWS)
    filled = model.complete([0, 3], n=4)
    assert all(row[0] == 0 for row in filled)
    for call, message in (
        (lambda: model.complete([5, 3]), r"tokens 0 \.\.\. 2, with 3 in open gaps, got 5"),
        (lambda: model.draw(prompt=torch.tensor([-2, 3])), r"with 3 in open gaps, got -2"),
        (lambda: model.draw(5, prompt=torch.tensor([[0, 3], [3, 1]])), r"prompt must have 5 rows.*, got 2"),
        (model.draw, r"n must be a whole number"),
        (lambda: model.log_prob([[0, 3]]), r"x1 must be tokens 0 \.\.\. 2, filled up with -1, got 3"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            call()


def test_bounds_belong_to_their_words_and_an_empty_one_has_one_too(small):
    whole = small.log_prob([*WORDS[:6], ""], seed=3)
    assert whole.dtype == torch.float64
    torch.testing.assert_close(
        small.log_prob(WORDS[2:4], seed=3, first_index=2), whole[2:4], rtol=1e-5, atol=0
    )
    assert not torch.equal(small.log_prob([*WORDS[:6], ""], seed=4), whole)
    assert bool(whole.isfinite().all())
    found = small.nelbo(WORDS[:6], seed=3)
    torch.testing.assert_close(found.per_sequence, -whole[:6], rtol=1e-5, atol=0)
    letters = sum(len(word) + 1 for word in WORDS[:6])  # the end counts
    assert found.bits_per_token == pytest.approx(6 * found.value / letters / math.log(2))


def test_labels_are_learnt_with():
    model = TokenBridge(**FAST).fit(WORDS, cond=torch.arange(30) % 3)
    assert model.state["net"].settings["n_classes"] == 3
    assert len(model.sample(4, cond=torch.tensor([0, 1, 2, 0]))) == 4
    assert model.log_prob(WORDS[:2], cond=torch.tensor([0, 1])).shape == (2,)
    assert model.nelbo(WORDS[:2], cond=torch.tensor([0, 1])).per_sequence.shape == (2,)


def test_what_is_saved_is_read_back_to_the_bit(small, tmp_path):
    again = interpolants.load(small.save(tmp_path / "m"))
    assert again.sample(20, seed=1) == small.sample(20, seed=1)
    assert again.complete("s*", n=5) == small.complete("s*", n=5)
    assert torch.equal(again.log_prob(WORDS), small.log_prob(WORDS))
    own = TokenBridge(Insert(3), net=NET, steps=3, batch_size=8).fit(ROWS)
    assert interpolants.load(own.save(tmp_path / "own")).sample(9) == own.sample(9)


def test_an_interrupted_fit_goes_on_to_the_same_bits(tmp_path):
    made = {**FAST, "steps": 6, "checkpoint_every": 2}
    straight = TokenBridge(**made).fit(WORDS)

    def stop(stage, k, steps):
        if k == 4:
            raise KeyboardInterrupt

    parts = TokenBridge(**made)
    with pytest.raises(KeyboardInterrupt):
        parts.fit(WORDS, out=tmp_path / "t", watch=stop)
    parts.fit(WORDS, out=tmp_path / "t", resume=True)
    assert parts.sample(20, seed=1) == straight.sample(20, seed=1)


def test_held_words_are_followed():
    model = TokenBridge(**{**FAST, "steps": 4}).fit(WORDS, held={"tokens": ["lima", "bonn"]})
    assert [row["step"] for row in model.about["validation"]["tokens"]["rows"]] == [0, 4]


def test_words_without_room_are_cut_with_a_warning():
    model = TokenBridge(**{**FAST, "steps": 60, "lr": 1e-2}, length=4).fit(["abab", "baba"] * 10)
    with pytest.warns(
        OutsideWarning, match=r"of 200 sequences needed more than 4 tokens, and are cut\. Fit with"
    ):
        words = model.sample(200)
    assert max(map(len, words)) == 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: TokenBridge(**FAST).fit("a long text of words"),
            r"needs several sequences, got a single one\. Pass a list",
        ),
        (
            lambda: TokenBridge(**FAST).fit(["ab", "", "b"]),
            r"tokens must not be empty, got '' in row 1\. Remove the row",
        ),
        (lambda: TokenBridge(**FAST).fit([[0, 1], [], [1]]), r"tokens must not be empty, got none in row 1"),
        (
            lambda: TokenBridge(**FAST).fit(torch.tensor([[0, -1, 1], [1, 1, 1]])),
            r"-1 behind the last token only, got \[0, -1, 1\] in row 0",
        ),
        (
            lambda: TokenBridge(**FAST).fit([[0.5, 1.0], [1]]),
            r"each row of tokens must be integers \(L,\), got torch.float64",
        ),
        (lambda: TokenBridge(**FAST).fit([[0, 1], [[1, 0]]]), r"must be integers"),
        (lambda: TokenBridge(**FAST).fit([["a"], ["b", "c"]]), r"integers in lists of any lengths, or text"),
        (
            lambda: TokenBridge(**FAST, length=5).fit(WORDS),
            r"at most 5 tokens, got 10 of 30 with up to 8\. Fit with length=8",
        ),
        (
            lambda: TokenBridge(**FAST, symbols="abc").fit(["ab", "abd"]),
            r"characters must be among 'abc', got d",
        ),
        (lambda: TokenBridge(**FAST, vocabulary=3).fit([[0, 1], [3]]), r"tokens must be 0 \.\.\. 2, got 3"),
        (lambda: TokenBridge(Insert(3), vocabulary=4), r"comes without vocabulary and keep_schedule"),
        (lambda: TokenBridge("inser"), r"Did you mean 'insert'"),
        (
            lambda: TokenBridge(net=NET, steps=3).fit(WORDS),
            r"texts must have one length, .*TokenBridge\(path='insert'\)",
        ),
    ],
)
def test_bad_words_are_refused(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call()


def test_bad_questions_are_refused(small):
    for call, words in (
        (
            lambda: small.sample(3, length=8),
            r"draws the lengths of sequences, and takes no length, got 8\. Fit TokenBridge",
        ),
        (lambda: small.complete("s*", length=8), r"takes no length, got 8"),
        (
            lambda: small.sample(3, sampler=FirstHitting()),
            r"takes no sampler, got FirstHitting\. Pass steps=",
        ),
        (lambda: small.sample(3, steps=0), r"steps must be a whole number >= 1, got 0"),
        (lambda: small.log_prob(["lima", "s" * 13]), r"at most 12 tokens, got 1 of 2 with up to 13"),
        (lambda: small.nelbo(["s" * 13]), r"at most 12 tokens"),
        (lambda: small.log_prob("limx"), r"characters must be among .*, got x"),
        (lambda: small.posterior, r"the path must have a posterior, got Insert\. Use insertions"),
        (lambda: small.complete(["s*", "l*"], n=5), r"n goes with a single prompt; here are 2"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            call()
    fixed = TokenBridge(net=NET, steps=3).fit(["abab", "baba"])
    with pytest.raises(InvalidInputError, match=r"the path must be 'insert', got Masked\. Use posterior"):
        _ = fixed.insertions
    with pytest.raises(InvalidInputError, match=r"the model must be fitted"):
        _ = TokenBridge(**FAST).insertions


@pytest.mark.slow  # one small transformer, about 20 s
def test_a_table_of_words_is_learnt_sampled_and_completed():
    table = {"a": 0.15, "b": 0.1, "aa": 0.2, "ab": 0.25, "bab": 0.2, "abba": 0.1}
    chances = torch.tensor(list(table.values()))
    g = torch.Generator().manual_seed(0)
    words = [list(table)[k] for k in torch.multinomial(chances, 6000, replacement=True, generator=g)]
    net = {"width": 48, "depth": 2, "attention_heads": 2}
    model = TokenBridge(path="insert", net=net, steps=600, batch_size=96, lr=5e-3, ema=0.98).fit(words)
    entropy = -float(chances @ chances.log())
    bound = model.nelbo(words[:1000], draws=16)
    assert -4 * bound.error < bound.value - entropy < 0.1

    def distance(found, truth):
        names = {*found, *truth}
        return 0.5 * sum(abs(found.count(word) / len(found) - truth.get(word, 0)) for word in names)

    assert distance(model.sample(1000, steps=80, seed=1), table) < 0.08
    begun = {word: chance / 0.7 for word, chance in table.items() if word.startswith("a")}
    assert distance(model.complete("a*", n=1000, steps=80, seed=2), begun) < 0.08
