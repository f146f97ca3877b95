"""Curves through tables: values, exact rates, monotone, and the order at which they close in."""

import math

import pytest
import torch
from scipy.interpolate import PchipInterpolator
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.paths import Linear, ZeroEnvelope
from interpolants.paths.curves import Curve

F64 = torch.float64


def test_nodes_are_met_and_the_rate_is_that_of_the_curve():
    x = torch.tensor([0.0, 0.3, 0.4, 1.0, 2.5], dtype=F64)
    y = torch.tensor([1.0, 2.0, 1.5, 1.5, -3.0], dtype=F64)
    curve = Curve(x, y)
    assert_close(curve(x), y)
    at = torch.linspace(0, 2.5, 401, dtype=F64, requires_grad=True)
    (slope,) = torch.autograd.grad(curve(at).sum(), at)
    assert_close(curve.rate(at.detach()), slope)


def test_a_curve_is_monotone_where_its_values_are():
    y = torch.tensor([0.0, 0.0, 1e-6, 0.9, 0.91, 5.0, 5.0, 4.0], dtype=F64)
    curve = Curve(torch.arange(8, dtype=F64), y)
    values = curve(torch.linspace(0, 7, 7001, dtype=F64))
    assert bool((values[:6001].diff() >= -1e-12).all())
    assert bool((values[6000:].diff() <= 1e-12).all())


@pytest.mark.parametrize(("known", "order"), [(True, 4), (False, 2.9)])
def test_the_error_falls_with_the_order_of_the_slopes(known, order):
    at, errors = torch.linspace(0.2, 1.3, 997, dtype=F64), []
    for n in (20, 40):
        x = torch.linspace(0, 1.5, n + 1, dtype=F64)
        curve = Curve(x, x.sin(), x.cos() if known else None)
        errors.append(float((curve(at) - at.sin()).abs().max()))
    assert math.log2(errors[0] / errors[1]) > order - 0.2


def test_given_slopes_are_limited_so_that_nothing_overshoots():
    curve = Curve([0.0, 1.0, 2.0], [0.0, 0.0, 1.0], [5.0, 5.0, 100.0])
    values = curve(torch.linspace(0, 2, 201, dtype=F64))
    assert float(values.min()) >= 0
    assert bool((values.diff() >= -1e-12).all())


def test_precision_of_the_argument_is_kept():
    assert Curve([0.0, 1.0], [0.0, 2.0])(torch.tensor([0.25])).dtype == torch.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Curve([0.0, 0.5, 0.5], [0.0, 1.0, 2.0]),
            r"the grid must be strictly increasing, got 0.5, 0.5",
        ),
        (lambda: Curve([0.0], [0.0]), r"at least 2, got"),
        (lambda: Curve([0.0, 1.0], [0.0, math.nan]), r"must be finite"),
    ],
)
def test_bad_tables_are_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


@pytest.mark.parametrize("y", [[0.0, 1.0, 1.5, 4.0], [3.0, 0.5, 0.4, 2.0], [0.0, 0.1, 5.0, 5.0]])
def test_the_curve_is_scipys_monotone_interpolant(y):
    x = [0.0, 0.3, 1.1, 2.0]
    at = torch.linspace(0, 2, 101, dtype=F64)
    wanted = PchipInterpolator(x, y)
    assert_close(Curve(x, y)(at), torch.from_numpy(wanted(at.numpy())))
    assert_close(Curve(x, y).rate(at), torch.from_numpy(wanted.derivative()(at.numpy())))


def test_a_sample_of_a_path_has_the_times_it_was_drawn_at():
    t = torch.tensor([0.1, 0.7])
    for path in (Linear(), Linear(envelope=ZeroEnvelope())):
        assert torch.equal(path.sample(x0=torch.zeros(2, 1), x1=torch.ones(2, 1), t=t).t, t)
