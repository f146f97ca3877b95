"""Restoration of a Gaussian vector: given the known half, the hidden one is N(A k, S)."""

import numpy as np
import pandas as pd
import pytest
import torch

from interpolants.couplings import Degraded
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import OutsideWarning
from interpolants.framework.method import load
from interpolants.methods.restoration.restoration import Restoration

COVARIANCE = torch.tensor([[1.0, 0.8], [0.8, 1.0]])
NET = {"kind": "mlp", "width": 48, "depth": 3}
LOWER = {"kind": "in_painting", "mask": "lower", "share": 0.5}
NAN = float("nan")


def correlated(n, generator):
    return torch.randn(n, 2, generator=generator) @ torch.linalg.cholesky(COVARIANCE).T


@pytest.fixture(scope="module")
def bridge():
    x = correlated(8000, torch.Generator().manual_seed(0))
    return Restoration(coupling=LOWER, net=NET, steps=500, batch_size=256, lr=5e-3, ema=0.97, warmup=50).fit(
        x
    )


def test_draws_have_the_mean_and_variance_of_the_hidden_half_given_the_known(bridge):
    n = 800
    observed = torch.stack([torch.linspace(-2, 2, 5), torch.full((5,), NAN)], 1)
    draws = bridge.restore(observed, draws=n, n_steps=20).x
    assert draws.shape == (5, n, 2)
    assert torch.equal(draws[..., 0], observed[:, :1].expand(5, n))
    # Learnt, so within a tenth of the standard deviation 0.6, and errors of sampling.
    assert (draws[..., 1].mean(1) - 0.8 * observed[:, 0]).abs().max() <= 0.12
    assert (draws[..., 1].std(1) - 0.6).abs().max() <= 0.12


def test_gaps_and_a_mask_say_the_same_and_hidden_values_are_not_read(bridge):
    observed = torch.tensor([[1.0, 5.0], [-1.0, 7.0]])
    known = torch.tensor([[True, False], [True, False]])
    by_mask = bridge.restore(observed, known=known, n_steps=5).x
    assert torch.equal(by_mask, bridge.restore(torch.where(known, observed, NAN), n_steps=5).x)
    assert torch.equal(by_mask, bridge.restore(observed, known=known.numpy(), n_steps=5).x)


def test_every_draw_is_another_and_repeats_with_its_seed_whatever_the_batch(bridge):
    observed = torch.tensor([[0.0, NAN]]).expand(70, 2)
    both = bridge.restore(observed, draws=2, n_steps=5).x
    assert not torch.equal(both[:, 0], both[:, 1])
    assert torch.equal(bridge.restore(observed[:3], n_steps=5).x[:, 0], both[:3, 0])
    assert not torch.equal(bridge.restore(observed, seed=1, n_steps=5).x[:, 0], both[:, 0])
    assert len(set(both[:, 0, 1].tolist())) == 70


def test_degraded_and_restored_samples_keep_their_distribution(bridge, generator):
    x = correlated(4000, generator)
    start = bridge.degrade(x, seed=5)
    y = bridge.restore(x, known=start.field.bool(), n_steps=20, seed=5).x[:, 0]
    assert torch.equal(y[:, 0], x[:, 0])
    assert (y.T.cov() - COVARIANCE).abs().max() <= 0.12
    assert abs(float(torch.corrcoef(start.x0.T)[0, 1])) <= 4 / 4000**0.5
    assert bridge.distance_squared(x) == pytest.approx(2.0, rel=0.1)  # E (x - zeta)^2 of the hidden one


def test_tables_come_in_and_draws_have_their_columns(generator):
    table = pd.DataFrame(correlated(60, generator).numpy(), columns=["a", "b"])
    method = Restoration(coupling=LOWER, net=NET, steps=3, batch_size=16).fit(table)
    asked = pd.DataFrame({"b": [np.nan, np.nan], "a": [1.0, 2.0]})
    shown = method.restore(asked, draws=2, n_steps=2).table()
    assert shown.shape == (4, 2)
    assert shown["a"].tolist() == [1.0, 1.0, 2.0, 2.0]


