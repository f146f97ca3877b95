"""Guidance by linear measurements: with the prior's own covariance it is exact for Gaussians, for every quantity.

Known answer: prior N(m, S), ``y = H x1 + noise``; the posterior is Gaussian in closed form, and so are its fields.
"""

import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import sample
from interpolants.fields import QUANTITIES
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import BlockNoise, generator
from interpolants.guidance import observed
from interpolants.guidance.pseudo_inverse import PseudoInverseGuided, PseudoInverseSampler
from interpolants.operators import Mask, Matrix, Saturate
from interpolants.operators.k_space import KSpaceLines
from interpolants.operators.measurement import Measurement
from interpolants.paths import VP, Linear, OneSidedLinear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge, LinearGaussian

F64 = torch.float64
ROOT = torch.randn(4, 4, dtype=F64, generator=generator(0)) / 2
SPREAD = ROOT @ ROOT.T + 0.05 * torch.eye(4, dtype=F64)
MEAN, NOISE = torch.tensor([[1.0, -0.5, 0.2, 0.0]], dtype=F64), 0.3
ONE = torch.ones(1, dtype=F64)
PRIOR = GaussianMixture(ONE, MEAN, SPREAD[None])
EVEN = GaussianMixture(ONE, MEAN, torch.tensor([0.8**2], dtype=F64))
H = Matrix(torch.randn(3, 4, dtype=F64, generator=generator(1)))
Y = torch.tensor([[0.7, -1.0, 0.4]], dtype=F64)
PATHS = {"vp": VP(base=Gaussian((4,))), "linear": OneSidedLinear(base=Gaussian((4,)))}


def fields(path, prior=PRIOR):
    return GaussianMixtureBridge(path.base, prior).fields(path)


@pytest.mark.parametrize("t", [0.0, 0.2, 0.7, 0.99])
@pytest.mark.parametrize("path", PATHS.values(), ids=list(PATHS))
@pytest.mark.parametrize(
    ("prior", "spread"), [(PRIOR, SPREAD), (EVEN, 0.8)], ids=["covariance", "one spread"]
)
def test_every_quantity_is_that_of_the_posterior(path, t, prior, spread):
    posterior = LinearGaussian(H, NOISE**2, prior).posterior(Y[0])
    exact = fields(path, posterior)
    x, time = torch.randn(7, 4, dtype=F64, generator=generator(2)), torch.tensor(t, dtype=F64)
    guided = PseudoInverseGuided(fields(path, prior), H, NOISE, spread=spread)
    for name in [n for n in QUANTITIES if t > 0 or n in ("score", "noise", "endpoint0")]:
        found = guided.evaluate(x, time, (name,), observed(Y.expand(7, 3)))[name]
        assert_close(found, exact.evaluate(x, time, (name,))[name], rtol=1e-6, atol=1e-8)


def test_one_solve_is_exact_where_all_eigenvalues_are_one():
    """A mask and one spread: as many steps of the conjugate gradients as there are different eigenvalues."""
    mask, path, t = Mask(torch.tensor([True, False, True, True])), PATHS["vp"], torch.tensor(0.6, dtype=F64)
    exact = fields(path, LinearGaussian(mask, NOISE**2, EVEN).posterior(Y[0]))
    guided = PseudoInverseGuided(fields(path, EVEN), mask, NOISE, spread=0.8, solves=1)
    x = torch.randn(7, 4, dtype=F64, generator=generator(2))
    found = guided.evaluate(x, t, ("score",), observed(Y.expand(7, 3)))["score"]
    assert_close(found, exact.score(x, t), rtol=1e-6, atol=1e-8)


