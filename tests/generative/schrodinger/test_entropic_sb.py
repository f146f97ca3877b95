import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.framework import stored
from interpolants.framework.method import load
from interpolants.generative.schrodinger.entropic_sb import EntropicSB
from interpolants.generative.schrodinger.plan_drifts import PlanDrifts, entropic_plan
from interpolants.problems.schrodinger import GaussianSchrodingerBridge

F64 = torch.float64


def clouds(n0=30, n1=23, d=2):
    generator = torch.Generator().manual_seed(1)
    x0 = torch.randn(n0, d, generator=generator, dtype=F64) + 3
    x1 = 0.5 * torch.randn(n1, d, generator=generator, dtype=F64) - 1
    return x0, x1


def test_the_plan_is_that_of_the_reference_noise():
    # Kernel of sqrt(2 eps) W after unit time: P_ij / (a_i b_j) must be exp(-|x - y|^2 / 4 eps) for some a, b, so
    # the double difference of logs over rows and columns must be that of -|x - y|^2 / 4 eps.
    x0, x1 = clouds()
    eps = 0.7
    plan = entropic_plan(x0, x1, eps, tol=1e-9)
    logs = plan.plan.log() + torch.cdist(x0, x1).square() / (4 * eps)
    double = logs - logs[:1] - logs[:, :1] + logs[:1, :1]
    assert_close(double, torch.zeros_like(double), rtol=0, atol=1e-6)
    assert plan.reg == pytest.approx(4 * eps)


@pytest.mark.parametrize("t", [0.1, 0.5, 0.8])
def test_the_drifts_are_conditional_means_over_all_pairs(t):
    # Bayes' rule over the 30 x 23 Brownian bridges, against the formula with one potential each.
    x0, x1 = clouds()
    eps = 0.7
    plan = entropic_plan(x0, x1, eps, tol=1e-10)
    x = torch.tensor([[1.0, 0.5], [0.0, 2.0], [3.0, 3.0]], dtype=F64)
    mean = (1 - t) * x0[:, None] + t * x1
    logs = plan.plan.log() - (x[:, None, None] - mean).square().sum(-1) / (4 * eps * t * (1 - t))
    weight = logs.flatten(1).softmax(1).reshape(logs.shape)
    ahead = torch.einsum("bij,jd->bd", weight, x1)
    behind = torch.einsum("bij,id->bd", weight, x0)
    drifts = PlanDrifts(x0, x1, plan.f, plan.g, plan.reg)(x, torch.tensor(t, dtype=F64))
    assert_close(drifts[:, 0], (ahead - x) / (1 - t), rtol=1e-6, atol=1e-6)
    assert_close(drifts[:, 1], (x - behind) / t, rtol=1e-6, atol=1e-6)
    per_row = PlanDrifts(x0, x1, plan.f, plan.g, plan.reg)(x, torch.full((3,), t, dtype=F64))
    assert_close(per_row, drifts)


def test_a_plan_on_quantiles_gives_the_closed_form_on_the_line():
    # Midpoint quantiles in place of samples: what is left is the error of the quadrature, small inside.
    problem = GaussianSchrodingerBridge([0.5], 1.0, [-1.0], 2.0, 0.6)
    levels = (torch.arange(800, dtype=F64) + 0.5) / 800
    x0, x1 = (torch.distributions.Normal(m, s).icdf(levels)[:, None] for m, s in ((0.5, 1.0), (-1.0, 2**0.5)))
    solver = EntropicSB(eps=0.6, solver="plan", block=800).fit(x0, x1)
    for t in (0.0, 0.3, 0.7):
        centre = float(problem.marginal(t).mean)
        x = torch.linspace(-1, 1, 5, dtype=F64)[:, None] + centre
        assert_close(solver.drift(x, t), problem.drift(x, t), rtol=0.02, atol=0.02)
    for t in (0.3, 0.7, 1.0):
        x = torch.linspace(-1, 1, 5, dtype=F64)[:, None] + float(problem.marginal(t).mean)
        assert_close(solver.backward_drift(x, t), problem.backward_drift(x, t), rtol=0.02, atol=0.02)


