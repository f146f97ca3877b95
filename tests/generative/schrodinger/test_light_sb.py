"""The light bridge against bridges that are known in closed form; tolerances from sampling errors of the data."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import QUANTITIES
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework import stored
from interpolants.framework.method import load
from interpolants.generative.schrodinger.light_sb import LightSB, kinetic_energy
from interpolants.generative.schrodinger.problems.light_schrodinger import (
    EOTMixturePair,
    MixtureSchrodingerBridge,
)
from interpolants.metrics import cbw2_uvp
from interpolants.paths import BrownianEnvelope, Linear
from interpolants.problems import GaussianSchrodingerBridge

F64 = torch.float64
EXACT = MixtureSchrodingerBridge.random(0, 2, 0.25)


class Known(LightSB):
    """The exact bridge as if it had been fitted: what is tested is then not the training."""

    def learn(self, data, run):
        plans = {"plan": EXACT.plan.parts(), "reverse_plan": EXACT.reverse_plan.parts()}
        return self.solved(self.ends(data)[0], (0.0, 0.0), **plans, heldout=[0.0, 0.0])


RESULT = Known(eps=EXACT.eps).fit(torch.eye(2, dtype=F64), torch.eye(2, dtype=F64))


def g(seed=0):
    return torch.Generator().manual_seed(seed)


def check_moments(x, law, extra=0.0):
    """Mean and covariance of draws within four standard errors; ``extra`` for the error of steps, relative."""
    n = len(x)
    std = law.covariance.diagonal().sqrt()
    assert bool(((x.mean(0) - law.mean).abs() < (4 / n**0.5 + extra) * std).all())
    off = (torch.cov(x.double().T) - law.covariance) / (std[:, None] * std)
    assert float(off.abs().max()) < 4 * (3 / n) ** 0.5 + extra


def test_transport_draws_from_both_conditionals_without_steps():
    n = 40_000
    x0, x1 = EXACT.rho0.sample(n, generator=g(1)), EXACT.rho1.sample(n, generator=g(2))
    check_moments(RESULT.transport(x0, seed=1), EXACT.rho1)
    check_moments(RESULT.transport(x1, reverse=True, seed=1), EXACT.rho0)
    assert torch.equal(RESULT.transport(x0, seed=1), RESULT.transport(x0, seed=1))
    assert not torch.equal(RESULT.transport(x0, seed=1), RESULT.transport(x0, seed=2))
    # A sample's result does not depend on its batch.
    assert torch.equal(RESULT.transport(x0[:7], seed=1), RESULT.transport(x0, seed=1)[:7])
    # One coupling, reached from either side.
    pairs = (x0, RESULT.transport(x0, seed=3)), (RESULT.transport(x1, reverse=True, seed=4), x1)
    crosses = [(a - a.mean(0)).T @ (b - b.mean(0)) / n for a, b in pairs]
    scale = float((EXACT.rho0.covariance.diagonal().max() * EXACT.rho1.covariance.diagonal().max()).sqrt())
    assert_close(crosses[0], crosses[1], rtol=0, atol=4 * (2 * 3 / n) ** 0.5 * scale)


@pytest.mark.slow
def test_the_sde_with_the_closed_drift_is_the_plan_within_two_percent():
    n = 20_000
    for reverse, start, law in ((False, EXACT.rho0, EXACT.rho1), (True, EXACT.rho1, EXACT.rho0)):
        x = start.sample(n, generator=g(1))
        there = RESULT.transport(x, reverse=reverse, seed=1, method="euler_maruyama", n_steps=100)
        check_moments(there, law, extra=0.02)


def test_states_between_need_no_simulation():
    n, times = 40_000, (0.5, 0.0, 0.2, 1.0)
    x0 = EXACT.rho0.sample(n, generator=g(1))
    found = RESULT.sample_marginals(x0, times, seed=3)
    for t, x in zip(times, found, strict=True):
        check_moments(x, EXACT.marginal(t))
    assert torch.equal(found[1], x0)
    assert torch.equal(found[3], RESULT.transport(x0, seed=3))
    # Increments of one path: given its end, a Brownian bridge, Var(x_s - (1-s) x0 - s x1) = 2 eps s (1-s), covariance
    # 2 eps s (1-t) between s < t.
    ends = found[3]
    a, b = (found[k] - (1 - t) * x0 - t * ends for k, t in ((2, 0.2), (0, 0.5)))
    assert float((a * b).mean()) == pytest.approx(2 * EXACT.eps * 0.2 * 0.5, rel=0.05)
    assert float((b * b).mean()) == pytest.approx(2 * EXACT.eps * 0.25, rel=0.05)
    with pytest.raises(InvalidInputError, match="times must lie in"):
        RESULT.sample_marginals(x0, [1.5])


def test_score_and_flow_are_those_of_the_exact_laws():
    x = EXACT.marginal(0.4).sample(100, generator=g(1))
    assert_close(RESULT.fields.score(x, 0.4), EXACT.marginal(0.4).score(x))
    x0 = EXACT.rho0.sample(5000, generator=g(2))
    check_moments(RESULT.transport(x0, eps=0.0, n_steps=50), EXACT.rho1, extra=0.01)
    slope = torch.func.jacrev(lambda y: RESULT.log_potentials(y[None], 0.4)[0])(x[0])
    drifts = RESULT.drift(x[:1], 0.4)[0], RESULT.backward_drift(x[:1], 0.4)[0]
    assert_close(2 * EXACT.eps * slope, torch.stack([drifts[0], -drifts[1]]))


def test_the_generic_interpolant_of_the_coupling_has_these_fields():
    # b and s of x_t = (1-t) x0 + t x1 + sqrt(2 eps t (1-t)) z by weighted Monte Carlo over pairs of the coupling:
    # the interpolant reading, drift = b + eps s, knows nothing of potentials.
    n, t = 400_000, 0.5
    x0 = EXACT.rho0.sample(n, generator=g(1))
    pairs = RESULT.coupling().pair(x0, x0, generator=g(2))
    path = Linear(envelope=BrownianEnvelope(scale=2 * EXACT.eps))
    time = torch.tensor(t, dtype=F64)
    gamma, gamma_dot = (
        path.envelope.gamma(time),
        path.envelope.gamma_gamma_dot(time) / path.envelope.gamma(time),
    )
    centre = path.interpolate(time, pairs.x0, pairs.x1)
    for x in EXACT.marginal(t).sample(4, generator=g(3)):
        z = (x - centre) / gamma
        w = (-0.5 * z.square().sum(1)).softmax(0)[:, None]
        velocity = (w * (path.interpolate_dot(time, pairs.x0, pairs.x1) + gamma_dot * z)).sum(0)
        score = -(w * z).sum(0) / gamma
        error = 5 / float(1 / w.square().sum()) ** 0.5
        assert_close(velocity + EXACT.eps * score, RESULT.drift(x[None], t)[0], rtol=0, atol=3 * error)
        assert_close(
            velocity - EXACT.eps * score, RESULT.backward_drift(x[None], t)[0], rtol=0, atol=3 * error
        )


def test_the_energy_needs_no_path():
    # 1/2 int E|u|^2 dt by quadrature in t and Monte Carlo in x, against 2 eps times the relative entropy of the plan.
    n = 20_000
    x0 = EXACT.rho0.sample(n, generator=g(1))
    ours = kinetic_energy(EXACT.plan, x0, EXACT.plan.sample(x0, generator=g(2)))
    total = 0.0
    for t in ((torch.arange(20, dtype=F64) + 0.5) / 20).tolist():
        x = EXACT.marginal(t).sample(n, generator=g(3))
        total += float(EXACT.drift(x, t).square().sum(1).mean()) / 20
    assert ours == pytest.approx(total / 2, rel=0.03)


def test_between_gaussians_it_is_the_closed_form():
    known = GaussianSchrodingerBridge([1.0, -0.5], [1.5, 0.8], [-1.0, 2.0], [0.4, 1.2], 0.4)
    x0, x1 = (law.sample(20_000, generator=g(k)).float() for k, law in enumerate((known.rho0, known.rho1)))
    solver = LightSB(eps=0.4, n_components=1).fit(x0, x1)
    for t in (0.0, 0.5, 1.0):
        x = known.marginal(t).sample(1000, generator=g(5)).float()
        for ours, exact in (
            (solver.drift, known.drift),
            (solver.backward_drift, known.backward_drift),
        ):
            off = (ours(x, t) - exact(x, t)).square().mean().sqrt()
            assert float(off) < 0.03 * float(exact(x, t).square().mean().sqrt())
    assert solver.kinetic_energy == pytest.approx(known.kinetic_energy, rel=0.03)
    assert abs(solver.residual) < 0.03
    assert solver.drift(x, 0.5).dtype == torch.float32


def benchmark(n=50_000, **settings):
    """The benchmark of the source with known plan: d = 2, epsilon = 0.5 there, K = 5, ten components learnt."""
    problem = EOTMixturePair(0, 2, 0.25)
    ends = problem.sample_ends(n, generator=g(1))
    solver = LightSB(eps=0.25, n_components=10, **settings).fit(ends.x0, ends.x1)
    start = problem.rho0.sample(1000, generator=g(2))
    ours, exact = solver.plan.moments(start), problem.plan.moments(start)
    variance = float(ends.x1.var(0).sum())
    metric = cbw2_uvp(ours.mean, ours.covariance, exact.mean, exact.covariance, variance=variance)
    mean = float((ours.mean - exact.mean).square().mean().sqrt() / exact.mean.square().mean().sqrt())
    test = problem.sample_coupling(20_000, generator=g(3))
    # L of ours less L of the truth is the relative entropy of the truth to ours: both losses in one origin.
    divergence = float(
        (problem.plan.log_prob(test.x1, test.x0) - solver.plan.log_prob(test.x1, test.x0)).mean()
    )
    return metric.value, mean, divergence


def test_the_benchmark_with_a_known_plan():
    metric, mean, divergence = benchmark(8000, steps=30)
    assert metric <= 1.0
    assert mean <= 0.04
    assert -0.02 <= divergence <= 0.3


@pytest.mark.slow  # about 20 s
@pytest.mark.parametrize("settings", [{}, {"method": "adam", "steps": 3000, "lr": 1e-2}])
def test_the_benchmark_with_the_settings_of_the_source(settings):
    metric, mean, divergence = benchmark(**settings)
    assert metric <= 0.3
    assert mean <= 0.02
    assert -0.02 <= divergence <= 0.05


def test_every_field_is_provided_for_images_too():
    x0, x1 = torch.randn(400, 1, 2, 2, generator=g(0)), torch.randn(400, 1, 2, 2, generator=g(1)) + 1
    solver = LightSB(eps=0.2, n_components=2, steps=5).fit(x0, x1)
    y = solver.transport(x0, seed=1)
    assert y.shape == x0.shape
    values = solver.fields.evaluate(y, torch.tensor(0.5), QUANTITIES)
    assert all(value.shape == y.shape for value in values.values())
    assert solver.log_prob(y, start=x0).shape == (400,)
    assert sample(solver.fields, x0, eps=0.2, n_steps=5, seed=0).x.shape == x0.shape
    # Bayes: log pi(x1|x0) - log pi(x0|x1) is the difference of marginal densities, so it has rank one in the pairs.
    forward, back = (lambda x, start: solver.log_prob(x, start=start)), solver.reverse_log_prob
    a = (
        forward(x1[:1], x0[:1])
        - forward(x1[:1], x0[1:2])
        - forward(x1[1:2], x0[:1])
        + forward(x1[1:2], x0[1:2])
    )
    b = back(x0[:1], x1[:1]) - back(x0[1:2], x1[:1]) - back(x0[:1], x1[1:2]) + back(x0[1:2], x1[1:2])
    assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"eps": -1.0}, "LightSB: eps must be finite and > 0, got -1.0"),
        ({"eps": torch.tensor(1)}, "eps must be one floating-point number"),
        ({"stpes": 3}, "Did you mean 'steps'"),
        ({"train": {"steps": 3}}, "Pass the settings of the training directly"),
    ],
)
def test_bad_settings_are_refused(settings, words):
    with pytest.raises(InvalidInputError, match=words):
        LightSB(**settings)


def test_bad_data_and_early_questions_are_refused():
    x = torch.randn(50, 2, generator=g(0))
    with pytest.raises(InvalidInputError, match="must be fitted"):
        LightSB().transport(x)
    with pytest.raises(InvalidInputError, match="must have the same event shape"):
        LightSB().fit(x, x[:, :1])
    with pytest.raises(InvalidInputError, match="every column of x1 must vary, got 1 of one value"):
        LightSB().fit(x, torch.cat([x[:, :1], torch.full((50, 1), 0.1)], 1))
    with pytest.raises(
        InvalidInputError, match="n_components must be at most the number of training samples"
    ):
        LightSB(n_components=60).fit(x, x)
    assert math.isfinite(LightSB(n_components=1).fit(x, x + 1).residual)


FEW = {"eps": 0.2, "n_components": 3, "steps": 4}


def test_a_stored_bridge_answers_to_the_same_bits_in_kind(tmp_path):
    x0, x1 = (torch.randn(200, 2, generator=g(k)).numpy() for k in (0, 1))
    for covariance in ("diagonal", "full"):
        solver = LightSB(covariance=covariance, **FEW).fit(x0, x1)
        back = load(solver.save(tmp_path / covariance))
        assert isinstance(back.transport(x0), np.ndarray)
        assert np.array_equal(back.transport(x0, seed=3)[:5], solver.transport(x0[:5], seed=3))
        assert np.array_equal(back.sample(5, seed=3), solver.sample(100, seed=3)[:5])
        assert np.array_equal(back.log_prob(x1, start=x0), solver.log_prob(x1, start=x0))
        assert (back.kinetic_energy, back.heldout_losses) == (solver.kinetic_energy, solver.heldout_losses)


def test_a_fit_that_is_killed_between_the_directions_goes_on(tmp_path):
    x0, x1 = (torch.randn(100, 2, generator=g(k)) for k in (0, 1))

    class KilledError(Exception):
        pass

    def kill(stage, k, steps):
        raise KilledError

    with pytest.raises(KilledError):
        LightSB(**FEW).fit(x0, x1, out=tmp_path, watch=kill)
    seen = []
    again = LightSB(**FEW).fit(
        x0, x1, out=tmp_path, resume=True, watch=lambda stage, k, n: seen.append(stage)
    )
    assert seen == ["backwards"]
    assert stored.fingerprint(again.state) == stored.fingerprint(LightSB(**FEW).fit(x0, x1).state)


def test_a_former_name_is_refused_with_what_takes_its_place():
    with pytest.raises(AttributeError, match="The bridge itself"):
        getattr(LightSB(), "result")  # noqa: B009
