"""Ordinary systems: reference solutions against a closed form; refusals."""

import math
from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.pde import ODE, check_evolution
from interpolants.pde.evolution import noted_derivatives

TIMES = torch.linspace(0, 5, 173, dtype=torch.float64)[:, None]


def test_runge_kutta_meets_a_closed_form_with_fourth_order():
    decay, rate = ODE(rates=lambda t, u: -1.3 * u, start=(1.0,), end=5.0), 1.3
    truth = torch.exp(-rate * TIMES)
    errors = [float((decay.solution(n).at(TIMES) - truth).abs().max()) for n in (20, 40, 80)]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(3.6 < order < 4.4 for order in orders), orders
    assert_close(decay.truth_at(TIMES), truth, atol=1e-7, rtol=0)
    assert (
        float(decay.residual_at(TIMES, lambda name="": -rate * truth if name else truth).abs().max()) < 1e-12
    )


@pytest.mark.slow
def test_a_chaotic_system_over_a_long_time_has_no_truth():
    def lorenz(t, u):
        x, y, z = u.unbind(1)
        return torch.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], 1)

    short = ODE(rates=lorenz, start=(1.0, 1.0, 1.0), end=1.0)
    assert short.names == ("u1", "u2", "u3")
    assert bool(torch.isfinite(short.truth_at(torch.tensor([[1.0]]))).all())
    with pytest.raises(DivergedError, match="not settled"):
        ODE(rates=lorenz, start=(1.0, 1.0, 1.0), end=40.0).truth_at(torch.tensor([[40.0]]))
    with pytest.raises(DivergedError, match="became NaN or infinite"):
        ODE(rates=lambda t, u: u**3, start=(1.0,), end=5.0).truth_at(TIMES)


def test_a_problem_is_checked_inside_its_domain_alone():
    """A law of a gas may have no value beyond the end."""
    asked = []

    def rates(t, u):
        asked.append(t)
        return -u

    check_evolution("Test", ODE(rates=rates, start=(1.0,), end=3.0))
    times = torch.cat([t.flatten() for t in asked])
    assert len(times) > 1
    assert bool(((times >= 0) & (times <= 3)).all())


def test_what_a_residual_reads_is_found_out():
    assert check_evolution("Test", ODE(rates=lambda t, u: -u, start=(1.0,), end=3.0)) == {"t": 1}


@pytest.mark.parametrize(
    ("rates", "start", "words"),
    [
        (lambda t, u: u[:, 0], (1.0, 2.0), r"rates must have the shape of u, \(5, 2\), got \(5,\)"),
        (lambda t, u: u * t, (1.0,), r"rates must have the shape of u, \(5, 1\), got \(5, 5\)"),
        (lambda t, u: 1.0, (1.0,), "got float"),
    ],
)
def test_rates_of_another_shape_are_refused(rates, start, words):
    with pytest.raises(InvalidInputError, match=words):
        check_evolution("Test", ODE(rates=rates, start=start, end=1.0))


def test_settings_are_refused_with_their_value():
    with pytest.raises(InvalidInputError, match="end must be finite and > 0, got 0"):
        ODE(rates=lambda t, u: u, start=(1.0,), end=0)
    with pytest.raises(InvalidInputError, match="start must be finite"):
        ODE(rates=lambda t, u: u, start=(math.nan,), end=1.0)
    with pytest.raises(InvalidInputError, match="one entry per number"):
        ODE(rates=lambda t, u: u, start=(1.0, 2.0), end=1.0, names=("a",))
    with pytest.raises(InvalidInputError, match="must be an evolution equation, got int"):
        check_evolution("Test", 3)


def test_a_jet_of_zeros_notes_the_derivatives_that_are_asked_for():
    jet, asked = noted_derivatives(torch.full((2, 1), 3.0))
    assert jet("tt").tolist() == [[0], [0]]
    assert jet().tolist() == [[3], [3]]
    assert asked == {"tt", ""}
