import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.nets.query_decoder import Attention, Layer, QueryDecoder


def made(kind, *args, **given):
    torch_state = torch.get_rng_state()
    torch.manual_seed(0)
    try:
        return kind(*args, **given).double()
    finally:
        torch.set_rng_state(torch_state)


def rows(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_attention_is_a_loop_over_heads_and_tokens():
    attention = made(Attention, 8, 2)
    x, tokens, seen = rows(1, 3, 8), rows(1, 5, 8, seed=1), torch.tensor([[True, True, False, True, False]])
    found = attention(x, attention.remember(tokens), seen=seen)
    q = attention.ask(x)[0]
    k, v = attention.known(tokens)[0].chunk(2, -1)
    parts = []
    for head in (slice(0, 4), slice(4, 8)):
        scores = torch.stack([torch.stack([a @ b / 2.0 for b in k[:, head]]) for a in q[:, head]])
        weights = torch.softmax(scores[:, seen[0]], 1)
        parts.append(weights @ v[seen[0]][:, head])
    assert_close(found[0], attention.mix(torch.cat(parts, 1)))


@pytest.mark.parametrize("own", [True, False])
def test_a_layer_adds_attention_to_itself_then_to_the_context_then_a_perceptron(own):
    layer = made(Layer, 8, 2, own=own, crossed=True)
    x, context = rows(2, 3, 8), rows(2, 5, 8, seed=1)
    found, memory = layer(x, context=layer.remembered(context))
    if own:
        inner = layer.norms[0](x)
        x = x + layer.own(inner, layer.own.remember(inner))
    x = x + layer.crossed(layer.norms[1](x), layer.crossed.remember(context))
    assert_close(found, x + layer.narrow(torch.nn.functional.gelu(layer.wide(layer.norms[2](x)))))
    assert (memory is not None) == own


def test_a_decoder_is_two_layers_of_the_query_its_layers_in_turn_and_an_output():
    decoder = made(QueryDecoder, 2, width=8, depth=3, heads=2, outputs=3)
    queries, tokens = rows(2, 4, 2), rows(2, 5, 8, seed=1)
    x = decoder.second(torch.nn.functional.gelu(decoder.first(queries)))
    assert len(decoder.layers) == 3
    for layer in decoder.layers:
        x, _ = layer(x, context=layer.remembered(tokens))
    assert_close(decoder(queries, tokens), decoder.output(decoder.norm(x)))


def test_each_query_is_answered_by_itself():
    decoder = made(QueryDecoder, 2, width=16, depth=2, heads=4, outputs=3)
    queries, tokens = rows(2, 7, 2), rows(2, 5, 16, seed=1)
    together = decoder(queries, tokens)
    alone = torch.cat([decoder(queries[:, k : k + 1], tokens) for k in range(7)], 1)
    assert_close(together, alone, rtol=0, atol=1e-12)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    assert_close(decoder(queries[:, order], tokens), together[:, order], rtol=0, atol=1e-12)


def test_tokens_that_do_not_count_change_nothing_and_those_that_do_change_the_answer():
    decoder = made(QueryDecoder, 2, width=16, depth=2, heads=4, outputs=3)
    queries, tokens = rows(2, 7, 2), rows(2, 5, 16, seed=1)
    seen = torch.arange(5).expand(2, 5) < 3
    assert_close(decoder(queries, tokens, seen), decoder(queries, tokens[:, :3]), rtol=0, atol=1e-12)
    assert bool(((decoder(queries, tokens) - decoder(queries, tokens[:, :3])).abs() > 1e-3).any())


def test_one_token_after_the_other_is_all_at_once():
    layer = made(Layer, 16, 4, crossed=True)
    x, context = rows(2, 6, 16), layer.remembered(rows(2, 4, 16, seed=1))
    at_once, _ = layer(x, context=context, causal=True)
    memory, parts = None, []
    for k in range(6):
        one, memory = layer(x[:, k : k + 1], context=context, causal=True, before=memory)
        parts.append(one)
    assert_close(torch.cat(parts, 1), at_once, rtol=0, atol=1e-12)


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(InvalidInputError, match="multiple of heads"):
        Attention(10, 4)
