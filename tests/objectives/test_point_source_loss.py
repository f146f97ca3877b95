"""The forecasting objective: its minimiser is the exact drift, and pairs keep its gradient finite."""

import pytest
import torch
from torch import nn

from interpolants.fields import start_at
from interpolants.foundations.errors import NotIdentifiableError
from interpolants.objectives import PointSourceLoss
from interpolants.paths import Diffusive, Linear, SpatiallyLinear, ZeroEnvelope
from interpolants.problems import RotatingMixture

F64 = torch.float64
PATHS = {
    "diffusive": Diffusive(scale=1.0),
    "bounded": SpatiallyLinear(lambda t: 1 - t, lambda t: t**2, lambda t: torch.sqrt(t) * (1 - t)),
}
each_path = pytest.mark.parametrize("name", PATHS)


def draws(path, n, generator):
    problem = RotatingMixture()
    now, later = problem.pairs(n, generator=generator)
    t = torch.rand(n, generator=generator, dtype=F64) * 0.98 + 0.01
    return problem, {"x0": now, "x1": later, "t": t, "cond": start_at(now)}


@each_path
def test_the_exact_drift_is_stationary_and_others_are_not(name, generator):
    """For u + c w the derivative of the loss at c = 0 vanishes for the exact u, whatever w(x, t)."""
    path = PATHS[name]
    problem, data = draws(path, 40_000, generator)
    fields = problem.fields(path)

    def exact(x, t, cond):
        return fields.forward_drift(x, t, cond["x0"])

    def slope(shift, w):
        c = 1e-3
        losses = [
            PointSourceLoss(path)(
                lambda x, t, cond, c=c: exact(x, t, cond) + shift + c * w(x, t, cond),
                generator=torch.Generator().manual_seed(3),
                **data,
            )
            for c in (-c, c)
        ]
        rate = (losses[1] - losses[0]) / (2 * c)
        return float(rate.mean()), float(rate.std()) / len(rate) ** 0.5

    for w in (
        lambda x, t, cond: torch.ones_like(x),
        lambda x, t, cond: torch.sin(x) * cond["x0"],
        lambda x, t, cond: x * t[:, None] ** 4,
    ):
        value, error = slope(0.0, w)
        assert abs(value) < 4 * error
    value, error = slope(0.2, lambda x, t, cond: torch.ones_like(x))
    assert abs(value) > 4 * error


def test_pairs_are_taken_where_the_target_is_unbounded():
    assert PointSourceLoss(PATHS["diffusive"]).is_antithetic
    assert not PointSourceLoss(PATHS["bounded"]).is_antithetic


def test_the_gradient_stays_finite_close_to_the_end_with_pairs_only(generator):
    """At t = 1 - 1e-8 the target is of size 1e4; the gradient of a smooth network is not, with pairs."""
    net = nn.Linear(2, 2, dtype=F64)
    path = PATHS["diffusive"]
    _, data = draws(path, 2000, generator)
    data["t"] = torch.full((2000,), 1 - 1e-8, dtype=F64)

    def spread(antithetic):
        loss = PointSourceLoss(path, antithetic=antithetic)(
            lambda x, t, cond: torch.tanh(net(x)), generator=torch.Generator().manual_seed(1), **data
        )
        rows = [torch.autograd.grad(one, net.bias, retain_graph=True)[0].norm() for one in loss[:200]]
        return float(torch.stack(rows).mean())

    assert spread(True) < 100
    assert spread(False) > 1000


def test_a_path_without_noise_is_refused():
    with pytest.raises(NotIdentifiableError, match="no latent noise"):
        PointSourceLoss(Linear(envelope=ZeroEnvelope()))
