"""The classifier of noisy states: its form, and that the library's loop teaches it the posterior of a mixture."""

import json
import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.nets import MLP, LabelNet, UNet, build_net
from interpolants.paths import VP, Linear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from interpolants.training import TrainSettings, learn_labels


def test_it_is_a_network_an_activation_and_a_linear_layer():
    net = LabelNet((3,), n_classes=4, net={"kind": "mlp", "width": 16}, heads=2, seed=1)
    with torch.no_grad():
        net.net.output.weight.normal_(generator=torch.Generator().manual_seed(0))
    x, t = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)), torch.rand(5)
    inner = net.net(x, t).flatten(1)
    assert inner.shape == (5, 6)
    assert_close(net(x, t), torch.nn.functional.silu(inner) @ net.output.weight.T + net.output.bias)


@pytest.mark.parametrize(("shape", "kind"), [((2,), MLP), ((1, 8, 8), UNet)])
def test_it_starts_undecided_and_can_learn_from_there(shape, kind):
    net = LabelNet(shape, n_classes=3)
    assert isinstance(net.net, kind)
    logits = net(torch.randn(4, *shape, generator=torch.Generator().manual_seed(0)), 0.3)
    assert_close(logits.softmax(1), torch.full((4, 3), 1 / 3))
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    last = net.net.output if kind is MLP else net.net.decoder.output
    assert float(last.weight.grad.abs().max()) > 0


@pytest.mark.parametrize("size", [1, 3, 21, 64, 100])
def test_the_linear_layer_sees_64_numbers_at_least_and_no_head_more_than_that_takes(size):
    net = LabelNet((size,), n_classes=3)
    seen = net.output.in_features
    assert seen == net.net.heads * size
    assert seen >= 64
    assert net.net.heads == 1 or seen - size < 64


def test_settings_survive_a_file_and_rebuild_the_network():
    net = LabelNet((2,), n_classes=3, net={"kind": "mlp", "width": 8}, heads=5, seed=2)
    again = build_net(**json.loads(json.dumps(net.settings)))
    assert isinstance(again, LabelNet)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("default", [torch.float32, torch.float64])
def test_the_type_of_the_samples_is_kept_whatever_torchs_default_is(dtype, default):
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0)).to(dtype)
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        settings = TrainSettings(steps=2, batch_size=8)
        learnt = learn_labels(VP(), x, torch.arange(20) % 3, settings=settings)
        assert learnt.net(x, 0.5).dtype == dtype
    finally:
        torch.set_default_dtype(before)


def test_a_training_begins_with_the_entropy_of_its_classes(generator):
    """The fresh network is undecided: each row costs log 4, where a highest label of 3 makes four classes."""
    labels, settings = torch.tensor([0, 3, 1, 3, 0, 0]), TrainSettings(steps=1, batch_size=6, log_every=1)
    learnt = learn_labels(VP(), torch.randn(6, 2, generator=generator), labels, settings=settings)
    assert learnt.result.history[0]["label"] == pytest.approx(math.log(4), rel=1e-6)


@pytest.mark.slow  # about 10 s
def test_training_finds_the_posterior_of_the_modes():
    """Three modes in the plane; the Bayes posterior of noisy states is known. Seeds are those of the settings."""
    data = GaussianMixture(
        torch.tensor([0.5, 0.2, 0.3]),
        torch.tensor([[2.0, 0.0], [-1.0, 1.5], [-1.0, -2.0]]),
        torch.tensor([[0.4, 0.4], [0.3, 0.3], [0.2, 0.6]]),
    )
    path = VP(base=Gaussian((2,)))
    drawn = data.sample_with_labels(20_000, generator=torch.Generator().manual_seed(0))
    settings = TrainSettings(steps=2000, batch_size=256, lr=2e-3, schedule="cosine", ema=0.99, seed=0)
    net = {"kind": "mlp", "width": 64, "depth": 3}
    learnt = learn_labels(path, drawn.x, drawn.label, net=net, settings=settings)
    exact = GaussianMixtureBridge(path.base, data).fields(path)
    for t in (0.3, 0.7, 0.99):
        time = torch.tensor(t)
        x = path.sample(x1=drawn.x[:2000], t=t, generator=torch.Generator().manual_seed(1)).x_t
        wanted, found = exact.log_joint(x, time).log_softmax(1), learnt.net(x, time).log_softmax(1)
        gap = (wanted.exp() * (wanted - found)).sum(1).mean()
        assert float(gap) < 0.02, t  # nats, of an entropy of up to 1.03
    assert not next(learnt.net.parameters()).requires_grad


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LabelNet((2,), n_classes=1), r"LabelNet: n_classes must be a whole number >= 2, got 1"),
        (lambda: LabelNet((2,), n_classes=2, net="mpl"), r"got 'mpl'"),
        (
            lambda: learn_labels(Linear(), torch.zeros(3, 2), torch.tensor([0, 1, 1])),
            r"learn_labels: the path must be one-sided, got Linear",
        ),
        (
            lambda: learn_labels(VP(), torch.zeros(3, 2), torch.tensor([0, -1, 1])),
            r"labels must be integers >= 0, \(3,\), got torch.int64 \(3,\)",
        ),
        (
            lambda: learn_labels(VP(), torch.zeros(3, 2), torch.zeros(3)),
            r"labels must be integers >= 0, \(3,\), got torch.float32 \(3,\)",
        ),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()
