"""Networks for sequences: gated convolutions, and state-space layers."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.timeseries.nets.gated_convolution import GatedConvolution
from interpolants.apps.timeseries.nets.state_space import DiagonalStateSpace, StateSpaceNet, long_convolution
from interpolants.foundations.errors import InvalidInputError
from interpolants.nets import build_net

F64 = torch.float64
NETS = {"gated_convolution": {"width": 8, "blocks": 3}, "state_space": {"width": 6, "blocks": 2, "states": 4}}
each_net = pytest.mark.parametrize("name", NETS)


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def make(name, shape=(2, 12), **settings):
    """A small network in which nothing is left at its zero start."""
    net = build_net(name, shape, **NETS[name], **settings).to(F64)
    for k, parameter in enumerate(net.parameters()):
        if not parameter.any():
            parameter.data = rand(*parameter.shape, seed=k) / 3
    return net


@each_net
@pytest.mark.parametrize("form", [{}, {"heads": 2}, {"n_classes": 4}, {"cond_dim": 3}])
def test_a_batch_gives_what_its_rows_give_whether_they_share_the_time_or_not(name, form):
    net, x = make(name, **form), rand(5, 2, 12)
    conds = {"n_classes": torch.arange(5) % 5 - 1, "cond_dim": rand(5, 3)}
    cond = next((conds[key] for key in form if key in conds), None)
    t = torch.full((5,), 0.3, dtype=F64)
    rows = [net(x[i : i + 1], t[i : i + 1], None if cond is None else cond[i : i + 1]) for i in range(5)]
    assert_close(net(x, t, cond), torch.cat(rows), rtol=1e-11, atol=1e-12)
    assert_close(net(x, t[0], cond), net(x, t, cond), rtol=1e-11, atol=1e-12)
    assert net(x, t, cond).shape == ((5, 2, 2, 12) if "heads" in form else (5, 2, 12))


@each_net
def test_it_starts_at_zero_and_is_made_again_from_its_settings(name):
    net = build_net(name, (2, 12), **NETS[name], seed=3)
    again = build_net(**net.settings)
    assert not net(torch.ones(1, 2, 12), 0.5).any()
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))


@each_net
def test_the_time_and_every_weight_matter(name):
    net = make(name)
    assert (net(rand(1, 2, 12), 0.1) - net(rand(1, 2, 12), 0.9)).abs().max() > 1e-3
    net(rand(3, 2, 12), torch.tensor([0.2, 0.5, 0.9], dtype=F64)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for n, p in net.named_parameters())


@pytest.mark.parametrize(("blocks", "cycle", "reach"), [(1, 7, 1), (3, 7, 7), (4, 2, 6)])
def test_an_impulse_reaches_as_far_as_the_dilations_say(blocks, cycle, reach):
    net = GatedConvolution((1, 41), width=4, blocks=blocks, cycle=cycle).to(F64)
    for k, parameter in enumerate(net.parameters()):
        parameter.data = rand(*parameter.shape, seed=k)
    x = torch.zeros(1, 1, 41, dtype=F64)
    moved = x.clone()
    moved[0, 0, 20] = 1.0
    changed = (net(moved, 0.5) - net(x, 0.5)).abs()[0, 0] > 1e-12
    assert changed.nonzero().flatten().tolist() == [*range(20 - reach, 20 + reach + 1)]


def test_with_periodic_padding_shifts_commute():
    net, x = make("gated_convolution", padding="circular"), rand(2, 2, 12)
    assert_close(net(x.roll(5, -1), 0.4), net(x, 0.4).roll(5, -1), rtol=1e-11, atol=1e-12)
    plain = make("gated_convolution")
    assert (plain(x.roll(5, -1), 0.4) - plain(x, 0.4).roll(5, -1)).abs().max() > 1e-3


def test_one_block_by_hand():
    net, x = make("gated_convolution"), rand(1, 2, 12)
    block = net.blocks[1]
    h, e = rand(1, 8, 12, seed=4), rand(1, 16, seed=5)
    inner = h + (e @ block.told.weight.T + block.told.bias)[..., None]
    padded = torch.nn.functional.pad(inner, (2, 2))
    taps = torch.stack([padded[..., k : k + 12] for k in (0, 2, 4)], -1)
    mixed = torch.einsum("bilk,oik->bol", taps, block.mixing.weight) + block.mixing.bias[:, None]
    gated = mixed[:, :8].tanh() * mixed[:, 8:].sigmoid()
    out = torch.einsum("bil,oi->bol", gated, block.outward.weight[..., 0]) + block.outward.bias[:, None]
    onward, skip = block(h, e)
    assert_close(onward, (h + out[:, :8]) / 2**0.5)
    assert_close(skip, out[:, 8:])
    assert net(x, 0.5).shape == x.shape


@each_net
def test_blocks_are_told_time_and_label_and_their_shares_are_added_up(name):
    net, x = make(name, n_classes=3, time_features=4), rand(3, 2, 12)
    t, label = torch.tensor([0.1, 0.5, 0.8], dtype=F64), torch.tensor([2, 0, -1])
    told = torch.nn.functional.silu(net.first(net.time(t)) + net.condition.table.weight[label + 1])
    h, total = torch.nn.functional.silu(net.input(x)), 0
    for block in net.blocks:
        h, share = block(h, told)
        total = total + share / len(net.blocks) ** 0.5
    assert_close(net(x, t, label), net.output(torch.nn.functional.silu(net.last(total))))


def test_steps_begin_within_their_range_and_waves_at_multiples_of_pi():
    layer = DiagonalStateSpace(4000, 6, 0.01, 0.5).requires_grad_(False)
    layer.draw_weights(torch.Generator().manual_seed(0))
    steps = layer.log_step.exp()
    assert 0.01 <= float(steps.min()) < 0.0101 < 0.49 < float(steps.max()) <= 0.5
    assert abs(float((steps < 0.0707).double().mean()) - 0.5) < 0.04  # the geometric mean; 5 standard errors
    assert_close(layer.wave[7], torch.pi * torch.arange(3.0))
    # An output is complex normal of variance one, with equal parts.
    assert_close(layer.out.square().mean((0, 1)), torch.tensor([0.5, 0.5]), rtol=0, atol=0.04)


def test_the_long_convolution_is_the_direct_sum():
    x, kernel = rand(2, 3, 17), rand(3, 17, seed=1)
    direct = torch.zeros_like(x)
    for place in range(17):
        for back in range(place + 1):
            direct[..., place] += kernel[:, back] * x[..., place - back]
    assert_close(long_convolution(x, kernel), direct)


def test_the_kernel_is_the_answer_of_the_states_to_an_impulse():
    """``s' = A s + x`` held constant over a step: ``s <- exp(dt A) s + (exp(dt A) - 1)/A x``, ``y = 2 Re C s``."""
    layer = DiagonalStateSpace(3, 4, 0.01, 0.5)
    with torch.no_grad():
        layer.draw_weights(torch.Generator().manual_seed(0))
    layer = layer.to(F64)
    rate = torch.complex(-layer.log_decay.exp(), layer.wave)
    step = layer.log_step.exp()[:, None] * rate
    state, found = torch.zeros_like(step), []
    for place in range(9):
        state = torch.exp(step) * state + (torch.exp(step) - 1) / rate * (1.0 if place == 0 else 0.0)
        found.append(2 * (torch.view_as_complex(layer.out) * state).sum(1).real)
    assert_close(layer.kernel(9), torch.stack(found, 1))


def test_the_state_space_net_sees_both_ways():
    net = make("state_space", (1, 12))
    x = torch.zeros(1, 1, 12, dtype=F64)
    moved = x.clone()
    moved[0, 0, 6] = 1.0
    assert ((net(moved, 0.5) - net(x, 0.5)).abs() > 1e-9).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: GatedConvolution((1, 4, 4)), r"GatedConvolution: shape must be \(C, L\)"),
        (lambda: GatedConvolution((1, 8), padding="mirror"), "padding must be one of zeros, circular"),
        (
            lambda: GatedConvolution((1, 8), padding="circular"),
            "at least as long as the largest dilation, 64",
        ),
        (lambda: GatedConvolution((1, 8), time_features=0), "time_features must be a whole number >= 2"),
        (lambda: GatedConvolution((1, 8), width=0), "width must be a whole number >= 1"),
        (lambda: StateSpaceNet((1, 8), states=3), "states must be even"),
        (lambda: StateSpaceNet((1, 8), shortest=1.0), "longest must be finite and >= 1"),
        (lambda: GatedConvolution((1, 8))(torch.zeros(1, 1, 9), 0.5), r"x must have shape \(B, 1, 8\)"),
    ],
)
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(InvalidInputError, match=words):
        call()