@pytest.mark.slow
def test_transport_runs_both_ways_and_repeats_itself():
    generator = torch.Generator().manual_seed(2)
    x0, x1 = torch.randn(500, 2, generator=generator), torch.randn(500, 2, generator=generator) * 0.5 + 4
    solver = EntropicSB(eps=0.3, solver="plan").fit(x0, x1)
    there = solver.transport(x0, seed=1)
    back = solver.transport(x1, reverse=True, seed=1)
    # Means of 500 points: 5 standard errors of each set, 0.5/sqrt(500) and 1/sqrt(500), twice over.
    assert_close(there.mean(0), x1.mean(0), rtol=0, atol=0.2)
    assert_close(back.mean(0), x0.mean(0), rtol=0, atol=0.4)
    assert torch.equal(there, solver.transport(x0, seed=1))
    assert not torch.equal(there, solver.transport(x0, seed=2))
    with pytest.raises(InvalidInputError, match="n_steps"):
        solver.transport(x0, n_stpes=3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"eps": -1.0}, "eps must be"),
        ({"drift": "plan"}, "Set solver="),
    ],
)
def test_bad_settings_are_refused(settings, words):
    with pytest.raises(InvalidInputError, match=words):
        EntropicSB(**settings)


def test_bad_data_and_early_questions_are_refused():
    x0, x1 = clouds()
    with pytest.raises(InvalidInputError, match="must be fitted"):
        EntropicSB().transport(x0)
    with pytest.raises(InvalidInputError, match="must have the same event shape"):
        EntropicSB().fit(x0, x1[:, :1])
    with pytest.raises(InvalidInputError, match="x0 must be finite"):
        EntropicSB().fit(x0.log(), x1)
    with pytest.raises(InvalidInputError, match="x1 must be floating point"):
        EntropicSB().fit(x0, x1.long())


def learn(steps, pairs):
    problem = GaussianSchrodingerBridge(
        [0.0, 0.0], [[1.2, 0.5], [0.5, 0.7]], [1.0, -0.5], [[0.5, -0.2], [-0.2, 1.1]], 0.5
    )
    generator = torch.Generator().manual_seed(0)
    x0, x1 = (law.sample(20_000, generator=generator).float() for law in (problem.rho0, problem.rho1))
    net = {"kind": "mlp", "width": 32, "depth": 2}
    solver = EntropicSB(eps=0.5, net=net, block=1024, pairs=pairs, steps=steps).fit(x0, x1)
    off = whole = 0.0
    for t in torch.linspace(0.05, 0.95, 10).tolist():
        x = problem.marginal(t).sample(500, generator=generator).float()
        u, back = problem.drift(x, t), problem.backward_drift(x, t)
        off += float((solver.drift(x, t) - u).square().sum())
        off += float((solver.backward_drift(x, t) - back).square().sum())
        whole += float(u.square().sum() + back.square().sum())
    return problem, solver, math.sqrt(off / whole)


def test_a_short_run_learns_the_bridge_roughly():
    problem, solver, error = learn(600, 20_000)
    assert error < 0.2
    assert solver.kinetic_energy == pytest.approx(problem.kinetic_energy, rel=0.1)


@pytest.mark.slow  # about 25 s
def test_the_gaussian_bridge_is_learnt_to_five_percent():
    problem, solver, error = learn(4000, 100_000)
    assert error < 0.05
    start = problem.rho0.sample(20_000, generator=torch.Generator().manual_seed(5)).float()
    ends = solver.sample_coupling(start, seed=3)
    covariance = (ends.x0 - ends.x0.mean(0)).T.double() @ (ends.x1 - ends.x1.mean(0)).double() / len(start)
    # An entry of an empirical covariance of 20,000 has a standard error of about 1/sqrt(20,000) = 0.007.
    assert_close(covariance, problem.coupling_covariance, rtol=0.05, atol=0.03)


@pytest.mark.parametrize("how", ["learnt", "plan"])
def test_a_fit_that_is_killed_resumes_to_the_same_bits_and_is_stored(tmp_path, how):
    x0, x1 = torch.randn(2, 60, 2, generator=torch.Generator().manual_seed(0))
    few = {"net": {"kind": "mlp", "width": 8, "depth": 1}, "steps": 6, "batch_size": 8, "checkpoint_every": 2}
    few |= {"solver": how, "block": 20, "pairs": 400}
    wanted = EntropicSB(**few).fit(x0, x1)

    class KilledError(Exception):
        pass

    for last in (("plans", 3), ("drifts", 3)) if how == "learnt" else (("plan", 1),):

        def kill(now, k, steps, last=last):
            if (now, k) == last:
                raise KilledError

        with pytest.raises(KilledError):
            EntropicSB(**few).fit(x0, x1, out=tmp_path / last[0], watch=kill)
        again = EntropicSB(**few).fit(x0, x1, out=tmp_path / last[0], resume=True)
        assert stored.fingerprint(again.state) == stored.fingerprint(wanted.state)
    back = load(wanted.save(tmp_path / "m"))
    assert torch.equal(back.transport(x0, n_steps=3)[:5], wanted.transport(x0[:5], n_steps=3))
    assert torch.equal(back.sample(5, n_steps=3), wanted.sample(70, n_steps=3)[:5])
