"""Random scales: closed forms against integrals over the scale, padding, quadrature."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import gamma, invgamma, lognorm
from torch.testing import assert_close

from interpolants.sciml.gp.scale_evidence import (
    Factored,
    Groups,
    Spectrum,
    gaussian_evidence,
    inverse_gamma_kl,
    log_scale_density,
    mixture_evidence,
    scale_nodes,
    scale_posterior,
    student_evidence,
)

A, B = 1.7, 0.9


def number(x):
    return torch.tensor(x, dtype=torch.float64)


def example(n=6, noise=0.3):
    g = torch.Generator().manual_seed(0)
    root = torch.randn(n, n, dtype=torch.float64, generator=g)
    gram = root @ root.T / n
    return (
        gram,
        gram + noise * torch.eye(n, dtype=torch.float64),
        torch.randn(n, dtype=torch.float64, generator=g),
    )


def density(covariance, y):
    zero = torch.zeros(len(y), dtype=torch.float64)
    return float(torch.distributions.MultivariateNormal(zero, covariance).log_prob(y).exp())


def integral(function, a=A, b=B):
    """``int function(s) IG(s; a, b) ds`` over ``log s``."""
    law = invgamma(a, scale=b)
    return quad(
        lambda u: function(math.exp(u)) * law.pdf(math.exp(u)) * math.exp(u), -12, 35, limit=500, epsabs=1e-14
    )[0]


def test_the_evidence_is_the_integral_over_the_scale():
    _, k, y = example()
    one = Factored.of(k[None], y[None])
    found = student_evidence(one.energy, one.log_determinant, number([6.0]), number(A), number(B))
    assert float(found) == pytest.approx(math.log(integral(lambda s: density(s * k, y))), abs=1e-8)


def test_for_many_degrees_of_freedom_it_is_that_of_a_known_scale():
    _, k, y = example()
    one = Factored.of(k[None], y[None])
    found = student_evidence(one.energy, one.log_determinant, number([6.0]), number(1e7), number(0.7e7))
    exact = gaussian_evidence(one.energy, one.log_determinant, number([6.0]), number(0.7))
    assert_close(found, exact, rtol=0, atol=1e-5)
    assert float(exact) == pytest.approx(math.log(density(0.7 * k, y)))


def test_the_divergence_of_two_laws_is_its_integral():
    p, q = invgamma(2.5, scale=1.2), invgamma(1.4, scale=0.6)
    exact = quad(
        lambda u: p.pdf(math.exp(u)) * math.exp(u) * (p.logpdf(math.exp(u)) - q.logpdf(math.exp(u))), -9, 20
    )[0]
    found = inverse_gamma_kl(number(2.5), number(1.2), number(1.4), number(0.6))
    assert float(found) == pytest.approx(exact, abs=1e-6)
    assert float(inverse_gamma_kl(number(2.0), number(3.0), number(2.0), number(3.0))) == 0


@pytest.mark.parametrize(("a", "b"), [(A, B), (0.6, 2.0), (30.0, 4.0)])
def test_nodes_integrate_the_law_of_the_scale(a, b):
    scale, log = scale_nodes(a, b, 64)
    assert float(log.exp().sum()) == pytest.approx(1.0)
    exact = integral(lambda s: 1 / (1 + s), a, b)
    assert float((log.exp() / (1 + scale)).sum()) == pytest.approx(exact, abs=1e-6)


def test_with_unscaled_noise_the_nodes_give_evidence_and_prediction():
    """``y = f + e`` with noise that the scale leaves alone has no closed form."""
    gram, _, y = example()
    scale, log = scale_nodes(A, B, 64)
    one = Spectrum.of(gram, y)
    noise, eye = 0.2, torch.eye(6, dtype=torch.float64)
    logs = one.log_density(scale, noise)
    found = float((log + logs).logsumexp(0))
    assert found == pytest.approx(math.log(integral(lambda s: density(s * gram + noise * eye, y))), abs=1e-6)
    across, own = gram[:2] * 0.9, number([1.3, 0.8])
    mean, variance = one.moments(across, own, scale[:3], noise)
    s = scale[1]
    solved = torch.linalg.solve(s * gram + noise * eye, s * across.T)
    assert_close(mean[1], solved.T @ y)
    assert_close(variance[1], s * own - (s * across * solved.T).sum(1))


def test_padding_changes_nothing():
    g = torch.Generator().manual_seed(3)
    x, y = (
        torch.randn(9, 2, dtype=torch.float64, generator=g),
        torch.randn(9, dtype=torch.float64, generator=g),
    )
    codes = torch.tensor([2, 0, 2, 1, 0, 2, 2, 0, 2])
    groups = Groups.of(x, y, codes)
    assert groups.counts.tolist() == [3, 1, 5]
    gram = groups.masked(torch.exp(-(groups.x[:, :, None] - groups.x[:, None]).square().sum(-1)))
    one = Factored.of(gram + 0.0, groups.y)
    for k in range(3):
        own, values = x[codes == k], y[codes == k]
        covariance = torch.exp(-(own[:, None] - own[None]).square().sum(-1))
        exact = math.log(density(0.7 * covariance, values))
        found = gaussian_evidence(one.energy, one.log_determinant, groups.counts, number(0.7))
        assert float(found[k]) == pytest.approx(exact, abs=1e-9)


LAWS = {
    "inverse_gamma": lambda a, r: invgamma(a, scale=a * r),
    "gamma": lambda a, r: gamma(a, scale=r / a),
    "lognormal": lambda a, r: lognorm(a**-0.5, scale=r),
}


@pytest.mark.parametrize("kind", LAWS)
@pytest.mark.parametrize("a", [0.5, 2.0, 40.0])
def test_laws_of_the_scale_are_those_of_their_names_and_weigh_one(kind, a):
    u = torch.tensor([-1.0, 0.3, 1.7], dtype=torch.float64)
    found = log_scale_density(kind, u, number(a), number(0.7))
    assert_close(found.exp(), torch.from_numpy(LAWS[kind](a, 0.7).pdf(u.exp()) * u.exp().numpy()))
    zero = torch.zeros(1, dtype=torch.float64)
    scale, weight = scale_posterior(kind, zero, zero, number(a), number(0.7))
    assert float(weight.logsumexp(0)) == pytest.approx(0, abs=1e-9)
    # A moment that each of them has: E s^(1/4).
    v = np.linspace(-120, 250, 200_001)
    truth = np.trapezoid(np.exp(LAWS[kind](a, 0.7).logpdf(np.exp(v)) + 1.25 * v), v)
    assert float((weight.exp() * scale**0.25).sum()) == pytest.approx(truth, rel=1e-6)


@pytest.mark.parametrize("kind", LAWS)
@pytest.mark.parametrize("count", [1, 6, 400])
def test_the_evidence_under_any_law_is_the_integral(kind, count):
    a, r, energy = 1.3, 0.7, 2.9 * count
    found = mixture_evidence(
        kind, number([energy]), number([0.4]), number([float(count)]), number(a), number(r)
    )

    v = np.linspace(-6, 12, 100_001)
    log = LAWS[kind](a, r).logpdf(np.exp(v)) + v - 0.2
    log = log - 0.5 * count * (math.log(2 * math.pi) + v) - 0.5 * energy * np.exp(-v)
    truth = log.max() + math.log(np.trapezoid(np.exp(log - log.max()), v))
    assert float(found) == pytest.approx(truth, abs=1e-7)
    if kind == "inverse_gamma":
        closed = student_evidence(
            number([energy]), number([0.4]), number([float(count)]), number(a), number(a * r)
        )
        assert_close(found, closed, rtol=0, atol=1e-9)