def test_an_eigenvalue_that_rounding_makes_negative_counts_as_zero():
    """At ``alpha^2 = 1.6e-9`` one of -1.5e-9 would leave a variance of -16 times that of the others."""
    path, t = PATHS["linear"], torch.tensor(1 - 4e-5, dtype=F64)
    axes = torch.linalg.qr(ROOT)[0]
    x, y = torch.randn(5, 4, dtype=F64, generator=generator(2)), observed(Y.expand(5, 3))
    shifts = []
    for least in (0.0, -1.5e-9):
        spread = (axes * torch.tensor([1.0, 0.5, 0.3, least], dtype=F64)) @ axes.T
        shifts.append(PseudoInverseGuided(fields(path), H, spread=spread).shift(x, t, y))
    assert_close(shifts[1], shifts[0], rtol=1e-4, atol=0)


def test_without_noise_the_weight_is_the_pseudo_inverse():
    path, t = PATHS["vp"], torch.tensor(0.4, dtype=F64)
    x = torch.randn(5, 4, dtype=F64, generator=generator(3))
    free = fields(path, EVEN)
    guided = PseudoInverseGuided(free, H, 0.0, spread=0.8)
    alpha, beta = path.alpha(t), path.beta(t)
    rest = 0.64 * alpha**2 / (alpha**2 + 0.64 * beta**2)
    slope = beta / alpha**2 * rest  # of e1 in x, for a Gaussian
    expected = slope * H.pinv(Y - H(free.denoised(x, t))) / rest
    assert_close(guided.shift(x, t, observed(Y.expand(5, 3))), expected, rtol=1e-6, atol=1e-8)


def test_draws_have_the_mean_and_the_variances_of_the_posterior():
    """By the flow; ancestral steps have the mean alone."""
    path, n = PATHS["linear"], 2000
    posterior = LinearGaussian(H, NOISE**2, PRIOR).posterior(Y[0])
    sampler = PseudoInverseSampler(fields(path), H, noise=NOISE, spread=SPREAD, n_steps=12)
    x = sampler.restore(Y.expand(n, 3), seed=0)
    variance = posterior.covariances[0].diagonal()
    assert bool(((x.mean(0) - posterior.mean).abs() < 4 * (variance / n).sqrt() + 0.01).all())
    assert float((x.var(0) / variance).mean()) == pytest.approx(1.0, abs=0.1)
    paper = PseudoInverseSampler(fields(path), H, noise=NOISE, spread=SPREAD, n_steps=25, method="ancestral")
    x = paper.restore(Y.expand(n, 3), seed=0)
    assert bool(((x.mean(0) - posterior.mean).abs() < 4 * (variance / n).sqrt() + 0.02).all())
    assert float((x.var(0) / variance).mean()) < 0.9


@pytest.mark.parametrize(
    ("name", "n_steps", "time_grid", "kept"),
    [  # the docstring's numbers, by the product of the midpoint rule's factors in each direction
        ("linear", 25, "auto", [1.000, 0.999, 0.996, 0.989]),
        ("linear", 10, "auto", [0.994, 0.984, 0.941, 0.907]),
        ("linear", 25, "uniform", [0.998, 0.988, 0.793, 0.391]),
        ("vp", 25, "auto", [0.994, 0.991, 0.991, 1.016]),
    ],
)
def test_the_share_of_the_variance_that_is_kept_depends_on_the_deviation(name, n_steps, time_grid, kept):
    """A draw is linear in the noise that it starts from, so that two draws give each direction's factor exactly."""
    deviations = torch.tensor([0.1, 0.05, 0.02, 0.01], dtype=F64)
    prior = GaussianMixture(ONE, torch.zeros(1, 4, dtype=F64), torch.diag(deviations.square())[None])
    blind = Matrix(torch.zeros(1, 4, dtype=F64))
    settings = {"noise": 1.0, "spread": torch.diag(deviations.square()), "n_steps": n_steps}
    sampler = PseudoInverseSampler(fields(PATHS[name], prior), blind, time_grid=time_grid, **settings)
    y = torch.zeros(2, 1, dtype=F64)
    x = sampler.restore(y, seed=0)
    z = BlockNoise.like(x, 0, "pseudo-inverse start", first=0).normal()
    factor = (x[1] - x[0]) / (z[1] - z[0])
    assert_close((factor / deviations).square(), torch.tensor(kept, dtype=F64), rtol=0, atol=2e-3)


