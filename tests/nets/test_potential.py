"""Gradients of scalar networks: slopes of the scalar, symmetric Jacobians, and no kinks."""

import json

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.foundations.derivatives import exact_divergence, jacobian
from interpolants.foundations.errors import InvalidInputError
from interpolants.nets import MLP, Potential, build_net, choose_net
from stirred_nets import stirred

F64 = torch.float64
SMALL = {"kind": "mlp", "width": 16, "depth": 2}


def awake(net, seed=3):
    """A network in double precision in which nothing is left at its zero start."""
    return stirred(net.double(), seed=seed)


def states(n, *shape, seed=0):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


@pytest.mark.parametrize("each", [False, True])
def test_the_field_is_the_slope_of_its_potential(each):
    net, x = awake(Potential(2, net=SMALL)), states(8, 2)
    t = torch.linspace(0.1, 0.9, 8, dtype=F64) if each else torch.tensor(0.4, dtype=F64)
    step = 1e-6
    for axis in range(2):
        shift = step * torch.eye(2, dtype=F64)[axis]
        slope = (net.potential(x + shift, t) - net.potential(x - shift, t)) / (2 * step)
        assert_close(net(x, t).detach()[:, axis], slope.detach(), atol=1e-7, rtol=1e-6)
    with torch.no_grad():
        assert_close(net(x, t), net(x.clone().requires_grad_(True), t).detach())


def test_the_jacobian_is_symmetric_on_any_event_shape():
    net, x, t = awake(Potential((2, 3), net=SMALL)), states(4, 2, 3), torch.tensor(0.3, dtype=F64)
    _, found = jacobian(lambda y: net(y, t), x)
    assert_close(found, found.mT)
    assert float(found.detach()[:, 0, 1].abs().max()) > 1e-2
    plain = awake(MLP((2, 3), width=16, depth=2))
    _, other = jacobian(lambda y: plain(y, t), x)
    assert float((other - other.mT).detach().abs().max()) > 1e-2


def test_a_potential_of_known_heads():
    """f = A x and g = c t: phi = x.A x + 3 c t, so the field is (A + A^T) x and its divergence 2 tr A."""
    a = states(3, 3, seed=5)

    class Heads(nn.Module):
        def forward(self, x, t, cond=None):
            return torch.stack([x @ a.T, 0.5 * t[:, None] * torch.ones_like(x)], 1)

    net, x, t = Potential(3, net=Heads()), states(6, 3), torch.tensor(0.7, dtype=F64)
    assert_close(net.potential(x, t), torch.einsum("bi,ij,bj->b", x, a, x) + 1.5 * t)
    for mode in ("reverse", "forward"):
        value, divergence = exact_divergence(lambda y: net(y, t), x, mode=mode)
        assert_close(value, x @ (a + a.T))
        assert_close(divergence, 2 * a.trace().expand(6))
    assert not hasattr(net, "settings")


@pytest.mark.parametrize(("cond", "settings"), [("labels", {"n_classes": 3}), ("vectors", {"cond_dim": 2})])
def test_conditions_go_to_the_network_inside(cond, settings):
    given = torch.tensor([0, 2, 1, 0]) if cond == "labels" else states(4, 2, seed=4).float()
    chosen = choose_net({"kind": "potential", "net": SMALL}, (2,), 1, given)
    net = awake(chosen)
    x, t = states(4, 2), torch.tensor(0.3, dtype=F64)
    given = given if cond == "labels" else given.double()
    assert float((net(x, t, given) - net(x, t)).detach().abs().max()) > 1e-3
    assert {key: net.settings[key] for key in settings} == settings


def test_settings_survive_a_file_and_rebuild_the_network():
    net = Potential((1, 8, 8), net={"kind": "unet", "channels": 8, "blocks": 1}, cond_channels=1, seed=5)
    again = build_net(**json.loads(json.dumps(net.settings)))
    state = again.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert again(x, 0.5).shape == x.shape


@pytest.mark.parametrize(
    "net", [{"kind": "mlp", "activation": "relu"}, nn.Sequential(nn.Linear(2, 4), nn.LeakyReLU())]
)
def test_kinks_are_refused(net):
    with pytest.raises(InvalidInputError, match=r"activations must be smooth.*Use 'silu'"):
        Potential(2, net=net)


def test_several_heads_are_refused():
    with pytest.raises(InvalidInputError, match="heads must be 1: a potential has one gradient, got 2"):
        choose_net("potential", (2,), 2)