def test_conditions_beside_the_observation_are_learnt(generator):
    # Given the first entry, the second is that of the label plus a tenth of a Gaussian.
    label = torch.arange(1000) % 2
    x = torch.stack([torch.randn(1000, generator=generator), 4.0 * label], 1)
    x[:, 1] += 0.1 * torch.randn(1000, generator=generator)
    for cond in (label, label.float()[:, None]):
        method = Restoration(coupling=LOWER, net=NET, steps=120, batch_size=64, lr=8e-3, ema=0.9).fit(
            x, cond=cond
        )
        observed = torch.tensor([[0.5, NAN]]).expand(100, 2)
        for value in (0, 1):
            asked = torch.full((100,), value) if cond.ndim == 1 else torch.full((100, 1), float(value))
            found = method.restore(observed, cond=asked, n_steps=8).x[..., 1].mean()
            assert float(found) == pytest.approx(4.0 * value, abs=0.6)


def test_coarse_images_become_fine_ones(generator):
    images = torch.randn(12, 1, 8, 8, generator=generator)
    net = {"kind": "unet", "channels": 8, "blocks": 1, "attention": ()}
    made = Restoration(coupling="super_resolution", net=net, steps=2, batch_size=4).fit(images)
    coarse = made.coupling.downsample(images)
    assert made.restore(coarse, draws=3, n_steps=2).x.shape == (12, 3, 1, 8, 8)


def test_gaps_of_one_channel_hide_the_pixel(generator):
    images = torch.randn(8, 2, 8, 8, generator=generator)
    net = {"kind": "unet", "channels": 8, "blocks": 1, "attention": ()}
    made = Restoration(net=net, steps=1, batch_size=4).fit(images)
    images[:, 1, :3] = NAN
    filled = made.restore(images, n_steps=2).x[:, 0]
    assert bool(filled.isfinite().all())
    assert torch.equal(filled[:, :, 3:], images[:, :, 3:])
    assert not torch.equal(filled[:, 0, :3], images[:, 0, :3])


def test_a_function_of_the_user_is_passed_again_at_loading(tmp_path, generator):
    x = torch.randn(50, 2, generator=generator)
    coupling = Degraded(lambda x: x * torch.tensor([1.0, 0.0]))
    method = Restoration(coupling=coupling, net=NET, steps=2).fit(x)
    method.save(tmp_path / "m")
    back = load(tmp_path / "m", coupling=coupling)
    assert torch.equal(back.restore(x[:3], n_steps=2).x, method.restore(x[:3], n_steps=2).x)
    with pytest.raises(InvalidInputError, match="coupling is user-defined code"):
        load(tmp_path / "m").restore(x[:3])


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda b: Restoration(coupling="independent"), "must be data-dependent, got Independent"),
        (lambda b: Restoration(coupling="inpainting"), "Did you mean 'in_painting'"),
        (lambda b: Restoration().restore(torch.zeros(1, 2), known=torch.ones(1, 2).bool()), "must be fitted"),
        (lambda b: b.restore(torch.zeros(1, 2)), "observed must be NaN where it is not known"),
        (lambda b: b.restore(torch.zeros(1, 2), known=torch.ones(1, 2)), "known must be bool"),
        (
            lambda b: b.restore(torch.zeros(1, 2), known=torch.ones(1, 3).bool()),
            "known must be bool of shape",
        ),
        (lambda b: b.restore(torch.full((1, 2), NAN), draws=0), "draws must be a whole number >= 1, got 0"),
        (lambda b: Restoration().fit(torch.zeros(3, 2, dtype=torch.long)), "floating point"),
        (lambda b: Restoration().fit(torch.zeros(3, 2).half()), "must be float32 or float64"),
        (lambda b: Restoration().fit(), "x1 is needed, whole samples"),
    ],
)
def test_bad_use_is_refused_and_explained(bridge, use, message):
    with pytest.raises(InvalidInputError, match=message):
        use(bridge)


def test_observations_in_other_units_are_told_of_and_hidden_values_are_not_looked_at(bridge):
    observed = torch.tensor([[1.0, -9999.0], [-1.0, -9999.0]])
    bridge.restore(observed, known=torch.tensor([[True, False]] * 2), n_steps=2)
    with pytest.warns(
        OutsideWarning, match=r"Restoration.restore: column 0 of observed lies 255 standard deviations"
    ):
        bridge.restore(255 * observed, known=torch.tensor([[True, False]] * 2), n_steps=2)
