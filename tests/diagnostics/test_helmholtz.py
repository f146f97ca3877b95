"""Scores with a gauge that is known: they sample exactly, and the split finds their shares."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.diagnostics import asymmetry, conservative_projection, gauge_residual, helmholtz
from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.likelihood.log_prob import log_prob
from interpolants.metrics.wasserstein import wasserstein
from interpolants.paths import VE, Linear, OneSidedLinear
from interpolants.problems.gauge import GaugedFields, antisymmetric
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge
from interpolants.training.settings import TrainSettings

F64 = torch.float64
PATH, DATA = OneSidedLinear(), GaussianMixture.random(3, 3, 1.0, 0)
TRUE = GaussianMixtureBridge(Gaussian((3,)), DATA).fields(PATH)
A = antisymmetric(3, size=1.5, seed=0)
TURNED = GaugedFields(TRUE, A)
TIGHT = {"rtol": 1e-8, "atol": 1e-8}


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def scaled(factor):
    """A conservative score, and a wrong one."""
    return LearnedFields(PATH, score=lambda x, t: factor * TRUE.evaluate(x, t, ("score",))["score"])


@pytest.mark.slow
def test_a_gauge_leaves_the_density_and_a_wrong_gradient_does_not():
    x = DATA.sample(8, generator=source())
    exact = DATA.log_prob(x)
    assert_close(log_prob(TURNED, x, PATH.base, **TIGHT).log_prob, exact, atol=1e-5, rtol=0)
    wrong = log_prob(scaled(1.2), x, PATH.base, rtol=1e-4, atol=1e-4).log_prob
    assert float((wrong - exact).abs().mean()) > 0.05


@pytest.mark.slow  # thousands of evaluations: the gauge turns trajectories fast where there is little noise
def test_a_large_gauge_leaves_fifty_densities_on_the_exploding_path():
    """Three Gaussians in space, noise from 0.01 to 10, A of size 3, tolerance 1e-7: |log p - truth| <= 1e-5.

    The truth is the distribution of the data with the least noise, from the base that the data have not left
    altogether.
    """
    path = VE(smin=0.01, smax=10.0)
    base = GaussianMixtureBridge(path.base, DATA).fields(path).marginal(0.0)
    assert path.base is not None
    true = GaussianMixtureBridge(GaussianMixture.from_gaussian(path.base, 3), DATA).fields(path)
    x, ends = true.marginal(1.0).sample(50, generator=source(8)), torch.tensor(1.0, dtype=F64)
    exact = true.log_prob(x, ends)
    effort = []
    for fields in (true, GaugedFields(true, antisymmetric(3, size=3.0, seed=0))):
        found = log_prob(fields, x, base, rtol=1e-7, atol=1e-7)
        assert_close(found.log_prob, exact, atol=1e-5, rtol=0)
        effort.append(float(torch.as_tensor(found.nfe).double().mean()))
    assert effort[1] > 1.9 * effort[0]  # the gauge is paid for in evaluations: 329 to 165


def test_samples_do_not_see_a_gauge_and_do_see_a_wrong_gradient():
    """W2 of 800 samples to 800 true ones, seeds 10 and 11: the gauge's is that of exact fields within its spread."""
    start = PATH.base.color(torch.randn(800, 3, dtype=F64, generator=source(10)))
    truth = DATA.sample(800, generator=source(11))
    settings = {"method": "dopri5", "rtol": 1e-4, "atol": 1e-4, "invariant": False, "chunk": 800}
    made = {
        name: sample(fields, start, stop=0.999, **settings).x
        for name, fields in (("true", TRUE), ("turned", TURNED), ("wrong", scaled(1.2)))
    }
    floor = wasserstein(made["true"], truth).value
    assert wasserstein(made["turned"], truth).value < 1.2 * floor
    gap = {name: torch.linalg.matrix_norm(x.T.cov() - DATA.covariance) for name, x in made.items()}
    assert float(gap["turned"]) < 0.15 * float(torch.linalg.matrix_norm(DATA.covariance))
    assert float(gap["wrong"]) > 2 * float(max(gap["true"], gap["turned"]))


def test_a_field_that_is_no_gauge_changes_the_density():
    """``S + A x`` with A unmatched to a mixture that is not round: no gauge, although A x is free of divergence."""
    x = DATA.sample(8, generator=source())
    other = LearnedFields(PATH, score=lambda y, t: TRUE.evaluate(y, t, ("score",))["score"] + y @ A.to(y).T)
    found = log_prob(other, x, PATH.base, rtol=1e-4, atol=1e-4).log_prob
    assert float((found - DATA.log_prob(x)).abs().mean()) > 0.05


def test_the_residual_vanishes_for_a_gauge_and_for_no_wrong_score():
    x = torch.randn(20, 3, dtype=F64, generator=source(1))
    assert float(gauge_residual(TURNED, TRUE, x, 0.6).abs().max()) < 1e-10
    s = TRUE.evaluate(x, torch.tensor(0.6, dtype=F64), ("score",))["score"]
    j = torch.func.vmap(torch.func.jacrev(lambda y: TRUE.marginal(0.6).score(y[None])[0]))(x)
    wanted = 0.2 * (j.diagonal(dim1=1, dim2=2).sum(1) + s.square().sum(1))
    assert_close(gauge_residual(scaled(1.2), TRUE, x, 0.6), wanted, atol=1e-9, rtol=1e-9)

    unmatched = LearnedFields(
        PATH, score=lambda y, t: TRUE.evaluate(y, t, ("score",))["score"] + y @ A.to(y).T
    )
    assert float(gauge_residual(unmatched, TRUE, x, 0.6).abs().max()) > 0.1


