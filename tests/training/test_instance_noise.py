"""Noise on the data: how much, fresh or for good, and where it enters a bridge."""

import math

import numpy as np
import pytest
import torch

from interpolants import Bridge
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import DataWarning
from interpolants.training.instance_noise import InstanceNoise, rate_rule


def test_the_noise_has_its_standard_deviation_and_is_fresh(generator):
    x, noise = torch.ones(20_000, 2), InstanceNoise(0.3)
    assert noise.prepare(x) is x
    first, second = (noise.draw(x, generator=generator) - x for _ in range(2))
    assert float(first.std()) == pytest.approx(0.3, rel=5 / math.sqrt(2 * 40_000))
    assert abs(float((first * second).mean())) < 5 * 0.09 / math.sqrt(40_000)


def test_a_frozen_copy_stays_and_belongs_to_its_seed(generator):
    x = torch.zeros(50, 3)
    noise = InstanceNoise(0.3, fresh=False, seed=1)
    held = noise.prepare(x)
    assert torch.equal(held, noise.prepare(x))
    assert torch.equal(noise.draw(held, generator=generator), held)
    assert not torch.equal(held, InstanceNoise(0.3, fresh=False, seed=2).prepare(x))
    assert float(held.std()) == pytest.approx(0.3, rel=5 / math.sqrt(300))


def test_no_noise_leaves_the_data_as_they_are(generator):
    x = torch.randn(4, 2, generator=generator)
    for noise in (InstanceNoise(0.0), InstanceNoise(0.0, fresh=False)):
        assert noise.draw(noise.prepare(x)) is x


def test_the_rule_falls_with_the_samples_as_theory_says():
    # exponent beta / (2 (beta + t0)) = 1/6 for beta = 1, t0 = 2
    ratio = rate_rule(64_000, dimension=2.0) / rate_rule(1000, dimension=2.0)
    assert ratio == pytest.approx(64 ** (-1 / 6))
    assert rate_rule(1) == 0.5


@pytest.mark.slow
def test_a_bridge_learns_the_data_with_noise(tmp_path):
    """One point as data: the flow's mean end point spreads over the noise, and not at all without it."""
    x = np.full((500, 1), 0.25, dtype="float32")
    settings = {
        "standardize": False,
        "steps": 400,
        "net": {"kind": "mlp", "width": 32, "depth": 2},
        "seed": 0,
    }
    bridge = Bridge("one_sided_linear", perturb=0.5, **settings).fit(x1=x, progress=False)
    assert float(np.std(bridge.sample(1000, seed=1))) == pytest.approx(0.5, abs=0.08)
    assert Bridge.load(bridge.save(tmp_path / "b")).perturb == InstanceNoise(0.5)
    with pytest.warns(DataWarning, match="constant"):
        plain = Bridge("one_sided_linear", **settings).fit(x1=x, progress=False)
    assert float(np.std(plain.sample(1000, seed=1))) < 0.08


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InstanceNoise(-0.1), "std must be finite and >= 0, got -0.1"),
        (lambda: InstanceNoise(math.nan), "got nan"),
        (lambda: InstanceNoise(0.1, seed=-1), "seed must be a whole number >= 0, got -1"),
        (lambda: Bridge("one_sided_linear", perturb=-1.0), "std must be finite and >= 0, got -1.0"),
        (lambda: rate_rule(0), "n must be a whole number >= 1"),
        (lambda: rate_rule(10, smoothness=-1.0), "smoothness must be finite and > 0, got -1"),
    ],
)
def test_bad_input_is_refused_with_its_value(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()
