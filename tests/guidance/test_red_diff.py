"""RED-diff and DPS: closed forms for Gaussians, one step by hand, and what each refuses.

Known answer: prior N(m, C) and linear H. The expected gradient ``H^T (H mu - y) + lambda sum_k w_k alpha_k beta_k
(beta_k^2 C + alpha_k^2 Id)^-1 (mu - m) / n`` vanishes at the solution of a linear system.
"""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.fields import LearnedFields
from interpolants.foundations.clock import clock
from interpolants.foundations.errors import DivergedError, InvalidInputError, NotIdentifiableError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import BlockNoise, generator
from interpolants.guidance import DPS, REDDiff, dps
from interpolants.guidance.particles import START_STREAM
from interpolants.guidance.red_diff import WEIGHTS, from_means
from interpolants.operators import Mask, Matrix, PhaseRetrieval, Saturate
from interpolants.paths import VP, Linear, OneSidedLinear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from interpolants.solvers.sde import integrate_sde

F64 = torch.float64
D, M = 6, 3
SOURCE = generator(11)
ROOT = torch.randn(D, D, dtype=F64, generator=SOURCE) / math.sqrt(D)
COVARIANCE = ROOT @ ROOT.mT + 0.1 * torch.eye(D, dtype=F64)
MEAN = torch.randn(D, dtype=F64, generator=SOURCE)
H = torch.randn(M, D, dtype=F64, generator=SOURCE)
Y = torch.randn(1, M, dtype=F64, generator=SOURCE)
PATH = VP(base=Gaussian((D,)))
PRIOR = GaussianMixture(torch.ones(1, dtype=F64), MEAN[None], COVARIANCE[None])
FIELDS = GaussianMixtureBridge(PATH.base, PRIOR).fields(PATH)


def closed_form(red):
    t = torch.from_numpy(red.times)
    total = torch.zeros(D, D, dtype=F64)
    for alpha, beta, weight in zip(PATH.alpha(t), PATH.beta(t), red.weights, strict=True):
        spread = beta**2 * COVARIANCE + alpha**2 * torch.eye(D, dtype=F64)
        total += red.strength * weight * alpha * beta * torch.linalg.inv(spread) / len(t)
    # (E[z|x_t] - e) has mean alpha beta Sigma^-1 (mu - m).
    return MEAN + torch.linalg.solve(H.mT @ H + total, H.mT @ (Y[0] - H @ MEAN))


@pytest.mark.parametrize("weight", ["linear", "const", "clipped"])
def test_the_expected_gradient_vanishes_at_the_closed_form(weight):
    red = REDDiff(FIELDS, Matrix(H), n_steps=50, weight=weight, antithetic=False)
    mu = closed_form(red)
    rows, draws = 1200, 50
    noise = BlockNoise(5, (0,), count=rows, shape=(D,), dtype=F64)
    many = mu.expand(rows, D)
    pulls = sum(red.pull(many, k, noise.normal()) for k in range(draws)) / draws
    data = H.mT @ (H @ mu - Y[0])
    z = (pulls.mean(0) + data) / (pulls.std(0) / math.sqrt(rows))
    assert float(z.abs().max()) < 3.5
    # and nowhere else
    away = sum(red.pull(many + 0.3, k, noise.normal()) for k in range(draws)) / draws
    assert float((away.mean(0) - pulls.mean(0)).abs().max()) > 0.01


def test_averaged_gradient_steps_end_at_the_closed_form():
    red = REDDiff(FIELDS, Matrix(H), n_steps=50, antithetic=False)
    wanted = closed_form(red)
    rows, lr = 200, 0.05
    noise = BlockNoise(6, (0,), count=rows, shape=(D,), dtype=F64)
    order = torch.randint(50, (1400,), generator=generator(7)).tolist()
    mu, total = MEAN.expand(rows, D).clone(), torch.zeros(D, dtype=F64)
    for n, k in enumerate(order):
        mu = mu - lr * ((mu @ H.mT - Y) @ H + red.pull(mu, k, noise.normal()))
        if n >= 400:
            total += mu.mean(0) / 1000
    assert float((total - wanted).abs().max()) < 0.01


