"""Laws of every network with a card: the time that it embeds, times and rows, its settings, where it starts."""

import json

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.registry import names
from interpolants.nets import FourierTime, build_net
from stirred_nets import stirred

F64 = torch.float64
# Shape and settings of a small network that reads the time; a new card that needs no settings needs no line here.
SMALL = {
    "mlp": ((3,), {"width": 8}),
    "mlp_unet": ((3,), {"widths": (8, 6)}),
    "unet": ((1, 4, 4), {"channels": 8, "blocks": 1}),
    "image_transformer": ((1, 4, 4), {"width": 8, "depth": 2, "attention_heads": 2}),
    "token_transformer": (
        (4,),
        {"vocabulary": 5, "width": 8, "depth": 1, "attention_heads": 2, "time_features": 4},
    ),
    "gated_convolution": ((2, 6), {"width": 4, "blocks": 2}),
    "state_space": ((2, 6), {"width": 4, "blocks": 1, "states": 4}),
    "grid_convolution": ((2, 6), {"width": 4, "blocks": 2}),
    "label_net": ((3,), {"n_classes": 3, "net": {"kind": "mlp", "width": 8}}),
    "potential": ((3,), {"net": {"kind": "mlp", "width": 8}}),
}
each_net = pytest.mark.parametrize("name", names("net"))


def made(name):
    shape, settings = SMALL.get(name, ((3,), {}))
    return build_net(name, shape, **settings)


def awake(name):
    """A network in which nothing is left at its zero start."""
    return stirred(made(name).double().eval())


def states(net, rows):
    source = torch.Generator().manual_seed(0)
    if hasattr(net, "vocabulary"):
        return torch.randint(net.vocabulary, (rows, *net.shape), generator=source)
    return torch.randn(rows, *net.shape, generator=source, dtype=F64)


@each_net
def test_the_time_that_is_embedded_is_the_one_asked_for(name):
    net, seen = awake(name), []
    for module in net.modules():
        if isinstance(module, FourierTime):
            module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    rows = torch.tensor([0.1, 0.35, 0.9], dtype=F64)
    for t in (rows, rows[1], 0.35):
        seen.clear()
        net(states(net, 3), t)
        assert seen
        for found in seen:
            assert_close(found.double(), torch.as_tensor(t, dtype=F64), rtol=1e-6, atol=0)


@each_net
def test_each_row_is_answered_at_its_own_time(name):
    net, t = awake(name), torch.tensor([0.1, 0.35, 0.9], dtype=F64)
    x = states(net, 3)
    found = net(x, t).detach()
    alone = torch.cat([net(x[k : k + 1], t[k]).detach() for k in range(3)])
    assert_close(found, alone, rtol=1e-9, atol=1e-11)
    assert not torch.allclose(found, net(x, t.flip(0)).detach(), atol=1e-3)


@each_net
def test_settings_survive_a_file_and_make_the_same_weights(name):
    net = made(name)
    again = build_net(**json.loads(json.dumps(net.settings)))
    assert again.settings == net.settings
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
