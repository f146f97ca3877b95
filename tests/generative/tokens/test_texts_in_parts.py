"""A large request for texts in parts gives what one call gives."""

from interpolants.generative.tokens.token_bridge import TokenBridge
from interpolants.runs.shards import Request, in_parts


def test_texts_are_joined_in_order():
    model = TokenBridge(
        net={"kind": "token_transformer", "width": 16, "depth": 1, "attention_heads": 2},
        steps=3,
        batch_size=8,
    )
    model.fit(["abab", "baba"] * 10, progress=False)
    asked = Request(None, "sample", 5, {}, {"n": 5, "seed": 1})
    assert in_parts(model, asked, 2) == model.sample(5, seed=1)