def test_the_unweighted_divergence_has_the_priors_precision():
    """``int rate beta^2 (beta^2 C + alpha^2 Id)^-2 dt = C^-1`` on VP, up to what is left of the data at t = 0."""
    t = torch.linspace(0, 1, 40_001, dtype=F64)
    rate, alpha, beta = PATH.decay_rate(t), PATH.alpha(t), PATH.beta(t)
    values, vectors = torch.linalg.eigh(COVARIANCE)
    shares = rate * beta**2 / (beta**2 * values[:, None] + alpha**2) ** 2
    found = vectors @ torch.trapezoid(shares, t).diag() @ vectors.mT
    assert_close(found, torch.linalg.inv(COVARIANCE), rtol=1e-3, atol=1e-3)


def test_linear_weights_regularise_by_the_denoiser():
    red = REDDiff(FIELDS, Matrix(H), n_steps=9, strength=0.7, antithetic=False)
    mu, e = (torch.randn(4, D, dtype=F64, generator=generator(k)) for k in (1, 2))
    for k in (0, 4, 8):
        t = torch.tensor(red.times[k], dtype=F64)
        x = PATH.beta(t) * mu + PATH.alpha(t) * e
        assert_close(red.pull(mu, k, e), 0.7 * (mu - FIELDS.denoised(x, t)))


def test_an_antithetic_pair_has_the_same_mean_and_less_spread():
    noise = BlockNoise(8, (0,), count=4000, shape=(D,), dtype=F64)
    mu, e = MEAN.expand(4000, D) + 0.2, noise.normal()
    single, pair = (
        REDDiff(FIELDS, Matrix(H), n_steps=20, antithetic=a).pull(mu, 12, e) for a in (False, True)
    )
    # The prior is Gaussian: the pair cancels the noise entirely.
    assert float(pair.std(0).max()) < 1e-10
    assert bool(((single - pair).mean(0).abs() < 4 * single.std(0) / math.sqrt(4000)).all())


def test_a_coloured_base_pulls_as_the_same_problem_in_white_units():
    scale = torch.tensor([0.5, 1.0, 2.0, 1.5, 0.7, 1.2], dtype=F64)
    path = VP(base=Gaussian((D,), scale=scale))
    coloured = GaussianMixtureBridge(path.base, PRIOR).fields(path)
    white = GaussianMixture(
        torch.ones(1, dtype=F64), (MEAN / scale)[None], (COVARIANCE / scale / scale[:, None])[None]
    )
    plain = GaussianMixtureBridge(PATH.base, white).fields(PATH)
    mu, e = (torch.randn(3, D, dtype=F64, generator=generator(k)) for k in (1, 2))
    found = REDDiff(coloured, Matrix(H), n_steps=5).pull(mu * scale, 2, e)
    assert_close(found, REDDiff(plain, Matrix(H), n_steps=5).pull(mu, 2, e) / scale)


def test_weights_and_units():
    r = torch.tensor([0.25, 4.0], dtype=F64)
    assert_close(WEIGHTS["clipped"](r), torch.tensor([0.25, 1.0], dtype=F64))
    assert_close(WEIGHTS["power23"](r), r ** (2 / 3))
    assert_close(WEIGHTS["log"](r), (1 + r).log())
    assert from_means(0.25, torch.zeros(1, 64), torch.zeros(1, 32)) == 0.125
    noisy, plain = (REDDiff(FIELDS, Matrix(H), noise=s) for s in (0.1, None))
    assert noisy.precision == pytest.approx(100.0)
    assert plain.precision == 1.0


def test_rows_orders_and_noise():
    y = Y + torch.randn(5, M, dtype=F64, generator=generator(3))
    red = REDDiff(FIELDS, Matrix(H), n_steps=30)
    whole = red.restore(y, seed=1)
    part = red.restore(y[2:], seed=1, first_index=2)
    # Not to the bit: on some processors products of another number of rows round otherwise.
    assert_close(part.x, whole.x[2:], rtol=1e-9, atol=1e-11)
    assert whole.misfit.shape == (31, 5)
    assert bool((whole.times.diff() > 0).all())
    up = REDDiff(FIELDS, Matrix(H), n_steps=30, order="ascending").restore(y, seed=1)
    assert torch.equal(up.times, whole.times.flip(0))
    drawn = REDDiff(FIELDS, Matrix(H), n_steps=30, order="random").restore(y, seed=1)
    assert torch.equal(drawn.times.sort().values, whole.times)
    assert whole.nfe == 60
    assert REDDiff(FIELDS, Matrix(H), n_steps=30, antithetic=False).restore(y).nfe == 30


