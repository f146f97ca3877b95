"""Restoration of a Gaussian vector: given the known half, the hidden one is N(A k, S)."""

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.methods.restoration import Restoration

COVARIANCE = torch.tensor([[1.0, 0.8], [0.8, 1.0]])
NET = {"kind": "mlp", "width": 48, "depth": 3}


@pytest.fixture(scope="module")
def bridge():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8000, 2, generator=generator) @ torch.linalg.cholesky(COVARIANCE).T
    train = {"steps": 500, "batch_size": 256, "lr": 5e-3, "ema": 0.97}
    return Restoration(
        coupling={"kind": "in_painting", "mask": "lower", "share": 0.5}, net=NET, train=train
    ).fit(x)


def test_draws_have_the_mean_and_variance_of_the_hidden_half_given_the_known(bridge):
    n = 1500
    observed = torch.stack([torch.linspace(-2, 2, 5), torch.full((5,), torch.nan)], 1)
    known = torch.tensor([[True, False]]).expand(5, 2)
    draws = bridge.restore(observed.repeat(n, 1), known=known.repeat(n, 1), n_steps=20)[0].reshape(n, 5, 2)
    assert torch.equal(draws[..., 0], observed[:, 0].expand(n, 5))
    # Learnt, so within a tenth of the standard deviation 0.6, and errors of sampling.
    assert (draws[..., 1].mean(0) - 0.8 * observed[:, 0]).abs().max() <= 0.12
    assert (draws[..., 1].std(0) - 0.6).abs().max() <= 0.12


def test_every_draw_is_another_and_repeats_with_its_seed(bridge):
    observed, known = torch.zeros(70, 2), torch.tensor([[True, False]]).expand(70, 2)
    first, second = bridge.restore(observed, known=known, draws=2, n_steps=5)
    assert not torch.equal(first, second)
    assert torch.equal(bridge.restore(observed, known=known, n_steps=5)[0], first)
    assert not torch.equal(bridge.restore(observed, known=known, seed=1, n_steps=5)[0], first)


def test_degraded_and_restored_samples_keep_their_law(bridge, generator):
    x = torch.randn(4000, 2, generator=generator) @ torch.linalg.cholesky(COVARIANCE).T
    y = bridge.transport(x, n_steps=20, seed=5)
    assert torch.equal(y[:, 0], x[:, 0])
    assert (y.T.cov() - COVARIANCE).abs().max() <= 0.12
    start = bridge.transport(x, reverse=True, seed=5)
    assert abs(float(torch.corrcoef(start.T)[0, 1])) <= 4 / 4000**0.5
    summary = bridge.summary()
    assert summary["distance_squared"] == pytest.approx(2.0, rel=0.1)  # E (x - zeta)^2 of the hidden one


def test_coarse_images_become_fine_ones(generator):
    images = torch.randn(12, 1, 8, 8, generator=generator)
    net = {"kind": "unet", "channels": 8, "blocks": 1, "attention": ()}
    made = Restoration(coupling="super_resolution", net=net, train={"steps": 2, "batch_size": 4}).fit(
        images, images
    )
    coarse = made.coupling.downsample(images)
    assert made.restore(coarse, draws=3, n_steps=2).shape == (3, 12, 1, 8, 8)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda b: Restoration(coupling="independent"), "must be data-dependent, got Independent"),
        (lambda b: Restoration(coupling="inpainting"), "Did you mean 'in_painting'"),
        (lambda b: Restoration().restore(torch.zeros(1, 2), known=torch.ones(1, 2).bool()), "must be fitted"),
        (lambda b: b.restore(torch.zeros(1, 2)), "in-painting with known"),
        (lambda b: b.restore(torch.zeros(1, 2), draws=0), "draws must be an integer >= 1, got 0"),
        (lambda b: Restoration().fit(torch.zeros(3, 2, dtype=torch.long)), "floating-point"),
    ],
)
def test_bad_use_is_refused_and_explained(bridge, use, message):
    with pytest.raises(InvalidInputError, match=message):
        use(bridge)
