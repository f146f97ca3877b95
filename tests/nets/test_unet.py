import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.nets import Features, UNet, null_condition
from interpolants.nets.build import build_net
from interpolants.nets.unet import _group_norm
from stirred_nets import stirred

SHAPE = (2, 7, 5)
FORMS = [
    {},
    {"heads": 2},
    {"time_features": 0},
    {"n_classes": 4},
    {"cond_dim": 3},
    {"cond_channels": 2},
    {"n_classes": 4, "cond_dim": 3, "cond_channels": 2},
    {"attention": (), "multipliers": (1,), "blocks": 1},
    {"attention": (0, -1), "multipliers": (1, 2, 3), "blocks": 1},
]
each_form = pytest.mark.parametrize("form", FORMS, ids=str)


def rand(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def times(n, seed=1, dtype=torch.float64):
    return torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def condition(form, rows, shape=SHAPE, dtype=torch.float64):
    parts = {
        "label": torch.arange(rows) % 5 - 1 if "n_classes" in form else None,
        "vector": rand(rows, 3, seed=2, dtype=dtype) if "cond_dim" in form else None,
        "field": rand(rows, 2, *shape[1:], seed=3, dtype=dtype) if "cond_channels" in form else None,
    }
    given = {kind: part for kind, part in parts.items() if part is not None}
    for kind in given.keys() & {"vector", "field"}:
        given[kind][0] = torch.nan
    return next(iter(given.values())) if len(given) == 1 else given or None


def take(cond, rows):
    return (
        {k: v[rows] for k, v in cond.items()}
        if isinstance(cond, dict)
        else None
        if cond is None
        else cond[rows]
    )


def make(shape=SHAPE, dtype=torch.float64, **settings):
    """A small network in which nothing is left at its zero start."""
    return stirred(UNet(shape, channels=8, **settings).to(dtype))


# Values ----------------------------------------------------------------------------------------------------


def by_hand(net, x, t):
    """The forward of a network with blocks of one per level and attention nowhere, from its weights."""

    def norm(layer, h):
        groups = h.reshape(len(h), layer.num_groups, -1)
        centred = groups - groups.mean(2, keepdim=True)
        scaled = centred / (centred.square().mean(2, keepdim=True) + layer.eps).sqrt()
        return scaled.reshape(h.shape) * layer.weight[:, None, None] + layer.bias[:, None, None]

    def conv(layer, h, stride=1):
        return functional.conv2d(h, layer.weight, layer.bias, stride, padding=layer.weight.shape[-1] // 2)

    def block(layer, h):
        scale, shift = layer.film(told)[:, :, None, None].chunk(2, 1)
        inner = conv(layer.first, functional.silu(norm(layer.norm, h)))
        inner = functional.silu(norm(layer.second_norm, inner) * (1 + scale) + shift)
        beside = h if isinstance(layer.skip, torch.nn.Identity) else conv(layer.skip, h)
        return beside + conv(layer.last, inner)

    told = functional.silu(net.embedding.input(net.embedding.time(t)))
    told = functional.silu(net.embedding.output(told))
    first = block(net.encoder.levels[0][0], conv(net.encoder.input, x))
    second = block(net.encoder.levels[1][0], conv(net.encoder.downs[0], first, stride=2))
    h = block(net.encoder.middle[1], block(net.encoder.middle[0], second))
    h = block(net.decoder.levels[0][0], torch.cat([h, second], 1))
    h = h.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., : x.shape[2], : x.shape[3]]
    h = block(net.decoder.levels[1][0], torch.cat([conv(net.decoder.ups[0], h), first], 1))
    return conv(net.decoder.output, functional.silu(norm(net.decoder.norm, h)))


def test_the_forward_is_the_formula_on_the_bare_weights():
    net = make(multipliers=(1, 2), blocks=1, attention=())
    x, t = rand(3, *SHAPE), times(3)
    with torch.no_grad():
        assert_close(net(x, t), by_hand(net, x, t))


@each_form
def test_one_time_for_all_gives_what_a_time_per_row_gives(form):
    net = make(**form)
    x, cond = rand(6, *SHAPE), condition(form, 6)
    t = torch.tensor(0.3, dtype=torch.float64)
    assert_close(net(x, t, cond), net(x, t.expand(6), cond), rtol=1e-11, atol=1e-12)


@each_form
def test_a_batch_gives_what_its_rows_give(form):
    net = make(**form)
    x, t, cond = rand(6, *SHAPE), times(6), condition(form, 6)
    rows = [net(x[i : i + 1], t[i : i + 1], take(cond, slice(i, i + 1))) for i in range(6)]
    assert_close(net(x, t, cond), torch.cat(rows), rtol=1e-11, atol=1e-12)


@each_form
def test_encode_then_decode_is_the_forward_to_the_bit(form):
    net = make(**form)
    x, t, cond = rand(4, *SHAPE), times(4), condition(form, 4)
    features = net.encode(x, t, cond)
    assert isinstance(features, Features)
    assert torch.equal(net.decode(features, t, cond), net(x, t, cond))


def test_the_decoder_sees_its_own_time_and_label_and_several_times_in_one_batch():
    net = make(n_classes=4)
    x, t, label = rand(3, *SHAPE), times(3), torch.tensor([0, 1, -1])
    features = net.encode(x, t, label)
    later = [net.decode(features, time, label) for time in (0.5, 0.7)]
    assert (later[0] - later[1]).abs().max() > 1e-3
    assert (net.decode(features, 0.5, label + 1) - later[0]).abs().max() > 1e-4
    twice = Features(
        tuple(torch.cat([skip, skip]) for skip in features.skips), torch.cat([features.bottom] * 2)
    )
    both = net.decode(
        twice, torch.tensor([0.5] * 3 + [0.7] * 3, dtype=torch.float64), torch.cat([label, label])
    )
    assert_close(both, torch.cat(later), rtol=1e-11, atol=1e-12)


def test_features_halve_each_level_rounded_up():
    features = make((1, 28, 13), multipliers=(1, 2, 3), blocks=2).encode(rand(1, 1, 28, 13), 0.5)
    sizes = [tuple(skip.shape[1:]) for skip in features.skips]
    assert sizes == [(8, 28, 13)] * 2 + [(16, 14, 7)] * 2 + [(24, 7, 4)] * 2
    assert features.bottom.shape[1:] == (24, 7, 4)


def test_groups_are_as_many_as_divide_the_channels_up_to_32_of_4_each():
    for channels in range(1, 300):
        allowed = [n for n in range(1, 33) if channels % n == 0 and (n == 1 or channels // n >= 4)]
        assert _group_norm(channels).num_groups == max(allowed), channels


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 5), (7, 9), (8, 8), (28, 28)])
def test_any_size(size):
    net = make((1, *size), multipliers=(1, 1, 2), blocks=1)
    x = rand(2, 1, *size)
    found = net(x, 0.5)
    assert found.shape == x.shape
    # Every pixel is reached by every pixel: attention at the bottom, and no border is cut off.
    for corner in ((0, 0), (size[0] - 1, size[1] - 1)):
        moved = x.clone()
        moved[0, 0, corner[0], corner[1]] += 1
        change = (net(moved, 0.5) - found).abs()
        assert change[0].min() > 0
        assert not change[1].any()


