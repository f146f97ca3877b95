"""The model of sequences: text and tokens in; samples, completed prompts and bounds out; storage; refusals."""

import re

import numpy as np
import pytest
import torch

import interpolants
from interpolants.data.bundled import DataInfo, Dataset
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.capabilities import NotAbleError
from interpolants.generative.tokens.discrete.first_hitting import FirstHitting
from interpolants.generative.tokens.discrete.paths import Masked
from interpolants.generative.tokens.discrete.schedules import CosineKeep, CustomKeep
from interpolants.generative.tokens.discrete.tau_leaping import TauLeaping
from interpolants.generative.tokens.problems.token_sources import random_markov
from interpolants.generative.tokens.token_bridge import TokenBridge
from interpolants.nets.transformer import TokenTransformer

NET = {"width": 32, "depth": 1, "attention_heads": 2}
FAST = {"net": NET, "steps": 3, "batch_size": 8}
SOURCE = random_markov(10, 4, order=1, concentration=0.4, seed=3)
TOKENS = SOURCE.sample(400, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def small():
    """Three steps of training: enough for everything that does not ask for quality."""
    return TokenBridge(symbols="abcd", **FAST).fit(TOKENS)


def test_text_is_learnt_by_its_characters_and_comes_back_as_text():
    model = TokenBridge(length=6, **FAST).fit("the cat sat on the mat " * 20)
    assert "".join(model.alphabet.symbols) == " acehmnost"
    assert model.posterior.path == Masked(10)
    texts = model.sample(4)
    assert [len(text) for text in texts] == [6] * 4
    assert model.sample(1) == texts[:1]
    filled = model.complete("the __t", n=3)
    assert len(filled) == 3
    assert all(re.fullmatch(r"the [ acehmnost]{2}t", text) for text in filled)
    assert model.complete("the __t") == filled[0]
    assert model.complete(["t_e", "___"])[0][0] == "t"
    begun = model.complete("the ", length=9)
    assert begun.startswith("the ")
    assert len(begun) == 9
    assert model.nelbo("the cat sat on the mat " * 5).length == 6
    assert len(model.nelbo("the cat sat on the mat " * 5).per_sequence) == 19


def test_a_blank_that_is_a_symbol_is_written_otherwise():
    model = TokenBridge(length=4, **FAST).fit("a_b_" * 20)
    codes = model.codes("a?_?", blank="?")
    assert codes.tolist() == [[1, 3, 0, 3]]
    filled = model.texts(model.complete(codes))[0]
    assert (filled[0], filled[2]) == ("a", "_")
    assert model.complete("a_b") == "a_b"


def test_arrays_tensors_and_data_sets_are_tokens():
    info = DataInfo("x", (400, 10), "train", "", "", {}, symbols=tuple("wxyz"))
    for data, kind in (
        (TOKENS, torch.Tensor),
        (TOKENS.int(), torch.Tensor),
        (TOKENS.numpy(), np.ndarray),
        (TOKENS.tolist(), list),
        (Dataset(TOKENS, None, info), torch.Tensor),
    ):
        model = TokenBridge(seed=1, **FAST).fit(data)
        assert model.posterior.path == Masked(4)
        assert model.state["length"] == 10
        assert isinstance(model.sample(2), kind)
    assert model.texts(torch.tensor([[0, 3, 4]])) == ["wz_"]


def test_samples_do_not_depend_on_their_number_and_may_be_drawn_in_many_ways(small):
    whole = small.sample(100, seed=4)
    assert torch.equal(small.sample(70, seed=4), whole[:70])
    assert torch.equal(small.sample(10, seed=4, first_index=64), whole[64:74])
    assert not torch.equal(small.sample(100, seed=5), whole)
    assert torch.equal(small.sample(100, seed=4, sampler=FirstHitting()), whole)
    few = small.draw(20, seed=4, steps=3)
    assert int(few.nfe.max()) <= 3
    assert torch.equal(few.x, small.sample(20, seed=4, steps=3))
    assert small.sample(5, 7).shape == (5, 7)
    with pytest.raises(InvalidInputError, match="at most 10 tokens"):
        small.sample(5, 17)
    assert (small.sample(20, sampler=TauLeaping(num_steps=4)) < 4).all()


def test_prompts_of_tokens_are_kept(small):
    prompt = torch.tensor([[0, 4, 4, 1, 4], [4, 4, 4, 4, 2]])
    filled = small.complete(prompt)
    assert torch.equal(filled[prompt < 4], prompt[prompt < 4])
    assert filled.max() < 4
    details = small.draw(3, 5, prompt=prompt[0])
    assert torch.equal(details.x, small.complete(prompt[0], n=3))
    assert details.hit_times.isnan().sum() == 6


def test_a_bridge_from_uniform_tokens_has_time_and_no_prompts():
    model = TokenBridge("uniform_base", keep_schedule="cosine", **FAST)
    assert not model.can("complete")
    model.fit(TOKENS)
    assert model.state["net"].uses_time
    assert model.posterior.path.schedule == CosineKeep()
    assert model.draw(3, steps=4).nfe.tolist() == [4, 4, 4]
    for ask in (model.complete, model.log_prob):
        with pytest.raises(NotAbleError, match="it needs a path with a mask token, and UniformBase has none"):
            ask(torch.tensor([[0, 1]]))
    with pytest.raises(InvalidInputError, match="the path must have a mask token"):
        model.nelbo(TOKENS)


def test_bounds_belong_to_their_sequences(small):
    whole = small.log_prob(TOKENS[:100], seed=3)
    assert whole.dtype == torch.float64
    torch.testing.assert_close(
        small.log_prob(TOKENS[70:90], seed=3, first_index=70), whole[70:90], rtol=1e-5, atol=0
    )
    assert not torch.equal(small.log_prob(TOKENS[:100], seed=4), whole)
    found = small.nelbo(TOKENS[:100], seed=3)
    assert torch.equal(found.per_sequence, -whole)
    assert found.value == pytest.approx(-float(whole.mean()))
    assert isinstance(TokenBridge(**FAST).fit(TOKENS.numpy()).log_prob(TOKENS[:3].numpy()), np.ndarray)


def test_labels_are_learnt_with():
    model = TokenBridge(**FAST).fit(TOKENS, cond=torch.arange(400) % 3)
    assert model.state["net"].settings["n_classes"] == 3
    assert model.sample(4, cond=torch.tensor([0, 1, 2, 0])).shape == (4, 10)
    with pytest.raises(InvalidInputError, match="no row of the fit went without"):
        model.sample(4, cond=torch.tensor([0, 1, 2, -1]))


def test_conditions_may_be_arrays_and_have_one_row_per_sequence():
    labels, names = torch.arange(400) % 3, np.arange(400) % 3
    models = [TokenBridge(**FAST).fit(TOKENS, cond=cond) for cond in (labels, names)]
    wanted = models[0].sample(3, cond=labels[:3])
    assert torch.equal(models[1].sample(3, cond=names[:3]), wanted)
    numbers = np.linspace(0, 1, 400)
    assert TokenBridge(**FAST).fit(TOKENS, cond=numbers).state["net"].settings["cond_dim"] == 1
    for call in (
        lambda cond: TokenBridge(**FAST).fit(TOKENS, cond=cond),
        lambda cond: models[0].sample(3, cond=cond),
        lambda cond: models[0].nelbo(TOKENS[:3], cond=cond),
    ):
        for rows in (2, 500):
            with pytest.raises(InvalidInputError, match=rf"as many rows|one label, or \d+, got {rows}"):
                call(torch.arange(rows) % 3)


def test_a_fit_that_is_refused_changes_nothing():
    model = TokenBridge(length=8, **FAST).fit("abcabdcab" * 10)
    texts, state = model.sample(3), model.state
    for tokens, options in (
        ("", {}),
        ("xyxyzz" * 10, {"cond": torch.zeros(2)}),
        (TOKENS[:, 0], {"steps": -1}),
    ):
        with pytest.raises(InvalidInputError, match=r"must not be empty|as many rows|steps"):
            model.fit(tokens, **options)
    assert model.sample(3) == texts
    assert model.state is state


def test_several_prompts_are_filled_in_once(small):
    prompts = torch.tensor([[0, 4, 1], [4, 1, 1]])
    with pytest.raises(InvalidInputError, match=r"n goes with a single prompt; here are 2, .* got 5"):
        small.complete(prompts, n=5)
    assert small.complete(prompts, n=2).shape == (2, 3)


@pytest.mark.parametrize("settings", [{"vocabulary": 20}, {"path": Masked(9)}])
def test_a_vocabulary_that_is_not_that_of_the_symbols_is_refused(settings):
    model = TokenBridge(length=8, **settings, **FAST)
    with pytest.raises(InvalidInputError, match=r"must be the number of symbols, 4, got \d+"):
        model.fit("abcabdcab" * 10)


def test_settings_that_a_path_of_ones_own_has_already_are_refused():
    for settings in ({"vocabulary": 5}, {"keep_schedule": "cosine"}):
        with pytest.raises(InvalidInputError, match="comes without vocabulary and keep_schedule"):
            TokenBridge(Masked(9), **settings)


def test_what_is_saved_is_read_back_to_the_bit(tmp_path):
    model = TokenBridge(keep_schedule={"kind": "polynomial", "power": 3.0}, symbols="abcd", seed=7, **FAST)
    model.fit(TOKENS).save(tmp_path / "m")
    again = interpolants.load(tmp_path / "m")
    assert torch.equal(again.sample(20), model.sample(20))
    assert (again.posterior.path, again.alphabet, again.seed) == (model.posterior.path, model.alphabet, 7)
    assert torch.equal(again.log_prob(TOKENS), model.log_prob(TOKENS))
    assert again.history == model.history
    for one in (again, model):  # fitted again with its network
        one.fit(TOKENS[:100])
    assert torch.equal(again.sample(20), model.sample(20))
    assert sorted(f.suffix for f in (tmp_path / "m").iterdir()) == [".json", ".json", ".md", ".safetensors"]


def test_text_is_answered_with_text_after_a_load(tmp_path):
    model = TokenBridge(length=6, **FAST).fit("abcabdcab" * 10)
    again = interpolants.load(model.save(tmp_path / "m"))
    assert again.sample(3) == model.sample(3)
    assert again.complete("a__d", n=2) == model.complete("a__d", n=2)


def test_a_network_of_ones_own_is_passed_again(tmp_path):
    net = TokenTransformer(10, vocabulary=4, width=16, depth=1, attention_heads=2)
    model = TokenBridge(net=net, steps=3, batch_size=8).fit(TOKENS)
    again = interpolants.load(model.save(tmp_path / "m"))
    assert torch.equal(again.sample(5), model.sample(5))


def test_columns_of_a_table_keep_their_own_distributions():
    """Every row is 0 1 2 0 1 2: by distances alone a first token is any of the three."""
    settings = {"steps": 60, "lr": 1e-2, "seed": 0}
    rows = torch.tensor([0, 1, 2, 0, 1, 2]).expand(200, 6).contiguous()
    net = {"width": 16, "depth": 1, "attention_heads": 2}
    share = {}
    for places in (True, False):
        asked = net if places else {**net, "positions": False}
        x = TokenBridge(net=asked, **settings).fit(rows, progress=False).sample(100)
        share[places] = float((x[:, 0] == 0).double().mean())
    assert share[True] > 0.85
    assert share[False] < 0.7


def test_an_interrupted_fit_goes_on_to_the_same_bits(tmp_path):
    made = {"net": NET, "steps": 6, "batch_size": 8, "checkpoint_every": 2}
    straight = TokenBridge(**made).fit(TOKENS)

    def stop(stage, k, steps):
        if k == 4:
            raise KeyboardInterrupt

    parts = TokenBridge(**made)
    with pytest.raises(KeyboardInterrupt):
        parts.fit(TOKENS, out=tmp_path / "t", watch=stop)
    parts.fit(TOKENS, out=tmp_path / "t", resume=True)
    assert torch.equal(parts.sample(20, seed=1), straight.sample(20, seed=1))


@pytest.mark.slow  # one small transformer, about 30 s
def test_a_source_is_learnt_to_its_entropy_sampled_and_filled_in():
    source = random_markov(12, 4, order=1, concentration=0.4, seed=3)
    tokens = source.sample(30_000, generator=torch.Generator().manual_seed(1))
    net = {"width": 48, "depth": 2, "attention_heads": 2}
    model = TokenBridge(net=net, steps=500, batch_size=128, ema=0.98, lr=5e-3).fit(tokens)
    fresh = source.sample(2000, generator=torch.Generator().manual_seed(2))
    bound = model.nelbo(fresh)
    assert -4 * bound.error < bound.value - source.entropy() < 0.05 * source.entropy()
    nll = -source.log_prob(model.sample(2000))
    assert float(nll.mean()) == pytest.approx(source.entropy(), abs=0.06 * source.entropy())
    # Filling in between two tokens that are far from likely to meet.
    prompt = torch.full((1, 12), 4)
    prompt[0, 4], prompt[0, 6] = 0, 3
    evidence = model.posterior.path.evidence(prompt, 0.5)
    wanted = source.posterior(evidence)[0, 5]
    filled = model.complete(prompt[0], n=4000)
    share = torch.bincount(filled[:, 5], minlength=4).double() / 4000
    assert 0.5 * float((share - wanted).abs().sum()) < 0.08


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TokenBridge("mask"), r"path must be a path over tokens, got 'mask'\. Did you mean 'masked'"),
        (lambda: TokenBridge(keep_schedule="cosin"), r"Did you mean 'cosine_keep'"),
        (lambda: TokenBridge(schedule="linear"), r"got 'linear'.*of the learning rate.*called keep_schedule"),
        (lambda: TokenBridge(train={"step": 3}), r"Pass the settings of the training directly"),
        (lambda: TokenBridge(seed=-1), r"seed must be a whole number >= 0, got -1"),
        (lambda: TokenBridge().sample(3), r"the model must be fitted, got one that is not\. Call fit"),
        (lambda: TokenBridge().posterior, r"the model must be fitted"),
        (
            lambda: TokenBridge(**FAST).fit(np.zeros((3, 4))),
            r"integers, \(N, L\) or \(N,\), or text, got torch.float64",
        ),
        (lambda: TokenBridge(**FAST).fit(torch.tensor([[0, -1]])), r"tokens must be >= 0.*got -1"),
        (
            lambda: TokenBridge(symbols="ab", **FAST).fit(TOKENS),
            r"tokens must be 0 \.\.\. 1, got 3",
        ),
        (lambda: TokenBridge(net={"kind": "transfomer"}).fit(TOKENS), r"Did you mean 'token_transformer'"),
        (lambda: TokenBridge(symbols="abcd", **FAST).fit("abxd"), r"characters must be among 'abcd', got x"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call()


def test_text_for_a_model_without_symbols_and_prompts_that_are_too_long_are_refused(tmp_path):
    model = TokenBridge(**FAST).fit(TOKENS)
    with pytest.raises(InvalidInputError, match="text needs a method that knows its symbols"):
        model.complete("ab_")
    with pytest.raises(InvalidInputError, match="the model must have an alphabet"):
        model.texts(TOKENS)
    with pytest.raises(InvalidInputError, match="the prompt must fit the length 3, got 10"):
        model.complete(TOKENS[0], length=3)
    own = TokenBridge(keep_schedule=CustomKeep(lambda t: t**2), **FAST).fit(TOKENS)
    own.save(tmp_path / "own")
    with pytest.raises(InvalidInputError, match=r"Pass load\(folder, keep_schedule=\.\.\.\)"):
        interpolants.load(tmp_path / "own")
    again = interpolants.load(tmp_path / "own", keep_schedule=CustomKeep(lambda t: t**2))
    assert torch.equal(again.sample(3), own.sample(3))
    with pytest.raises(InvalidInputError, match="path must be an existing folder"):
        TokenBridge.load(tmp_path / "nothing")


def test_torch_s_default_type_does_not_matter(float64, tmp_path):
    model = TokenBridge(length=8, **FAST).fit("abc" * 40)
    assert next(model.state["net"].parameters()).dtype == torch.float32
    again = TokenBridge.load(model.save(tmp_path / "model"))
    assert next(again.state["net"].parameters()).dtype == torch.float32


def test_another_text_is_learnt_anew():
    model = TokenBridge(**FAST).fit("abc" * 40, steps=2)
    assert (model.state["length"], model.history[-1]["step"]) == (64, 2)
    model.fit(["vwxyz", "zyxwv"] * 10)
    assert (model.state["length"], model.history[-1]["step"]) == (5, 3)
    assert model.alphabet.symbols == tuple("vwxyz")
    assert model.fit(TOKENS).posterior.path.vocabulary == 4
    assert model.fit("ab" * 80).state["length"] == 64
    assert model.fit("ab" * 80, length=16).state["length"] == 16


def test_bad_questions_are_refused(small):
    for call, words in (
        (lambda: small.complete(""), "must not be empty"),
        (lambda: small.nelbo(TOKENS[:4], draws=0), "draws must be a whole number >= 1, got 0"),
        (lambda: small.sample(3, tempo=2), "the argument must be one that the verb accepts, got 'tempo'"),
        (lambda: small.sample(0), "n must be a whole number >= 1, got 0"),
        (lambda: small.log_prob(torch.tensor([[9]])), r"must be 0 \.\.\. 3, got 9"),
        (lambda: small.sample(3, cond=1), "fitted without cond takes none"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            call()
    with pytest.raises(AttributeError, match=r"Call complete\(x\)"):
        small.infill("ab_")