def test_the_split_has_the_known_shares():
    """``|r|^2 = |A s|^2`` and ``E[s . A s] = 0``, row by row; Pythagoras for a score that is wrong in both parts."""
    x1 = DATA.sample(500, generator=source(2))
    both = GaugedFields(scaled(1.2), A)
    found = helmholtz(both, scaled(1.2), None, x1, reference=TRUE, times=(0.3, 0.7), generator=source(3))
    assert 0.1 < found.gauge < 0.8
    assert abs(found.overlap) < 1e-9
    assert found.conservative_error == pytest.approx(0.04, rel=1e-6)
    whole = 1 / (1 - found.gauge) * 1.44  # E|s|^2 over E|S|^2, as E|grad phi|^2 = 1.44 E|S|^2
    assert found.error == pytest.approx(0.04 + found.gauge * whole, rel=1e-6)
    assert found.asymmetry > 0.1


def test_the_error_of_the_overlap_is_its_spread_over_draws():
    """Thirty draws of 100 rows: a standard deviation to 13 %, so a factor of two is 4 sigma and more."""
    push = torch.tensor([0.3, -0.2, 0.1], dtype=F64)
    other = LearnedFields(PATH, score=lambda y, t: TRUE.evaluate(y, t, ("score",))["score"] + push)
    found = [
        helmholtz(
            TURNED, other, None, DATA.sample(100, generator=source(k)), times=(0.4,), generator=source(k)
        )
        for k in range(30)
    ]
    spread = float(torch.tensor([each.overlap for each in found]).std())
    told = sum(each.overlap_error for each in found) / 30
    assert 0.6 < spread / told < 1.6


def test_parts_are_those_at_the_times_that_are_asked_for():
    x1 = DATA.sample(50, generator=source(2))
    found = helmholtz(TURNED, TRUE, None, x1, times=(0.3,), generator=source(3))
    x = PATH.sample(x0=None, x1=x1, t=0.3, generator=source(3)).x_t
    assert found.asymmetry == pytest.approx(asymmetry(TURNED, x, 0.3))
    assert found.asymmetry != pytest.approx(asymmetry(TURNED, x, 0.7), rel=1e-2)
    t = torch.tensor(0.3, dtype=F64)
    s, g = (fields.evaluate(x, t, ("noise",))["noise"] for fields in (TURNED, TRUE))
    assert found.gauge == pytest.approx(float((s - g).square().sum() / s.square().sum()))


def test_a_projection_is_a_gradient_whatever_it_has_learnt():
    x1 = DATA.sample(50, generator=source(5)).float()
    settings = TrainSettings(steps=2, batch_size=32)
    found = conservative_projection(
        TURNED, None, x1, net={"kind": "mlp", "width": 8, "depth": 1}, settings=settings
    )
    x = DATA.sample(5, generator=source(6)).float()
    assert found.fields.score(x, 0.5).shape == x.shape
    assert asymmetry(found.fields, x, 0.5) < 1e-5


def test_a_gradient_is_symmetric_and_a_rotation_twice_its_size():
    x = torch.randn(8, 3, dtype=F64, generator=source(4))
    assert asymmetry(TRUE, x, 0.5) < 1e-10
    rotation = LearnedFields(PATH, score=lambda y, t: y @ A.to(y).T)
    assert asymmetry(rotation, x, 0.5) == pytest.approx(2.0)


@pytest.mark.slow  # 1500 steps of a small network
def test_the_projection_recovers_the_score():
    x1 = DATA.sample(20_000, generator=source(5)).float()
    net = {"kind": "mlp", "width": 64, "depth": 3}
    settings = TrainSettings(steps=1500, lr=3e-3, schedule="cosine", warmup=50, batch_size=512)
    found = conservative_projection(TURNED, None, x1, net=net, settings=settings)
    split = helmholtz(TURNED, found.fields, None, x1[:5000], reference=TRUE, generator=source(6))
    assert split.conservative_error**0.5 < 0.05
    assert abs(split.overlap) < 3 * split.overlap_error + 0.01
    assert split.gauge > 0.1


def test_what_cannot_be_projected_is_refused():
    with pytest.raises(InvalidInputError, match=r"samples of rho1 are needed"):
        conservative_projection(TURNED, None, None)
    velocity = LearnedFields(Linear(), velocity=lambda x, t: -x)
    with pytest.raises(InvalidInputError, match="must have a path and a score"):
        conservative_projection(velocity, None, torch.zeros(4, 3))
    with pytest.raises(InvalidInputError, match=r"Potential: net must return f and g.*got \(64, 3\)"):
        conservative_projection(
            TURNED, None, torch.zeros(64, 3), net=Vector(), settings=TrainSettings(steps=1, batch_size=64)
        )


class Vector(torch.nn.Module):
    """A network of the field itself."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 3)

    def forward(self, x, t, cond=None):
        return self.layer(x)
