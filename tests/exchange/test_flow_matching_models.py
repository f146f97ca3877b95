"""Models of flow_matching as fields: exact ones of Gaussian data, and its own solver beside ours."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.dynamics import sample
from interpolants.exchange import from_flow_matching
from interpolants.foundations.errors import InvalidInputError, NotIdentifiableError
from interpolants.likelihood import log_prob

MEAN, STD = torch.tensor([1.0, -2.0], dtype=torch.float64), 0.5


class Cosine:
    """A scheduler as flow_matching writes it."""

    def __call__(self, t):
        u = math.pi / 2 * t
        return SimpleNamespace(
            alpha_t=torch.sin(u),
            sigma_t=torch.cos(u),
            d_alpha_t=math.pi / 2 * torch.cos(u),
            d_sigma_t=-math.pi / 2 * torch.sin(u),
        )


class CondOT:
    def __call__(self, t):
        one = torch.ones_like(t)
        return SimpleNamespace(alpha_t=t, sigma_t=1 - t, d_alpha_t=one, d_sigma_t=-one)


class Exact(nn.Module):
    """What a model predicts that has learnt N(mean, std^2) from standard normal noise."""

    def __init__(self, scheduler, prediction):
        super().__init__()
        self.scheduler, self.prediction = scheduler, prediction

    def forward(self, x, t, shift=None):
        at = self.scheduler(t.reshape(-1, 1))
        mean = MEAN if shift is None else MEAN + shift[:, None]
        rest = (x - at.alpha_t * mean) / (at.alpha_t**2 * STD**2 + at.sigma_t**2)
        x1, z = mean + at.alpha_t * STD**2 * rest, at.sigma_t * rest
        return {"x1": x1, "epsilon": z, "velocity": at.d_alpha_t * x1 + at.d_sigma_t * z}[self.prediction]


def starts(rows=200):
    return torch.randn(rows, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.cases(2)
@pytest.mark.parametrize("scheduler", [CondOT(), Cosine()])
@pytest.mark.parametrize("prediction", ["velocity", "x1", "epsilon"])
def test_flow_and_density_are_those_of_the_data(scheduler, prediction):
    path = SimpleNamespace(scheduler=scheduler)
    fields = from_flow_matching(Exact(scheduler, prediction), path, prediction=prediction)
    z = starts()
    assert_close(sample(fields, z, method="midpoint", n_steps=200).x, MEAN + STD * z, rtol=0, atol=2e-3)
    x = MEAN + STD * z[:20]
    expected = (-0.5 * z[:20].square() - math.log(STD * math.sqrt(2 * math.pi))).sum(1)
    found = log_prob(fields, x, fields.path.base, method="midpoint", n_steps=200).log_prob
    assert_close(found, expected, rtol=0, atol=2e-3)


def test_the_sde_keeps_the_law_of_the_data():
    fields = from_flow_matching(Exact(CondOT(), "velocity"))
    found = sample(fields, starts(8000), eps=0.5, n_steps=100, seed=0).x
    assert float((found.mean(0) - MEAN).abs().max()) < 5 * STD / math.sqrt(8000)
    assert float((found.std(0) - STD).abs().max()) < 0.02


def test_a_source_that_is_not_gaussian_has_a_flow_and_no_score():
    fields = from_flow_matching(Exact(CondOT(), "velocity"), gaussian=False)
    z = starts()
    assert_close(sample(fields, z, method="rk4", n_steps=60).x, MEAN + STD * z, rtol=0, atol=2e-3)
    with pytest.raises(NotIdentifiableError):
        sample(fields, z, eps=0.5, n_steps=2, seed=0)


def test_a_condition_goes_in_under_its_name():
    fields = from_flow_matching(Exact(CondOT(), "velocity"), condition="shift")
    z, shift = starts(3), torch.tensor([0.0, 1.0, 5.0], dtype=torch.float64)
    found = sample(fields, z, cond=shift, method="rk4", n_steps=60).x
    assert_close(found, MEAN + shift[:, None] + STD * z, rtol=0, atol=5e-3)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (3, {}, "the model must be callable"),
        (Exact(CondOT(), "velocity"), {"prediction": "v"}, "prediction must be one of velocity, x1, epsilon"),
        (Exact(CondOT(), "velocity"), {"path": object()}, "must have a scheduler with alpha_t and sigma_t"),
        (Exact(CondOT(), "epsilon"), {"prediction": "epsilon", "gaussian": False}, "needs Gaussian noise"),
    ],
)
def test_bad_input_is_refused(model, options, message):
    with pytest.raises(InvalidInputError, match=message):
        from_flow_matching(model, **options)


@pytest.mark.parametrize(
    "scheduler", ["CondOTScheduler", "CosineScheduler", "LinearVPScheduler", "VPScheduler"]
)
def test_the_midpoint_rule_is_that_of_flow_matching(scheduler):
    schedulers = pytest.importorskip("flow_matching.path.scheduler")
    from flow_matching.path import AffineProbPath
    from flow_matching.solver import ODESolver

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.line = nn.Sequential(nn.Linear(3, 16), nn.SiLU(), nn.Linear(16, 2))

        def forward(self, x, t, **extras):
            return self.line(torch.cat([x, t.expand(len(x))[:, None]], 1))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Net()
    x = starts(5).float()
    theirs = ODESolver(velocity_model=net).sample(x_init=x, method="midpoint", step_size=0.1)
    path = AffineProbPath(getattr(schedulers, scheduler)())
    ours = sample(from_flow_matching(net, path), x, method="midpoint", n_steps=10).x
    assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
