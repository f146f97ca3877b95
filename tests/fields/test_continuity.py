"""Residuals of the continuity equation: zero where exact, on every path; the Fokker-Planck formula elsewhere."""

import pytest
import torch
from torch.testing import assert_close
from torture.bits import worn

from interpolants.fields import LearnedFields, LogDensity, Moments, Trace, continuity_residual, score_residual
from interpolants.fields.conversions import derive
from interpolants.foundations.derivatives import gradient
from interpolants.foundations.errors import InvalidInputError, NotIdentifiableError
from interpolants.foundations.gaussian import Gaussian
from interpolants.nets import MLP, Potential
from interpolants.paths import (
    VE,
    VP,
    BrownianEnvelope,
    General,
    Linear,
    Mirror,
    OneSidedLinear,
    OneSidedTrigonometric,
    QuadraticEnvelope,
    SubVP,
    Trigonometric,
    VariancePreserving,
    ZeroEnvelope,
)
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge

F64 = torch.float64
SMALL = {"kind": "mlp", "width": 8, "depth": 1}
DATA, START = GaussianMixture.random(3, 2, 1.5, 0), GaussianMixture.random(2, 2, 1.0, 1)
COLOURED = Gaussian(
    mean=torch.tensor([0.5, -1.0], dtype=F64), covariance=torch.tensor([[1.5, 0.6], [0.6, 0.8]], dtype=F64)
)
ALONE = {  # the score is enough
    "one_sided_linear": OneSidedLinear(),
    "one_sided_trigonometric": OneSidedTrigonometric(),
    "coloured": OneSidedLinear(base=COLOURED),
    "variance_preserving": VariancePreserving(),
    "vp": VP(),
    "sub_vp": SubVP(),
    "ve": VE(smin=0.3, smax=4.0),
    "mirror": Mirror(envelope=BrownianEnvelope(scale=2.0)),
}
BESIDE = {  # another field must be known
    "linear": Linear(),
    "trigonometric": Trigonometric(envelope=QuadraticEnvelope(scale=2.0)),
}


def draws(n=40, dim=2, seed=0):
    source = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(n, dim, dtype=F64, generator=source)
    return x, 0.05 + 0.9 * torch.rand(n, dtype=F64, generator=source)


def exact(path):
    start = DATA if path.is_static else path.base if path.is_one_sided else START
    return GaussianMixtureBridge(start, DATA).fields(path)


def field(fields, name):
    return lambda x, t, cond=None: fields.evaluate(x, t, (name,))[name]


def density(fields):
    return lambda x, t, cond=None: fields.log_prob(x, t)


def wrong(x, t, cond=None):
    """A smooth potential of no particular distribution."""
    return -0.3 * x.square().sum(1) + torch.sin(x[:, 0] + 2 * t) * torch.cos(x[:, 1]) + t.square() * x[:, 0]


# --- zero for exact distributions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALONE)
def test_an_exact_distribution_has_no_residual_and_a_wrong_one_has(name):
    fields, (x, t) = exact(ALONE[name]), draws()
    found = continuity_residual(ALONE[name], density(fields), x, t)
    assert float(found.value.detach().abs().max()) < 1e-10
    assert_close(found.velocity, fields.velocity(x, t))
    assert_close(found.score, fields.score(x, t))
    shifted = continuity_residual(ALONE[name], lambda x, t, c: 1.1 * fields.log_prob(x, t), x, t)
    assert float(shifted.value.detach().abs().max()) > 0.1


@pytest.mark.parametrize("known", ["mean_rate", "velocity", "denoised"])
@pytest.mark.parametrize("name", BESIDE)
def test_on_a_two_sided_path_a_second_field_is_given(name, known):
    path = BESIDE[name]
    fields, (x, t) = exact(path), draws()
    with torch.no_grad():
        found = continuity_residual(path, density(fields), x, t, beside={known: field(fields, known)})
    assert float(found.value.abs().max()) < 1e-9
    assert not found.value.requires_grad
    # a velocity that is off by a constant a leaves a . grad u
    off = continuity_residual(
        path, density(fields), x, t, beside={"velocity": lambda x, t, c: fields.velocity(x, t) + 0.3}
    )
    assert_close(off.value, 0.3 * fields.score(x, t).sum(1))


@pytest.mark.parametrize("name", ALONE)
def test_an_exact_score_has_no_residual_of_its_own(name):
    fields, (x, t) = exact(ALONE[name]), draws(12)
    for of in ("score", "noise"):
        found = score_residual(ALONE[name], field(fields, of), x, t, of=of)
        assert float(found.detach().abs().max()) < 1e-8
    other = score_residual(ALONE[name], lambda x, t, c: 1.1 * fields.score(x, t), x, t)
    assert float(other.detach().abs().max()) > 0.1


# --- the Fokker-Planck formula for wrong distributions ---------------------------------------------------------------


ISOTROPIC = ["one_sided_linear", "one_sided_trigonometric", "variance_preserving", "vp", "sub_vp", "ve"]


