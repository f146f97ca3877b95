"""A network made by ``torch.compile`` is a network everywhere: fit, sample, log p, derivatives, save and load.

The graphs are captured and run by PyTorch's "eager" and "aot_eager" backends: code for them would take minutes.
"""

import functools

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

import interpolants
from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.foundations.derivatives import exact_divergence, jacobian
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import generator
from interpolants.likelihood import log_prob
from interpolants.methods import Bridge
from interpolants.nets import MLP, UNet
from interpolants.objectives import JointLoss, VelocityLoss
from interpolants.paths import OneSidedLinear
from interpolants.training.engine import fit
from interpolants.training.settings import TrainSettings


class Own(nn.Module):
    """A user's network."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 16), nn.SiLU(), nn.Linear(16, 2))

    def forward(self, x, t, cond=None):
        return self.layers(torch.cat([x, t[:, None]], 1))


NETS = {"own": Own, "mlp": lambda: MLP(2, width=16, depth=2)}


@pytest.fixture(autouse=True)
def fresh():
    """No graphs of other tests."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def pair(name):
    """A network, and the same compiled."""
    net = NETS[name]()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator(0)) * 0.3)
    return net, torch.compile(net, backend="aot_eager", fullgraph=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(
    "how", [{}, {"method": "rk4"}, {"method": "dopri5"}, {"eps": 0.5, "seed": 0}, {"reverse": True}]
)
def test_samples(name, how):
    plain, compiled = (LearnedFields(OneSidedLinear(), velocity=net) for net in pair(name))
    x = torch.randn(50, 2, generator=generator(1))
    assert torch.allclose(
        sample(plain, x, n_steps=6, **how).x, sample(compiled, x, n_steps=6, **how).x, atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(
    "how",
    [
        {"mode": "reverse"},
        {"mode": "forward"},
        {"divergence": "hutchinson"},
        {"divergence": "hutchinson", "probes": 3},
    ],
)
def test_densities(name, how):
    """One sweep goes through the compiled graph; PyTorch allows no second one, which is then taken plainly."""
    plain, compiled = (LearnedFields(OneSidedLinear(), velocity=net) for net in pair(name))
    x = torch.randn(20, 2, generator=generator(1))
    found = [
        log_prob(f, x, Gaussian((2,)), method="midpoint", n_steps=5, seed=0, **how).log_prob
        for f in (plain, compiled)
    ]
    assert torch.allclose(*found, atol=1e-4)


@pytest.mark.parametrize("gradients", [False, True])
def test_derivatives(gradients):
    x, times = torch.randn(5, 2, generator=generator(1)), torch.full((5,), 0.3)
    with torch.set_grad_enabled(gradients):
        fields = [functools.partial(lambda net, y: net(y, times), net) for net in pair("own")]
        for derivative in (exact_divergence, jacobian):
            (value, wanted), (again, found) = (derivative(field, x) for field in fields)
            assert torch.allclose(value, again, atol=1e-6)
            assert torch.allclose(wanted, found, atol=1e-6)
            if gradients:
                found.sum().backward()


def _train(net, **settings):
    x1 = torch.randn(200, 2, generator=generator(2))
    loss = JointLoss([VelocityLoss(OneSidedLinear())])

    def batches(step, source, rank, world):
        return {"x1": x1[torch.randint(200, (32,), generator=source)], "t": torch.rand(32, generator=source)}

    def losses(modules, drawn, source):
        return loss(modules, **drawn, generator=source)

    return fit(net, losses, batches, TrainSettings(steps=5, seed=0, **settings), progress=False)


@pytest.mark.parametrize("name", NETS)
def test_training(name):
    """Given compiled, the weights come out as those of the plain network do."""
    plain, compiled = pair(name)
    twin, _ = pair(name)
    _train(twin)
    _train(compiled)
    for a, b in zip(
        twin.parameters(), plain.parameters(), strict=True
    ):  # compiled holds the weights of plain
        assert torch.allclose(a, b, atol=1e-5)


def test_the_training_step_has_one_graph_whatever_the_step(monkeypatch):
    counter = CompileCounterWithBackend("aot_eager")
    monkeypatch.setattr(
        nn.Module,
        "compile",
        lambda self: setattr(
            self, "_compiled_call_impl", torch.compile(self._call_impl, backend=counter, fullgraph=True)
        ),
    )
    _train(pair("own")[0], compile=True)
    assert counter.frame_count == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (Own, (2,)),
        (lambda: MLP(2, width=8, depth=2), (2,)),
        (lambda: UNet((1, 8, 8), channels=8, blocks=1), (1, 8, 8)),
    ],
)
def test_networks_and_the_velocity_of_a_sampler_have_no_graph_breaks(make, shape):
    net = make()
    x = torch.randn(20, *shape, generator=generator(1))
    fields = LearnedFields(OneSidedLinear(), velocity=net)
    fields.velocity(x, 0.5)  # the check of a new network, once and not compiled
    t = torch.tensor(0.3)
    for function in (fields.velocity_of(None), lambda y, t: net(y, t.expand(20).clone())):
        found = torch._dynamo.explain(function)(x, t)
        assert (found.graph_count, found.graph_break_count) == (1, 0), found.break_reasons


def test_sizes_of_batches_do_not_compile_again_and_again():
    counter = CompileCounterWithBackend("eager")
    fields = LearnedFields(OneSidedLinear(), velocity=torch.compile(pair("own")[0], backend=counter))
    for rows in (64, 100, 200):
        sample(fields, torch.randn(rows, 2, generator=generator(1)), n_steps=2)
    known = counter.frame_count
    for rows in (300, 64, 1000, 77, 640):
        sample(fields, torch.randn(rows, 2, generator=generator(1)), n_steps=2)
    assert counter.frame_count == known


@pytest.mark.slow
def test_save_and_load(tmp_path, monkeypatch):
    """A bridge that was given a compiled network saves its weights under the names of the plain one."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    x1 = torch.randn(100, 2, generator=generator(3))
    bridge = Bridge(
        OneSidedLinear(), heads=("velocity",), net=torch.compile(Own()), steps=3, seed=0, batch_size=16
    )
    model = bridge.fit(x1=x1, progress=False)
    model.save(tmp_path / "model")
    start = torch.randn(10, 2, generator=generator(5))
    wanted = model.transport(start, eps=0.0)
    for net in (Own(), torch.compile(Own())):
        found = interpolants.load(tmp_path / "model", net=net).transport(start, eps=0.0)
        assert torch.allclose(wanted, found, atol=1e-5)