def test_averages_remember_the_same_share_of_a_run_of_any_length():
    """What is left of a step's weight after a given share of the run does not depend on the number of steps."""
    for n_steps in (1000, 100, 37):
        betas = REDDiff(FIELDS, Matrix(H), n_steps=n_steps).betas
        assert [beta**n_steps for beta in betas] == pytest.approx([0.9**1000, 0.99**1000])
    assert REDDiff(FIELDS, Matrix(H), times=[0.2, 0.5, 0.6, 0.9]).betas[1] == pytest.approx(0.99**250)
    assert REDDiff(FIELDS, Matrix(H), betas=(0.9, 0.99), n_steps=10).betas == (0.9, 0.99)


def test_the_misfit_is_that_of_the_start_of_every_step_and_of_the_answer():
    y, start = Y.expand(2, M), torch.stack([MEAN, 2 * MEAN])
    found, first = (REDDiff(FIELDS, Matrix(H), times=t).restore(y, start=start) for t in ([0.3, 0.6], [0.3]))
    for row, x in zip(found.misfit, (start, first.x, found.x), strict=True):
        assert_close(row, (y - x @ H.mT).norm(dim=1) ** 2)


MODES = GaussianMixture.random(3, 16, 1.0, seed=5)
SQUARE = VP(base=Gaussian((16,)))
IMAGES = GaussianMixtureBridge(SQUARE.base, MODES).fields(SQUARE)


class AsImages:
    """A measurement of 4 x 4 images, for states that are vectors."""

    def __init__(self, operator):
        self.operator = operator

    def __call__(self, x):
        return self.operator(x.reshape(-1, 1, 4, 4))


@pytest.mark.slow
@pytest.mark.parametrize("operator", [PhaseRetrieval(), Saturate(gain=1.0)])
def test_nonlinear_measurements_are_fitted_better_and_better(operator):
    x = MODES.sample(20, generator=generator(9))
    y = operator(x.reshape(-1, 1, 4, 4))
    start = MODES.mean.expand(20, 16)
    found = REDDiff(IMAGES, AsImages(operator), n_steps=300, strength=0.02).restore(y, start=start, seed=0)
    windows = found.misfit[:300].reshape(6, 50, 20).mean((1, 2))
    assert bool((windows.diff() < 0).all())
    # Magnitudes leave sign and mirror image open, and local minima between: only the fit is promised.
    if isinstance(operator, Saturate):
        assert float((found.x - x).square().mean()) < 0.5 * float((start - x).square().mean())


@pytest.mark.slow  # about 2 s
def test_a_hundred_pairs_do_what_five_hundred_do():
    distribution = GaussianMixture.random(5, 16, 1.0, seed=2)
    fields = GaussianMixtureBridge(SQUARE.base, distribution).fields(SQUARE)
    operator = Mask(torch.arange(16) % 2 == 0)
    x = distribution.sample(100, generator=generator(4))

    def error(**options):
        return float((REDDiff(fields, operator, **options).restore(operator(x)).x - x).square().mean())

    many = error(n_steps=500)
    assert error(n_steps=100) < 1.12 * many  # 0.5 dB
    assert error(n_steps=100, antithetic=False, betas=(0.9, 0.99)) > error(n_steps=100)


