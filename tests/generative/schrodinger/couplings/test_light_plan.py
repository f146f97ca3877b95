"""The closed forms of a plan, each by a second route: quadrature, automatic differentiation, plain loops."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.schrodinger.couplings.light_plan import LightPlan

F64 = torch.float64
KINDS = ("diagonal", "full")


def plan(kind="diagonal", *, k=3, d=2, eps=0.3, centred=True):
    g = torch.Generator().manual_seed(7)
    sizes = 0.2 + torch.rand(k, d, generator=g, dtype=F64)
    if kind == "full":
        axes = torch.linalg.qr(torch.randn(k, d, d, generator=g, dtype=F64))[0]
        sizes = (axes * sizes[:, None, :]) @ axes.mT
        sizes = (sizes + sizes.mT) / 2
    log_alpha, offsets = torch.randn(k, generator=g, dtype=F64), torch.randn(k, d, generator=g, dtype=F64)
    centres = (
        {} if centred else {"centre0": torch.randn(d, generator=g), "centre1": torch.randn(d, generator=g)}
    )
    return LightPlan(eps, log_alpha, offsets, sizes, **centres)


def states(n=5, d=2, seed=1):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=F64)


def grid(width=8.0, n=321):
    """Points of a square and the weight of one of them."""
    line = torch.linspace(-width, width, n, dtype=F64)
    return torch.cartesian_prod(line, line), (line[1] - line[0]) ** 2


def by_quadrature(p, x0, f):
    """``E[f(x1) | x0]`` from the definition ``exp(x0 . x1 / 2 eps) v(x1)``, normalised on a grid."""
    x1, _ = grid()
    values = []
    for row in x0:
        weight = (x1 @ row / (2 * p.eps) + p.log_v(x1)).exp()
        values.append((weight[:, None] * f(x1)).sum(0) / weight.sum())
    return torch.stack(values)


@pytest.mark.parametrize("kind", KINDS)
def test_the_normaliser_is_the_integral_of_the_tilted_potential(kind):
    # c(x0) = int exp(x0 . x1 / 2 eps) v(x1) dx1; the trapezoidal rule is exact to rounding for Gaussian tails.
    p, (x1, cell) = plan(kind), grid()
    for x0 in states():
        total = (x1 @ x0 / (2 * p.eps) + p.log_v(x1)).exp().sum() * cell
        assert_close(p.log_c(x0[None])[0], total.log(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_moments_are_those_of_the_conditional(kind):
    p, x0 = plan(kind), states()
    found = p.moments(x0)
    mean = by_quadrature(p, x0, lambda x: x)
    second = by_quadrature(p, x0, lambda x: (x[:, :, None] * x[:, None, :]).flatten(1)).reshape(-1, 2, 2)
    assert_close(found.mean, mean, rtol=1e-8, atol=1e-8)
    assert_close(found.covariance, second - mean[:, :, None] * mean[:, None, :], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("centred", [True, False])
def test_the_density_is_the_mixture_of_the_components(kind, centred):
    p, x0, x1 = plan(kind, centred=centred), states(), states(seed=2)
    y0, y1 = x0 - p.centre0, x1 - p.centre1
    logs = []
    for k in range(p.n_components):
        mean = p.offsets[k] + y0 @ p.slopes[k]
        distribution = torch.distributions.MultivariateNormal(mean, 2 * p.eps * p.slopes[k])
        logs.append(p.weights(x0)[:, k].log() + distribution.log_prob(y1))
    assert_close(p.log_prob(x1, x0), torch.stack(logs).logsumexp(0))


@pytest.mark.parametrize("kind", KINDS)
def test_draws_have_the_conditional_moments(kind):
    p = plan(kind, centred=False)
    n = 40_000
    x0 = states(1).expand(n, 2)
    x1 = p.sample(x0, generator=torch.Generator().manual_seed(3))
    found = p.moments(x0[:1])
    # Four standard errors of a mean and of a covariance (fourth moments of these mixtures stay below 6 var^2).
    error = (found.covariance[0].diagonal() / n).sqrt()
    assert bool(((x1.mean(0) - found.mean[0]).abs() < 4 * error).all())
    scale = float(found.covariance.diagonal(dim1=1, dim2=2).max())
    assert_close(torch.cov(x1.T), found.covariance[0], rtol=0, atol=4 * math.sqrt(6 / n) * scale)


@pytest.mark.parametrize("kind", KINDS)
def test_evenly_spread_uniforms_take_every_component_as_often_as_its_weight(kind):
    """With no noise the draws are the means of the components; a number that rounds to one belongs to the last."""
    p, x0, n = plan(kind).to(dtype=torch.float32), states(1).expand(1000, 2), 1000
    uniform = (torch.arange(n, dtype=F64) + 0.5) / n
    uniform[-1] = 1 - 2.0**-50
    x1 = p.place(x0, uniform, torch.zeros(n, 2))
    means = p.offsets + torch.einsum("kde,e->kd", p.slopes, x0[0].float())
    gaps, labels = torch.cdist(x1.float(), means).min(1)
    assert float(gaps.max()) < 1e-5
    share = torch.bincount(labels, minlength=3) / n
    assert_close(share, p.weights(x0[:1])[0].float(), rtol=0, atol=1.01 / n)
    assert int(labels[-1]) == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("centred", [True, False])
def test_the_drift_is_the_gradient_of_the_potential(kind, centred):
    p = plan(kind, centred=centred)
    for t in (0.0, 0.4, 1.0):
        x = states().requires_grad_()
        (slope,) = torch.autograd.grad(p.log_potential(x, t).sum(), x)
        assert_close(p.drift(x.detach(), t), 2 * p.eps * slope)
    # One time per row is the same as one time for all.
    times = torch.linspace(0, 1, 5, dtype=F64)
    each = torch.cat([p.drift(x[None], t) for x, t in zip(states(), times.tolist(), strict=True)])
    assert_close(p.drift(states(), times), each)


@pytest.mark.parametrize("kind", KINDS)
def test_the_potential_is_carried_back_by_the_reference(kind):
    # phi(x, t) = E phi(x + sqrt(2 eps (1-t)) z, 1), by quadrature; and phi(x1, 1) = exp(|x1|^2 / 4 eps) v(x1).
    p, (x1, cell) = plan(kind), grid()
    last = x1.square().sum(1) / (4 * p.eps) + p.log_v(x1)
    assert_close(p.log_potential(x1[::997], 1.0), last[::997])
    for t in (0.0, 0.6):
        spread = 2 * p.eps * (1 - t)
        for x in states(3):
            kernel = -(x1 - x).square().sum(1) / (2 * spread) - math.log(2 * math.pi * spread)
            total = (kernel + last).exp().sum() * cell
            assert_close(p.log_potential(x[None], t)[0], total.log(), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("centred", [True, False])
def test_the_density_of_the_plan_is_that_of_the_reference_times_potentials(centred):
    p, x0, x1 = plan(centred=centred), states(), states(seed=2)
    reference = -(x1 - x0).square().sum(1) / (4 * p.eps) - math.log(4 * math.pi * p.eps)
    log_prob = reference + p.log_potential(x1, 1.0) - p.log_potential(x0, 0.0)
    assert_close(p.log_prob(x1, x0), log_prob)


def test_the_source_form_of_the_drift_agrees_inside():
    # With A = t/(e(1-t)) + 1/(e S), h = x/(e(1-t)) + r/(e S): u = (E[x1|x] - x)/(1-t), E a softmax mean of h/A.
    p, x, t = plan(), states(), 0.7
    e, s, r = 2 * p.eps, p.slopes.diagonal(dim1=1, dim2=2), p.offsets
    a = t / (e * (1 - t)) + 1 / (e * s)
    h = x[:, None] / (e * (1 - t)) + r / (e * s)
    logs = p.log_alpha - 0.5 * s.log().sum(1) - 0.5 * a.log().sum(1) - 0.5 * (r * r / s).sum(1) / e
    w = (logs + 0.5 * (h * h / a).sum(2)).softmax(1)
    mean = (w[..., None] * h / a).sum(1)
    assert_close(p.endpoint(x, t), mean)
    assert_close(p.drift(x, t), (mean - x) / (1 - t))


def test_a_shift_of_the_ends_shifts_the_bridge():
    p = plan()
    shift0, shift1 = torch.tensor([3.0, -2.0], dtype=F64), torch.tensor([-1.0, 50.0], dtype=F64)
    moved = LightPlan(
        p.eps, p.log_alpha, p.offsets, p.slopes.diagonal(dim1=1, dim2=2), centre0=shift0, centre1=shift1
    )
    x, t = states(), 0.3
    there = x + (1 - t) * shift0 + t * shift1
    assert_close(moved.drift(there, t), p.drift(x, t) + shift1 - shift0)
    assert_close(moved.log_prob(x + shift1, states(seed=2) + shift0), p.log_prob(x, states(seed=2)))


def test_precision_is_kept_and_a_constant_in_log_alpha_has_no_effect():
    p, x = plan(), states()
    assert p.drift(x.float(), 0.5).dtype == torch.float32
    assert p.sample(x.float(), generator=torch.Generator().manual_seed(0)).dtype == torch.float32
    assert_close(p.to(dtype=torch.float32).drift(x, 0.5), p.drift(x, 0.5), rtol=1e-5, atol=1e-5)
    more = LightPlan(p.eps, p.log_alpha + 3, p.offsets, p.slopes)
    assert_close(more.log_prob(x, states(seed=2)), p.log_prob(x, states(seed=2)))
    assert_close(more.loss(x, x), p.loss(x, x))


def test_small_eps_stays_finite():
    # Exponents of size |x|^2/4 eps = 10^6 would overflow without logs.
    p = LightPlan(1e-6, torch.zeros(2), torch.tensor([[1.0], [-1.0]]), torch.full((2, 1), 0.5))
    x = torch.tensor([[-2.0], [2.0]])
    assert bool(torch.isfinite(p.log_prob(x, x)).all())
    assert_close(p.moments(x).mean, torch.tensor([[-2.0], [2.0]]))


def refuse(words, **changes):
    given = {
        "eps": 0.1,
        "log_alpha": torch.zeros(2),
        "offsets": torch.zeros(2, 3),
        "slopes": torch.ones(2, 3),
    }
    with pytest.raises(InvalidInputError, match=words):
        LightPlan(**(given | changes))


def test_bad_parameters_are_refused():
    refuse("eps must be finite and > 0, got 0.0", eps=0.0)
    refuse("eps must be finite and > 0, got nan", eps=math.nan)
    refuse("eps must be one floating-point number, got a tensor of torch.int64", eps=torch.tensor(1))
    refuse(r"log_alpha must have shape \(2,\)", log_alpha=torch.zeros(3))
    refuse("slopes must have shape", slopes=torch.ones(2, 2))
    refuse("slopes must be positive definite, got smallest eigenvalue -1", slopes=-torch.ones(2, 3))
    refuse("slopes must be symmetric", slopes=torch.eye(3).repeat(2, 1, 1) + torch.ones(3, 3).triu(1))
    refuse("offsets must be finite", offsets=torch.full((2, 3), math.inf))
    with pytest.raises(InvalidInputError, match=r"x must have shape \(B, 2\), got \(4, 3\)"):
        plan().drift(torch.zeros(4, 3), 0.5)
    with pytest.raises(InvalidInputError, match="x must be floating point"):
        plan().log_c(torch.zeros(4, 2, dtype=torch.int64))
