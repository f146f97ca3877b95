"""Tokens given as ``held=``: the weights that are best on them are kept."""

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.tokens.token_bridge import TokenBridge


def markov(n, seed):
    """Random letters: nothing can be learnt but by heart."""
    return torch.randint(4, (n, 8), generator=torch.Generator().manual_seed(seed))


def test_weights_from_before_the_rows_were_learnt_by_heart_are_kept():
    net = {"width": 32, "depth": 1, "attention_heads": 2}
    method = TokenBridge(net=net, steps=120, lr=1e-2, validate_every=20)
    fitted = method.fit(markov(12, 0), held={"tokens": markov(100, 1)})
    told = fitted.about["validation"]["tokens"]
    assert told["best"]["step"] < told["steps"]
    losses = [row["held_out_loss"] for row in told["rows"]]
    assert told["best"]["value"] == min(losses) < losses[-1]
    assert f"weights of step {told['best']['step']}" in repr(fitted)
    blind = method.set_params(steps=2).fit(markov(12, 0))
    assert "tokens" not in blind.about.get("validation", {})


def test_one_long_text_is_followed_on_another_and_its_tokens_are_checked():
    quick = TokenBridge(net={"width": 32, "depth": 1, "attention_heads": 2}, steps=4, batch_size=8, length=6)
    fitted = quick.fit("the cat sat on the mat " * 20, held={"tokens": "a cat ate the hat " * 5})
    assert [row["step"] for row in fitted.about["validation"]["tokens"]["rows"]] == [0, 4]
    with pytest.raises(InvalidInputError, match="held"):
        TokenBridge(vocabulary=4, steps=2).fit(markov(20, 0), held={"tokens": markov(5, 1) + 9})
