"""Networks that come apart: encoder and decoder, refreshed levels, layers with a head after each."""

import json

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.nets import MLP, ImageTransformer, MLPUNet, UNet, build_net
from interpolants.nets.split import LayeredNet, RefreshingNet, SplitNet
from stirred_nets import stirred

SHAPE = (2, 6, 4)
SPLIT = {
    "unet": lambda **s: UNet(SHAPE, channels=8, multipliers=(1, 2, 2), blocks=1, **s),
    "mlp_unet": lambda **s: MLPUNet(SHAPE, widths=(24, 16, 8), **s),
    "long skips": lambda **s: ImageTransformer(
        SHAPE, width=16, depth=7, attention_heads=2, long_skips=True, **s
    ),
}
LAYERED = {
    "transformer": lambda **s: ImageTransformer(SHAPE, width=16, depth=4, attention_heads=2, **s),
    "long skips": SPLIT["long skips"],
    "mlp": lambda **s: MLP(SHAPE, width=16, depth=5, residual=True, layer_norm=True, **s),
}
each_split = pytest.mark.parametrize("make", SPLIT.values(), ids=SPLIT)
each_layered = pytest.mark.parametrize("make", LAYERED.values(), ids=LAYERED)
each_new = pytest.mark.parametrize(
    "make",
    [SPLIT["mlp_unet"], SPLIT["long skips"], LAYERED["transformer"]],
    ids=["mlp_unet", "long skips", "transformer"],
)


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whole(net):
    """A network in double precision in which nothing is left at its zero start."""
    return stirred(net.double().eval(), 1.0)


@each_split
@pytest.mark.parametrize("settings", [{}, {"heads": 2}, {"n_classes": 3}], ids=str)
def test_encode_then_decode_is_the_forward_to_the_bit(make, settings):
    net, x, t = whole(make(**settings)), rand(3, *SHAPE), torch.tensor([0.1, 0.5, 0.9]).double()
    assert isinstance(net, SplitNet)
    cond = torch.tensor([0, 2, -1]) if "n_classes" in settings else None
    for time in (t, t[0]):
        assert torch.equal(net.decode(net.encode(x, time, cond), time, cond), net(x, time, cond))


@each_split
def test_refreshed_levels_are_those_of_the_new_state_and_the_rest_stays(make):
    net, old, new = whole(make()), rand(3, *SHAPE), rand(3, *SHAPE, seed=1)
    assert isinstance(net, RefreshingNet)
    a, b = net.encode(old, torch.tensor(0.2)), net.encode(new, torch.tensor(0.3))
    for levels in range(1, net.encoder_levels):
        found = net.refresh(a, new, torch.tensor(0.3), levels=levels)
        assert torch.equal(found.bottom, a.bottom)
        fresh = levels * len(a.skips) // net.encoder_levels
        assert all(torch.equal(*pair) for pair in zip(found.skips[:fresh], b.skips[:fresh], strict=True))
        assert all(torch.equal(*pair) for pair in zip(found.skips[fresh:], a.skips[fresh:], strict=True))


@each_split
def test_several_times_are_decoded_in_one_batch(make):
    net, x = whole(make()), rand(3, *SHAPE)
    features, times = net.encode(x, torch.tensor(0.2)), torch.tensor([0.2, 0.4]).double()
    wide = type(features)(tuple(s.repeat(2, *[1] * (s.ndim - 1)) for s in features.skips),
                          features.bottom.repeat(2, *[1] * (features.bottom.ndim - 1)))  # fmt: skip
    both = net.decode(wide, times.repeat_interleave(3))
    assert_close(both, torch.cat([net.decode(features, t) for t in times]))
    assert not torch.allclose(*both.chunk(2))


@each_layered
@pytest.mark.parametrize("settings", [{}, {"heads": 2}], ids=str)
def test_layers_in_turn_are_the_forward_to_the_bit(make, settings):
    net, x = whole(make(**settings)), rand(3, *SHAPE)
    assert isinstance(net, LayeredNet)
    for t in (torch.tensor([0.1, 0.5, 0.9]).double(), torch.tensor(0.3)):
        state = net.stem(x, t)
        for index in range(net.n_layers):
            state = net.layer(index, state)
            assert net.tokens(state).shape[::2] == (3, net.width)
        assert torch.equal(net.head(state), net(x, t))
        few = net.rows(net.stem(x, t), torch.tensor([2, 0]))
        assert_close(net.tokens(few), net.tokens(net.stem(x, t))[[2, 0]])


def test_patches_go_there_and_back():
    net, x = LAYERED["transformer"](), rand(3, *SHAPE)
    assert torch.equal(net.arranged(net._patches(x)), x)
    two = LAYERED["transformer"](heads=2)
    values = torch.cat([two._patches(x), two._patches(2 * x)], -1)
    assert torch.equal(two.arranged(values), torch.stack([x, 2 * x], 1))


@each_new
def test_a_batch_gives_what_its_rows_give_and_one_time_what_a_time_per_row(make):
    net, x = whole(make(n_classes=4)), rand(4, *SHAPE)
    t, cond = torch.tensor([0.1, 0.4, 0.6, 0.9]).double(), torch.tensor([0, 3, -1, 1])
    rows = torch.cat([net(x[i : i + 1], t[i], cond[i : i + 1]) for i in range(4)])
    assert_close(net(x, t, cond), rows)
    assert not torch.allclose(net(x, t, cond), net(x, t))


@each_new
def test_settings_rebuild_it_and_a_seed_means_the_same_weights(make):
    net = make(seed=3)
    again = build_net(**json.loads(json.dumps(net.settings)))
    assert again.settings == net.settings
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
    assert not net(rand(2, *SHAPE).float(), 0.5).any()
    assert any(
        not torch.equal(a, b) for a, b in zip(net.parameters(), make(seed=4).parameters(), strict=True)
    )


@pytest.mark.slow
@each_new
def test_it_learns_a_known_field(make):
    net, source = make(), torch.Generator().manual_seed(0)
    steps = 200 if isinstance(net, MLPUNet) else 120  # it learns slower, at less a step
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / steps)
        x = torch.randn(64, *SHAPE, generator=source)
        t = torch.rand(64, generator=source)
        loss = (net(x, t) - t.reshape(-1, 1, 1, 1) * x.flip(-1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.2  # of 0.33 where nothing is learnt


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MLPUNet(4, widths=(8,)), "at least two levels"),
        (lambda: MLPUNet(4, widths=(8, 0)), "every width"),
        (lambda: ImageTransformer((6, 4)), "must be"),
        (lambda: ImageTransformer((1, 6, 4), patch=4), "patch must divide"),
        (lambda: ImageTransformer((1, 6, 4), width=10), "multiple of attention_heads"),
        (lambda: ImageTransformer((1, 6, 4), depth=1), "depth must be"),
    ],
)
def test_a_bad_setting_is_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_levels_without_long_skips_cannot_be_refreshed():
    net, x = LAYERED["transformer"](), rand(2, *SHAPE).float()
    with pytest.raises(InvalidInputError, match="long skips"):
        net.refresh(net.encode(x, 0.2), x, 0.2)


def test_a_plain_perceptron_has_no_layers():
    assert MLP(3, width=8, depth=4).n_layers == 0
