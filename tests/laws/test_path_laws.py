"""Laws of every path and envelope: rates, ends, moments, refusals. A member supplies an instance, not a test."""

import dataclasses
import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.registry import build, describe, names, rebuild
from interpolants.paths import (
    EDM,
    VE,
    VP,
    BrownianEnvelope,
    CosineBasis,
    CustomEnvelope,
    Diffusive,
    DiscreteSchedule,
    EncoderDecoder,
    FourierBasis,
    General,
    KineticOptimal,
    Linear,
    Mirror,
    OneSidedLinear,
    OneSidedTrigonometric,
    QuadraticEnvelope,
    ShortestPath,
    SigmoidEnvelope,
    SineSquaredEnvelope,
    SpatiallyLinear,
    Spectral,
    SubVP,
    Tabulated,
    Trigonometric,
    VariancePreserving,
    ZeroEnvelope,
    get_path,
)
from interpolants.paths.path import SpatiallyLinearPath

ENVELOPES = {
    "brownian": BrownianEnvelope(scale=2.0),
    "quadratic": QuadraticEnvelope(scale=3.0),
    "sine_squared": SineSquaredEnvelope(scale=0.7),
    "sigmoid": SigmoidEnvelope(sharpness=8.0, scale=1.3),
    "zero": ZeroEnvelope(),
    "custom_envelope": CustomEnvelope(lambda t: torch.sqrt(t * (1 - t)) * (1 + t)),
}
COVARIANCE = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
PACE = torch.tensor([0.5, 2.0], dtype=torch.float64)
PATHS = {
    "linear": Linear(),
    "linear_smooth": Linear(envelope=QuadraticEnvelope()),
    "trigonometric": Trigonometric(),
    "trigonometric_vp": Trigonometric(envelope=BrownianEnvelope(scale=2.0), variance_preserving=True),
    "encoder_decoder": EncoderDecoder(),
    "one_sided_linear": OneSidedLinear(),
    "one_sided_coloured": OneSidedLinear(
        base=Gaussian(mean=torch.tensor([1.0, -2.0]), covariance=COVARIANCE)
    ),
    "one_sided_trigonometric": OneSidedTrigonometric(),
    "variance_preserving": VariancePreserving(),
    "vp": VP(),
    "vp_coloured": VP(base=Gaussian(covariance=COVARIANCE)),
    "sub_vp": SubVP(bmin=0.2, bmax=8.0),
    "ve": VE(smin=0.05, smax=12.0),
    "edm": EDM(smax=12.0, smin=0.05),
    "edm_student_t": EDM(df=30, smax=12.0),
    "discrete_schedule": DiscreteSchedule(),
    "own_diffusion": SpatiallyLinear(
        lambda t: torch.exp(-2 * t), lambda t: 0.8 + 0.2 * t, base=Gaussian(scale=2.0), exact_ends=False
    ),
    "mirror": Mirror(),
    "diffusive": Diffusive(scale=0.5),
    "diffusive_hold": Diffusive(scale=0.5, hold=0.2),
    "spatially_linear": SpatiallyLinear(
        lambda t: torch.cos(math.pi / 2 * t) ** 2, lambda t: t**3, lambda t: torch.sqrt(t * (1 - t))
    ),
    "tabulated": Tabulated([0.0, 0.2, 0.5, 1.0], [1.0, 0.9, 0.4, 0.0], [0.0, 0.1, 0.7, 1.0]),
    "spectral": Spectral(
        CosineBasis(axes=1),
        lambda t: (1 - t) * torch.exp(PACE * t),
        lambda t: t * torch.exp(PACE * (t - 1)),
        (2,),
    ),
    "shortest_path": ShortestPath(FourierBasis(axes=1), torch.tensor([9.0, 0.3])),
    "kinetic_optimal": KineticOptimal([0.0, 0.8, math.pi / 2], [0.1, 0.6, 0.9]),
    "general": General(
        lambda t, x0, x1: (1 - t) * x0 + t * x1 + t * (1 - t) * torch.tanh(x0 * x1), QuadraticEnvelope()
    ),
}
# A path or envelope that can be made from its name alone needs no entry above.
ENVELOPES |= {name: build("envelope", name) for name in names("envelope") if name not in ENVELOPES}
PATHS |= {name: get_path(name) for name in names("path") if name not in PATHS}
LINEAR = {name: path for name, path in PATHS.items() if name != "general"}
DTYPES = [torch.float32, torch.float64, torch.bfloat16]


