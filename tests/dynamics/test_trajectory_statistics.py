"""The observer of trajectories: the same bits, no further calls, statistics of a stored path, and a martingale."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torture.bits import worn

from interpolants.dynamics import Langevin, ReverseNoise, sample
from interpolants.dynamics.trajectory_statistics import TrajectoryStatistics
from interpolants.fields import LearnedFields, Preconditioned
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.guidance import ClassifierFree
from interpolants.nets import MLP
from interpolants.paths import EDM, VP, Linear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

RUNS = {
    "ode": {"n_steps": 6},
    "heun": {"n_steps": 6, "method": "heun"},
    "rk4": {"n_steps": 6, "method": "rk4"},
    "sde": {"n_steps": 6, "eps": 0.5, "seed": 3},
    "sra1": {"n_steps": 6, "eps": 0.5, "seed": 3, "method": "sra1"},
    "ddim": {"n_steps": 6, "method": "ddim"},
    "reverse": {"n_steps": 6, "eps": 0.5, "seed": 3, "reverse": True},
    "denoise": {"n_steps": 6, "finish": "denoise"},
}


class Counted(nn.Module):
    def __init__(self, **settings):
        super().__init__()
        self.net, self.calls = worn(MLP(2, width=16, depth=2, seed=1, **settings)).eval(), 0

    def forward(self, x, t, cond=None):
        self.calls += 1
        return self.net(x, t, cond)


def start(rows=150):
    return torch.randn(rows, 2, generator=torch.Generator().manual_seed(1))


def two_sided():
    net = Counted(heads=2)
    return net, LearnedFields(Linear(), joint=net, heads=("velocity", "noise")), {}


def preconditioned():
    net = Counted()
    return net, LearnedFields(EDM(), denoised=Preconditioned(net, EDM(), ("denoised",), 0.7)), {}


def guided():
    net = Counted(cond_dim=3)
    given = {"cond": torch.randn(150, 3, generator=torch.Generator().manual_seed(2))}
    return net, ClassifierFree(LearnedFields(VP(), noise=net), 2.0), given


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("make", [two_sided, preconditioned, guided])
def test_the_run_keeps_its_bits_and_its_calls(make, run):
    if make is preconditioned and run in ("reverse", "ddim"):
        pytest.skip("the path has its own")
    net, fields, given = make()
    sample(fields, start(), **given, **RUNS[run])  # probes of a network are remembered
    net.calls = 0
    base = sample(fields, start(), return_path=True, **given, **RUNS[run])
    calls, net.calls = net.calls, 0
    found = sample(fields, start(), return_path=True, modifiers=TrajectoryStatistics(), **given, **RUNS[run])
    assert torch.equal(found.x, base.x)
    assert torch.equal(found.path, base.path)
    assert net.calls == calls
    assert set(found.reports[0]["steps"].tolist()) == {6}


@pytest.mark.parametrize("run", ["ode", "heun", "sde", "ddim", "denoise"])
def test_it_sees_the_quantity_at_the_beginning_of_every_step(run):
    _, fields, _ = two_sided()
    window = (0.3, 0.9)
    seen = TrajectoryStatistics(window=window, maps=True)
    found = sample(fields, start(), return_path=True, chunk=64, modifiers=seen, **RUNS[run])
    inside = [n for n, t in enumerate(found.times[:-1].tolist()) if window[0] <= t <= window[1]]
    values = torch.stack(
        [
            fields.evaluate(found.path[n], found.times[n].float(), ("denoised",))["denoised"].double()
            for n in inside
        ]
    )
    report = found.reports[0]
    assert set(report["steps"].tolist()) == {len(inside)}
    assert_close(report["mean"], values.mean(0), rtol=1e-4, atol=1e-5)
    assert_close(report["variance_map"], values.var(0, unbiased=False), rtol=1e-3, atol=1e-5)
    assert_close(report["variance"], values.var(0, unbiased=False).mean(1), rtol=1e-3, atol=1e-5)
    variation = values.diff(dim=0).square().sum(0).mean(1)
    assert_close(report["quadratic_variation"], variation, rtol=1e-3, atol=1e-5)


def test_correctors_do_not_count_as_steps():
    fields = LearnedFields(VP(), score=lambda x, t: -x)
    run = {"method": "ancestral", "n_steps": 5, "corrector": Langevin(steps=2), "seed": 0}
    found = sample(fields, start(20), modifiers=TrajectoryStatistics(), **run)
    assert set(found.reports[0]["steps"].tolist()) == {5}
    assert torch.equal(found.x, sample(fields, start(20), **run).x)


def test_values_that_are_not_finite_are_counted_and_nothing_else():
    fields = LearnedFields(
        Linear(),
        velocity=lambda x, t: 0 * x,
        denoised=lambda x, t: torch.where((t[:, None] > 0.2) & (x > 0), torch.nan, t[:, None]),
    )
    x = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]).double()
    report = sample(fields, x, method="euler", n_steps=4, modifiers=TrajectoryStatistics()).reports[0]
    assert report["bad"].tolist() == [3, 0]
    assert bool(report["variance"][0].isnan())
    assert_close(float(report["variance"][1]), float(np.var([0, 0.25, 0.5, 0.75])))


@pytest.mark.slow
def test_the_prediction_is_a_martingale_along_the_exact_reverse_sde():
    """E sum |m_{j+1} - m_j|^2 = Var(x1) - Var(m_0), and m_0 is constant for a one-sided path."""
    target = GaussianMixture(
        torch.tensor([0.5, 0.5]), torch.tensor([[-1.0], [0.7]]).double(), torch.tensor([0.04, 0.09])
    )
    fields = GaussianMixtureBridge(Gaussian(), target).fields(VP())
    x0 = torch.randn(4000, 1, generator=torch.Generator().manual_seed(0)).double()
    found = sample(fields, x0, eps=ReverseNoise(), n_steps=400, seed=1, modifiers=TrajectoryStatistics())
    variation = found.reports[0]["quadratic_variation"]
    truth = 0.25 * 1.7**2 + (0.04 + 0.09) / 2
    error = float(variation.std()) / len(variation) ** 0.5
    assert abs(float(variation.mean()) - truth) < 0.03 * truth + 3 * error


@pytest.mark.parametrize(
    ("modifier", "message"),
    [
        (lambda: TrajectoryStatistics(window=(0.5, 0.5)), "two rising times"),
        (lambda: TrajectoryStatistics(window=(0.95, 1.0)), "two steps or more must begin in the window"),
    ],
)
def test_what_does_not_fit_is_refused(modifier, message):
    with pytest.raises(InvalidInputError, match=message):
        sample(two_sided()[1], start(3), n_steps=10, modifiers=modifier())
    only_flow = LearnedFields(Linear(), velocity=lambda x, t: x)
    with pytest.raises(InvalidInputError, match="they do not know 'denoised'"):
        sample(only_flow, start(3), n_steps=10, modifiers=TrajectoryStatistics())


def test_a_row_that_begins_with_bad_values_counts_from_its_first_good_one():
    fields = LearnedFields(
        Linear(),
        velocity=lambda x, t: 0 * x,
        denoised=lambda x, t: torch.where((t[:, None] < 0.2) & (x > 0), torch.nan, t[:, None]),
    )
    x = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]).double()
    report = sample(fields, x, method="euler", n_steps=4, modifiers=TrajectoryStatistics(maps=True)).reports[
        0
    ]
    assert report["bad"].tolist() == [1, 0]
    assert_close(report["mean"][0], torch.full((2,), 0.5, dtype=torch.float64))
    assert_close(float(report["variance"][0]), float(np.var([0.25, 0.5, 0.75])))


def test_the_last_two_steps_are_enough():
    _, fields, _ = two_sided()
    seen = TrajectoryStatistics(window=(0.4, 1.0))
    found = sample(fields, start(5), method="euler", n_steps=4, modifiers=seen)
    assert set(found.reports[0]["steps"].tolist()) == {2}