@pytest.mark.parametrize("name", ISOTROPIC)
def test_a_wrong_distribution_has_the_residual_of_the_fokker_planck_equation(name):
    """``u_t + div F + F . grad u + (g^2/2) (lap u + |grad u|^2)`` with ``F = (beta'/beta) x``, by torch's Hessians."""
    path, (x, t) = ALONE[name], draws()
    single = lambda y, s: wrong(y[None], s[None])[0]  # noqa: E731
    rate = torch.func.vmap(torch.func.grad(single, 1))(x, t)
    slope = torch.func.vmap(torch.func.grad(single, 0))(x, t)
    hessian = torch.func.vmap(torch.func.hessian(single, 0))(x, t)
    r, g2 = path.signal_rate(t), path.g_squared(t)
    laplacian = hessian.diagonal(dim1=1, dim2=2).sum(1)
    wanted = rate + 2 * r + r * (x * slope).sum(1) + g2 / 2 * (laplacian + slope.square().sum(1))
    found = continuity_residual(path, wrong, x, t).value
    assert_close(found, wanted)
    assert float(found.detach().abs().min()) > 1e-3


def test_the_diffusion_of_the_variance_preserving_path_is_ornstein_uhlenbeck():
    """Its time is ``t = e^-s``: ``f = -x`` and ``g^2 = 2`` per unit of s, so ``r = 1/t`` and ``g^2 = 2/t`` in t."""
    t = draws()[1]
    assert_close(VariancePreserving().signal_rate(t), 1 / t)
    assert_close(VariancePreserving().g_squared(t), 2 / t)


@pytest.mark.parametrize("name", ALONE)
def test_the_residual_of_the_score_is_the_gradient_of_that_of_its_potential(name):
    x, t = draws(12)
    wanted = gradient(lambda y: continuity_residual(ALONE[name], wrong, y, t).value, x)
    found = score_residual(ALONE[name], lambda y, s, c: gradient(lambda p: wrong(p, s), y), x, t)
    assert_close(found, wanted)
    assert float(found.detach().norm(dim=1).min()) > 1e-3


def test_a_residual_can_be_trained_on_and_its_gradient_is_that_of_finite_differences():
    x, t = draws(12)
    weight = torch.tensor(0.8, dtype=F64, requires_grad=True)
    path = OneSidedLinear()

    def loss(w):
        return continuity_residual(path, lambda y, s, c: w * wrong(y, s), x, t).square.mean()

    (slope,) = torch.autograd.grad(loss(weight), weight)
    step = 1e-5
    with torch.no_grad():
        assert_close(slope, (loss(weight + step) - loss(weight - step)) / (2 * step), rtol=1e-6, atol=1e-6)


# --- probes -------------------------------------------------------------------------------------------------


def test_probes_are_unbiased_for_the_residual_and_for_its_square():
    """4000 probes at one state, seed 0: within 4.5 standard errors; one probe alone overstates the square."""
    path, (x, t) = OneSidedLinear(), draws(1, seed=3)
    wide = continuity_residual(path, wrong, x, t)
    n = 4000
    many = {"x": x.expand(n, -1), "t": t.expand(n), "generator": torch.Generator().manual_seed(0)}
    with torch.no_grad():
        two = continuity_residual(path, wrong, **many, trace=Trace("hutchinson", 2))
        one = continuity_residual(path, wrong, **many, trace=Trace("hutchinson", 1))
    assert_close(one.square, one.value[:, 0] ** 2)
    for found, wanted in ((two.mean, wide.value), (two.square, wide.square)):
        error = float(found.std()) / n**0.5
        assert abs(float(found.mean() - wanted.detach())) < 4.5 * error
    assert float(one.square.mean()) > float(wide.square.detach()) + 4.5 * float(one.square.std()) / n**0.5


def test_the_divergence_is_exact_up_to_ten_entries_and_probed_beyond():
    assert Trace().count(torch.zeros(3, 10)) == 0
    assert Trace().count(torch.zeros(3, 11)) == 2
    assert Trace("exact").count(torch.zeros(3, 40)) == 0
    assert Trace("hutchinson", 3).count(torch.zeros(3, 2)) == 3


# --- the log density as a network ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*ALONE, *BESIDE])
def test_the_gaussian_of_a_log_density_is_the_distribution_between_gaussians_and_has_no_residual(name):
    path = (ALONE | BESIDE)[name]
    mean1 = torch.tensor([1.0, -0.5], dtype=F64)
    base = Gaussian((2,), mean=torch.tensor([0.3, 0.2], dtype=F64), scale=0.6)
    end = Gaussian((2,), mean=mean1, scale=0.7)
    if path.is_one_sided:  # the end has a multiple of the base's covariance
        base = path.base
        root = base.root(torch.eye(2, dtype=F64))
        end = Gaussian(mean=mean1, covariance=0.49 * root.mT @ root)
    distribution1 = GaussianMixture.from_gaussian(end, 2)
    fields = GaussianMixtureBridge(distribution1 if path.is_static else base, distribution1).fields(path)
    start = Moments(base.mean_like(torch.zeros(2, dtype=F64)), 0.6)
    u, (x, t) = (
        LogDensity(path, Potential(2, net=SMALL), start=start, end=Moments(mean1, 0.7)).double(),
        draws(),
    )
    assert_close(u(x, t).detach(), fields.log_prob(x, t))
    assert_close(u.score(x, t).detach(), fields.score(x, t))
    assert_close(u.noise(x, t).detach(), fields.noise(x, t))
    beside = {} if name in ALONE else {"mean_rate": field(fields, "mean_rate")}
    assert float(continuity_residual(path, u, x, t, beside=beside).value.detach().abs().max()) < 1e-9


