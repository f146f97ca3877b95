"""The transformer over tokens: plain loops, rotary positions, what it may ignore, and that it learns."""

import json
import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.invariance import rows_are_independent
from interpolants.foundations.randomness import generator as seeded
from interpolants.nets import TokenTransformer, build_net
from interpolants.nets.transformer import _rotate, _turns
from stirred_nets import stirred

SETTINGS = {
    "shape": (6,),
    "vocabulary": 5,
    "width": 16,
    "depth": 2,
    "attention_heads": 2,
    "time_features": 4,
    "n_classes": 3,
    "cond_dim": 2,
    "seed": 5,
}


def ids(rows, length, vocabulary=5, seed=1):
    return torch.randint(vocabulary + 1, (rows, length), generator=seeded(seed))


def by_loops(net, x):
    """The forward of one sequence without time and condition, position by position."""

    def norm(layer, h):
        centred = h - h.mean()
        return centred / (centred.square().mean() + layer.eps).sqrt() * layer.weight + layer.bias

    def linear(layer, h):
        return layer.weight @ h + layer.bias

    def turned(v, place):
        half = len(v) // 2
        out = v.clone()
        for j in range(half):
            angle = place / 10_000 ** (2 * j / len(v))
            out[j] = v[j] * math.cos(angle) - v[half + j] * math.sin(angle)
            out[half + j] = v[j] * math.sin(angle) + v[half + j] * math.cos(angle)
        return out

    h = [net.tokens.weight[token] for token in x]
    for block in net.blocks:
        asked = [
            linear(block.ask, norm(block.norm_mix, one)).reshape(3, block.heads, block.channels) for one in h
        ]
        mixed = []
        for i in range(len(h)):
            heads = []
            for head in range(block.heads):
                q = turned(asked[i][0, head], i)
                scores = [
                    float(q @ turned(asked[j][1, head], j)) / math.sqrt(block.channels) for j in range(len(h))
                ]
                weights = torch.tensor(scores, dtype=q.dtype).softmax(0)
                heads.append(sum(w * asked[j][2, head] for j, w in enumerate(weights)))
            mixed.append(linear(block.mix, torch.cat(heads)))
        h = [one + extra for one, extra in zip(h, mixed, strict=True)]
        h = [
            one
            + linear(block.narrow, torch.nn.functional.gelu(linear(block.wide, norm(block.norm_wide, one))))
            for one in h
        ]
    return torch.stack([linear(net.output, norm(net.norm, one)) for one in h])


def test_the_forward_is_what_plain_loops_give():
    net = stirred(TokenTransformer(4, vocabulary=5, width=8, depth=2, attention_heads=2)).double()
    x = ids(3, 4)
    with torch.no_grad():
        assert_close(net(x, 0.5), torch.stack([by_loops(net, row) for row in x]))


def test_scores_depend_on_distances_only():
    q, k = torch.randn(2, 1, 1, 1, 8, generator=seeded(2), dtype=torch.float64).expand(2, 1, 1, 30, 8)
    turn = _turns(30, 8, q)
    scores = (_rotate(q, turn) @ _rotate(k, turn).mT)[0, 0]
    for offset in (-7, 0, 3):
        line = scores.diagonal(offset)
        assert_close(line, line[:1].expand_as(line))
    assert float(scores.diagonal(3)[0]) != pytest.approx(float(scores.diagonal(0)[0]))


def test_every_position_sees_all_others():
    net = stirred(TokenTransformer(6, vocabulary=5, width=16, depth=1, attention_heads=2))
    x = ids(1, 6)
    other = x.clone()
    other[0, 5] = (x[0, 5] + 1) % 5
    assert ((net(x, 0.0) - net(other, 0.0)).abs().amax(-1) > 1e-6).all()


def test_it_starts_with_an_even_guess_and_takes_other_lengths():
    net = TokenTransformer(6, vocabulary=5, width=16, depth=2, attention_heads=2)
    assert_close(net(ids(2, 9), 0.3).softmax(-1), torch.full((2, 9, 5), 0.2))


