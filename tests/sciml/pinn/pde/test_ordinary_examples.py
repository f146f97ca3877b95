"""Linear decay against its closed form; Lotka-Volterra against its constant and SciPy."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.sciml.pinn.pde.linear_decay import LinearDecay
from interpolants.sciml.pinn.pde.lotka_volterra import LotkaVolterra

TIMES = torch.linspace(0, 5, 173, dtype=torch.float64)[:, None]


def test_the_closed_form_of_linear_decay_solves_it():
    problem = LinearDecay(rate=1.3, end=5.0)
    value = problem.truth_at(TIMES)
    assert_close(problem.solution(400).at(TIMES), value, atol=1e-8, rtol=0)
    rest = problem.residual_at(TIMES, lambda name="": -problem.rate * value if name else value)
    assert float(rest.abs().max()) < 1e-12


def test_lotka_volterra_keeps_its_constant_and_agrees_with_scipy():
    integrate = pytest.importorskip("scipy.integrate")
    problem = LotkaVolterra()
    truth = problem.truth_at(TIMES)
    constant = problem.conserved(truth)
    assert_close(constant, constant[:1].expand_as(constant), atol=1e-7, rtol=0)
    found = integrate.solve_ivp(
        lambda t, u: [u[0] * (1.5 - u[1]), u[1] * (u[0] - 3.0)],
        (0, 5), [1.0, 1.0], method="DOP853", rtol=1e-11, atol=1e-11, t_eval=TIMES[:, 0].numpy(),
    )  # fmt: skip
    assert_close(truth, torch.from_numpy(np.ascontiguousarray(found.y.T)), atol=1e-6, rtol=0)
