"""How good a model of tokens is: the bound on held-out data, and what its samples share with them."""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from interpolants.discrete.precision import token_entropy
from interpolants.foundations.randomness import generator
from interpolants.framework.scores import Answered, Score
from interpolants.methods.token_bridge import TokenBridge
from interpolants.metrics.ngrams import ngram_distance

# Sequences to show; sequences per sample that the bound is averaged over.
_SHOWN, _BOUND = 8, 4
_GRAMS = {2: "pairs", 3: "triples"}


def judge_tokens(model: TokenBridge, train: Any, test: Any, *, n: int = 500, seed: int = 1) -> Answered:
    """Likelihood of held-out sequences, and what new ones share with them, beside floors and rivals.

    Args:
        model: A fitted model.
        train: Sequences that were learnt from, as in ``TokenBridge.fit``.
        test: Sequences that were not.
        n: Sequences to draw, and to compare with at most.
        seed: Seed of all that is drawn.
    """
    train, test = model.pieces(train), model.pieces(test)
    size = model.posterior.path.vocabulary
    made = model.draw(n, test.shape[1], seed=seed)
    scores = [] if model.posterior.path.mask is None else [_bound(model, train, test[: _BOUND * n], seed)]
    scores += [_grams(k, made.x, train, test, size, seed) for k in _GRAMS]
    scores.append(
        Score(
            name="token_entropy",
            title="Entropy of the tokens of samples",
            value=token_entropy(made.x, size) / math.log(2),
            floor=token_entropy(test, size) / math.log(2),
            unit="bits",
            note="Of their frequencies; the floor is held-out data. Far below it, samples repeat themselves.",
        )
    )
    calls = float(made.nfe.double().mean())
    scores.append(Score(name="calls", title="Network calls per sequence", value=calls, n=n))
    texts = {}
    if model.given["tokens"].columns:
        texts = {
            "Samples, the first ones": tuple(model.texts(made.x[:_SHOWN])),
            "Held-out data": tuple(model.texts(test[:_SHOWN])),
        }
    return Answered(scores=tuple(scores), texts=texts, arrays={"tokens": made.x, "real_tokens": test[:n]})


def _bound(model: TokenBridge, train: Tensor, test: Tensor, seed: int) -> Score:
    found = model.nelbo(test, seed=seed)
    size = model.posterior.path.vocabulary
    # One more of each: a token that training has not seen costs something finite.
    share = (torch.bincount(train.flatten(), minlength=size).double() + 1) / (train.numel() + size)
    single = -torch.bincount(test.flatten(), minlength=size).double() @ share.log2() / test.numel()
    return Score(
        name="nelbo",
        title="Bound on the negative log-likelihood of held-out data",
        value=found.bits_per_token,
        error=found.bits_error,
        n=len(test),
        rivals={"frequencies of single tokens": float(single)},
        better="lower",
        unit="bits per token",
        note="An upper bound: the truth lies at or below it.",
    )


def _grams(k: int, made: Tensor, train: Tensor, test: Tensor, size: int, seed: int) -> Score:
    source = generator(seed, "token scores", k)
    distance = partial(ngram_distance, n=k, generator=source)
    real = test[: len(made)]
    found, between = distance(made, real), distance(train[: len(made)], real)
    share = torch.bincount(train.flatten(), minlength=size).double()
    independent = torch.multinomial(share, made.numel(), replacement=True, generator=source)
    return Score(
        name=f"grams_{k}",
        title=f"Distance of {_GRAMS[k]} of neighbouring tokens to held-out data",
        value=found.value,
        error=found.error,
        n=found.n,
        floor=between.value,
        floor_error=between.error,
        rivals={
            "independent tokens of the right frequencies": distance(
                independent.reshape(made.shape), real
            ).value
        },
        better="lower",
        note="Total variation; the floor is that between training and held-out data of these sizes.",
    )