def test_without_time_features_the_time_is_ignored_and_with_them_it_counts():
    x = ids(3, 6)
    plain = stirred(TokenTransformer(6, vocabulary=5, width=16, attention_heads=2))
    timed = stirred(TokenTransformer(6, vocabulary=5, width=16, attention_heads=2, time_features=4))
    assert not plain.uses_time
    assert timed.uses_time
    assert torch.equal(plain(x, 0.1), plain(x, torch.rand(3)))
    assert not torch.allclose(timed(x, 0.1), timed(x, 0.9))
    rows = torch.tensor([0.1, 0.5, 0.9])
    assert_close(timed(x, rows)[1], timed(x, 0.5)[1])


def test_conditions_count_row_by_row_and_may_be_absent():
    net = stirred(TokenTransformer(**SETTINGS))
    x, label = ids(3, 6), torch.tensor([0, 2, -1])
    out = net(x, 0.5, {"label": label, "vector": None})
    assert_close(out[2], net(x, 0.5)[2])
    assert not torch.allclose(out[0], net(x, 0.5)[0])
    assert_close(net(x[1:2], 0.5, {"label": label[1:2]}), out[1:2])


@pytest.mark.parametrize("known", [{"n_classes": 3}, {"cond_dim": 3}])
def test_conditions_count_where_the_time_does_not(known):
    net = stirred(TokenTransformer(6, vocabulary=5, width=16, attention_heads=2, **known))
    x, cond = ids(3, 6), torch.tensor([0, 2, -1]) if "n_classes" in known else torch.eye(3)
    out = net(x, 0.5, cond)
    assert torch.equal(out, net(x, 0.9, cond))
    for k in range(3):
        assert_close(out[k : k + 1], net(x[k : k + 1], 0.5, cond[k : k + 1]))
    assert not torch.allclose(out[0], net(x, 0.5)[0])


def test_settings_survive_a_file_and_rebuild_the_network():
    net = TokenTransformer(**SETTINGS)
    again = build_net(**json.loads(json.dumps(net.settings)))
    assert again.settings == net.settings
    state = again.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_rows_do_not_feel_their_batch():
    net = stirred(TokenTransformer(16, vocabulary=5, width=32, attention_heads=4))
    with torch.no_grad():
        assert rows_are_independent(net, lambda x: net(x, 0.5), ids(1, 16), 128)


def test_half_precision_follows_the_weights():
    net = TokenTransformer(6, vocabulary=5, width=16, attention_heads=2, time_features=4).bfloat16()
    assert net(ids(2, 6), torch.rand(2)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocabulary": 1}, r"vocabulary must be a whole number >= 2, got 1"),
        ({"width": 15}, r"width must be an even multiple of attention_heads, got \(15, 2\)"),
        ({"shape": (2, 3)}, r"shape must be one length, got \(2, 3\)"),
        ({"time_features": 3}, r"features must be an even whole number >= 0, got 3"),
        ({"depth": 0}, r"depth must be a whole number >= 1, got 0"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(InvalidInputError, match=message):
        TokenTransformer(**{**SETTINGS, **change})


def test_bad_input_is_refused():
    net = TokenTransformer(**SETTINGS)
    with pytest.raises(
        InvalidInputError, match=r"x must be token ids \(B, L\), got torch.float32 of shape \(2, 6\)"
    ):
        net(torch.rand(2, 6), 0.5)
    with pytest.raises(InvalidInputError, match=r"t must be 0-d or have shape \(2,\), got \(3,\)"):
        net(ids(2, 6), torch.rand(3))


def test_positions_have_vectors_of_their_own_where_they_are_asked_for():
    """All masked, distances alone leave every position with one guess; shorter sequences are the first positions."""
    masked, settings = torch.full((1, 4), 5), {"vocabulary": 5, "width": 8, "depth": 2, "attention_heads": 2}
    plain, placed = (stirred(TokenTransformer(4, positions=own, **settings)) for own in (False, True))
    with torch.no_grad():
        assert_close(plain(masked, 0.5)[0], plain(masked, 0.5)[0, :1].expand(4, 5))
        assert float(placed(masked, 0.5)[0].std(0).min()) > 1e-3
        placed.places.weight[2:] += 1.0
        short = placed(masked[:, :2], 0.5)
        placed.places.weight[2:] -= 1.0
        assert_close(placed(masked[:, :2], 0.5), short)
    with pytest.raises(InvalidInputError, match="at most 4 tokens where each position"):
        placed(torch.full((1, 5), 5), 0.5)
