import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.solvers import Dopri5, Euler, Status, Tsit5, integrate_adaptive
from interpolants.solvers.lanes import root
from interpolants.solvers.tableau import RungeKutta, Tableau

F64 = torch.float64
PAIRS = [Dopri5(), Tsit5()]
each_pair = pytest.mark.parametrize("solver", PAIRS, ids=lambda solver: solver.name)


def column(t):
    return t[:, None]


def damped(x, t):
    """x' = -5 t x^2, so that 1/x = 1/x0 + 2.5 t^2."""
    return -5 * column(t) * x**2


def oscillators(x, t):
    """Rotation of (x1, x2) at the frequency x3, which stays."""
    return torch.stack([-x[:, 2] * x[:, 1], x[:, 2] * x[:, 0], torch.zeros_like(x[:, 0])], dim=1)


def turned(x):
    c, s = torch.cos(x[:, 2]), torch.sin(x[:, 2])
    return torch.stack([c * x[:, 0] - s * x[:, 1], s * x[:, 0] + c * x[:, 1], x[:, 2]], dim=1)


def mixed_batch(count, dtype=F64):
    """One fast oscillator in front of slow ones."""
    frequency = torch.linspace(0.5, 1.5, count, dtype=dtype)
    frequency[0] = 20.0
    return torch.stack([torch.ones_like(frequency), torch.zeros_like(frequency), frequency], dim=1)


@each_pair
@pytest.mark.parametrize("tol", [1e-3, 1e-5, 1e-7, 1e-9])
def test_the_error_is_a_few_tolerances(solver, tol):
    x = torch.linspace(0.2, 2, 40, dtype=F64)[:, None]
    result = integrate_adaptive(damped, x, 0.0, 1.0, solver, rtol=tol, atol=tol)
    assert (result.status == Status.OK).all()
    assert (result.t == 1.0).all()
    assert (result.x - 1 / (1 / x + 2.5)).abs().max() < 5 * tol


@each_pair
def test_a_hard_sample_is_as_accurate_among_easy_ones(solver):
    x = mixed_batch(4096)
    together = integrate_adaptive(oscillators, x, 0.0, 1.0, solver, rtol=1e-4, atol=1e-4)
    alone = integrate_adaptive(oscillators, x[:1], 0.0, 1.0, solver, rtol=1e-4, atol=1e-4)
    assert torch.equal(together.x[:1], alone.x)
    assert (alone.x - turned(x[:1])).abs().max() < 20 * 1e-4  # about 20 radians of accumulated error
    assert (together.x - turned(x))[1:].abs().max() < 5e-4
    # The easy ones did not pay for it.
    assert together.nfe[0] > 5 * together.nfe[1:].max()
    assert together.n_calls == together.nfe.max() == together.nfe[0]


@pytest.mark.parametrize("dtype", [F64, torch.float32])
@pytest.mark.parametrize("features", [1, 2, 5, 64, 784])
def test_an_elementwise_field_gives_the_same_bits_in_any_batch(dtype, features):
    x = torch.randn(4096, features, dtype=dtype, generator=torch.Generator().manual_seed(3))

    def f(x, t):
        return torch.sin(3 * x) * (1 + column(t)) + torch.cos(2 * x.roll(1, 1))

    def run(rows):
        return integrate_adaptive(f, rows, 0.0, 1.0, Dopri5(), rtol=1e-3, atol=1e-3)

    count = 4096 if features < 64 else 300
    everyone = run(x[:count])
    for rows in (slice(7, 8), slice(0, 7), slice(100, 164)):
        some = run(x[rows])
        for name in ("x", "t", "nfe", "accepted", "rejected", "status"):
            assert torch.equal(getattr(some, name), getattr(everyone, name)[rows]), name