def test_every_card_of_the_two_families_is_under_these_laws():
    assert set(names("envelope")) <= set(ENVELOPES)
    assert set(names("path")) <= set(PATHS)


@pytest.mark.parametrize("name", PATHS)
def test_parts_of_another_kind_are_refused_when_a_path_is_made(name):
    """A word such as ``{kind='linear'}`` names a path where a base is asked for."""
    path = PATHS[name]
    taken = {field.name: getattr(path, field.name) for field in dataclasses.fields(path) if field.init}
    if isinstance(path, SpatiallyLinear):  # an envelope of its own is a function
        taken = {"alpha": path.alpha_schedule, "beta": path.beta_schedule, "base": path.base}
    for part in {"base", "envelope", "basis"} & taken.keys():
        for wrong in (Linear(), 0, [{}]):
            rule = rf"^{type(path).__name__}: {part} must be a \w+, got"
            with pytest.raises(InvalidInputError, match=rule):
                type(path)(**{**taken, part: wrong})


@pytest.mark.parametrize("name", ENVELOPES)
def test_product_is_half_the_slope_of_gamma_squared(name):
    t = torch.linspace(0.02, 0.98, 33, dtype=torch.float64, requires_grad=True)
    envelope = ENVELOPES[name]
    squared = envelope.gamma(t).square()
    slope = torch.autograd.grad(squared.sum(), t, allow_unused=True)[0] if squared.requires_grad else 0 * t
    assert_close(envelope.gamma_gamma_dot(t), slope.detach() / 2)
    if not envelope.is_zero:
        assert_close(envelope.gamma_dot(t) * envelope.gamma(t), slope / 2)


