"""Fields of a process that starts from a point: against a Gaussian in closed form, and safe at both ends."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.fields import PointSourceFields, start_at
from interpolants.foundations.errors import InvalidInputError
from interpolants.paths import Diffusive, Linear, Mirror, OneSidedLinear, QuadraticEnvelope, SpatiallyLinear
from interpolants.problems import RotatingMixture

F64 = torch.float64
M, S = torch.tensor([1.5, -0.7], dtype=F64), 0.6  # x1 given x0 is N(x0 + M, S^2)
PATHS = {
    "diffusive": Diffusive(scale=0.7),
    "diffusive_hold": Diffusive(scale=0.7, hold=0.2),
    "linear": Linear(),
    "quadratic": Linear(envelope=QuadraticEnvelope(scale=1.3)),
    "follmer": SpatiallyLinear(lambda t: 1 - t, lambda t: t**2, lambda t: torch.sqrt(t) * (1 - t)),
}
each_path = pytest.mark.parametrize("name", PATHS)


def gaussian(path, x, t, x0):
    """Fields of x_t given x0 by Gaussian conditioning, written down independently."""
    t = torch.tensor(t, dtype=F64)
    a, b, g, da, db, gg = (
        float(c(t))
        for c in (
            path.alpha,
            path.beta,
            path.envelope.gamma,
            path.alpha_dot,
            path.beta_dot,
            path.envelope.gamma_gamma_dot,
        )
    )
    variance = (b * S) ** 2 + g**2
    rest = x - a * x0 - b * (x0 + M)
    e1, noise = x0 + M + b * S**2 / variance * rest, g / variance * rest
    mean_rate = da * x0 + db * e1
    return {
        "endpoint0": x0,
        "denoised": e1,
        "noise": noise,
        "score": -rest / variance,
        "mean_rate": mean_rate,
        "velocity": mean_rate + gg / g * noise,
    }, mean_rate - g / (1 - float(t)) * noise


def fields_of(path, **settings):
    def denoised(x, t, cond):
        return gaussian(path, x, float(t), cond["x0"])[0]["denoised"]

    def drift(x, t, cond):
        return gaussian(path, x, float(t), cond["x0"])[1]

    return PointSourceFields(path, denoised=denoised), PointSourceFields(path, drift=drift)


@each_path
@pytest.mark.parametrize("t", [0.05, 0.4, 0.9])
@pytest.mark.parametrize("which", [0, 1], ids=["from_denoised", "from_drift"])
def test_every_field_is_that_of_the_gaussian(name, t, which, generator):
    path = PATHS[name]
    x0, x = torch.randn(2, 6, 2, generator=generator, dtype=F64)
    if name == "diffusive_hold" and t < 0.2:
        x1_known = False
    else:
        x1_known = True
    truth, u = gaussian(path, x, t, x0)
    fields = fields_of(path)[which]
    found = fields.evaluate(x, torch.tensor(t, dtype=F64), tuple(truth), start_at(x0))
    for quantity, value in truth.items():
        if quantity != "denoised" or x1_known:
            assert_close(found[quantity], value, rtol=1e-8, atol=1e-9, msg=lambda m, q=quantity: f"{q}: {m}")
    assert_close(fields.forward_drift(x, t, x0), u, rtol=1e-8, atol=1e-9)


@each_path
def test_a_time_per_row_is_the_same_as_one_time(name, generator):
    path = PATHS[name]
    problem = RotatingMixture()
    fields = problem.fields(path)
    x0 = problem.sample(3, generator=generator)
    x = x0 + 0.1
    t = torch.tensor([0.3, 0.5, 0.8], dtype=F64)
    rows = fields.evaluate(x, t, ("velocity", "score"), start_at(x0))
    for i in range(3):
        one = fields.evaluate(x[i : i + 1], t[i], ("velocity", "score"), start_at(x0[i : i + 1]))
        for quantity, value in one.items():
            assert_close(rows[quantity][i : i + 1], value)


@each_path
@pytest.mark.parametrize("t", [1e-4, 0.5, 0.99, 0.9999, 1.0])
def test_a_time_per_row_in_float32_loses_nothing_at_the_ends(name, t, generator):
    """``1 - beta / D`` vanishes at t = 1: rounded before the subtraction, it made scores wrong by a third."""
    fields = RotatingMixture().fields(PATHS[name])
    x0 = RotatingMixture().sample(3, generator=generator).float()
    one, rows = (
        fields.evaluate(x0 + 0.1, time, ("velocity", "score"), start_at(x0))
        for time in (torch.tensor(t), torch.full((3,), t))
    )
    for quantity, value in one.items():
        assert_close(rows[quantity], value, rtol=1e-5, atol=1e-6)


def test_the_drift_is_finite_at_the_start_and_the_score_at_the_end(generator):
    """With u learnt, the relations divide by nothing that vanishes at t = 1; at t = 0 the state is x0."""
    path = Diffusive(scale=0.7)
    fields = PointSourceFields(path, drift=lambda x, t, cond: torch.tanh(x + cond["x0"]))
    x0, x = torch.randn(2, 50, 2, generator=generator)
    start = fields.evaluate(x0, torch.tensor(0.0), ("velocity", "score", "mean_rate"), start_at(x0))
    assert all(float(value.abs().max()) < 10 for value in start.values())
    end = fields.evaluate(x, torch.tensor(1.0), ("velocity", "score"), start_at(x0))
    # s = (w - 2 r) / 2a with w = u - alpha' x0, r = x at t = 1: the closed form of the limit
    u = torch.tanh(x + x0)
    assert_close(end["score"], (u + 2 * x0 - 2 * x) / 1.4, rtol=1e-3, atol=1e-3)


def test_the_first_step_has_the_distribution_of_the_path(generator):
    path, t = PATHS["diffusive"], 0.02
    x0 = torch.randn(4, 2, generator=generator, dtype=F64)
    step = fields_of(path)[1].first_step(x0, t)
    time = torch.tensor(t, dtype=F64)
    mean = float(path.alpha(time)) * x0 + float(path.beta(time)) * (x0 + M)
    variance = (float(path.beta(time)) * S) ** 2 + float(path.envelope.gamma(time)) ** 2
    assert_close(step.mean, mean, rtol=0, atol=1e-6)
    assert step.std == pytest.approx(math.sqrt(variance), rel=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PointSourceFields(OneSidedLinear(), drift=torch.add), "two-sided"),
        (lambda: PointSourceFields(Mirror(), drift=torch.add), "lead from x0 to x1"),
        (lambda: PointSourceFields(Diffusive()), "got none"),
        (lambda: PointSourceFields(Diffusive(), drift=torch.add, denoised=torch.add), "got both"),
        (lambda: PointSourceFields(Diffusive(), drift=torch.add, margin=0.0), "margin"),
        (
            lambda: PointSourceFields(Diffusive(), drift=torch.add).velocity(torch.zeros(1, 2), 0.5),
            "the starting point of each row",
        ),
        (
            lambda: PointSourceFields(Diffusive(), drift=lambda x, t, cond: x[:, :1]).velocity(
                torch.zeros(1, 2), 0.5, start_at(torch.zeros(1, 2))
            ),
            "output must have shape",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()