def test_a_network_gives_the_same_bits_in_any_batch():
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    layers = [torch.nn.Linear(3, 64), torch.nn.Tanh(), torch.nn.Linear(64, 64), torch.nn.Tanh()]
    net = torch.nn.Sequential(*layers, torch.nn.Linear(64, 2))
    torch.random.set_rng_state(torch_state)
    x = torch.randn(4096, 2, generator=torch.Generator().manual_seed(4))

    def f(x, t):
        return net(torch.cat([x, column(t)], dim=1))

    with torch.no_grad():
        everyone = integrate_adaptive(f, x, 0.0, 1.0, Tsit5(), rtol=1e-4, atol=1e-4)
        for rows in (slice(9, 10), slice(0, 7), slice(200, 264)):
            some = integrate_adaptive(f, x[rows], 0.0, 1.0, Tsit5(), rtol=1e-4, atol=1e-4)
            assert torch.equal(some.x, everyone.x[rows])
            assert torch.equal(some.nfe, everyone.nfe[rows])


@pytest.mark.parametrize("first_step", [None, 0.05])
def test_evaluations_are_counted_exactly_per_sample(first_step):
    rows, calls = [], []

    def f(x, t):
        calls.append(len(x))
        rows.append(x[:, 2])
        return oscillators(x, t)

    x = mixed_batch(12)
    result = integrate_adaptive(f, x, 0.0, 1.0, Dopri5(), pad=1, first_step=first_step)
    seen = torch.cat(rows)
    assert result.nfe.tolist() == [int((seen == frequency).sum()) for frequency in x[:, 2]]
    assert result.n_calls == len(calls)
    starting = 2 if first_step is None else 1
    assert torch.equal(result.nfe, starting + 6 * (result.accepted + result.rejected))


def test_rows_are_padded_and_told_to_whom_they_belong():
    sizes, told = [], []

    def f(x, t):
        sizes.append(len(x))
        assert torch.equal(x[:, 2], batch[told[-1], 2])
        return oscillators(x, t)

    batch = mixed_batch(30)
    integrate_adaptive(f, batch, 0.0, 1.0, Dopri5(), pad=24, on_lanes=told.append)
    assert sizes[0] == 48
    assert set(sizes) == {24, 48}
    assert (told[-1] == 0).all()


def test_samples_keep_their_lanes_in_a_batch_of_one_block():
    places = []

    def note(row):
        for lane, sample in enumerate(row.tolist()):
            places.append((sample, lane))

    integrate_adaptive(oscillators, mixed_batch(24), 0.0, 1.0, Dopri5(), pad=24, on_lanes=note)
    assert {(sample, lane) for sample, lane in places if sample} >= {(k, k) for k in range(1, 24)}
    assert all(
        sample in (lane, 0) or sample == min(s for s, _ in places[-24:]) for sample, lane in places[-24:]
    )


@each_pair
def test_steps_end_exactly_at_the_reported_times(solver):
    x = torch.linspace(0.2, 2, 20, dtype=F64)[:, None]
    times = np.array([0.0, 0.01, 0.3, 0.31, 0.9])
    seen = []

    def f(x, t):
        seen.append(t)
        return damped(x, t)

    result = integrate_adaptive(f, x, 0.0, 1.0, solver, rtol=1e-8, atol=1e-8, times=times)
    assert result.path.shape == (5, 20, 1)
    exact = torch.stack([1 / (1 / x + 2.5 * t**2) for t in times])
    assert_close(result.path, exact, rtol=0, atol=5e-8)
    assert_close(result.x, 1 / (1 / x + 2.5), rtol=0, atol=5e-8)
    assert set(times.tolist()) <= set(torch.cat(seen).tolist())
    assert min(t.min() for t in seen) >= 0
    assert max(t.max() for t in seen) == 1.0
    upto = integrate_adaptive(damped, x, 0.0, 1.0, solver, rtol=1e-8, atol=1e-8, times=[0.5, 1.0])
    assert torch.equal(upto.path[-1], upto.x)


@each_pair
def test_backwards_returns_to_the_start(solver):
    x = torch.linspace(0.2, 2, 20, dtype=F64)[:, None]
    there = integrate_adaptive(damped, x, 0.0, 1.0, solver, rtol=1e-9, atol=1e-9).x
    back = integrate_adaptive(damped, there, 1.0, 0.0, solver, rtol=1e-9, atol=1e-9, times=[0.5])
    assert_close(back.x, x, rtol=0, atol=1e-6)
    assert_close(back.path[0], 1 / (1 / x + 2.5 / 4), rtol=0, atol=1e-7)
    assert (back.t == 0).all()


