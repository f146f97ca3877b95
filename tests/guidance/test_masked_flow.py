"""Conditional draws with exact fields: every mask of a Gaussian, a mixture, noisy entries, orders, densities."""

import math
from itertools import product

import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics.sample import sample
from interpolants.fields.entry_preconditioned import EntryPreconditioned
from interpolants.fields.learned import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.ops import expand_like
from interpolants.foundations.row_times import TakesOneTime
from interpolants.guidance.cyclic import Job, RePaint
from interpolants.guidance.masked_flow import (
    MaskedFlow,
    conditional_fields,
    conditional_log_prob,
    tilted_point,
)
from interpolants.paths import OneSidedLinear, OneSidedTrigonometric

PATH = OneSidedLinear()
ROOT = torch.randn(4, 4, generator=torch.Generator().manual_seed(0)).double() / 2
C4 = ROOT @ ROOT.T + 0.2 * torch.eye(4).double()
M4 = torch.tensor([0.5, -1.0, 0.0, 2.0]).double()
PAIR = torch.tensor([[1.0, 0.8], [0.8, 1.0]]).double()
NAN = math.nan


class GaussianDenoiser(TakesOneTime):
    """``m + C B (B C B + A^2)^-1 (x - B m)`` for diagonal A and B by the times of the entries."""

    def __init__(self, covariance, mean=0.0, path=PATH):
        self.path, self.covariance, self.mean = path, covariance, torch.zeros(len(covariance)).double() + mean

    def __call__(self, x, t, cond=None):
        times = expand_like(t.double(), x).expand_as(x)
        a, b = self.path.alpha(times), self.path.beta(times)
        total = b[:, :, None] * self.covariance * b[:, None] + torch.diag_embed(a.square())
        return self.mean + (b * torch.linalg.solve(total, x - b * self.mean)) @ self.covariance


class MixtureDenoiser(TakesOneTime):
    """Denoiser of a mixture of Gaussians, by its components' posterior weights at the times of the entries."""

    def __init__(self, means, covariances, weights):
        self.parts = [GaussianDenoiser(c, m) for m, c in zip(means, covariances, strict=True)]
        self.weights = weights

    def __call__(self, x, t, cond=None):
        times = expand_like(t.double(), x).expand_as(x)
        a, b = PATH.alpha(times), PATH.beta(times)
        logs, found = [], []
        for part, weight in zip(self.parts, self.weights, strict=True):
            total = b[:, :, None] * part.covariance * b[:, None] + torch.diag_embed(a.square())
            law = torch.distributions.MultivariateNormal(b * part.mean, total)
            logs.append(law.log_prob(x) + math.log(weight))
            found.append(part(x, t))
        share = torch.stack(logs).softmax(0)
        return (share[..., None] * torch.stack(found)).sum(0)


def fields(denoiser):
    return LearnedFields(denoiser.path if hasattr(denoiser, "path") else PATH, denoised=denoiser)


def job(learnt, x, sigma=0.0, seed=1, **settings):
    mask = (~x.isnan()).double()
    return Job(learnt, x, mask, seed=seed, sigma=torch.where(mask > 0, sigma, 0.0), **settings)


def moments_of_flow(learnt, row, sigma=0.0, **options):
    """Mean and covariance of draws given one row: for Gaussian fields the flow is affine in its start."""
    n = len(row)
    starts = torch.cat([torch.zeros(1, n), torch.eye(n)]).double()
    flow, cond = conditional_fields(job(learnt, row.expand(n + 1, n), sigma))
    x = sample(flow, starts, method="rk4", cond=cond, n_steps=60, time_grid="cosine", **options).x
    gain = x[1:] - x[0]
    return x[0], gain.T @ gain


def conditional(mean, covariance, row):
    k, h = ~row.isnan(), row.isnan()
    weights = covariance[h][:, k] @ torch.linalg.inv(covariance[k][:, k])
    spread = covariance[h][:, h] - weights @ covariance[k][:, h]
    return mean[h] + weights @ (row[k] - mean[k]), spread