def test_a_one_sided_log_density_is_that_of_the_base_where_it_starts():
    net = Potential(2, net=SMALL)
    u = LogDensity.fitted(OneSidedLinear(base=COLOURED), None, DATA.sample(500), net=net).double()
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.3)
    x = draws()[0]
    assert_close(u(x, 0.0), COLOURED.log_prob(x))
    assert float((u(x, 1.0) - u.gaussian(x, torch.tensor(1.0, dtype=F64))).detach().abs().max()) > 0.1


def test_moments_are_fitted_to_the_ends():
    source = torch.Generator().manual_seed(0)
    x1 = COLOURED.color(2 * torch.randn(50_000, 2, dtype=F64, generator=source)) + 1
    u = LogDensity.fitted(OneSidedLinear(base=COLOURED), None, x1, net={"kind": "mlp", "width": 8})
    assert_close(u.mean0, COLOURED.mean_like(x1).float(), check_dtype=False)
    assert_close(u.mean1, x1.mean(0))
    assert float(u.spread[1]) == pytest.approx(2.0, rel=0.02)
    x0 = 3 * torch.randn(50_000, 2, dtype=F64, generator=source)
    u = LogDensity.fitted(Linear(), x0, x1, net={"kind": "potential", "net": {"kind": "mlp", "width": 8}})
    assert float(u.spread[0]) == pytest.approx(3.0, rel=0.02)


def test_fields_know_the_log_density_they_were_made_of():
    u = LogDensity.fitted(OneSidedLinear(), None, DATA.sample(200).float(), net={"kind": "mlp", "width": 8})
    worn(u)
    fields, (x, t) = LearnedFields(u.path, log_density=u), draws(5)
    x, t = x.float(), t.float()
    assert_close(fields.log_density_of()(x, t), u(x, t))
    assert_close(fields.score(x, t), u.score(x, t))
    assert fields.networks == [u]
    assert LearnedFields(u.path, noise=u.noise).log_density_of() is None
    fields = exact(OneSidedLinear())
    assert_close(fields.log_density_of()(x, t), fields.log_prob(x, t))


# --- refusals -----------------------------------------------------------------------------------------------


def test_derived_quantities_are_those_of_the_fields():
    fields, (x, t) = exact(Linear()), draws()
    known = fields.evaluate(x, t, ("mean_rate", "score"))
    found = derive(Linear(), known, ("velocity", "denoised"), x, t)
    assert_close(found["velocity"], fields.velocity(x, t))
    assert_close(found["denoised"], fields.denoised(x, t))


def test_a_score_has_no_potential():
    x, t = draws(4)
    with pytest.raises(
        InvalidInputError, match=r"must have shape \(4,\), got \(4, 2\).*residual of the score"
    ):
        continuity_residual(OneSidedLinear(), MLP(2, width=8, depth=1).double(), x, t)


@pytest.mark.parametrize(
    "path", [Linear(), General(lambda t, x0, x1: (1 - t) * x0 + t * x1, BrownianEnvelope())]
)
def test_a_path_whose_velocity_does_not_follow_is_refused(path):
    x, t = draws(4)
    with pytest.raises(NotIdentifiableError, match="velocity does not follow from score"):
        continuity_residual(path, wrong, x, t)


@pytest.mark.parametrize("probes", [0, -1, 1.5, True])
def test_fewer_than_one_probe_is_refused(probes):
    with pytest.raises(InvalidInputError, match="probes must be a whole number >= 1"):
        Trace("hutchinson", probes)


def test_an_unknown_divergence_is_refused():
    with pytest.raises(InvalidInputError, match="must be one of auto, exact, hutchinson"):
        Trace("exakt")


@pytest.mark.parametrize("path", [Linear(envelope=ZeroEnvelope()), General(lambda t, x0, x1: x0)])
def test_a_path_without_a_density_of_its_own_is_refused(path):
    with pytest.raises(InvalidInputError, match="latent noise or a Gaussian base"):
        LogDensity(path, Potential(2))


def test_a_network_that_is_no_potential_is_refused():
    with pytest.raises(InvalidInputError, match="net must be a Potential, got MLP"):
        LogDensity(OneSidedLinear(), MLP(2))


def test_two_sources_of_the_score_are_refused():
    with pytest.raises(
        InvalidInputError, match="one source of the score may be given, got energy and log_density"
    ):
        LearnedFields(OneSidedLinear(), energy=wrong, log_density=wrong)
