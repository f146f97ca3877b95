"""Rows given as ``held=``: forecasters, token models and restorations keep the weights that are best on them."""

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.methods import Forecaster, Restoration, TokenBridge

MLP = {
    "net": {"kind": "mlp", "width": 64, "depth": 2},
    "lr": 1e-2,
    "batch_size": 64,
    "steps": 200,
    "validate_every": 20,
    "seed": 0,
}


def normal(n, seed=0, columns=6):
    return torch.randn(n, columns, generator=torch.Generator().manual_seed(seed))


def markov(n, seed):
    """Random letters: nothing can be learnt but by heart."""
    return torch.randint(4, (n, 8), generator=torch.Generator().manual_seed(seed))


def fits():
    now, later = normal(30), normal(30, 1)
    unseen = {"now": normal(200, 2), "later": normal(200, 3)}
    yield "forecaster", Forecaster(**MLP), {"now": now, "later": later}, unseen
    tokens = TokenBridge(
        net={"width": 32, "depth": 1, "attention_heads": 2}, steps=120, lr=1e-2, validate_every=20
    )
    yield "tokens", tokens, {"tokens": markov(12, 0)}, {"tokens": markov(100, 1)}
    whole = Restoration(coupling={"kind": "in_painting", "share": 0.5}, **MLP)
    yield "velocity", whole, {"x1": normal(30)}, {"x1": normal(200, 4)}


@pytest.mark.parametrize(
    ("stage", "method", "given", "held"), list(fits()), ids=["forecaster", "tokens", "restoration"]
)
def test_weights_from_before_the_rows_were_learnt_by_heart_are_kept(stage, method, given, held):
    fitted = method.fit_roles(given, held=held)
    told = fitted.about["validation"][stage]
    assert told["best"]["step"] < told["steps"]
    losses = [row["held_out_loss"] for row in told["rows"]]
    assert told["best"]["value"] == min(losses) < losses[-1]
    assert f"weights of step {told['best']['step']}" in repr(fitted)
    blind = method.set_params(steps=2).fit_roles(given)
    assert stage not in blind.about.get("validation", {})


def test_one_long_text_is_followed_on_another_and_its_tokens_are_checked():
    quick = TokenBridge(net={"width": 32, "depth": 1, "attention_heads": 2}, steps=4, batch_size=8, length=6)
    fitted = quick.fit("the cat sat on the mat " * 20, held={"tokens": "a cat ate the hat " * 5})
    assert [row["step"] for row in fitted.about["validation"]["tokens"]["rows"]] == [0, 4]
    with pytest.raises(InvalidInputError, match="held"):
        TokenBridge(vocabulary=4, steps=2).fit(markov(20, 0), held={"tokens": markov(5, 1) + 9})