def test_attention_mixes_pixels_and_its_absence_does_not():
    x = rand(1, 1, 32, 32)
    moved = x.clone()
    moved[..., 0, 0] += 1
    for attention, reaches in (((-1,), True), ((), False)):
        net = make((1, 32, 32), attention=attention, multipliers=(1,), blocks=1)
        for module in net.modules():
            if isinstance(module, torch.nn.GroupNorm):
                module.forward = lambda h: h  # it too mixes pixels, through its mean
        far = (net(moved, 0.5) - net(x, 0.5))[..., -1, -1].abs().item()
        assert (far > 0) == reaches


def test_attention_is_softmax_of_the_products():
    net = make((1, 3, 3), multipliers=(8,), blocks=1)  # 64 channels
    attention = net.encoder.middle[0].attention
    assert attention.heads == 2
    x = rand(2, 64, 3, 3)
    q, k, v = attention.qkv(attention.norm(x)).flatten(2).chunk(3, 1)
    out = []
    for head in (slice(0, 32), slice(32, 64)):
        weights = torch.softmax(q[:, head].transpose(1, 2) @ k[:, head] / 32**0.5, -1)
        out.append((weights @ v[:, head].transpose(1, 2)).transpose(1, 2))
    expected = x + functional.conv2d(
        torch.cat(out, 1).reshape(x.shape), attention.last.weight, attention.last.bias
    )
    assert_close(attention(x), expected)


def test_heads_are_channels_of_one_last_layer():
    net, single = make(heads=2), make()
    state = {k: v[2:] if k.startswith("decoder.output") else v for k, v in net.state_dict().items()}
    single.load_state_dict(state)
    x, t = rand(3, *SHAPE), times(3)
    assert net(x, t).shape == (3, 2, *SHAPE)
    assert_close(net(x, t)[:, 1], single(x, t))


