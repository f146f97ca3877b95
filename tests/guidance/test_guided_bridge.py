"""The guided bridge: a Gaussian transition in closed form at any number of steps, another H by quadrature."""

import math

import pytest
import torch

from interpolants.fields import PointSourceFields
from interpolants.guidance import GaussianMeasurement, guided_bridge
from interpolants.paths import Diffusive

F64 = torch.float64
MEAN, STD, NOISE, Y = 1.0, 0.5, 0.3, 2.0
PATH = Diffusive(scale=0.125)


def denoised(x, t, cond):
    """E[x1 | x_t, x0] for x1 ~ N(1, 0.25)."""
    alpha, beta, squared = PATH.alpha(t), PATH.beta(t), PATH.envelope.gamma(t).square()
    return (squared * MEAN + STD**2 * beta * (x - alpha * cond["x0"])) / (squared + beta**2 * STD**2)


FIELDS = PointSourceFields(PATH, denoised=denoised)


def measured(function=lambda x: x, y=Y, jacobian=None):
    return GaussianMeasurement(
        function, torch.tensor([y], dtype=F64), torch.tensor([NOISE], dtype=F64), jacobian
    )


@pytest.mark.parametrize("n_steps", [2, 5, 50])
@pytest.mark.parametrize("jacobian", [None, torch.ones(1, 1, dtype=F64)])
def test_a_gaussian_transition_is_exact_at_any_number_of_steps(n_steps, jacobian):
    x0 = torch.full((4000, 1), 3.0, dtype=F64)  # the transition does not depend on it
    draws = guided_bridge(FIELDS, x0, measured(jacobian=jacobian), torch.tensor([STD]), n_steps=n_steps)
    assert float(draws.x.mean()) == pytest.approx(1.735294, abs=0.013)
    assert float(draws.x.std()) == pytest.approx(0.257248, abs=0.01)
    evidence = -0.5 * (Y - MEAN) ** 2 / (STD**2 + NOISE**2) - 0.5 * math.log(
        2 * math.pi * (STD**2 + NOISE**2)
    )
    assert evidence == pytest.approx(-1.850122, abs=1e-6)
    torch.testing.assert_close(draws.log_weights, torch.full((4000,), evidence, dtype=F64), atol=1e-4, rtol=0)
    assert float(draws.expected[0]) == pytest.approx(MEAN, abs=1e-4)
    assert float(draws.variance.flatten()[0]) == pytest.approx(STD**2 + NOISE**2, abs=1e-6)


def test_weights_repair_a_wrong_spread_and_a_curved_measurement():
    x0 = torch.zeros(20_000, 1, dtype=F64)
    grid = torch.linspace(-3, 5, 20_001, dtype=F64)
    prior = torch.exp(-0.5 * ((grid - MEAN) / STD).square()) / (STD * math.sqrt(2 * math.pi))
    for function, y, std in (
        (lambda x: x.sin(), 0.2, STD),
        (lambda x: x**3, 4.0, STD),
        (lambda x: x, Y, 0.7),
    ):
        law = (
            prior
            * torch.exp(-0.5 * ((function(grid) - y) / NOISE).square())
            / (NOISE * math.sqrt(2 * math.pi))
        )
        evidence, mean = (
            torch.trapezoid(law, grid),
            torch.trapezoid(law * grid, grid) / torch.trapezoid(law, grid),
        )
        draws = guided_bridge(FIELDS, x0, measured(function, y), torch.tensor([std]), n_steps=100, seed=1)
        weights = draws.log_weights.softmax(0)
        assert float((weights * draws.x[:, 0]).sum()) == pytest.approx(float(mean), abs=0.02)
        found = float(draws.log_weights.logsumexp(0)) - math.log(20_000)
        assert found == pytest.approx(math.log(evidence), abs=0.03)


def test_a_row_has_its_own_noise():
    x0 = torch.zeros(9, 1, dtype=F64)
    whole = guided_bridge(FIELDS, x0, measured(), torch.tensor([STD]), n_steps=4, seed=3).x
    assert torch.equal(
        guided_bridge(FIELDS, x0[:4], measured(), torch.tensor([STD]), n_steps=4, seed=3).x, whole[:4]
    )
