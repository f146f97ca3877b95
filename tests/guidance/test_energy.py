"""Guidance by an energy: with the right strength it is exact for a Gaussian, for every quantity of the fields.

Known answer: prior N(m, s^2 Id), ``y = H x1 + noise`` with H rows of the identity. Given x_t, x1 has variance
``r^2 = s^2 alpha^2/(alpha^2 + beta^2 s^2)``, so the likelihood of y is ``N(H e1, noise^2 + r^2)``: the energy of the
mean end point at strength ``1/(noise^2 + r^2)`` gives the posterior's own fields.
"""

import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import sample
from interpolants.fields import QUANTITIES, LearnedFields
from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import generator
from interpolants.guidance import EnergyGuided, Misfit, observed
from interpolants.operators import Mask
from interpolants.paths import VP, Linear, OneSidedLinear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge, LinearGaussian

F64 = torch.float64
MEAN, STD, NOISE = torch.tensor([[1.0, -0.5]], dtype=F64), 0.8, 0.3
PRIOR = GaussianMixture(torch.ones(1, dtype=F64), MEAN, torch.tensor([STD**2], dtype=F64))
FIRST = Mask(torch.tensor([True, False]))
Y = torch.tensor([[1.7]], dtype=F64)
PATHS = {"vp": VP(base=Gaussian((2,))), "linear": OneSidedLinear(base=Gaussian((2,)))}


def guided(path):
    def strength(t):
        noise = path.alpha(t).square()
        return 1 / (NOISE**2 + STD**2 * noise / (noise + path.beta(t).square() * STD**2))

    return EnergyGuided(GaussianMixtureBridge(path.base, PRIOR).fields(path), Misfit(FIRST), strength)


@pytest.mark.parametrize("t", [0.0, 0.2, 0.7, 0.99])
@pytest.mark.parametrize("path", PATHS.values(), ids=list(PATHS))
def test_every_quantity_is_that_of_the_posterior(path, t):
    posterior = LinearGaussian(FIRST, NOISE**2, PRIOR).posterior(Y[0])
    exact = GaussianMixtureBridge(path.base, posterior).fields(path)
    x = torch.randn(7, 2, dtype=F64, generator=generator(0))
    time = torch.tensor(t, dtype=F64)
    names = [n for n in QUANTITIES if t > 0 or n in ("score", "noise", "endpoint0")]
    found = guided(path).evaluate(x, time, names, observed(Y.expand(7, 1)))
    for name in names:
        assert_close(found[name], exact.evaluate(x, time, (name,))[name], rtol=1e-7, atol=1e-9)


def test_the_guided_flow_ends_in_the_posterior():
    path = PATHS["vp"]
    x = torch.randn(4000, 2, dtype=F64, generator=generator(1))
    end = sample(guided(path), x, n_steps=60, cond=observed(Y.expand(4000, 1)), invariant=False).x
    posterior = LinearGaussian(FIRST, NOISE**2, PRIOR).posterior(Y[0])
    error = posterior.variances[0].sqrt() / 4000**0.5
    assert bool(((end.mean(0) - posterior.mean).abs() < 4 * error + 0.01).all())
    assert_close(end.var(0), posterior.variances[0], rtol=0.1, atol=0)


def test_each_row_meets_its_own_measurement():
    path = PATHS["vp"]
    x = torch.zeros(3, 2, dtype=F64)
    y, t = torch.tensor([[0.0], [1.0], [2.0]], dtype=F64), torch.tensor(0.5, dtype=F64)
    together = guided(path).evaluate(x, t, ("score",), observed(y))["score"]
    for k in range(3):
        alone = guided(path).evaluate(x[k : k + 1], t, ("score",), observed(y[k : k + 1]))["score"]
        assert_close(together[k : k + 1], alone)


def test_an_energy_without_measurement_leaves_the_condition_to_the_fields():
    asked = []
    fields = LearnedFields(PATHS["vp"], noise=lambda x, t, cond: asked.append(cond) or 0 * x)
    energy = EnergyGuided(fields, lambda x1, y: x1.square().sum(1) if y is None else y, strength=0.5)
    t, x, label = torch.tensor(0.6), torch.ones(2, 2), torch.tensor([3, 4])
    shifted = energy.evaluate(x, t, ("denoised",), label)["denoised"]
    assert all(cond is label for cond in asked)
    # With no noise predicted e1 = x/beta, its energy |x|^2/beta^2: e1 - alpha^2/beta 0.5 (2 x/beta^2).
    alpha, beta = (f(t) for f in (PATHS["vp"].alpha, PATHS["vp"].beta))
    assert_close(shifted, x / beta - alpha**2 / beta**3 * x)


def test_guidance_that_leaves_the_finite_numbers_is_an_error_with_its_time():
    fields = GaussianMixtureBridge(PATHS["vp"].base, PRIOR).fields(PATHS["vp"])
    wild = EnergyGuided(fields, lambda x1, y: (x1.square().sum(1) * 1e200).exp())
    with pytest.raises(DivergedError, match=r"EnergyGuided: the guidance of row 0 is not finite at t=0.5"):
        wild.evaluate(torch.ones(2, 2, dtype=F64), torch.tensor(0.5, dtype=F64), ("score",))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: EnergyGuided(f, 3), r"energy must be callable as E\(x1, y\), got int"),
        (lambda f: EnergyGuided(f, torch.sum, -1.0), "strength must be finite and >= 0, got -1.0"),
        (lambda f: Misfit("mask"), "Misfit: operator must be an Operator"),
        (
            lambda f: EnergyGuided(LearnedFields(Linear(), velocity=torch.tanh, score=torch.tanh), torch.sum),
            "EnergyGuided: the path must start from a Gaussian base, got Linear",
        ),
        (
            lambda f: EnergyGuided(f, lambda x1, y: x1).score(torch.ones(2, 2).double(), 0.5),
            r"the energy must return one number per row, \(2,\), got \(2, 2\)",
        ),
    ],
)
def test_bad_settings_are_refused(make, message):
    fields = GaussianMixtureBridge(PATHS["vp"].base, PRIOR).fields(PATHS["vp"])
    with pytest.raises(InvalidInputError, match=message):
        make(fields)