def test_one_step_of_dps_is_a_step_of_the_sde_and_a_push():
    y = Y.expand(3, M)
    options = {"n_steps": 1, "time_grid": [0.3, 0.9]}
    weak, strong = (DPS(FIELDS, Matrix(H), zeta=z, **options).restore(y, seed=2) for z in (1e-9, 0.5))
    z = BlockNoise(2, (START_STREAM,), count=3, shape=(D,), dtype=F64).normal()
    t = torch.tensor(0.3, dtype=F64)
    start = (PATH.alpha(t) * z).requires_grad_(True)
    misfit = (y - FIELDS.denoised(start, t) @ H.mT).norm(dim=1)
    (slope,) = torch.autograd.grad(misfit.sum(), start)
    assert_close(weak - strong, 0.5 * slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_drift_of_dps_is_a_function_of_state_and_time(dtype, monkeypatch):
    """A scheme may evaluate it any number of times a step; the push belongs to the step that holds the time."""
    grid = [0.01, 0.05, 0.3, 0.31, 0.8, 0.99]
    lengths = {0.05: 0.25, 0.2: 0.25, 0.305: 0.01, 0.31: 0.49, 0.9: 0.19}
    y, x = Y.expand(3, M).to(dtype), torch.ones(3, D, dtype=dtype)
    seen = []

    def watched(drift, *others):
        ticks = clock(np.array([*lengths, *lengths]), x)
        seen.append([drift(x, tick) for tick in ticks])
        return integrate_sde(drift, *others)

    weak, strong = (DPS(FIELDS, Matrix(H), zeta=zeta, time_grid=grid) for zeta in (1e-9, 0.5))
    plain = strong.restore(y, seed=0)
    monkeypatch.setattr(dps, "integrate_sde", watched)
    weak.restore(y, seed=0)
    assert torch.equal(strong.restore(y, seed=0), plain)
    for free, pushed, again, (t, length) in zip(
        *seen, seen[1][len(lengths) :], lengths.items(), strict=False
    ):
        assert torch.equal(pushed, again)
        point = x.clone().requires_grad_(True)
        misfit = (y - FIELDS.denoised(point, torch.tensor(t, dtype=dtype)) @ H.to(dtype).mT).norm(dim=1)
        (slope,) = torch.autograd.grad(misfit.sum(), point)
        assert_close(free - pushed, 0.5 / length * slope, rtol=1e-3, atol=1e-3)


def test_dps_fits_the_measurement():
    x = PRIOR.sample(30, generator=generator(1))
    y = x @ H.mT
    found = DPS(FIELDS, Matrix(H), zeta=0.3, n_steps=300).restore(y, seed=0)
    free = DPS(FIELDS, Matrix(H), zeta=1e-9, n_steps=300).restore(y, seed=0)
    assert float((found @ H.mT - y).norm(dim=1).mean()) < 0.3 * float((free @ H.mT - y).norm(dim=1).mean())
    again = DPS(FIELDS, Matrix(H), zeta=0.3, n_steps=300).restore(y[10:], seed=0, first_index=10)
    assert_close(again, found[10:])


def test_dps_leaves_a_perfect_fit_alone():
    """The data are one point, which is measured: the misfit is zero at every step, and has no slope."""
    fields = LearnedFields(PATH, denoised=lambda x, t: MEAN + 0 * x)
    weak, strong = (
        DPS(fields, Matrix(H), zeta=zeta, n_steps=5).restore((MEAN @ H.mT)[None], seed=0)
        for zeta in (1e-9, 5.0)
    )
    assert_close(strong, weak, rtol=0, atol=1e-12)


TWO_SIDED = LearnedFields(Linear(), velocity=torch.tanh, noise=torch.tanh)
EARLY = OneSidedLinear(base=Gaussian((D,)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: REDDiff(FIELDS, H, lr=0.0), "REDDiff: lr must be finite and > 0, got 0.0"),
        (lambda: REDDiff(FIELDS, H, strength=-1.0), "strength must be finite and >= 0, got -1.0"),
        (lambda: REDDiff(FIELDS, H, noise=0.0), "noise must be finite and > 0, got 0.0"),
        (
            lambda: REDDiff(FIELDS, H, betas=(0.9, 1.0)),
            r"betas must be two numbers in \[0, 1\), got \(0.9, 1.0\)",
        ),
        (lambda: REDDiff(FIELDS, H, decay=0.0), r"decay must lie in \(0, 1\], got 0.0"),
        (lambda: REDDiff(FIELDS, H, weight="linaer"), "weight must be one of .*Did you mean 'linear'"),
        (lambda: REDDiff(FIELDS, H, order="up"), "order must be one of descending, ascending, random"),
        (lambda: REDDiff(FIELDS, H, n_steps=0), "n_steps must be a whole number >= 1, got 0"),
        (lambda: REDDiff(FIELDS, H, times=[0.1, 1.2]), r"times must be a vector in \[0, 1\]"),
        (lambda: REDDiff(FIELDS, H, times=[0.5, 0.2]), "times must increase"),
        (
            lambda: REDDiff(GaussianMixtureBridge(EARLY.base, PRIOR).fields(EARLY), H, times=[0.0, 0.5]),
            r"weights must be finite and >= 0, got inf at t=0 \(alpha/beta = inf\). Drop that time",
        ),
        (lambda: REDDiff(TWO_SIDED, H), "REDDiff: the path must start from a Gaussian base"),
        (lambda: DPS(TWO_SIDED, H), "DPS: the path must start from a Gaussian base"),
        (lambda: DPS(FIELDS, H, zeta=0.0), "DPS: zeta must be finite and > 0, got 0.0"),
        (
            lambda: REDDiff(FIELDS, H).restore(torch.zeros(2, 5).double(), start=MEAN.expand(2, D)),
            r"REDDiff.restore: y must have the shape of H\(x\), \(B, 3\), got \(2, 5\)",
        ),
        (
            lambda: REDDiff(FIELDS, lambda x: x.detach()[:, :M]).restore(Y, start=MEAN[None]),
            "H must be differentiable, got a result without gradient",
        ),
        (lambda: REDDiff(FIELDS, lambda x: x[:, :M]).restore(Y), "must have a pseudo-inverse for this"),
        (
            lambda: REDDiff(FIELDS, H).restore(Y, start=torch.zeros(2, D).double()),
            "one row per measurement, 1",
        ),
        (
            lambda: DPS(FIELDS, Mask(torch.ones(D, dtype=torch.bool))).restore(Y),
            r"DPS.restore: y must have the shape of H\(x\), \(B, 6\), got \(1, 3\)",
        ),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_a_function_without_inverse_begins_at_zeros_of_the_shape_given():
    red = REDDiff(FIELDS, lambda x: x @ H.T, n_steps=20)
    begun = red.restore(Y, start=torch.zeros(1, D, dtype=F64))
    assert torch.equal(red.restore(Y, event_shape=(D,)).x, begun.x)
    with pytest.raises(InvalidInputError, match=r"states of event_shape \(4,\), got \(6,\)"):
        REDDiff(FIELDS, H).restore(Y, event_shape=(4,))


def test_fields_without_a_mean_noise_are_refused():
    with pytest.raises(NotIdentifiableError, match="must give the mean noise"):
        REDDiff(_NoNoise(), H)


class _NoNoise(LearnedFields):
    def __init__(self):
        super().__init__(PATH, velocity=torch.tanh)

    def provides(self, quantity):
        return quantity == "velocity"


def test_an_answer_that_runs_away_is_an_error():
    fields = LearnedFields(PATH, noise=lambda x, t: x / (t[:, None] - 0.5).relu().sign())
    with pytest.raises(DivergedError, match=r"answers left the finite numbers\. Take a smaller lr"):
        REDDiff(fields, Matrix(H), n_steps=10).restore(Y)


def test_measurements_of_another_width_are_refused_before_the_pseudo_inverse():
    red = REDDiff(FIELDS, Mask(torch.tensor([True] * M + [False] * (D - M))), n_steps=2)
    with pytest.raises(InvalidInputError, match=r"y must have the shape of H\(x\), \(B, 3\), got \(2, 6\)"):
        red.restore(torch.zeros(2, D, dtype=F64))


def test_a_base_of_any_shape_takes_that_of_the_pseudo_inverse():
    fields = LearnedFields(OneSidedLinear(), noise=lambda x, t: 0 * x)
    red = REDDiff(fields, Mask(torch.tensor([True] * M + [False] * (D - M))), n_steps=2)
    assert red.restore(torch.zeros(2, M, dtype=F64)).x.shape == (2, D)


def test_the_learning_rate_falls_from_its_first_value_to_the_decayed_one(monkeypatch):
    rates = []

    class Recorded(torch.optim.Adam):
        def step(self):
            rates.append(self.param_groups[0]["lr"])
            super().step()

    monkeypatch.setattr(torch.optim, "Adam", Recorded)
    red = REDDiff(FIELDS, Mask(torch.tensor([True] * M + [False] * (D - M))), n_steps=3, lr=0.1, decay=0.01)
    red.restore(torch.zeros(2, M, dtype=F64))
    assert rates == pytest.approx([0.1, 0.01, 0.001])
