import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.schrodinger.couplings.light_plan import LightPlan
from interpolants.generative.schrodinger.problems.light_schrodinger import (
    EOTMixturePair,
    MixtureSchrodingerBridge,
)
from interpolants.problems import GaussianSchrodingerBridge, get_problem

F64 = torch.float64


def bridge(seed=0, **settings):
    return MixtureSchrodingerBridge.random(seed, **settings)


@pytest.mark.parametrize("t", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_the_difference_of_the_drifts_is_the_score_of_the_mixture(t):
    b = bridge()
    x = b.marginal(t).sample(200, generator=torch.Generator().manual_seed(1))
    score = (b.drift(x, t) - b.backward_drift(x, t)) / (2 * b.eps)
    assert_close(score, b.marginal(t).score(x), rtol=1e-9, atol=1e-9)


def test_the_distributions_and_the_drift_solve_the_fokker_planck_equation():
    # d rho/dt = -div(u rho) + eps laplacian rho, divided by rho; derivatives by automatic differentiation and, in t,
    # by a central difference of step 1e-4, whose error is of the order 1e-8.
    b, h = bridge(), 1e-4
    x = b.marginal(0.4).sample(50, generator=torch.Generator().manual_seed(1))
    rate = (b.marginal(0.4 + h).log_prob(x) - b.marginal(0.4 - h).log_prob(x)) / (2 * h)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda y: b.drift(y[None], 0.4)[0]))(x)
    divergence = jacobian.diagonal(dim1=1, dim2=2).sum(1)
    score = b.marginal(0.4).score(x)
    curl = torch.func.vmap(torch.func.jacrev(lambda y: b.marginal(0.4).score(y[None])[0]))(x)
    laplacian = curl.diagonal(dim1=1, dim2=2).sum(1) + score.square().sum(1)
    flow = -divergence - (b.drift(x, 0.4) * score).sum(1) + b.eps * laplacian
    assert_close(rate, flow, rtol=1e-5, atol=1e-5)


def test_one_component_each_is_the_bridge_between_gaussians():
    plans = (
        LightPlan(0.3, torch.zeros(1), torch.tensor([o], dtype=F64), torch.tensor([s], dtype=F64))
        for o, s in (([0.5, -1.0], [0.4, 0.9]), ([1.0, 0.2], [0.7, 0.3]))
    )
    ours = MixtureSchrodingerBridge(*plans)
    distributions = (ours.rho0, ours.rho1)
    known = GaussianSchrodingerBridge(
        distributions[0].mean,
        distributions[0].variances[0],
        distributions[1].mean,
        distributions[1].variances[0],
        eps=0.3,
    )
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    for t in (0.0, 0.4, 1.0):
        assert_close(ours.drift(x, t), known.drift(x, t))
        assert_close(ours.backward_drift(x, t), known.backward_drift(x, t))
        assert_close(ours.marginal(t).covariance, known.marginal(t).covariance)


def test_pairs_have_the_distributions_of_both_ends():
    b, n = bridge(2), 50_000
    pairs = b.sample_coupling(n, generator=torch.Generator().manual_seed(0))
    for x, distribution in ((pairs.x0, b.rho0), (pairs.x1, b.rho1)):
        error = (distribution.covariance.diagonal() / n).sqrt()
        assert bool(((x.mean(0) - distribution.mean).abs() < 4 * error).all())
        # Fourth moments below 4 var^2 here: four standard errors of a variance.
        assert_close(x.var(0), distribution.covariance.diagonal(), rtol=4 * (3 / n) ** 0.5, atol=0)


def test_components_share_the_mass_alike():
    b = bridge(1, n_components=3)
    assert float(b.rho0.weights.max()) < 0.34
    assert b.rho0.n_modes <= 9


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_the_benchmark_pair_is_reproducible_and_its_plan_its_own(covariance):
    a, b = (EOTMixturePair(3, 2, 0.25, covariance=covariance) for _ in range(2))
    assert torch.equal(a.plan.offsets, b.plan.offsets)
    assert not torch.equal(a.plan.offsets, EOTMixturePair(4, 2, 0.25).plan.offsets)
    g = torch.Generator().manual_seed(0)
    pairs, free = a.sample_coupling(20_000, generator=g), a.sample_ends(20_000, generator=g)
    # The same distribution of x1, coupled once and free once: correlation of x0 and x1 tells.
    spread = pairs.x1.std(0)
    assert bool(((pairs.x1.mean(0) - free.x1.mean(0)).abs() < 4 * spread * (2 / 20_000) ** 0.5).all())
    assert float(torch.corrcoef(torch.stack([free.x0[:, 0], free.x1[:, 0]]))[0, 1].abs()) < 4 / 20_000**0.5
    assert float(torch.corrcoef(torch.stack([pairs.x0[:, 0], pairs.x1[:, 0]]))[0, 1]) > 0.3
    assert_close(a.drift(pairs.x0[:5], 0.2), a.plan.drift(pairs.x0[:5], 0.2))


@pytest.mark.parametrize("spread", [0.0, 1.5])
def test_offsets_of_the_potential_are_as_wide_as_stated(spread):
    offsets = EOTMixturePair(dim=2, n_components=2000, spread=spread).plan.offsets
    assert_close(offsets.mean(0), torch.zeros(2, dtype=F64), rtol=0, atol=4 * spread / 2000**0.5)
    assert_close(offsets.std(0), torch.full((2,), spread, dtype=F64), rtol=4 / 4000**0.5, atol=0)


def test_get_problem_makes_it():
    assert get_problem("eot_mixture_pair", seed=1, dim=3, eps=0.5).event_shape == (3,)


def test_bad_input_is_refused():
    with pytest.raises(InvalidInputError, match="eps must be finite and > 0"):
        EOTMixturePair(eps=0.0)
    with pytest.raises(InvalidInputError, match="dim must be a whole number >= 1"):
        EOTMixturePair(dim=0)
    with pytest.raises(InvalidInputError, match="covariance must be"):
        EOTMixturePair(covariance="round")
    one = LightPlan(0.3, torch.zeros(1), torch.zeros(1, 2), torch.full((1, 2), 1.2))
    with pytest.raises(InvalidInputError, match=r"products of the slopes .* must be < 1, got 1"):
        MixtureSchrodingerBridge(one, one)
    with pytest.raises(InvalidInputError, match="one eps and one dimension"):
        MixtureSchrodingerBridge(one, LightPlan(0.2, torch.zeros(1), torch.zeros(1, 2), torch.ones(1, 2)))
    full = LightPlan(0.3, torch.zeros(1), torch.zeros(1, 2), torch.eye(2)[None])
    with pytest.raises(InvalidInputError, match="diagonal slopes"):
        MixtureSchrodingerBridge(full, full)
