"""Transforms of columns: undone, with the slope that they say, and with the densities that follow."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from interpolants.data import Asinh, Interval, Log, Quantile
from interpolants.data.column_transforms import IntervalMap
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.registry import members
from interpolants.methods.parts.column_maps import bent_columns, choose_transform

F64 = torch.float64
ALL = [Log(), Log(shift=2.0), Asinh(), Quantile(), Quantile(knots=5)]
BETWEEN = [
    Interval(),
    Interval(low=-3.0, high=7.0),
    Interval(low=-2.0, high=math.inf),
    Interval(low=-math.inf, high=9.0),
]
ALL += BETWEEN


def normal(n=4000, seed=0):
    return torch.randn(n, dtype=F64, generator=torch.Generator().manual_seed(seed))


COLUMNS = {
    "log-normal": (1.5 * normal()).exp(),
    "normal": normal(),
    "Cauchy": normal() / normal(seed=1),
    "two heaps": normal().sign() * 3 + 0.3 * normal(seed=2),
    "few values": normal().round().clamp(-2, 2),
    "half zeros": normal().clamp_min(0),
    "two values": normal().sign(),
    "twelve rows": normal(12),
    "pence": (100 * normal().exp()).round() / 100,
    "shares": normal().sigmoid(),
}


def takes(transform, x):
    """Whether a transform takes all values."""
    if isinstance(transform, Log):
        return bool(x.min() > -transform.shift)
    return not isinstance(transform, Interval) or bool(transform.low < x.min() and x.max() < transform.high)


def each_pair(*names):
    """Columns, and the transforms that take their values."""
    taken = [(t, n) for n in names or COLUMNS for t in ALL if takes(t, COLUMNS[n])]
    return pytest.mark.parametrize(("transform", "name"), taken)


@each_pair()
def test_it_is_undone_increases_and_has_the_slope_it_says(transform, name):
    x = COLUMNS[name]
    one = transform.fit(x)
    z = one.forward(x)
    assert_close(one.inverse(z), x, rtol=1e-11, atol=1e-13 * float(x.abs().max()))
    order = x.argsort()
    assert bool((z[order].diff()[x[order].diff() > 0] > 0).all())
    far = torch.linspace(-7, 7, 501, dtype=F64)
    assert_close(one.forward(one.inverse(far)), far, rtol=1e-9, atol=1e-9)
    here = one.inverse(far).requires_grad_()
    (slope,) = torch.autograd.grad(one.forward(here).sum(), here)
    assert_close(one.log_slope(here).detach(), slope.log(), rtol=1e-9, atol=1e-9)


@each_pair("log-normal", "two heaps", "Cauchy", "shares")
def test_the_slope_is_that_of_finite_differences(transform, name):
    one = transform.fit(COLUMNS[name])
    x = one.inverse(torch.linspace(-3.01, 2.93, 100, dtype=F64))
    step = 1e-6 * torch.minimum(one.log_slope(x).neg().exp(), x.abs())
    difference = (one.forward(x + step) - one.forward(x - step)) / (2 * step)
    assert_close(one.log_slope(x).exp(), difference, rtol=1e-5, atol=0)


@pytest.mark.cases(2)
@each_pair("log-normal", "two heaps", "half zeros", "normal", "shares")
def test_the_density_of_a_normal_variable_that_is_mapped_back_integrates_to_one(transform, name):
    one = transform.fit(COLUMNS[name])
    ends = one.inverse(torch.linspace(-9, 9, 1_000_001, dtype=F64))  # a grid as dense as the density
    middle = (ends[1:] + ends[:-1]) / 2
    log_p = -0.5 * one.forward(middle).square() - 0.5 * math.log(2 * math.pi) + one.log_slope(middle)
    assert float((log_p.exp() * ends.diff()).sum()) == pytest.approx(1, abs=1e-5)


def test_a_log_normal_variable_has_its_density():
    x, s = COLUMNS["log-normal"], 1.5
    one = Log().fit(x)
    log_p = torch.distributions.Normal(0.0, s).log_prob(one.forward(x)) + one.log_slope(x)
    assert_close(log_p, torch.distributions.LogNormal(torch.tensor(0.0, dtype=F64), s).log_prob(x))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 2.0)])
def test_a_logit_normal_variable_has_its_density(low, high):
    """``p(x) = N(logit u) / (u (1 - u) (high - low))``."""
    u = (0.7 * normal() - 0.2).sigmoid()
    one = Interval(low=low, high=high).fit(low + (high - low) * u)
    x = low + (high - low) * u
    log_p = torch.distributions.Normal(-0.2, 0.7).log_prob(one.forward(x)) + one.log_slope(x)
    expected = torch.distributions.Normal(-0.2, 0.7).log_prob(u.logit()) - (u * (1 - u) * (high - low)).log()
    assert_close(log_p, expected, rtol=1e-9, atol=1e-9)


def test_one_bound_is_a_logarithm_of_the_distance_from_it():
    x = COLUMNS["log-normal"]
    up, down = Interval(low=-2.0, high=math.inf).fit(x), Interval(low=-math.inf, high=2.0).fit(-x)
    log = Log(shift=2.0).fit(x)
    for one, sign in ((up, 1), (down, -1)):
        assert torch.equal(one.forward(sign * x), sign * log.forward(x))
        assert torch.equal(one.log_slope(sign * x), log.log_slope(x))
        assert torch.equal(one.inverse(sign * x), sign * log.inverse(x))


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (0.0, math.inf), (-math.inf, 1.0)])
def test_values_at_a_bound_or_beyond_are_refused_and_have_no_density(bounds):
    low, high = bounds
    one = Interval(low=low, high=high)
    x = torch.tensor([0.0, 0.5, 1.0])
    off = [low == 0.0, False, high == 1.0]
    assert one.fit(x[1:2]).outside(x).tolist() == off
    with pytest.raises(InvalidInputError, match=rf"rate: values must lie between .* {sum(off)} of 3 values"):
        one.fit(x, "rate")


def test_answers_stay_between_the_bounds_however_far():
    z = torch.tensor([-1e3, -40.0, 0.0, 40.0, 1e3], dtype=F64)
    x = IntervalMap(-1.0, 3.0).inverse(z)
    assert bool(((x >= -1) & (x <= 3)).all())
    assert x[2] == 1.0
    assert_close(IntervalMap(0.0, 1.0).inverse(z[1:2]), z[1:2].exp(), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("name", "most"), [("log-normal", 0.02), ("Cauchy", 0.02), ("two heaps", 0.06), ("normal", 0.02)]
)
def test_normal_quantiles_are_nearly_normal(name, most):
    z = Quantile().fit(COLUMNS[name]).forward(COLUMNS[name]).sort().values
    ranks = (torch.arange(len(z), dtype=F64) + 0.5) / len(z)
    assert float((torch.special.ndtr(z) - ranks).abs().max()) < most
    assert float(z.abs().max()) < 4


def test_the_slope_of_normal_quantiles_of_an_exponential_of_normals_is_continuous():
    one = Quantile().fit(COLUMNS["log-normal"])
    knots = one.x[1:-1]
    apart = 1e-9 * one.x.diff().minimum(one.x.diff().roll(1))[1:]
    below, above = one.log_slope(knots - apart), one.log_slope(knots + apart)
    assert_close(below, above, rtol=0, atol=1e-5)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    values=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=60),
    repeats=st.integers(1, 3),
    power=st.integers(-40, 40),
    transform=st.sampled_from(
        [Asinh(), Quantile(), Quantile(knots=3), Log(shift=1001.0), Interval(low=-1001.0, high=1002.0)]
    ),
    single=st.booleans(),
)
def test_columns_of_any_unit_come_back_and_units_do_not_matter(values, repeats, power, transform, single):
    unit = 2.0**power  # 1e-12 to 1e12, exact
    x = torch.tensor(values * repeats, dtype=torch.float32 if single else F64).double()
    if float(x.max() - x.min()) <= 1e-9 * float(x.abs().max()):
        return  # constant
    scaled = Log(shift=transform.shift * unit) if isinstance(transform, Log) else transform
    if isinstance(transform, Interval):
        scaled = Interval(low=transform.low * unit, high=transform.high * unit)
    one, other = transform.fit(x), scaled.fit(x * unit)
    z = other.forward(x * unit)
    assert bool(torch.isfinite(z).all())
    assert_close(other.inverse(z), x * unit, rtol=1e-9, atol=1e-10 * unit * 1e3)
    if not isinstance(transform, Log):
        assert_close(z, one.forward(x), rtol=1e-9, atol=1e-9)
        assert_close(other.log_slope(x * unit), one.log_slope(x) - math.log(unit), rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("name", ["normal", "log-normal"])
def test_a_tail_does_not_hang_on_the_distance_of_the_last_two_values(name):
    x = COLUMNS[name].sort().values
    x[0], x[-1] = x[1] - 1e-9, x[-2] + 1e-9
    one = Quantile().fit(x)
    off = torch.stack([2 * x[0] - x[40], 2 * x[-1] - x[-40]])  # as far off as the outermost hundredth is wide
    assert bool((one.forward(off).abs() < 7).all())


def test_missing_values_stay_missing_and_are_not_counted():
    x = COLUMNS["log-normal"].clone()
    x[::7] = torch.nan
    for transform in (t for t in ALL if takes(t, x[~x.isnan()])):
        one, without = transform.fit(x), transform.fit(x[~x.isnan()])
        assert torch.equal(one.forward(x).isnan(), x.isnan())
        assert_close(one.forward(x), without.forward(x), equal_nan=True)
        assert not bool(one.outside(x).any())


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_a_value_has_the_same_bits_in_every_batch(transform):
    x = COLUMNS["shares" if isinstance(transform, Interval) else "log-normal"]
    one = transform.fit(x)
    z = one.forward(x)
    for rows in (slice(0, 1), slice(3, 8), slice(100, 165)):
        assert torch.equal(one.forward(x[rows]), z[rows])
        assert torch.equal(one.inverse(z[rows]), one.inverse(z)[rows])
        assert torch.equal(one.log_slope(x[rows]), one.log_slope(x)[rows])


def test_values_without_a_logarithm_are_refused_with_a_remedy():
    with pytest.raises(
        InvalidInputError, match=r"column price: a logarithm needs values above 0, got -3\. Use 'quant"
    ):
        Log().fit(torch.tensor([1.0, -3.0, 0.0]), "column price")
    assert Log(shift=1.0).fit(torch.tensor([0.0, 2.0])).outside(torch.tensor([-1.0, 0.0])).tolist() == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Interval(low=1.0), "Interval: low must lie below high"),
        (lambda: Interval(low=-math.inf, high=math.inf), "one of them must be finite"),
        (lambda: Interval(low=math.nan), "Interval: low must be a number"),
        (lambda: Interval(high="1"), "Interval: high must be a number"),
        (lambda: Interval(high=True), "Interval: high must be a number"),
    ],
)
def test_bad_settings_are_refused(make, words):
    with pytest.raises(InvalidInputError, match=words):
        make()


def test_every_transform_has_a_card():
    assert set(members("column_transform").values()) == {Log, Asinh, Quantile, Interval}


def test_extreme_units():
    x = torch.tensor(np.random.default_rng(0).lognormal(size=500))
    for unit in (1e-200, 1e-12, 1e12, 1e200):
        for transform in (Log(), Asinh(), Quantile()):
            one = transform.fit(x * unit)
            assert_close(one.inverse(one.forward(x * unit)) / unit, x, rtol=1e-9, atol=1e-12)
            assert bool(torch.isfinite(one.log_slope(x * unit)).all())


def test_of_many_rows_a_part_is_looked_at():
    """Every second of 70,000, and the whole goes there and back."""
    x = torch.linspace(0.1, 9.0, 70_000, dtype=torch.float64)[:, None]
    frame = bent_columns("Bridge", "x1", choose_transform("Bridge", "log"), x, ())
    assert frame is not None
    assert_close(frame.unbend(frame.bend(x)), x)
