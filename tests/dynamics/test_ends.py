"""The ends of an SDE whose score comes from a learnt noise: neither its errors nor narrow data may do harm there."""

import pytest
import torch

from interpolants.dynamics import GammaNoise, sample
from interpolants.fields import LearnedFields
from interpolants.paths import Linear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

F64 = torch.float64
# Narrow targets: the score is as steep as 1/gamma^2 near t = 1.
START = GaussianMixture(torch.ones(1, dtype=F64), torch.zeros(1, 2, dtype=F64), torch.ones(1, dtype=F64))
DATA = GaussianMixture(
    torch.tensor([0.4, 0.6], dtype=F64),
    torch.tensor([[-1.5, 0.0], [1.5, 1.0]], dtype=F64),
    torch.tensor([0.01, 0.04], dtype=F64),
)
WRONG = 0.05  # of a mean noise of size 1, with a sign that changes quickly: what networks do

SAFE = {
    "capped, as by default": {"eps": 1.0},
    "proportional to gamma": {"eps": GammaNoise(2.0)},
    "stopped early and denoised": {"eps": 1.0, "stop": 0.999, "finish": "denoise"},
    "the flow": {"eps": 0.0},
}


def fields(error):
    path = Linear()
    exact = GaussianMixtureBridge(START, DATA).fields(path)

    def noise(x, t, cond=None):
        return exact.noise(x, t) + error * torch.sin(40 * x)

    return LearnedFields(path, mean_rate=exact.mean_rate, noise=noise)


def width(error, options, generator):
    """Mean square distance from the centre of the own mode over its variance: 1 for true samples, error 0.02."""
    x = sample(fields(error), START.sample(1500, generator=generator), n_steps=60, seed=1, **options).x
    label = DATA.responsibilities(x.nan_to_num(1e6)).argmax(1)
    return float(((x - DATA.means[label]).square() / DATA.variances[label]).mean())


@pytest.mark.parametrize("name", SAFE)
def test_a_wrong_noise_is_not_amplified(name):
    # the mean end point, in place of the last step, leaves out what noise that step had: 12 % here
    right = width(0.0, SAFE[name], torch.Generator().manual_seed(0))
    assert right == pytest.approx(0.88 if "denoised" in name else 1.0, abs=0.1)
    assert width(WRONG, SAFE[name], torch.Generator().manual_seed(0)) == pytest.approx(right, abs=0.02)


def test_without_the_cap_narrow_modes_blow_up(generator):
    """The same noise close to t = 1: an explicit step multiplies deviations by 1 - eps h / gamma^2."""
    late = {"eps": 5.0, "time_grid": "uniform", "stop": 0.9999, "on_failure": "keep"}
    assert width(WRONG, late, generator) == pytest.approx(1.0, abs=0.1)
    assert not width(WRONG, {**late, "cap_noise": False}, generator) < 10


@pytest.mark.parametrize("reverse", [False, True])
def test_the_last_noise_is_reported_and_vanishes(reverse, generator):
    x = (DATA if reverse else START).sample(10, generator=generator)
    found = sample(fields(0.0), x, eps=1.0, n_steps=60, seed=1, reverse=reverse)
    assert float(found.eps[0]) == float(found.eps[-1]) == 0
    assert float(found.eps[30]) == 1.0