@pytest.mark.parametrize("name", ENVELOPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gamma_vanishes_exactly_at_the_ends_and_its_product_is_finite_there(name, dtype):
    ends = torch.tensor([0.0, 1.0], dtype=dtype)
    assert torch.equal(ENVELOPES[name].gamma(ends), torch.zeros(2, dtype=dtype))
    assert torch.isfinite(ENVELOPES[name].gamma_gamma_dot(ends)).all()


def test_envelopes_match_their_definitions_at_chosen_times():
    def sigma(u):
        return 1 / (1 + math.exp(-u))

    plateau = sigma(3) - sigma(1) - sigma(-4) + sigma(-6)  # f = 10, t = 0.7
    for envelope, t, value in [
        (BrownianEnvelope(scale=2.0), 0.25, math.sqrt(0.375)),
        (QuadraticEnvelope(), 0.25, 0.1875),
        (SineSquaredEnvelope(), 0.25, 0.5),
        (SigmoidEnvelope(), 0.7, plateau),
    ]:
        assert float(envelope.gamma(torch.tensor(t, dtype=torch.float64))) == pytest.approx(value, rel=1e-12)
    assert_close(
        BrownianEnvelope(scale=3.0).gamma_gamma_dot(torch.tensor([0.0, 1.0])), torch.tensor([1.5, -1.5])
    )


def slope_of(value, t):
    """Derivatives ``(n, ...)`` of ``value (n, ...)`` at the times ``t (n,)``, one coordinate after the other."""
    if not value.requires_grad:
        return torch.zeros_like(value)
    columns = value.reshape(len(t), -1).unbind(1)
    slopes = [torch.autograd.grad(column.sum(), t, retain_graph=True)[0] for column in columns]
    return torch.stack(slopes, 1).reshape(value.shape)


@pytest.mark.parametrize("name", LINEAR)
def test_rates_equal_autograd(name):
    path = LINEAR[name]
    t = torch.linspace(0.03, 0.97, 31, dtype=torch.float64, requires_grad=True)
    for value, rate in ((path.alpha(t), path.alpha_dot(t)), (path.beta(t), path.beta_dot(t))):
        assert_close(rate.detach(), slope_of(value, t))
    assert_close(path.alpha_alpha_dot(t).detach(), slope_of(path.alpha(t).square(), t) / 2)
    assert_close(path.beta_beta_dot(t).detach(), slope_of(path.beta(t).square(), t) / 2)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_ends_are_what_the_path_declares_in_every_precision(name, dtype, generator):
    path, ends = PATHS[name], PATHS[name].ends
    x0, x1 = (torch.randn(8, 2, generator=generator).to(dtype) for _ in range(2))
    x0 = x1 if path.is_static else x0
    at_0, at_1 = (path.sample(x0=x0, x1=x1, t=t, generator=generator).x_t for t in (0.0, 1.0))
    # An exact end is the end point itself, to the bit; a change of basis and back leaves its rounding.
    for x, exact, point, mixed in (
        (at_0, ends.start_is_exact, x0, ends.x0_at_0 * x0 + ends.x1_at_0 * x1),
        (at_1, ends.end_is_exact, x1, ends.x0_at_1 * x0 + ends.x1_at_1 * x1),
    ):
        exact = exact and path.basis is None
        assert torch.equal(x, point) if exact else torch.allclose(x, mixed, atol=4 * torch.finfo(dtype).eps)


def test_exact_ends_are_the_rule_and_diffusions_the_exception():
    loose = {
        "vp",
        "vp_coloured",
        "sub_vp",
        "ve",
        "edm",
        "edm_student_t",
        "discrete_schedule",
        "own_diffusion",
        "ouve",
    }
    assert {name for name, path in PATHS.items() if not path.ends.start_is_exact} == loose
    assert {name for name, path in PATHS.items() if not path.ends.end_is_exact} == {"ve", "own_diffusion"}


ONE_SIDED = {
    name: path
    for name, path in LINEAR.items()
    if path.is_one_sided and path.base.is_gaussian and path.base.shared_scale is not None
}


@pytest.mark.parametrize("name", ONE_SIDED)
def test_g_squared_and_the_decay_of_the_signal_drive_the_variance(name):
    """The noise variance v of dx = -r x ds + g dW obeys dv/ds = -2 r v + g^2, with r the decay of the signal."""
    path = ONE_SIDED[name]
    t = torch.linspace(0.03, 0.97, 31, dtype=torch.float64, requires_grad=True)
    slope = slope_of(path.noise_std(t).square(), t)
    balance = 2 * path.signal_rate(t) * path.noise_std(t).square() - path.g_squared(t)
    assert_close(slope, balance.detach())
    decay = slope_of(path.beta(t).log(), t) if name != "ve" else 0 * t
    assert_close(path.signal_rate(t).detach(), decay.detach())


@pytest.mark.parametrize("name", [name for name, path in ONE_SIDED.items() if path.basis is None])
def test_log_snr_has_an_inverse(name):
    path = ONE_SIDED[name]
    t = torch.linspace(0.001, 0.999, 25, dtype=torch.float64)
    assert_close(path.time_at_log_snr(path.log_snr(t)), t, rtol=0, atol=1e-11)
    assert float(path.time_at_log_snr(torch.tensor(1e6))) == pytest.approx(1.0)
    assert float(path.time_at_log_snr(torch.tensor(-math.inf))) == pytest.approx(0.0)


@pytest.mark.parametrize("name", PATHS)
def test_x_dot_is_the_rate_of_x_t_at_fixed_ends_and_noise(name, generator):
    path = PATHS[name]
    x0, x1, z = (torch.randn(16, 2, generator=generator, dtype=torch.float64) for _ in range(3))
    z = path.base.whiten(x0) if path.is_one_sided else z
    t, h = torch.linspace(0.1, 0.9, 16, dtype=torch.float64), 1e-5
    ahead, behind = (path.sample(x0=x0, x1=x1, t=t + s * h, z=z).x_t for s in (1, -1))
    assert_close(path.sample(x0=x0, x1=x1, t=t, z=z).x_dot, (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("time", [0.2, 0.5, 0.9])
def test_moments_of_the_interpolant(name, time, generator):
    path, n = LINEAR[name], 40_000
    mean0, mean1, std1 = torch.tensor([1.0, -1.0]), torch.tensor([-2.0, 3.0]), 0.5
    if path.is_one_sided:
        x0, mean0 = None, path.base.mean_like(mean0).expand(2)
        wider = path.base.moments / (path.base.moments - 2) if math.isfinite(path.base.moments) else 1.0
        variance0 = path.base.root(torch.eye(2)).square().sum(0) * wider
    else:
        x0, variance0 = mean0 + 0.8 * torch.randn(n, 2, generator=generator), torch.full((2,), 0.64)
    x1 = mean1 + std1 * torch.randn(n, 2, generator=generator)
    x_t = path.sample(x0=x0, x1=x1, t=time, generator=generator).x_t
    t = torch.tensor(time, dtype=torch.float64)
    alpha, beta, gamma = (f(t).float() for f in (path.alpha, path.beta, path.envelope.gamma))
    if path.basis is not None:  # in coordinates: both distributions are isotropic about their means
        x_t, mean0, mean1 = (path.basis.forward(v.reshape(-1, 2)) for v in (x_t, mean0, mean1))
    variance = alpha**2 * variance0 + beta**2 * std1**2 + gamma**2
    assert ((x_t.mean(0) - (alpha * mean0 + beta * mean1)).abs() < 5 * (variance / n).sqrt()).all()
    assert ((x_t.var(0) / variance - 1).abs() < 5 * math.sqrt(2 / n)).all()


@pytest.mark.parametrize("name", [n for n, p in LINEAR.items() if p.is_mixing])
def test_unmixing_recovers_the_end_points(name, generator):
    path = LINEAR[name]
    x0, x1 = (torch.randn(9, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    t = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    x, v, u = path.interpolate(t, x0, x1), path.interpolate_dot(t, x0, x1), path.unmix(t)
    assert_close(path.apply(u.x0_x, x) + path.apply(u.x0_v, v), x0)
    assert_close(path.apply(u.x1_x, x) + path.apply(u.x1_v, v), x1)


OWN_UNMIXING = [n for n, p in LINEAR.items() if type(p).unmix is not SpatiallyLinearPath.unmix]


@pytest.mark.parametrize("name", OWN_UNMIXING)
def test_closed_forms_of_unmixing_hold_at_the_data_where_the_noise_falls_infinitely_fast(name):
    """The state is x1 there, whatever the velocity."""
    path, one = LINEAR[name], torch.ones((), dtype=torch.float64)
    assert not bool(torch.isfinite(path.alpha_dot(one)).any())
    for found, wanted in zip(path.unmix(one), (0.0, 0.0, 1.0, 0.0), strict=True):
        assert_close(found, torch.full_like(found, wanted))


def test_variance_preserving_paths_keep_unit_variance():
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    for path in (VariancePreserving(), OneSidedTrigonometric(), PATHS["trigonometric_vp"]):
        assert_close(path.alpha(t) ** 2 + path.beta(t) ** 2 + path.envelope.gamma(t) ** 2, torch.ones_like(t))


def test_diffusive_has_the_distribution_of_a_scaled_brownian_bridge_and_starts_at_rest():
    path, t = Diffusive(scale=1.5, hold=0.3), torch.tensor([0.0, 0.25, 0.5], dtype=torch.float64)
    assert_close(path.envelope.gamma(t) ** 2, 3 * t * (1 - t))
    assert float(path.alpha_dot(torch.tensor(0.0))) == 0.0
    assert float(path.alpha(torch.tensor(0.3))) == 1.0


def test_user_schedules_agree_with_the_closed_forms():
    mine = SpatiallyLinear(
        lambda t: torch.cos(torch.pi / 2 * t), lambda t: torch.sin(torch.pi / 2 * t), BrownianEnvelope()
    )
    t, theirs = torch.linspace(0, 1, 17, dtype=torch.float64), Trigonometric()
    for name in ("alpha", "beta", "alpha_dot", "beta_dot"):
        assert_close(getattr(mine, name)(t), getattr(theirs, name)(t), atol=1e-12, rtol=1e-12)


def test_general_agrees_with_linear(generator):
    x0, x1, z = (torch.randn(5, 3, 2, generator=generator, dtype=torch.float64) for _ in range(3))
    t = torch.rand(5, generator=generator, dtype=torch.float64)
    general = General(lambda t, a, b: (1 - t) * a + t * b, QuadraticEnvelope())
    theirs = Linear(envelope=QuadraticEnvelope()).sample(x0=x0, x1=x1, t=t, z=z)
    mine = general.sample(x0=x0, x1=x1, t=t, z=z)
    assert_close(mine.x_t, theirs.x_t)
    assert_close(mine.x_dot, theirs.x_dot)
    general.check_ends(x0, x1)
    with pytest.raises(InvalidInputError, match="x1 at t=1"):
        General(lambda t, a, b: a).check_ends(x0, x1)


FILED = [n for n in names("path") if n not in ("spatially_linear", "general", "spectral")]


@pytest.mark.parametrize("name", FILED)
def test_a_path_survives_being_written_down(name):
    path = PATHS[name]
    again = rebuild(describe(path), "path")
    t = torch.linspace(0, 1, 5)
    assert type(again) is type(path)
    assert torch.equal(again.alpha(t), path.alpha(t))
    assert torch.equal(again.noise_scale(t), path.noise_scale(t))


def test_a_coloured_base_survives_being_written_down():
    again = rebuild(describe(PATHS["one_sided_coloured"]), "path")
    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert_close(again.base.log_prob(x), PATHS["one_sided_coloured"].base.log_prob(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CustomEnvelope(lambda t: t), r"gamma must be 0 at t=1, got 1.0"),
        (lambda: CustomEnvelope(lambda t: -t * (1 - t)), r"gamma must be finite and > 0 inside"),
        (lambda: SpatiallyLinear(lambda t: 1 - t / 2, lambda t: t), r"alpha must be 0 at t=1, got 0.5"),
        (
            lambda: Trigonometric(BrownianEnvelope(scale=4.0), variance_preserving=True),
            r"gamma must stay below 1",
        ),
        (lambda: VP(bmin=1.0, bmax=1.0), r"VP: bmax must be > bmin = 1, got 1.0"),
        (lambda: VE(smin=2.0, smax=1.0), r"VE: smax must be > smin = 2, got 1.0"),
        (
            lambda: DiscreteSchedule((0.9, 0.95)),
            r"alphabar must fall within \(0, 1\); at step 2 after 0.9, got 0.95",
        ),
        (lambda: DiscreteSchedule(()), r"alphabar must have at least one entry"),
        (
            lambda: DiscreteSchedule.from_betas([0.1, 1.0]),
            r"every beta must lie in \(0, 1\); at step 2, got 1.0",
        ),
        (lambda: Linear().g_squared(torch.tensor(0.5)), r"Linear.g_squared: the path must be one-sided"),
        (
            lambda: PATHS["vp_coloured"].noise_std(torch.tensor(0.5)),
            r"all entries of the base must have one standard deviation",
        ),
        (lambda: Diffusive(hold=1.0), r"hold must lie in \[0, 1\), got 1.0"),
        (
            lambda: Tabulated([0.0, 0.5, 0.4, 1.0], [1, 0.5, 0.4, 0], [0, 0.5, 0.6, 1]),
            r"the grid must be strictly increasing",
        ),
        (lambda: Tabulated([0.0, 1.0], [1.0, 0.1], [0.0, 1.0]), r"alpha_values must lead from 1 to 0"),
        (lambda: Tabulated([0.0, 0.5, 1.0], [1.0, 0.0], [0.0, 1.0]), r"two vectors of one length"),
        (lambda: get_path("linaer"), r"Did you mean 'linear'"),
        (lambda: get_path("linear", envelop=1), r"Did you mean 'envelope'"),
        (
            lambda: Linear().sample(x0=torch.zeros(3, 2), x1=torch.zeros(4, 2), t=0.5),
            r"x0 must have the shape of x1",
        ),
        (lambda: Linear().sample(x1=torch.zeros(4, 2), t=0.5), r"x0 is needed"),
        (
            lambda: Linear().sample(x0=torch.zeros(4, 2), x1=torch.zeros(4, 2), t=1.5),
            r"t must lie in \[0, 1\], got 1.5",
        ),
        (
            lambda: Linear().sample(x0=torch.zeros(4, 2), x1=torch.zeros(4, 2), t=torch.zeros(3)),
            r"shape \(4,\), got \(3,\)",
        ),
        (
            lambda: Linear().sample(x0=torch.zeros(4, 2, dtype=int), x1=torch.zeros(4, 2), t=0.5),
            r"x0 must be floating",
        ),
        (
            lambda: Linear().sample(x0=torch.zeros(4, 2).double(), x1=torch.zeros(4, 2), t=0.5),
            r"like x1, got torch.float64",
        ),
        (
            lambda: Gaussian(covariance=torch.tensor([[1.0, 2.0], [2.0, 1.0]])),
            r"positive definite, got smallest eigenvalue -1",
        ),
    ],
)
def test_bad_input_is_refused_with_its_value(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()