@pytest.mark.parametrize("path", [PATH, OneSidedTrigonometric()])
def test_every_mask_of_a_gaussian_has_its_conditional_moments(path):
    learnt = fields(GaussianDenoiser(C4, M4, path))
    for hidden in product([False, True], repeat=4):
        h = torch.tensor(hidden)
        if not h.any():
            continue
        row = torch.tensor([0.3, -0.7, 1.1, 0.4]).double().masked_fill(h, NAN)
        mean, covariance = moments_of_flow(learnt, row)
        expected, spread = conditional(M4, C4, row)
        assert_close(mean[h], expected, rtol=0, atol=5e-4)
        assert_close(covariance[h][:, h], spread, rtol=0, atol=5e-4)


def test_an_sde_has_the_same_moments():
    x = torch.tensor([1.0, NAN]).double().expand(8_000, 2)
    drawn = MaskedFlow(eps=0.5, n_steps=100).complete(job(fields(GaussianDenoiser(PAIR)), x)).x
    assert bool((drawn[:, 0] == 1).all())
    assert float(drawn[:, 1].mean()) == pytest.approx(0.8, abs=4 * 0.6 / 8_000**0.5 + 2e-3)
    assert float(drawn[:, 1].std()) == pytest.approx(0.6, abs=0.02)


def test_the_flow_reaches_the_conditional_distribution_and_replacement_does_not():
    n = 4000
    x = torch.tensor([1.0, NAN]).double().expand(n, 2)
    learnt = fields(GaussianDenoiser(PAIR))
    own = MaskedFlow(n_steps=50).complete(job(learnt, x)).x[:, 1]  # 100 evaluations
    error = 0.6 / n**0.5  # one standard error of the mean
    assert abs(float(own.mean()) - 0.8) < 4 * error + 2e-3
    assert abs(float(own.std()) - 0.6) < 4 * error + 2e-3
    once = RePaint(n_steps=100, resamples=1).complete(job(learnt, x)).x[:, 1]  # 100 evaluations
    often = RePaint().complete(job(learnt, x)).x[:, 1]  # 500
    # Measured with 20,000 rows: 0.496 and 0.722.
    assert float(once.mean()) == pytest.approx(0.496, abs=5 * error)
    assert float(often.mean()) == pytest.approx(0.722, abs=5 * error)


@pytest.mark.parametrize("value", [-1.0, 0.2, 1.5])
def test_a_hidden_entry_of_a_mixture_has_its_conditional_distribution(value):
    means = torch.tensor([[-1.0, -1.0], [1.0, 0.5]]).double()
    covariances = torch.stack([0.3 * PAIR, torch.tensor([[0.4, -0.2], [-0.2, 0.3]]).double()])
    weights = (0.4, 0.6)
    normal = torch.distributions.Normal(torch.zeros(()).double(), 1.0)
    z = torch.linspace(-3.5, 3.5, 101).double()
    rows = torch.tensor([value, NAN]).double().expand(len(z), 2)
    flow, cond = conditional_fields(job(fields(MixtureDenoiser(means, covariances, weights)), rows))
    start = torch.stack([torch.zeros_like(z), z], 1)
    x = sample(flow, start, n_steps=150, cond=cond).x[:, 1]
    total = density = 0.0
    for mean, c, weight in zip(means, covariances, weights, strict=True):
        seen = (
            weight * torch.distributions.Normal(mean[0], c[0, 0].sqrt()).log_prob(torch.tensor(value)).exp()
        )
        centre, spread = mean[1] + c[1, 0] / c[0, 0] * (value - mean[0]), c[1, 1] - c[1, 0] ** 2 / c[0, 0]
        total = total + seen * torch.distributions.Normal(centre, spread.sqrt()).cdf(x)
        density = density + seen
    # The flow of one entry keeps the order of its starts, so quantiles go to quantiles.
    assert float((total / density - normal.cdf(z)).abs().max()) < 1e-3