def test_the_time_matters_unless_it_has_no_features():
    x = rand(2, *SHAPE)
    assert (make()(x, 0.1) - make()(x, 0.2)).abs().max() > 1e-3
    assert torch.equal(make(time_features=0)(x, 0.1), make(time_features=0)(x, 0.2))


@pytest.mark.parametrize("form", FORMS[3:7], ids=str)
def test_no_condition_is_the_null_of_every_row_and_differs_from_a_condition(form):
    net = make(**form)
    x, t, cond = rand(5, *SHAPE), times(5), condition(form, 5)
    null = net(x, t)
    assert_close(net(x, t, null_condition(cond)), null, rtol=1e-11, atol=1e-12)
    found = net(x, t, cond)
    assert_close(found[0], null[0], rtol=1e-11, atol=1e-12)
    assert (found[1:] - null[1:]).abs().amax((1, 2, 3)).min() > 1e-4


@pytest.mark.cases(2)
@each_form
def test_derivatives_agree_with_differences(form):
    net = make(**form)
    cond = condition(form, 1)
    x, t, v = rand(1, *SHAPE), times(1), rand(1, *SHAPE, seed=4)
    step = 1e-3
    _, slope = torch.func.jvp(lambda x, t: net(x, t, cond), (x, t), (v, torch.ones_like(t)))

    def difference(step):
        return (net(x + step * v, t + step, cond) - net(x - step * v, t - step, cond)) / (2 * step)

    # Order step^4 after extrapolation: the fastest feature turns by 2 pi 16 step = 0.1, so about 1e-6.
    assert_close((4 * difference(step / 2) - difference(step)) / 3, slope, rtol=1e-5, atol=1e-5)
    several = torch.func.vmap(lambda v: torch.func.jvp(lambda x: net(x, t, cond), (x,), (v,))[1])
    _, back = torch.func.vjp(lambda x: net(x, t, cond), x)
    _, forth = torch.func.jvp(lambda x: net(x, t, cond), (x,), (v,))
    assert_close(several(torch.stack([v, 2 * v])), torch.stack([forth, 2 * forth]))
    out = rand(*forth.shape, seed=6)
    assert_close((back(out)[0] * v).sum(), (out * forth).sum())


# Weights and types -----------------------------------------------------------------------------------------


def test_a_seed_means_the_same_weights_and_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    first, second, other = (UNet((1, 8, 8), channels=8, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    for a, b, c in zip(first.parameters(), second.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.isfinite().all()
        assert a.ndim == 1 or not a.any() or not torch.equal(a, c)


def test_it_starts_at_zero_and_every_weight_learns_soon():
    net = UNet(SHAPE, channels=8, n_classes=3, cond_dim=3, cond_channels=2)
    form = {"n_classes": 3, "cond_dim": 3, "cond_channels": 2}
    x, cond = rand(4, *SHAPE, dtype=torch.float32), condition(form, 4, dtype=torch.float32)
    assert not net(x, 0.5, cond).any()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    start = {name: p.detach().clone() for name, p in net.named_parameters()}
    for _ in range(4):
        optimizer.zero_grad()
        (net(x, times(4, dtype=torch.float32), cond) - x).square().mean().backward()
        optimizer.step()
    assert [name for name, p in net.named_parameters() if torch.equal(p, start[name])] == []


@pytest.mark.cases(2)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.15)])
@each_form
def test_types_are_kept_and_agree_with_float64(form, dtype, tolerance):
    x, t, cond = rand(3, *SHAPE), times(3, dtype=torch.float32), condition(form, 3)
    expected = make(**form)(x, t, cond)
    net, low = make(**form).to(dtype), condition(form, 3, dtype=dtype)
    found = net(x.to(dtype), t, low)
    assert found.dtype == dtype
    error = (found.double() - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert error < tolerance


def test_channels_last_and_autocast_change_the_layout_and_not_the_values():
    form = {"n_classes": 4, "cond_channels": 2}
    net = make(dtype=torch.float32, **form)
    x, cond = rand(3, *SHAPE, dtype=torch.float32), condition(form, 3, dtype=torch.float32)
    expected = net(x, 0.5, cond)
    with torch.autocast("cpu", torch.bfloat16):
        assert_close(net(x, 0.5, cond).float(), expected, rtol=0.1, atol=0.15)
    assert_close(net.to(memory_format=torch.channels_last)(x, 0.5, cond), expected, rtol=1e-4, atol=1e-5)


def test_dropout_drops_in_training_only():
    net = make(dropout=0.5)
    x = rand(2, *SHAPE)
    assert not torch.equal(net(x, 0.5), net(x, 0.5))
    net.eval()
    assert torch.equal(net(x, 0.5), net(x, 0.5))
    assert torch.equal(net(x, 0.5), make()(x, 0.5))


# Refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"shape": 64}, r"shape must be \(C, H, W\), got \(64,\)"),
        ({"shape": (8, 8)}, r"shape must be \(C, H, W\)"),
        ({"channels": 0}, "channels must be a whole number >= 1, got 0"),
        ({"multipliers": ()}, "multipliers must name at least one level"),
        ({"multipliers": (1, 0.5)}, "every multiplier must be a whole number >= 1, got 0.5"),
        ({"blocks": 0}, "blocks must be"),
        ({"attention": (2,)}, r"attention must be .* levels in -2 \.\.\. 1, got \(2,\)"),
        ({"attention": 1}, "attention must be a sequence"),
        ({"cond_channels": -1}, "cond_channels must be"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        ({"time_features": 3}, "features must be an even"),
    ],
)
def test_a_bad_setting_is_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        UNet(**({"shape": (1, 8, 8)} | bad))


