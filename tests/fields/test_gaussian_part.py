"""The field between two Gaussians beside a network: against regressions over draws, its flow, and what it refuses."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants import Bridge
from interpolants.fields.gaussian_part import GaussianPart
from interpolants.foundations.errors import InvalidInputError
from interpolants.paths import Linear, OneSidedLinear, Trigonometric

MEANS = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
VARIANCES = torch.tensor([[0.5, 2.0], [1.5, 0.3], [0.4, -0.6]])
HEADS = ("mean_rate", "noise", "endpoint0", "denoised")


class Zero(nn.Module):
    def forward(self, x, t, cond=None):
        return torch.zeros(len(x), len(HEADS), *x.shape[1:])


def pairs(n):
    """Draws of Gaussian pairs with the moments above."""
    z = torch.randn(2, n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a, b, c = VARIANCES.double()
    x0 = a.sqrt() * z[0]
    x1 = c / a * x0 + (b - c.square() / a).sqrt() * z[1]
    return x0 + MEANS[0], x1 + MEANS[1]


@pytest.mark.parametrize(
    ("path", "t"), [(Linear(), 0.1), (Linear(), 0.5), (Linear(), 0.8), (Trigonometric(), 0.2)]
)
def test_it_is_the_regression_of_every_quantity_on_the_state(path, t):
    x0, x1 = pairs(200_000)
    z = torch.randn(x0.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    draw = path.sample(x0=x0, x1=x1, t=t, z=z)
    targets = {"mean_rate": draw.i_dot, "noise": z, "endpoint0": x0, "denoised": x1}
    at = torch.tensor([[0.3, -1.0], [2.0, 1.0]])
    found = GaussianPart(Zero(), path, HEADS, MEANS, VARIANCES)(at, torch.tensor(t))
    for k, head in enumerate(HEADS):
        y, x = targets[head], draw.x_t
        slope = ((y - y.mean(0)) * (x - x.mean(0))).mean(0) / x.var(0)
        wanted = y.mean(0) + slope * (at - x.mean(0))
        assert_close(found[:, k].double(), wanted, atol=0.03, rtol=0)
    rows = GaussianPart(Zero(), path, HEADS, MEANS, VARIANCES)(at, torch.full((2,), t))
    assert_close(rows, found)


def test_it_refuses_other_paths_and_heads():
    with pytest.raises(InvalidInputError, match="two-sided and spatially linear, got OneSidedLinear"):
        GaussianPart(Zero(), OneSidedLinear(), HEADS, MEANS, VARIANCES)
    with pytest.raises(InvalidInputError, match="every head"):
        GaussianPart(Zero(), Linear(), ("velocity",), MEANS, VARIANCES)


@pytest.mark.parametrize("coupling", ["independent", "minibatch_ot"])
def test_a_bridge_of_few_rows_moves_one_gaussian_to_the_other_before_its_first_step(coupling, tmp_path):
    rng = np.random.default_rng(0)
    x0 = rng.normal(size=(60, 12)) @ (np.eye(12) + 0.3 * rng.normal(size=(12, 12)))
    x1 = rng.normal(size=(90, 12)) * 0.3 + 5
    bridge = Bridge(
        coupling=coupling, steps=1, lr=1e-12, net={"kind": "mlp", "width": 16, "depth": 2}, seed=0
    )
    bridge.fit(x0, x1, progress=False)
    assert isinstance(bridge.network, GaussianPart)
    moved = bridge.transport(x0)
    assert np.abs(moved.mean(0) - x1.mean(0)).max() < 0.15
    assert np.abs(moved.std(0) / x1.std(0) - 1).max() < 0.6
    loaded = Bridge.load(bridge.save(tmp_path / "b"))
    assert np.array_equal(loaded.transport(x0), moved)
    many = Bridge(steps=1, net={"kind": "mlp", "width": 8, "depth": 2}).fit(
        *rng.normal(size=(2, 700, 2)), progress=False
    )
    assert not isinstance(many.network, GaussianPart)


def test_a_column_that_does_not_vary_at_the_start_says_nothing():
    """There x is the mean itself: the conditional mean of every quantity is its mean."""
    variances = torch.tensor([[0.0, 2.0], [1.5, 0.3], [0.0, -0.6]])
    part = GaussianPart(Zero(), Linear(), HEADS, MEANS, variances)
    x = torch.tensor([[1.0, -1.0], [1.0, 2.0]])
    found = part(x, torch.zeros(()))[..., 0]
    wanted = {"mean_rate": MEANS[1, 0] - MEANS[0, 0], "noise": 0.0, "endpoint0": 1.0, "denoised": MEANS[1, 0]}
    assert_close(found, torch.tensor([float(wanted[head]) for head in HEADS]).expand(2, 4))