@pytest.mark.parametrize("path", [PATH, OneSidedTrigonometric()])
def test_the_denoiser_of_a_tilted_gaussian_is_that_of_the_gaussian_elsewhere(path):
    g = torch.Generator().manual_seed(2)
    x, value = torch.randn(50, 4, generator=g).double(), torch.randn(50, 4, generator=g).double()
    sigma = torch.tensor([0.5, 1.2, 0.0, math.inf]).double().expand(50, 4)
    precision = torch.where(sigma > 0, sigma, 1e-9).square().reciprocal()
    inverse = torch.linalg.inv(torch.linalg.inv(C4) + torch.diag(precision[0]))
    centre = (torch.linalg.solve(C4, M4) + precision * value) @ inverse
    for t in (torch.tensor(0.0), torch.tensor(0.3), torch.tensor(0.9)):
        state, times = tilted_point(path, x, t.double(), value, sigma)
        found = GaussianDenoiser(C4, M4, path)(state, times)
        a, b = path.alpha(t.double()), path.beta(t.double())
        gain = b * inverse @ torch.linalg.inv(b**2 * inverse + a**2 * torch.eye(4))
        assert_close(found, centre + (x - b * centre) @ gain.T, rtol=1e-6, atol=1e-6)


def test_draws_given_noisy_entries_have_the_posterior_moments():
    row = torch.tensor([0.8, -0.4]).double()
    sigma = torch.tensor([0.5, 1.2]).double()
    mean, covariance = moments_of_flow(fields(GaussianDenoiser(PAIR)), row, sigma)
    expected = torch.linalg.inv(torch.linalg.inv(PAIR) + torch.diag(sigma.square().reciprocal()))
    assert_close(mean, expected @ (row / sigma.square()), rtol=0, atol=5e-4)
    assert_close(covariance, expected, rtol=0, atol=5e-4)


def test_the_order_of_revealing_does_not_change_the_distribution():
    x = torch.full((10_000, 4), NAN).double()
    learnt = fields(GaussianDenoiser(C4, M4))
    together = MaskedFlow().complete(job(learnt, x)).x
    again = together.clone()
    for k in (2, 3):
        again[:, k] = NAN
        again = MaskedFlow().complete(job(learnt, again, seed=k)).x
    for drawn in (together, again):
        assert_close(torch.cov(drawn.T), C4, rtol=0, atol=0.05)


def test_log_densities_obey_the_chain_rule_on_every_split():
    learnt = fields(GaussianDenoiser(C4, M4))
    x = torch.distributions.MultivariateNormal(M4, C4).sample((20,))
    full = torch.distributions.MultivariateNormal(M4, C4).log_prob(x)
    for hidden in ([0], [1, 3], [0, 2, 3], [0, 1, 2, 3]):
        h = torch.tensor([k in hidden for k in range(4)])
        found = conditional_log_prob(learnt, x, h, method="rk4", n_steps=100, time_grid="cosine")
        known = (
            torch.distributions.MultivariateNormal(M4[~h], C4[~h][:, ~h]).log_prob(x[:, ~h])
            if (~h).any()
            else 0
        )
        assert_close(known + found, full, rtol=0, atol=2e-3)


class Zero(torch.nn.Module):
    def forward(self, x, t, cond=None):
        return torch.zeros_like(x)


def test_a_preconditioned_network_that_returns_zero_is_the_denoiser_of_its_gaussian():
    g = torch.Generator().manual_seed(3)
    x, t = torch.randn(50, 4, generator=g).double(), torch.rand(50, 4, generator=g).double()
    t[:, 1] = 1.0
    found = EntryPreconditioned(Zero(), PATH, 1.0, C4)(x, t)
    assert_close(found, GaussianDenoiser(C4.float().double())(x, t), rtol=1e-6, atol=1e-6)
    assert_close(found[:, 1], x[:, 1])
    alone = EntryPreconditioned(Zero(), PATH, 1.0)(x, t)
    a, b = 1 - t, t
    assert_close(alone, b / (a**2 + b**2) * x, rtol=1e-5, atol=1e-6)


def test_rows_are_the_same_in_parts_of_a_job():
    x = torch.tensor([1.0, NAN]).double().expand(200, 2)
    learnt = fields(GaussianDenoiser(PAIR))
    full = MaskedFlow(n_steps=8).complete(job(learnt, x)).x
    rest = MaskedFlow(n_steps=8).complete(job(learnt, x[128:], first_index=128)).x
    assert_close(rest, full[128:], rtol=0, atol=1e-12)
    assert full[:, 1].unique().numel() == 200


@pytest.mark.parametrize("setting", [{"n_steps": 0}, {"eps": -1.0}, {"eps": NAN}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(InvalidInputError, match="MaskedFlow"):
        MaskedFlow(**setting)
