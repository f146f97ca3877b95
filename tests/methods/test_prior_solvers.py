"""Answers of a prior to measurements, with exact fields of a Gaussian in the place of a learnt model."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import generator
from interpolants.framework.frames import Standard
from interpolants.methods.restoration.prior_restoration import PriorRestoration
from interpolants.methods.restoration.prior_solvers import Job, choose_solver
from interpolants.operators import Mask
from interpolants.operators.identity import Identity
from interpolants.operators.measurement import Measurement
from interpolants.paths import OneSidedLinear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

F64 = torch.float64
# Data 3 + 2 u with u ~ N(0.5, 0.8^2) in the units of the fields.
FRAME, MEAN, STD = Standard(3.0, 2.0), 0.5, 0.8
PRIOR = GaussianMixture(
    torch.ones(1, dtype=F64), torch.full((1, 3), MEAN, dtype=F64), torch.tensor([STD**2], dtype=F64)
)
PATH = OneSidedLinear(base=Gaussian((3,)))
FIELDS = GaussianMixtureBridge(PATH.base, PRIOR).fields(PATH)


def job(operator, y):
    encoded = Measurement(lambda x: operator(FRAME.decode(x)), is_linear=True)
    return Job(FIELDS, FRAME, operator, encoded, y, torch.zeros(len(y), 3, dtype=F64), None)


def solved(solver, operator, y, seed=0):
    return FRAME.decode(choose_solver("test", solver).restored(job(operator, y), seed))


def test_known_noise_gives_the_posterior_mean_in_data_units():
    y = torch.randn(5, 3, dtype=F64, generator=generator(0)) + 4
    share = (2 * STD) ** 2 / ((2 * STD) ** 2 + 0.7**2)
    prior_mean = 3 + 2 * MEAN
    expected = prior_mean + share * (y - prior_mean)
    assert_close(solved({"kind": "known_noise", "noise": 0.7}, Identity(), y), expected, rtol=1e-6, atol=1e-6)


def test_posterior_draws_have_its_moments_in_data_units():
    mask = Mask(torch.tensor([True, False, True]))
    y = torch.tensor([[5.0, 2.0]], dtype=F64).expand(3000, 2)
    table = {"kind": "posterior_draws", "noise": 0.7, "spread": STD, "n_steps": 10, "method": "midpoint"}
    x, prior = solved(table, mask, y), 3 + 2 * MEAN
    share = (2 * STD) ** 2 / ((2 * STD) ** 2 + 0.7**2)
    mean = torch.tensor([prior + share * (5 - prior), prior, prior + share * (2 - prior)], dtype=F64)
    variance = (2 * STD) ** 2 * torch.tensor([1 - share, 1.0, 1 - share], dtype=F64)
    assert_close(x.mean(0), mean, atol=0.12, rtol=0)  # 4 errors of the mean
    assert_close(x.var(0), variance, rtol=0.12, atol=0)


def test_noise_and_back_shrinks_towards_the_prior_as_its_time_tells():
    y = torch.full((4000, 3), 7.0, dtype=F64)
    for time in (0.3, 0.8):
        x = solved({"kind": "renoise", "times": [time]}, Identity(), y)
        alpha, beta = (float(f(torch.tensor(time, dtype=F64))) for f in (PATH.alpha, PATH.beta))
        share = beta**2 * STD**2 / (alpha**2 + beta**2 * STD**2)
        prior = 3 + 2 * MEAN
        assert_close(x.mean(0), torch.full((3,), prior + share * (7 - prior), dtype=F64), atol=0.1, rtol=0)


def test_rounds_shrink_again_where_answers_take_the_place_of_the_image():
    """Under a threshold that all differences exceed each round shrinks once more, under a large one only the first."""
    y = torch.full((4000, 3), 7.0, dtype=F64)
    share = 0.5**2 * STD**2 / (0.5**2 + 0.5**2 * STD**2)
    prior = 3 + 2 * MEAN
    for threshold, times in ((1e-6, 3), (1e6, 1)):
        x = solved({"kind": "renoise", "times": [0.5], "rounds": 3, "threshold": threshold}, Identity(), y)
        assert_close(
            x.mean(0), torch.full((3,), prior + share**times * (7 - prior), dtype=F64), atol=0.1, rtol=0
        )


@pytest.mark.parametrize(
    ("solver", "message"),
    [
        (
            "posterior_draw",
            "prior_solver must be one of .*, got 'posterior_draw'. Did you mean 'posterior_draws'",
        ),
        ({"kind": "posterior_draws", "steps": 3}, "every setting must be one it has, got 'steps'"),
        ({"kind": "known_noise"}, "settings must fit its signature"),
        ({"kind": "known_noise", "noise": 0.0}, "noise must be finite and > 0"),
        ({"kind": "renoise", "times": [1.0]}, r"every time must lie in \(0, 1\)"),
    ],
)
def test_bad_settings_are_refused(solver, message):
    with pytest.raises(InvalidInputError, match=message):
        PriorRestoration(operator="identity", solver=solver)


def test_denoising_of_another_measurement_is_refused():
    mask = Mask(torch.tensor([True, False, True]))
    with pytest.raises(InvalidInputError, match="H must be the identity, got Mask"):
        solved({"kind": "known_noise", "noise": 0.7}, mask, torch.zeros(1, 2, dtype=F64))