def test_each_row_meets_its_own_measurement_and_an_affine_one_counts_as_linear():
    path, t = PATHS["vp"], torch.tensor(0.5, dtype=F64)
    shifted = Measurement(lambda x: 2 * H(x) + 3.0, is_linear=True)
    guided = PseudoInverseGuided(fields(path), shifted, NOISE, spread=SPREAD)
    twice = PseudoInverseGuided(fields(path), Matrix(2 * H.matrix), NOISE, spread=SPREAD)
    x, y = torch.zeros(3, 4, dtype=F64), torch.randn(3, 3, dtype=F64, generator=generator(4))
    together = guided.shift(x, t, observed(y + 3.0))
    assert_close(together, twice.shift(x, t, observed(y)))
    assert_close(together[1:2], guided.shift(x[1:2], t, observed(y[1:2] + 3.0)))
    times = torch.tensor([0.2, 0.5, 0.9], dtype=F64)
    own = guided.shift(x, times, observed(y + 3.0))
    assert_close(own[2:], guided.shift(x[2:], times[2], observed(y[2:] + 3.0)))


def test_lines_of_k_space_give_the_posterior_of_an_image():
    """A smooth Gaussian image of 6 x 6, three lines measured."""
    place = torch.arange(6, dtype=F64)
    line = torch.exp(-0.5 * (place[:, None] - place).square() / 2.0)
    spread = torch.kron(line, line) + 1e-3 * torch.eye(36, dtype=F64)
    prior = GaussianMixture(ONE, torch.zeros(1, 36, dtype=F64), spread[None])
    lines = KSpaceLines([2, 3, 5], 6)
    operator = Measurement(lambda x: lines(x.reshape(-1, 1, 6, 6)).flatten(1), is_linear=True)
    truth = prior.sample(1, generator=generator(5))
    y = operator(truth) + 0.1 * torch.randn(1, 36, dtype=F64, generator=generator(6))
    path = OneSidedLinear(base=Gaussian((36,)))
    sampler = PseudoInverseSampler(fields(path, prior), operator, noise=0.1, spread=spread, n_steps=12)
    x = sampler.restore(y.expand(400, 36), seed=1)
    exact = LinearGaussian(operator, 0.01, prior).posterior(y[0])
    variance = exact.covariances[0].diagonal()
    error = (x.mean(0) - exact.mean).square().sum() / exact.mean.square().sum()
    assert float(error.sqrt()) < 0.03 + 3 * float((variance.sum() / 400 / exact.mean.square().sum()).sqrt())
    assert float(x.var(0).sum() / variance.sum()) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: PseudoInverseGuided(f, Saturate()), "H must be linear, got Saturate"),
        (lambda f: PseudoInverseGuided(f, H, -1.0), "noise must be finite and >= 0"),
        (lambda f: PseudoInverseGuided(f, H, spread=0.0), "spread must be finite and > 0"),
        (lambda f: PseudoInverseGuided(f, H, spread=-SPREAD), "spread must be symmetric without negative"),
        (lambda f: PseudoInverseSampler(f, H, n_steps=1), "n_steps must be a whole number >= 2"),
        (lambda f: PseudoInverseSampler(f, H).restore(Y[:, :2]), r"y must have the shape of H\(x\)"),
        (
            lambda f: sample(PseudoInverseGuided(f, H), MEAN, n_steps=2),
            "must hold the measurement",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call(fields(PATHS["vp"]))


def test_a_path_between_two_data_sets_is_refused():
    two = GaussianMixtureBridge(PRIOR, PRIOR).fields(Linear())
    with pytest.raises(InvalidInputError, match="the path must start from a Gaussian base"):
        PseudoInverseGuided(two, Mask(torch.tensor([True, False, False, False])))
