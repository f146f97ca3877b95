"""Imported models: exact Gaussian fields as a method, other methods on them, files, refusals."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

import interpolants
from interpolants.dynamics import sample
from interpolants.exchange import from_diffusers
from interpolants.fields import LearnedFields
from interpolants.foundations import Gaussian
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.frames import Standard
from interpolants.methods import Bridge, FewStep, Imported, PriorRestoration
from interpolants.methods.parts.start_points import draw_base
from interpolants.paths import VP, Linear, OneSidedLinear

STD = 0.5


@pytest.fixture
def rng_kept():
    """Networks of diffusers draw their weights, and noise of a scheduler, from the global generator."""
    with torch.random.fork_rng():
        yield


class Denoiser(nn.Module):
    """E[x1 | x_t] of N(shift, STD^2) on a path; the shift is its weight."""

    def __init__(self, path=None, shift=1.0):
        super().__init__()
        self.path, self.shift = path or VP(), nn.Parameter(torch.tensor(shift))

    def forward(self, x, t, cond=None):
        alpha, beta = (
            part(t).reshape(-1, *[1] * (x.ndim - 1)).to(x) for part in (self.path.alpha, self.path.beta)
        )
        gain = beta * STD**2 / (beta**2 * STD**2 + alpha**2)
        return self.shift + gain * (x - beta * self.shift)


def imported(shape=(2,), path=None, **settings):
    path = path or VP()
    return Imported(LearnedFields(path, denoised=Denoiser(path)), shape=shape, **settings)


def truth(shift=1.0, scale=STD):
    return torch.distributions.Normal(shift, scale)


def test_it_samples_the_distribution_of_its_fields_by_the_bits_of_the_sampler():
    model = imported()
    assert model.is_fitted
    x = model.sample(4000, seed=3)
    # Four standard errors of mean and standard deviation.
    assert_close(x.mean(0), torch.ones(2), rtol=0, atol=4 * STD / 4000**0.5)
    assert_close(x.std(0), torch.full((2,), STD), rtol=0, atol=4 * STD / 8000**0.5)
    start = draw_base(Gaussian(), (2,), 4000, 3, 0)
    assert torch.equal(x, sample(model.fields, start, seed=3).x)
    part = model.sample(40, seed=3, first_index=100)
    assert_close(part, x[100:140], rtol=0, atol=0)


def test_log_densities_are_those_of_the_distribution_in_the_units_of_the_data():
    x = torch.tensor([[0.5, 1.0], [1.5, 2.0]])
    known = {"rtol": 1e-7, "atol": 1e-7}
    path = OneSidedLinear()
    assert_close(imported(path=path).log_prob(x, **known), truth().log_prob(x).sum(1), rtol=0, atol=5e-3)
    framed = imported(path=path, frame=Standard(shift=-1.0, scale=4.0))
    wide = truth(3.0, 4 * STD)
    assert_close(framed.log_prob(4 * x - 1, **known), wide.log_prob(4 * x - 1).sum(1), rtol=0, atol=5e-3)
    assert_close(framed.sample(8, seed=1), 4 * imported(path=path).sample(8, seed=1) - 1)


def test_rows_tell_the_container_of_answers():
    model = imported().fit(np.zeros((3, 2)))
    assert isinstance(model.sample(4, seed=0), np.ndarray)
    assert_close(torch.as_tensor(model.sample(4, seed=0)).float(), imported().sample(4, seed=0))
    assert isinstance(imported().fit().sample(4, seed=0), torch.Tensor)
    unknown = imported(shape=None)
    assert not unknown.is_fitted
    assert unknown.fit(torch.zeros(3, 2)).sample(4, seed=0).shape == (4, 2)
    with pytest.raises(
        InvalidInputError, match=r"Imported.fit: rows must have the shape of the model, \(2,\)"
    ):
        imported().fit(np.zeros((3, 5)))


def test_other_methods_learn_from_it_and_leave_it_as_it_was():
    model, rows = imported(), 1.0 + STD * torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    fast = FewStep(n_steps=2, steps=30, batch_size=64, seed=0).fit(model=model, x1=rows, progress=False)
    assert fast.sample(16, seed=0).shape == (16, 2)
    assert model.state["denoised"].shift.item() == 1.0
    assert fast.state["model"].state["denoised"].shift.item() != 1.0
    restorer = PriorRestoration({"kind": "mask", "known": torch.tensor([True, False])}, solver="red_diff")
    told = restorer.fit(model=model).restore(torch.tensor([[1.2]]), seed=0)
    assert told.x.shape == (1, 1, 2)


def test_files_hold_the_weights_and_load_takes_the_code(tmp_path):
    model = Imported(LearnedFields(VP(), denoised=Denoiser(shift=2.0)), shape=(2,), frame=Standard(1.0, 2.0))
    model.save(tmp_path / "model")
    again = interpolants.load(tmp_path / "model", denoised=Denoiser())
    assert torch.equal(again.sample(5, seed=0), model.sample(5, seed=0))
    assert again.shape == (2,)
    with pytest.raises(InvalidInputError, match=r"Pass load\(folder, denoised="):
        interpolants.load(tmp_path / "model").sample(5, seed=0)


def test_fields_of_a_bridge_need_no_code(tmp_path):
    rows = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    net = {"kind": "mlp", "width": 16, "depth": 1}
    bridge = Bridge(path="vp", net=net, steps=20, seed=0).fit(x1=rows, progress=False)
    model = Imported(bridge.fields, shape=(2,), frame=bridge.frame)
    assert_close(model.sample(6, seed=1), bridge.sample(6, seed=1), rtol=0, atol=0)
    model.save(tmp_path / "model")
    assert torch.equal(interpolants.load(tmp_path / "model").sample(6, seed=1), model.sample(6, seed=1))


def test_a_log_density_and_a_joint_network_come_back_as_what_they_were():
    log_density = LearnedFields(VP(), log_density=lambda x, t: -x.square().sum(1), velocity=lambda x, t: x)
    joint = LearnedFields(
        VP(), joint=lambda x, t: torch.stack([x, 2 * x], 1), heads=("velocity", "noise"), margin=0.01
    )
    x = torch.randn(4, 2)
    for fields in (log_density, joint):
        again = Imported(fields, shape=(2,)).fields
        assert again.known == fields.known
        assert again.margin == fields.margin
        assert torch.equal(again.score(x, 0.5), fields.score(x, 0.5))
    assert_close(
        Imported(log_density, shape=(2,)).fields.log_density_of()(x, torch.tensor(0.5)), -x.square().sum(1)
    )


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Imported(Denoiser(), shape=(2,)), "fields must be LearnedFields"),
        (
            lambda: Imported(LearnedFields(Linear(), velocity=lambda x, t: x), shape=(2,)),
            "must start from a base",
        ),
        (lambda: imported(shape=()), "shape must be the shape of one sample"),
        (lambda: imported(shape=3), "shape must be the shape of one sample"),
        (lambda: imported(shape=(0, 2)), "every number in shape"),
        (lambda: imported(frame=2.0), "frame must have encode"),
        (lambda: imported().sample(3, reverse=True), "samples must be drawn from the base"),
        (lambda: imported().log_prob(torch.zeros(3, 5)), "must have the event shape"),
        (lambda: imported().log_prob(torch.zeros(3, 2), end=0), "end must be 1"),
    ],
)
def test_what_is_no_model_is_refused(make, reason):
    with pytest.raises(InvalidInputError, match=reason):
        make()


@pytest.mark.usefixtures("rng_kept")
def test_a_network_of_diffusers(tmp_path):
    diffusers = pytest.importorskip("diffusers")
    net = diffusers.UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, layers_per_block=1, block_out_channels=(32,),
        down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
    )  # fmt: skip
    scheduler = diffusers.DDPMScheduler()
    model = Imported(from_diffusers(net, scheduler), shape=(1, 8, 8))
    x = model.sample(2, n_steps=4, method="ddim", seed=0)
    assert x.shape == (2, 1, 8, 8)
    model.save(tmp_path / "model")
    again = interpolants.load(tmp_path / "model", noise=from_diffusers(net, scheduler).networks[0])
    assert torch.equal(again.sample(2, n_steps=4, method="ddim", seed=0), x)
