"""An exported light bridge answers as the library does."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.exchange import export
from interpolants.generative.schrodinger.light_sb import LightSB

G = torch.Generator().manual_seed(0)
X0 = torch.randn(200, 2, generator=G)
X1 = torch.randn(200, 2, generator=G) @ torch.tensor([[3.0, 1.0], [0.0, 0.5]]) + torch.tensor([5.0, -40.0])


@pytest.mark.slow
def test_steps_of_an_exported_bridge_are_those_of_its_drift(tmp_path):
    light = LightSB(eps=0.5, n_components=3).fit(X0, X1, progress=False)
    times = [0.0, 0.5, 1.0]
    done = export(light, tmp_path / "light.pt2", method="euler_maruyama", eps=0.5, time_grid=times)
    x, level = (
        X0[:4],
        done.about["sampler"]["eps"],
    )  # the level vanishes at the ends, where the latent noise does
    expected = x
    for t, eps in zip(times[:2], level, strict=False):  # Euler steps of the drift, without noise
        expected = expected + 0.5 * (
            light.fields.velocity(expected, t) + eps * light.fields.score(expected, t)
        )
    found = torch.export.load(done.file).module()(x=x, brownian=torch.zeros(4, 2, 2))
    assert_close(found, expected, rtol=1e-4, atol=1e-4)