def test_arguments_that_do_not_fit_are_refused():
    net = make(dtype=torch.float32, cond_channels=2)
    x = torch.zeros(3, *SHAPE)
    with pytest.raises(ValueError, match=r"UNet: x must have shape \(B, 2, 7, 5\), got \(3, 2, 5, 7\)"):
        net(x.transpose(2, 3), 0.5)
    with pytest.raises(ValueError, match="UNet: t must be 0-d"):
        net(x, torch.zeros(2))
    with pytest.raises(ValueError, match=r"UNet: cond field must have shape \(3, 2, 7, 5\)"):
        net(x, 0.5, torch.zeros(3, 2, 7, 6))
    with pytest.raises(ValueError, match="UNet: t must be 0-d"):
        net.decode(net.encode(x, 0.5), torch.zeros(2))


# Learning and compiling ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_learns_a_known_field():
    # y = (1 - 2 t) times the image shifted by one pixel; no map without t explains any of it. Seed 0.
    generator = torch.Generator().manual_seed(0)
    net = UNet((1, 4, 4), channels=16, multipliers=(1,), blocks=1, attention=())
    optimizer = torch.optim.Adam(net.parameters(), 8e-3)

    def batch(n):
        x, t = torch.randn(n, 1, 4, 4, generator=generator), torch.rand(n, generator=generator)
        return x, t, (1 - 2 * t)[:, None, None, None] * x.roll(1, -1)

    for _ in range(150):
        x, t, y = batch(32)
        optimizer.zero_grad()
        (net(x, t) - y).square().mean().backward()
        optimizer.step()
    x, t, y = batch(500)
    with torch.no_grad():
        assert (net(x, t) - y).square().mean() / y.var() < 0.15


@pytest.mark.slow  # two and a half minutes on a busy core
# The compiler itself uses what torch deprecates.
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("form", [FORMS[0], FORMS[6], FORMS[8]], ids=str)
def test_compiled_whole_it_gives_the_same(form):
    torch.compiler.reset()
    net = make(dtype=torch.float32, **form)
    compiled = torch.compile(net, fullgraph=True)
    x, t = rand(3, *SHAPE, dtype=torch.float32), times(3, dtype=torch.float32)
    cond = condition(form, 3, dtype=torch.float32)
    for time in (t, t[0]):
        with torch.no_grad():
            assert_close(compiled(x, time, cond), net(x, time, cond), rtol=1e-3, atol=1e-4)


def test_it_is_the_same_network_for_images_of_another_size(generator):
    """The weights are shared, and the answer is that of a network that was made for the size."""
    small = UNet((2, 8, 8), channels=4, multipliers=(1, 2), blocks=1, attention=(), cond_channels=1, seed=3)
    wide = stirred(small).on_grid(8, 21)
    made = build_net(**wide.settings)
    made.load_state_dict(small.state_dict())
    x, field = torch.randn(2, 2, 8, 21, generator=generator), torch.randn(2, 1, 8, 21, generator=generator)
    assert torch.equal(wide(x, 0.3, field), made(x, 0.3, field))
    assert wide.shape == (2, 8, 21)
    assert small.shape == (2, 8, 8)
    assert next(wide.parameters()) is next(small.parameters())
    with pytest.raises(InvalidInputError, match="width must be a whole number >= 1"):
        small.on_grid(8, 0)
