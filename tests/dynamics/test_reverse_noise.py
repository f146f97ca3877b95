"""The noise level of the reversed process, and what samples do with it on diffusion paths."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import ReverseNoise, sample
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths import VE, VP, Linear, OneSidedLinear, SubVP

F64 = torch.float64


@pytest.mark.parametrize("path", [VP(), SubVP(), VE()])
def test_the_level_is_half_of_g_squared(path):
    t = torch.linspace(0, 1, 11, dtype=F64)
    assert_close(ReverseNoise().values(t, path), path.g_squared(t) / 2)
    assert_close(ReverseNoise(0.3).values(t, path), 0.15 * path.g_squared(t))


def gaussian_score(path, std):
    """The score of data N(0, std^2)."""

    def score(x, t):
        return -x / (path.noise_std(t).square() + (path.beta(t) * std).square()).reshape(-1, 1)

    return score


@pytest.mark.cases(2)
@pytest.mark.parametrize("path", [VP(), SubVP(), VE(smin=0.05, smax=20.0)])
@pytest.mark.parametrize("learnt", ["score", "noise"])
def test_the_reversed_process_carries_the_base_to_gaussian_data(path, learnt):
    """20,000 rows: five standard errors of a standard deviation are 2.5 %; 400 Euler steps leave less."""
    std, n = 0.7, 20_000
    score = gaussian_score(path, std)
    if learnt == "score":
        fields = LearnedFields(path, score=score)
    else:
        fields = LearnedFields(path, noise=lambda x, t: -path.noise_std(t).reshape(-1, 1) * score(x, t))
    x0 = path.base.color(torch.randn(n, 1, generator=torch.Generator().manual_seed(0), dtype=F64))
    whole = {"invariant": False, "chunk": n, "n_steps": 400, "method": "euler"}
    found = sample(fields, x0, eps=ReverseNoise(), seed=1, **whole).x
    wanted = (std**2 + float(path.noise_std(torch.ones((), dtype=F64))) ** 2) ** 0.5
    assert float(found.std()) == pytest.approx(wanted, rel=0.035)
    assert abs(float(found.mean())) < 5 * std / n**0.5


def test_the_cap_is_in_units_of_the_data():
    """A base of 50 times the spread leaves 2,500 times the room for noise."""
    x = torch.zeros(2, 1)
    levels = []
    for scale in (1.0, 50.0):
        fields = LearnedFields(OneSidedLinear(base=Gaussian(scale=scale)), velocity=lambda x, t: -x)
        levels.append(sample(fields, x, eps=1e9, seed=0, n_steps=10).eps)
    assert_close(levels[1], 2500 * levels[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ReverseNoise().values(torch.zeros(2), Linear()), r"the path must be one-sided, got Linear"),
        (lambda: ReverseNoise().values(torch.zeros(2), None), r"the path must be one-sided, got NoneType"),
    ],
)
def test_bad_levels_are_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()
