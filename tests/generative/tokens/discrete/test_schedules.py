"""Schedules of revealing: rates, inverses and ends, over all of them; refusals."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.registry import names
from interpolants.generative.tokens.discrete.schedules import (
    CosineKeep,
    CustomKeep,
    LinearKeep,
    PolynomialKeep,
)

SCHEDULES = {
    "linear_keep": LinearKeep(),
    "cosine_keep": CosineKeep(),
    "polynomial_keep": PolynomialKeep(power=3.0),
    "polynomial_half": PolynomialKeep(power=0.5),
    "custom_keep": CustomKeep(lambda t: t * t * (3 - 2 * t)),
    "custom_off_by_rounding": CustomKeep(lambda t: (1 + 1e-7) * t - 5e-8),
    "custom_with_rate": CustomKeep(lambda t: t**2, lambda t: 2 * t),
}
each = pytest.mark.parametrize("name", SCHEDULES)


def test_every_card_of_the_family_is_under_these_laws():
    assert set(names("keep_schedule")) <= set(SCHEDULES)


@each
def test_the_rate_is_the_slope_and_keep_and_hidden_make_one(name):
    schedule = SCHEDULES[name]
    t = torch.linspace(0.02, 0.98, 25, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(schedule.keep(t).sum(), t)
    assert_close(schedule.keep_dot(t.detach()), slope)
    assert_close(schedule.keep(t) + schedule.hidden(t), torch.ones_like(t))
    assert (slope >= 0).all()


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_shows_at_0_and_all_at_1_exactly(name, dtype):
    ends = torch.tensor([0.0, 1.0], dtype=dtype)
    assert torch.equal(SCHEDULES[name].keep(ends), ends)
    assert torch.equal(SCHEDULES[name].hidden(ends), 1 - ends)
    assert SCHEDULES[name].keep(ends).dtype == dtype


@each
def test_the_inverse_finds_the_time_again(name):
    t = torch.linspace(0, 1, 41, dtype=torch.float64)
    back = SCHEDULES[name].time_of_hidden(SCHEDULES[name].hidden(t))
    # A schedule that is flat at an end keeps half of the digits there.
    assert_close(back, t, atol=1e-7, rtol=0)


def test_a_function_that_misses_its_ends_by_a_little_stays_a_probability():
    t, schedule = torch.linspace(0, 1, 5, dtype=torch.float64), CustomKeep(lambda t: t * (1 + 1e-6) - 5e-7)
    assert float(schedule.keep(t).min()) == float(schedule.hidden(t).min()) == 0
    assert float(schedule.keep(t).max()) == float(schedule.hidden(t).max()) == 1


def test_values_by_hand():
    t = torch.tensor([0.25], dtype=torch.float64)
    assert float(LinearKeep().keep(t)) == 0.25
    assert float(CosineKeep().hidden(t)) == pytest.approx(math.cos(math.pi / 8), rel=1e-15)
    assert float(PolynomialKeep(power=2.0).keep(t)) == pytest.approx(0.4375, rel=1e-15)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda t: t + 0.2 * torch.sin(2 * math.pi * t) * 2,
            r"kappa must not fall as t grows, got a fall at t = 0\.3",
        ),
        (lambda t: 0.9 * t, r"kappa must be 1 at t = 1, got 0\.9"),
        (lambda t: 0.1 + 0.9 * t, r"kappa must be 0 at t = 0, got 0\.1.* alpha_1 = 0"),
        (lambda t: t * torch.nan, r"kappa must be 0 at t = 0, got nan"),
    ],
)
def test_a_schedule_that_is_none_is_refused(function, message):
    with pytest.raises(InvalidInputError, match=message):
        CustomKeep(function)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
def test_a_bad_power_is_refused(bad):
    with pytest.raises(InvalidInputError, match=f"power must be finite and > 0, got {bad!r}"):
        PolynomialKeep(power=bad)
