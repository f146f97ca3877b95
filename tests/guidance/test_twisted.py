"""Posterior samples against exact posteriors: mixtures with a linear measurement, a grid for a nonlinear one, ranks."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import generator
from interpolants.guidance import DPS, FeynmanKac, TwistedSMC
from interpolants.metrics import rank_histogram
from interpolants.operators import Measurement
from interpolants.paths import EDM, VP, Linear, OneSidedLinear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge, LinearGaussian
from interpolants.solvers import Systematic

F64 = torch.float64
WIDE = GaussianMixture.random(4, 2, 1.5, seed=3)
PRIOR = GaussianMixture(WIDE.weights, WIDE.means, 0.3 * WIDE.covariances)
A = torch.tensor([[1.0, 0.6]], dtype=F64)
PATHS = {"vp": VP(base=Gaussian((2,))), "linear": OneSidedLinear(base=Gaussian((2,)))}


def fields(path, prior=PRIOR):
    return GaussianMixtureBridge(path.base, prior).fields(path)


@pytest.mark.parametrize("spread", [1.5, 3.0])
@pytest.mark.parametrize("path", PATHS.values(), ids=list(PATHS))
def test_evidence_and_moments_are_those_of_the_exact_posterior(path, spread):
    noise = 0.3
    problem = LinearGaussian(A, noise**2, PRIOR)
    y = problem.sample_joint(8, generator=generator(1)).y
    made = TwistedSMC(fields(path), A, noise, spread=spread, n_steps=120).sample(y, particles=512, seed=0)
    gap = (made.log_z - problem.evidence().log_prob(y)) / made.log_z_error
    # A Euler-Maruyama step in 120 adds a few percent.
    assert float(gap.square().mean().sqrt()) < 2.0
    posteriors = [problem.posterior(row) for row in y]
    mean, variance = (torch.stack([getattr(p, m) for p in posteriors]) for m in ("mean", "covariance"))
    std = variance.diagonal(dim1=1, dim2=2).sqrt()
    off = (made.mean(made.x) - mean) / std
    assert float(off.square().mean().sqrt()) < 0.2
    spread_found = (made.mean(made.x.square()) - made.mean(made.x).square()).sqrt()
    assert float((spread_found / std).log().abs().mean()) < 0.1


def test_a_nonlinear_measurement_of_two_signs():
    """``y = x^2 + noise``: the posterior has two modes, one for each sign, weighted by the prior."""
    prior = GaussianMixture(
        [0.3, 0.7], torch.tensor([[1.2], [-0.8]], dtype=F64), torch.tensor([0.4, 0.5]).double()
    )
    path, noise = VP(base=Gaussian((1,))), 0.2
    y = torch.tensor([[1.0]], dtype=F64)
    x = torch.linspace(-5, 5, 20001, dtype=F64)
    likelihood = -0.5 * ((y[0] - x**2) / noise).square() - math.log(noise * math.sqrt(2 * math.pi))
    density = prior.log_prob(x[:, None]) + likelihood
    evidence = torch.trapezoid(density.exp(), x).log()
    positive = float(torch.trapezoid(density.exp() * (x > 0), x) / evidence.exp())
    smc = TwistedSMC(fields(path, prior), Measurement(torch.square), noise, n_steps=120)
    made = smc.sample(y.expand(8, 1), particles=500, seed=3)
    spread = float(made.log_z.std()) / math.sqrt(8)
    assert float(made.log_z.mean()) == pytest.approx(float(evidence), abs=4 * spread + 0.05)
    share = made.mean((made.x > 0).double())[:, 0]
    assert float(share.mean()) == pytest.approx(positive, abs=4 * float(share.std()) / math.sqrt(8) + 0.02)
    assert 0.1 < positive < 0.9


@pytest.mark.slow
def test_true_states_have_even_ranks_among_posterior_draws():
    """Simulation-based calibration over 300 joint draws, 15 posterior draws each; about 20 s."""
    problem = LinearGaussian(A, 0.09, PRIOR)
    joint = problem.sample_joint(300, generator=generator(4))
    smc = TwistedSMC(fields(PATHS["vp"]), A, 0.3, spread=1.5, n_steps=100)
    made = smc.sample(joint.y, particles=128, seed=5, resample=True)
    # Particles of one population share ancestors: take a few of many.
    draws = made.x.reshape(300, 128, 2)[:, torch.randperm(128, generator=generator(6))[:15]]
    ranks = rank_histogram(draws, joint.x, generator=generator(7))
    assert ranks.p > 1e-3
    low, high = (made.x.reshape(300, 128, 2).quantile(q, 1) for q in (0.05, 0.95))
    covered = float(((joint.x > low) & (joint.x < high)).double().mean())
    assert covered == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 600) + 0.02)


def test_with_the_spread_of_a_gaussian_the_look_ahead_is_exact():
    """Then weights are even up to the steps, and without resampling most particles count: 80 of 128."""
    spread, noise, y = 1.5, 0.3, torch.tensor([[2.0, -1.0]], dtype=F64)
    one = GaussianMixture(
        torch.ones(1, dtype=F64), torch.zeros(1, 2, dtype=F64), torch.full((1,), spread**2, dtype=F64)
    )
    smc = TwistedSMC(
        fields(PATHS["vp"], one),
        torch.eye(2, dtype=F64),
        noise,
        spread=spread,
        n_steps=50,
        resampler=Systematic(ess=0.0),
    )
    made = smc.sample(y, particles=128, seed=0)
    assert float(made.ess.min()) > 64
    evidence = Gaussian((2,), scale=math.hypot(spread, noise)).log_prob(y)
    assert_close(made.log_z, evidence, rtol=0, atol=0.05)


def test_a_grid_may_be_the_paths_own_as_in_sampling():
    path = EDM(smax=20.0)
    distribution = GaussianMixture(
        torch.ones(1, dtype=F64), torch.zeros(1, 2, dtype=F64), torch.ones(1, dtype=F64)
    )
    field = GaussianMixtureBridge(Gaussian((2,), scale=20.0), distribution).fields(path)
    y = torch.zeros(2, 1, dtype=F64)
    own = [
        TwistedSMC(field, A, 0.3, n_steps=8, time_grid="auto").grid,
        DPS(field, A, n_steps=8, time_grid="auto").grid,
        FeynmanKac([(field, 2.0)], n_steps=8, time_grid="auto").grid,
        sample(field, torch.zeros(2, 2, dtype=F64), n_steps=8, time_grid="auto").times.numpy(),
    ]
    assert own[0].tolist() == path.own_grid(8)
    assert all((grid == own[0]).all() for grid in own)
    smc = TwistedSMC(field, A, 0.3, n_steps=8, time_grid="auto")
    assert smc.sample(y, particles=8, event_shape=(2,), seed=0).x.shape == (16, 2)


def test_measurements_do_not_know_of_each_other():
    smc = TwistedSMC(fields(PATHS["vp"]), A, 0.3, n_steps=20, resampler=Systematic(0.9))
    y = torch.tensor([[0.5], [-1.0], [2.0]], dtype=F64)
    whole = smc.sample(y, particles=64, seed=1)
    rest = smc.sample(y[1:], particles=64, seed=1, first_group=1)
    assert torch.equal(whole.x[64:], rest.x)
    assert torch.equal(whole.log_z[1:], rest.log_z)
    assert whole.groups == 3
    again = smc.sample(y, particles=64, seed=1, resample=True)
    assert_close(again.weights, torch.full((192,), 1 / 64, dtype=F64))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: TwistedSMC(f, A, 0.0), "TwistedSMC: noise must be finite and > 0, got 0.0"),
        (lambda f: TwistedSMC(f, A, 0.1, kappa=0.0), "kappa must be finite and > 0, got 0.0"),
        (lambda f: TwistedSMC(f, A, 0.1, spread=-1.0), "spread must be finite and > 0"),
        (lambda f: TwistedSMC(f, 3, 0.1), "operator must be an Operator, a matrix or a function, got int"),
        (
            lambda f: TwistedSMC(LearnedFields(Linear(), velocity=torch.tanh, score=torch.tanh), A, 0.1),
            "the path must start from a Gaussian base",
        ),
        (
            lambda f: TwistedSMC(f, A, 0.1).sample(torch.zeros(2, 3).double()),
            r"y must have the shape of H\(x\)",
        ),
        (
            lambda f: TwistedSMC(f, A, 0.1).sample(torch.zeros(2, 1).double(), particles=1),
            "particles must be",
        ),
        (
            lambda f: TwistedSMC(f, lambda x: (x @ A.mT).detach(), 0.1).sample(torch.zeros(2, 1).double()),
            "H must be differentiable, got a result without gradient",
        ),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make(fields(PATHS["vp"]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::interpolants.foundations.tell.FitWarning")
def test_nearly_exact_measurements_need_more_steps_on_vp():
    """Six of eight entries, measured to a hundredth of their spread; the figures of the page's row."""
    prior, seen = GaussianMixture.random(3, 8, 1.0, seed=0), torch.eye(8, dtype=F64)[:6]
    problem = LinearGaussian(seen, 0.01**2, prior)
    y = problem.sample_joint(8, generator=generator(1)).y
    posteriors = [problem.posterior(row) for row in y]
    mean, variance = (torch.stack([getattr(p, m) for p in posteriors]) for m in ("mean", "covariance"))

    def off(path, n_steps):
        smc = TwistedSMC(fields(path, prior), seen, 0.01, spread=1.5, n_steps=n_steps)
        made = smc.sample(y, particles=256, seed=0)
        gap = (made.mean(made.x) - mean) / variance.diagonal(dim1=1, dim2=2).sqrt()
        return float(gap.square().mean().sqrt())

    vp, linear = VP(base=Gaussian((8,))), OneSidedLinear(base=Gaussian((8,)))
    assert off(vp, 100) > 0.6
    assert off(vp, 400) < 0.3
    assert off(linear, 200) < 0.3