@pytest.mark.parametrize("dtype", [F64, torch.float32])
def test_a_blow_up_is_reported_and_does_not_disturb_the_others(dtype):
    """x' = x^2 leaves to infinity at t = 1/x0."""
    x = torch.tensor([[0.1], [1.0], [2.0]], dtype=dtype)
    result = integrate_adaptive(lambda x, t: x**2, x, 0.0, 1.5, Dopri5(), rtol=1e-5, atol=1e-5)
    assert result.status[0] == Status.OK
    assert result.x[0].item() == pytest.approx(1 / (10 - 1.5), abs=1e-5)
    assert all(code in (Status.STEP_UNDERFLOW, Status.NONFINITE) for code in result.status[1:])
    assert result.t[1:].tolist() == pytest.approx([1.0, 0.5], abs=1e-3)
    assert result.x.isfinite().all()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_field_that_leaves_the_finite_numbers_is_reported_where_it_does(bad):
    def f(x, t):
        return torch.where(column(t) > 0.5, bad, -x)

    result = integrate_adaptive(f, torch.ones(3, 2), 0.0, 1.0, Dopri5(), times=[0.25, 0.75])
    assert (result.status == Status.NONFINITE).all()
    assert_close(result.t, torch.full((3,), 0.5, dtype=F64), rtol=0, atol=1e-4)
    assert_close(result.path[0], torch.full((3, 2), math.exp(-0.25)), rtol=0, atol=1e-4)
    assert result.path[1].isnan().all()
    at_once = integrate_adaptive(lambda x, t: x * bad, torch.ones(3, 2), 0.0, 1.0, Dopri5())
    assert (at_once.status == Status.NONFINITE).all()
    assert (at_once.t == 0).all()


def test_an_overflow_of_the_state_alone_is_seen():
    """A constant slope has no error, and an infinite state makes its own tolerance infinite."""
    x = torch.full((2, 1), 3e38)
    result = integrate_adaptive(lambda x, t: torch.full_like(x, 1e38), x, 0.0, 1.0, Dopri5())
    assert (result.status == Status.NONFINITE).all()
    assert result.x.isfinite().all()


def test_too_many_steps_are_reported():
    result = integrate_adaptive(oscillators, mixed_batch(5), 0.0, 1.0, Dopri5(), max_steps=9)
    assert result.status.tolist() == [Status.MAX_STEPS, *[Status.OK] * 4]
    assert result.accepted[0] + result.rejected[0] == 9
    assert 0 < result.t[0] < 1


@each_pair
def test_the_integral_is_controlled_too(solver):
    """The state stands still and tempts to long steps; the rate cos(40 t) does not allow them."""

    def f(x, t, want):
        return torch.zeros_like(x), torch.cos(40 * t) if want else None

    x = torch.ones(3, 500, dtype=F64)
    result = integrate_adaptive(f, x, 0.0, 1.0, solver, rtol=1e-6, atol=1e-6, quadrature=True)
    assert_close(result.q, torch.full((3,), math.sin(40) / 40, dtype=F64), rtol=0, atol=1e-5)
    assert (result.accepted > 10).all()


@each_pair
def test_the_rate_is_asked_for_only_where_it_counts_and_backwards_changes_sign(solver):
    asked = []

    def f(x, t, want):
        asked.append(want)
        return -x, x.sum(1) if want else None

    x = torch.full((2, 1), math.exp(-1), dtype=F64)
    result = integrate_adaptive(f, x, 1.0, 0.0, solver, rtol=1e-8, atol=1e-8, quadrature=True)
    assert_close(result.q, torch.full((2,), -(1 - math.exp(-1)), dtype=F64), rtol=0, atol=1e-7)
    tableau = solver.tableau
    wanted = [b != 0 or e != 0 for b, e in zip(tableau.b, tableau.e, strict=True)][1:]
    assert asked[:8] == [True, False, *wanted]


