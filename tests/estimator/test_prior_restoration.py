"""A learnt prior against the conditional mean of a Gaussian, and what is refused."""

import pytest
import torch

from interpolants.estimator import PriorRestoration
from interpolants.foundations.errors import InvalidInputError
from interpolants.operators import Downsample, Mask

# Two coordinates with correlation 0.8: given the one, the other is 0.8 of it on average.
RHO = 0.8
NET = {"kind": "mlp", "width": 32, "depth": 2}


def pairs(n, generator):
    z = torch.randn(n, 2, generator=generator)
    return torch.stack([z[:, 0], RHO * z[:, 0] + (1 - RHO**2) ** 0.5 * z[:, 1]], 1)


@pytest.fixture(scope="module")
def model():
    x = pairs(4000, torch.Generator().manual_seed(0))
    first = Mask(torch.tensor([True, False]))
    return PriorRestoration(
        first, net=NET, restore={"n_steps": 100}, train={"steps": 400, "batch_size": 256}
    ).fit(x)


def test_a_hidden_coordinate_is_its_conditional_mean(model):
    y = torch.linspace(-1.5, 1.5, 7)[:, None]
    x = model.restore(y, seed=1).x
    # lambda 0.25 against a data term of weight one moves what is known by a few percent.
    assert float((x[:, 0] - y[:, 0]).abs().max()) < 0.25
    slope = float((x[:, 1] @ y[:, 0]) / (y[:, 0] @ y[:, 0]))
    assert slope == pytest.approx(RHO, abs=0.2)


def test_another_measurement_needs_no_other_network(model):
    y = torch.linspace(-1.5, 1.5, 7)[:, None]
    other = model.restore(y, operator=Mask(torch.tensor([False, True])), seed=1).x
    assert float((other[:, 1] - y[:, 0]).abs().max()) < 0.25
    mean = model.restore(y, operator=lambda x: x.mean(1, keepdim=True), seed=1).x
    assert float((mean.mean(1) - y[:, 0]).abs().max()) < 0.25
    # By symmetry both coordinates are the mean.
    assert float((mean[:, 0] - mean[:, 1]).abs().max()) < 0.4


def test_transport_measures_and_restores(model, generator):
    x = pairs(50, generator)
    back = model.transport(x, reverse=True)
    assert torch.equal(back[:, 0], x[:, 0])
    assert float(back[:, 1].abs().max()) == 0
    moved = model.transport(x, seed=3)
    assert float((moved - x).square().mean()) < 0.6 * float((back - x).square().mean())
    assert set(model.summary()) == {"loss", "residual_at_the_start", "residual"}
    assert model.summary()["residual_at_the_start"] < 1e-6


def test_operators_may_be_named():
    assert PriorRestoration({"kind": "downsample", "factor": 2}).operator == Downsample(2)
    assert not PriorRestoration("phase_retrieval").operator.has_pinv


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PriorRestoration("downsampel"), "there must be an operator of this name.*downsample"),
        (lambda: PriorRestoration({"kind": "downsample", "factr": 2}), "every setting must be one it has"),
        (lambda: PriorRestoration("saturate", train={"stepz": 3}), "every training setting must be known"),
        (lambda: PriorRestoration("saturate").restore(torch.zeros(1, 2)), r"must be fitted.*Call fit"),
        (lambda: PriorRestoration("saturate").fit(None), "there must be whole samples, got none"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"restore": {"n_step": 3}},
            r"every setting of restore must be known, got 'n_step'\. Did you mean 'n_steps'",
        ),
        ({"restore": {"lr": -1}}, "lr must be finite and > 0, got -1"),
        ({"path": "linear"}, "every setting must be one it has, got 'base'"),
    ],
)
def test_a_wrong_setting_is_refused_before_the_training(settings, message):
    with pytest.raises(InvalidInputError, match=message):
        PriorRestoration({"kind": "downsample", "factor": 2}, **settings)


def test_torch_s_default_type_does_not_matter(float64):
    first = torch.randn(20, 4, dtype=torch.float32)
    model = PriorRestoration(
        torch.eye(4, dtype=torch.float32)[:2],
        net={"kind": "mlp", "width": 8, "depth": 1},
        restore={"n_steps": 3},
        train={"steps": 2, "batch_size": 8},
    ).fit(first)
    assert model.transport(first[:3]).dtype == torch.float32
