"""A network with a scaled output: its start, its lazy limit, its records."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.foundations.tell import DataWarning
from interpolants.sciml import ScaledNetwork
from interpolants.sciml.theory.scaled_network import LazyRichScaling, _Recorder
from interpolants.sciml.theory.weight_kernel import tangent_kernel


def blobs(n=60, seed=0):
    source = np.random.default_rng(seed)
    y = source.integers(0, 3, n)
    return source.normal(size=(n, 4)) + 3 * np.eye(3, 4)[y], y


def test_it_learns_classes_that_can_be_told_apart():
    x, y = blobs()
    model = ScaledNetwork(steps=300).fit(x, y)
    fresh, truth = blobs(200, seed=1)
    assert (model.predict(fresh).argmax(1) == truth).mean() > 0.9
    assert ScaledNetwork(steps=1).fit(x, y).predict(fresh).shape == (200, 3)


def test_names_of_classes():
    pandas = pytest.importorskip("pandas")
    x, y = blobs()
    names = pandas.Series(np.array(["ant", "bee", "fly"])[y])
    table = pandas.DataFrame(x, columns=list("abcd"))
    answer = ScaledNetwork(steps=200).fit(table, names).predict(table)
    assert list(answer.columns) == ["ant", "bee", "fly"]
    assert (answer.idxmax(axis=1) == names).mean() > 0.9


def test_scaled_networks_start_at_zero_and_leave_the_module_alone():
    module = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    net, x = LazyRichScaling(module, 50.0), torch.randn(4, 3)
    assert float(net(x).detach().abs().max()) == 0
    with torch.no_grad():
        module[2].bias += 1.0
    torch.testing.assert_close(net(x), torch.full((4, 2), 50.0))
    assert torch.equal(LazyRichScaling(module, 2.0, centred=False)(x), 2 * module(x))


def test_a_large_scale_is_lazy():
    """The kernel hardly moves, and a step is that of the linearised network."""
    x, y = blobs()
    lazy, rich = (ScaledNetwork(alpha=alpha, steps=400).fit(x, y) for alpha in (1000.0, 0.3))
    assert lazy.curves.column("drift")[-1] < 0.01 < 0.1 < rich.curves.column("drift")[-1]
    module = nn.Sequential(nn.Linear(3, 30), nn.Tanh(), nn.Linear(30, 1)).double()
    net, rows = LazyRichScaling(module, 1e4), torch.randn(5, 3, dtype=torch.float64)
    kernel = tangent_kernel(module, rows)
    loss = 0.5 * (net(rows) - 1).square().sum() / net.alpha**2
    slopes = torch.autograd.grad(loss, list(module.parameters()))
    with torch.no_grad():
        for weight, slope in zip(module.parameters(), slopes, strict=True):
            weight -= 1e-2 * slope
    torch.testing.assert_close(net(rows), 1e-2 * kernel.sum(1, keepdim=True), rtol=1e-3, atol=1e-6)


def test_watched_rows_are_recorded_and_not_learnt():
    x, y = blobs(90)
    alone = ScaledNetwork(steps=50).fit(x[:60], y[:60])
    watched = ScaledNetwork(steps=50).fit(x[:60], y[:60], held={"x": x[60:], "y": y[60:]})
    np.testing.assert_array_equal(alone.predict(x), watched.predict(x))
    wrong = float((torch.as_tensor(watched.predict(x[60:])).argmax(1).numpy() != y[60:]).mean())
    assert float(watched.errors.column("held")[-1]) == pytest.approx(wrong)
    assert alone.errors.column("held").isnan().all()


def test_refusals():
    x, y = blobs()
    with pytest.raises(InvalidInputError, match="two classes"):
        ScaledNetwork(steps=2).fit(x, np.zeros(60, int))
    with pytest.raises(DivergedError, match="too large"):
        ScaledNetwork(steps=2000, lr=1e6).fit(x, y)


def test_numbers_that_are_no_classes_are_refused():
    x, y = blobs()
    with pytest.raises(InvalidInputError, match=r"with few left out, got 2 different ones up to 1000000"):
        ScaledNetwork(steps=1).fit(x, np.where(y > 0, 1_000_000, 3))
    with pytest.raises(InvalidInputError, match="held y must be classes of the fit, 0 to 2, got 5"):
        ScaledNetwork(steps=1).fit(x, y, held={"x": x, "y": np.full(len(x), 5)})
    assert ScaledNetwork(steps=1).fit(x, np.where(y > 0, 9, 3)).predict(x).shape == (60, 10)


def test_the_progress_tells_the_last_losses():
    labels = torch.tensor([0, 1, 0, 1])
    recorder = _Recorder([(torch.zeros(4, 2), labels)], 2)
    recorder.losses = [[0.0, 1.0, math.nan, 0.0, 0.0], [10.0, 0.5, 0.7, 0.0, 0.0]]
    assert recorder.logged() == {"gradient_steps": 10.0, "train": 0.5, "held": 0.7}


def test_rows_far_from_zero_are_told_apart_and_small_columns_are_told():
    """Times in seconds since 1970: in single precision their differences were lost, and every answer a guess."""
    g = torch.Generator().manual_seed(0)
    y = torch.arange(40) % 2
    x = 4.0 * y[:, None] - 2 + 0.3 * torch.randn(40, 2, dtype=torch.float64, generator=g)
    found = ScaledNetwork(steps=100).fit(x + 1.7e9, y).predict(x + 1.7e9)
    assert bool((found.argmax(1) == y).all())
    small = torch.stack([torch.randn(40, dtype=torch.float64, generator=g), 1e-4 * x[:, 0]], 1)
    with pytest.warns(DataWarning, match="Standardise each"):
        ScaledNetwork(steps=1).fit(small, y)
