"""Adaptive SDE steps: the error along one Brownian path, exact moments, the law of the noise, and refusals."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import BlockNoise
from interpolants.solvers import AdaptiveHeun, Status, get_solver, integrate_sde, integrate_sde_adaptive

F64 = torch.float64
COARSE = torch.linspace(0, 1, 5, dtype=F64)


@cache
def draws(node, shape, count, dtype):
    return BlockNoise(3, ("tree", *node), count=count, shape=shape, dtype=dtype).normal()


def normals(x):
    def normal(node, rows):
        return draws(node, tuple(x.shape[1:]), x.shape[0], x.dtype)[rows].clone()

    return normal


def uniform_tree(x, times, depth):
    """Increments over all nodes of one depth, in order: the same path, halved everywhere."""
    normal, rows = normals(x), torch.arange(len(x))

    def below(node, length, dw):
        n, level, place = node
        if level == depth:
            return [dw]
        left = dw / 2 + normal((n, level + 1, place), rows) * math.sqrt(length) / 2
        return [
            *below((n, level + 1, 2 * place), length / 2, left),
            *below((n, level + 1, 2 * place + 1), length / 2, dw - left),
        ]

    found = []
    for n, length in enumerate(np.abs(np.diff(np.asarray(times))).tolist()):
        found += below((n, 0, 0), length, normal((n, 0, 0), rows) * math.sqrt(length))
    return found


def fixed(f, g, x, times, depth, solver="stochastic_heun"):
    """Uniform steps along the path that the adaptive run sees."""
    times = np.asarray(times)
    fine = np.interp(np.arange((len(times) - 1) * 2**depth + 1) / 2**depth, np.arange(len(times)), times)
    strengths = [g(t) for t in fine.tolist()]
    increments = ((dw, None) for dw in uniform_tree(x, times, depth))
    return integrate_sde(f, strengths, x, fine, get_solver(solver), increments).x


def adaptive(f, g, x, tol, times=COARSE, **settings):
    solver = AdaptiveHeun(rtol=0.0, atol=tol, **settings)
    return integrate_sde_adaptive(f, g, x, times, normals(x), solver)


def rms(x):
    return float(x.square().mean().sqrt())


def ou(x, t):
    return -3.0 * x


def one(t):
    return 1.0


def start(n=64, shape=(1,), dtype=F64):
    return torch.linspace(-2, 2, n, dtype=dtype).reshape(-1, 1).expand(n, *shape).clone()


def towards_the_end(x, t):
    """A rate that grows to 1,000: the drift of a bridge to a point, just before its end."""
    return -x / (1.001 - float(t))


def test_the_strong_error_falls_in_proportion_to_the_tolerance():
    x = start(64)
    right = fixed(ou, one, x, COARSE, 10)
    tolerances = [0.1, 0.03, 0.01]
    runs = [adaptive(ou, one, x, tol) for tol in tolerances]
    errors = [rms(run.x - right) for run in runs]
    assert (
        0.8 < np.polyfit(np.log(tolerances), np.log(errors), 1)[0] < 1.4
    )  # 1.2; 0.6 without the typical size
    assert all(error < tol / 3 for error, tol in zip(errors, tolerances, strict=True))


def test_a_rate_that_grows_at_the_end_takes_fewer_evaluations_than_uniform_steps():
    x = start(64)
    right = fixed(towards_the_end, one, x, COARSE, 11)
    run = adaptive(towards_the_end, one, x, 0.1)
    assert float(run.nfe.double().mean()) < 512
    uniform = fixed(towards_the_end, one, x, COARSE, 6)  # 2 x 4 x 2^6 = 512 evaluations
    assert rms(run.x - right) < rms(uniform - right) / 20
    assert int(run.status.max()) == int(Status.OK)


def test_mean_and_variance_of_ornstein_uhlenbeck_are_exact_within_four_standard_errors():
    n = 4096
    x = torch.ones(n, 1, dtype=F64)
    found = adaptive(ou, one, x, 0.05).x[:, 0]
    mean, variance = math.exp(-3), (1 - math.exp(-6)) / 6
    assert abs(float(found.mean()) - mean) < 4 * math.sqrt(variance / n)
    assert abs(float(found.var()) - variance) < 4 * variance * math.sqrt(2 / n)


@pytest.mark.parametrize("down", [False, True])
def test_without_drift_the_result_is_the_brownian_motion(down):
    x = start(8, (2,))
    times = COARSE.flip(0) if down else COARSE
    run = adaptive(lambda x, t: torch.zeros_like(x), lambda t: 0.5, x, 1e-3, times)
    assert_close(run.x, x + 0.5 * sum(uniform_tree(x, times, 3)))
    assert run.nfe.tolist() == [4 * 5] * 8
    assert int(run.rejected.max()) == 0


def test_a_decreasing_grid_runs_the_equation_down_in_time():
    x = start(32)
    times = COARSE.flip(0)
    right = fixed(lambda x, t: 3.0 * x, one, x, times, 9)
    assert rms(adaptive(lambda x, t: 3.0 * x, one, x, 0.03, times).x - right) < 0.01


def test_rows_do_not_depend_on_each_other_or_on_the_batch():
    x = start(200, (2,), torch.float32)
    every = normals(x)

    def run(rows):
        solver = AdaptiveHeun(rtol=0.0, atol=0.1, pad=min(len(rows), 64))
        own = lambda node, lanes: every(node, rows[lanes])  # noqa: E731
        return integrate_sde_adaptive(ou, one, x[rows], COARSE, own, solver)

    whole = run(torch.arange(200))
    assert len(set(whole.nfe.tolist())) > 3
    for size in (1, 7, 64):
        rows = torch.arange(100 - size, 100)
        part = run(rows)
        assert torch.equal(part.x, whole.x[rows])
        assert torch.equal(part.nfe, whole.nfe[rows])


def test_the_path_is_reported_at_the_times_of_the_grid_and_counts_are_those_of_each_sample():
    x = start(16)
    plain = adaptive(ou, one, x, 0.03)
    solver = AdaptiveHeun(rtol=0.0, atol=0.03)
    kept = integrate_sde_adaptive(ou, one, x, COARSE, normals(x), solver, return_path=True)
    assert kept.path.shape == (5, 16, 1)
    assert torch.equal(kept.path[0], x)
    assert torch.equal(kept.path[-1], plain.x)
    assert (plain.accepted + plain.rejected >= 4).all()
    assert (plain.nfe <= 5 * (plain.accepted + plain.rejected)).all()
    assert int(plain.nfe.max()) <= plain.n_calls


def test_samples_that_fail_are_told_apart():
    x = start(4)

    def f(x, t):
        return torch.where(x > 0, math.nan, -x)

    found = adaptive(f, lambda t: 0.0, x, 0.1)
    assert found.status.tolist() == [0, 0, int(Status.NONFINITE), int(Status.NONFINITE)]
    assert torch.equal(found.x[2:], x[2:])
    spent = adaptive(ou, one, x, 1e-3, max_steps=5)
    assert (spent.status == int(Status.MAX_STEPS)).all()
    assert (spent.accepted + spent.rejected == 5).all()
    jump = adaptive(lambda x, t: 1e9 * (t > 0.3).to(x) * torch.ones_like(x), lambda t: 0.0, x.float(), 1e-3)
    assert (jump.status == int(Status.STEP_UNDERFLOW)).all()


def test_gradients_flow_through_the_steps():
    x = start(3).requires_grad_()
    adaptive(ou, one, x, 0.1).x.sum().backward()
    assert float((x.grad - math.exp(-3)).abs().max()) < 0.02


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times": [0.5, 0.5 + 1e-6]}, "steps must be at least .* in torch.float32"),
        ({"g": lambda t: -1.0}, "g must be finite and >= 0"),
        ({"f": lambda x, t: x[:, :1]}, "shape"),
    ],
)
def test_bad_input_is_refused(change, message):
    x = start(3, (2,), torch.float32)
    call = {"f": ou, "g": one, "times": COARSE} | change
    with pytest.raises(InvalidInputError, match=message):
        integrate_sde_adaptive(call["f"], call["g"], x, call["times"], normals(x), AdaptiveHeun())