@pytest.mark.parametrize("shape", [(20,), (20, 2, 3), (1, 1)])
def test_any_event_shape(shape):
    x = torch.linspace(0.5, 1, math.prod(shape), dtype=F64).reshape(shape)
    result = integrate_adaptive(lambda x, t: -x, x, 0.0, 1.0, Dopri5(), rtol=1e-8, atol=1e-8)
    assert_close(result.x, x * math.exp(-1), rtol=0, atol=1e-7)


def test_times_have_the_precision_of_the_state_and_the_state_keeps_its_type():
    types = set()

    def f(x, t):
        types.add((x.dtype, t.dtype))
        return -x

    result = integrate_adaptive(f, torch.ones(3, 2), 0.0, 1.0, Dopri5())
    assert types == {(torch.float32, torch.float32)}
    assert (result.x.dtype, result.t.dtype) == (torch.float32, F64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"solver": Euler()}, "solver must have an error estimate, got euler"),
        ({"rtol": -1.0}, "rtol must be finite"),
        ({"atol": 0.0}, "atol must be finite and > 0, got 0"),
        ({"max_steps": 0}, "max_steps must be a whole number >= 1"),
        ({"first_step": 0.0}, "first_step must be finite and > 0"),
        ({"times": [0.5, 0.2]}, "times must run from"),
        ({"times": [0.5, 2.0]}, "times must run from"),
        ({"t1": 0.0}, "times must be finite and strictly"),
        ({"f": lambda x, t: x[:, :1]}, "must return the shape of x"),
        ({"x": torch.ones(2, 2, dtype=torch.long)}, "floating-point batch"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    arguments = {"f": lambda x, t: -x, "x": torch.ones(2, 2), "t0": 0.0, "t1": 1.0, "solver": Dopri5()}
    with pytest.raises(InvalidInputError, match=message):
        integrate_adaptive(**(arguments | change))


@each_pair
def test_a_first_step_beyond_the_fields_domain_is_cut_until_it_fits(solver):
    """x' = -20 x^1.5 has no value below zero, where the stages of a step of 1 lie; ``x = (1 + 10 t)^-2``."""
    x = torch.ones(1, 1, dtype=F64)
    result = integrate_adaptive(lambda x, t: -20 * x**1.5, x, 0.0, 1.0, solver, first_step=1.0)
    assert result.status.tolist() == [Status.OK]
    assert result.x.item() == pytest.approx(1 / 121, abs=1e-4)


@dataclass(frozen=True)
class HeunEuler(RungeKutta):
    """Heun's rule with Euler's inside: the slope at the new state counts for neither, but begins the next step."""

    name = "heun_euler"
    tableau = Tableau(
        a=((), (1.0,), (0.5, 0.5)),
        b=(0.5, 0.5, 0.0),
        c=(0.0, 1.0, 1.0),
        order=2,
        e=(-0.5, 0.5, 0.0),
        fsal=True,
    )


@dataclass(frozen=True)
class Midpoint(RungeKutta):
    """The midpoint rule, judged by the slope at the new state; that at the old one counts for neither."""

    name = "midpoint_by_its_end"
    tableau = Tableau(
        a=((), (0.5,), (0.0, 1.0)),
        b=(0.0, 1.0, 0.0),
        c=(0.0, 0.5, 1.0),
        order=2,
        e=(0.0, 1.0, -1.0),
        fsal=True,
    )


@pytest.mark.parametrize("solver", [HeunEuler(), Midpoint()], ids=lambda solver: solver.name)
def test_the_rate_at_the_new_state_is_asked_for_where_the_error_or_the_next_step_wants_it(solver):
    def f(x, t, want):
        return -x, x.sum(1) if want else None

    x = torch.ones(2, 1, dtype=F64)
    result = integrate_adaptive(f, x, 0.0, 1.0, solver, rtol=1e-4, atol=1e-4, quadrature=True)
    assert_close(result.q, torch.full((2,), 1 - math.exp(-1), dtype=F64), rtol=0, atol=1e-3)


@pytest.mark.parametrize("order", [1, 3, 5])
def test_a_root_taken_by_logarithms(order):
    x = torch.tensor([1e-9, 0.3, 1.0, 40.0], dtype=F64)
    assert_close(root(x, order) ** order, x)
