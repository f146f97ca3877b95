import pytest
import torch
from torch.testing import assert_close

from interpolants.fields import QUANTITIES
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.ops import expand_like
from interpolants.paths import (
    General,
    Linear,
    Mirror,
    OneSidedLinear,
    SpatiallyLinear,
    VariancePreserving,
    ZeroEnvelope,
)
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from interpolants.problems.pair_modes import AxisModes, BasisModes, DenseModes, Pairs, factorise
from problems.bridges import BASE, COVARIANCE, F64, PATHS, RHO0, RHO1, bridge, states

each_path = pytest.mark.parametrize("name", PATHS)


def brute_force(path, x, t, n=400_000):
    """Self-normalised importance sampling of E[. | x_t = x] from draws of the ends, with standard errors.

    The weight of a draw is the density of the Gaussian part of ``x_t`` at ``x``. Nothing of the closed form is used.
    """
    source = torch.Generator().manual_seed(7)
    x1 = bridge(path).rho1.sample(n, generator=source)
    a, b, g = path.alpha(t), path.beta(t), path.envelope.gamma(t)
    if path.is_one_sided:
        x0 = path.apply(1 / a, x - path.apply(b, x1))
        log_weight = path.base.log_prob(x0)
        z = path.base.whiten(x0)
        rate = path.interpolate_dot(t, x0, x1)
        mean_rate = rate
    else:
        x0 = x1 if path.is_static else RHO0.sample(n, generator=source)
        z = (x - a * x0 - b * x1) / g
        log_weight = -0.5 * z.square().sum(1)
        mean_rate = path.alpha_dot(t) * x0 + path.beta_dot(t) * x1
        rate = mean_rate + path.envelope.gamma_dot(t) * z
    w = (log_weight - log_weight.max()).exp()
    w = w / w.sum()
    draws = {"velocity": rate, "mean_rate": mean_rate, "noise": z, "endpoint0": x0, "denoised": x1}
    means = {name: w @ value for name, value in draws.items()}
    errors = {name: (w.square() @ (value - means[name]).square()).sqrt() for name, value in draws.items()}
    return means, errors


@pytest.mark.parametrize("t", [0.15, 0.6])
@pytest.mark.parametrize("name", [name for name, path in PATHS.items() if path.has_latent])
def test_fields_are_the_conditional_means_of_draws(name, t):
    path, time = PATHS[name], torch.tensor(t, dtype=F64)
    x = torch.tensor([[0.4, -0.3]], dtype=F64)
    means, errors = brute_force(path, x, time)
    exact = bridge(path).fields(path).evaluate(x, time, QUANTITIES)
    for quantity, mean in means.items():
        gap = (exact[quantity][0] - mean).abs()
        # Five standard errors over 260 comparisons; the seed is in brute_force.
        assert bool((gap <= 5 * errors[quantity] + 1e-12).all()), (quantity, gap / errors[quantity])


@each_path
def test_score_is_the_slope_of_the_log_density(name):
    fields = bridge(PATHS[name]).fields(PATHS[name])
    x = states(9).requires_grad_()
    t = torch.tensor([0.0, 0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999, 1.0], dtype=F64)
    (slope,) = torch.autograd.grad(fields.log_prob(x, t).sum(), x)
    assert_close(fields.score(x.detach(), t), slope, rtol=1e-9, atol=1e-9)


@each_path
def test_density_and_velocity_obey_the_continuity_equation(name):
    fields = bridge(PATHS[name]).fields(PATHS[name])
    x, t = states(64, seed=1), torch.linspace(0.02, 0.98, 64, dtype=F64).requires_grad_()
    (log_rate,) = torch.autograd.grad(fields.log_prob(x, t).sum(), t)
    t = t.detach()
    # Divergence by autograd, one direction at a time: rows do not mix, so summing over them is harmless.
    jacobian = torch.autograd.functional.jacobian(lambda y: fields.velocity(y, t).sum(0), x)
    divergence = jacobian.diagonal(dim1=0, dim2=2).sum(1)
    transport = (fields.velocity(x, t) * fields.score(x, t)).sum(1)
    assert_close(log_rate, -divergence - transport, rtol=1e-8, atol=1e-8)
    assert_close(fields.divergence(x, t), divergence, rtol=1e-8, atol=1e-8)


@each_path
def test_marginal_has_the_moments_of_the_path(name):
    path = PATHS[name]
    problem = bridge(path)
    for t in (0.0, 0.3, 1.0):
        time = torch.tensor(t, dtype=F64)
        a, b, g = path.alpha(time), path.beta(time), path.envelope.gamma(time)
        distribution = problem.marginal(path, t)
        rho0, rho1 = problem.rho0, problem.rho1
        assert_close(distribution.mean[None], path.apply(a, rho0.mean[None]) + path.apply(b, rho1.mean[None]))
        wanted = path.apply(a**2, rho0.covariance) + path.apply(b**2, rho1.covariance)
        if path.basis is not None:  # C + n n^T with isotropic C: from both sides
            both = lambda k, m: path.apply(k, path.apply(k, m).mT)  # noqa: E731
            wanted = both(a, rho0.covariance) + both(b, rho1.covariance)
        assert_close(distribution.covariance, wanted + g**2 * torch.eye(2, dtype=F64))
        x = states(5)
        assert_close(problem.fields(path).log_prob(x, t), distribution.log_prob(x))


@each_path
def test_positions_are_the_sum_of_their_parts(name):
    path = PATHS[name]
    x, t = states(6), torch.tensor([0.0, 0.2, 0.5, 0.7, 0.9, 1.0], dtype=F64)
    value = bridge(path).fields(path).evaluate(x, t, QUANTITIES)
    latent = 0 if path.is_one_sided else expand_like(path.envelope.gamma(t), x) * value["noise"]
    assert_close(path.interpolate(t, value["endpoint0"], value["denoised"]) + latent, x)


@each_path
def test_one_time_and_a_time_per_row_agree(name):
    fields = bridge(PATHS[name]).fields(PATHS[name])
    x, t = states(5), torch.tensor(0.37, dtype=F64)
    together, apart = (fields.evaluate(x, time, QUANTITIES) for time in (t, t.expand(5)))
    mixed = torch.tensor([0.1, 0.37, 0.9, 0.5, 0.37], dtype=F64)
    scattered = fields.evaluate(x, mixed, QUANTITIES)
    for quantity in QUANTITIES:
        assert_close(together[quantity], apart[quantity])
        assert_close(scattered[quantity][[1, 4]], together[quantity][[1, 4]])


@each_path
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_everything_is_finite_at_both_ends(name, dtype):
    path = PATHS[name]
    if not bool(torch.isfinite(path.alpha_dot(torch.tensor(1.0))).all()):
        assert path.is_one_sided
    fields = bridge(path).fields(path)
    x = states(8).to(dtype)
    for t in (0.0, 1.0):
        for quantity in QUANTITIES:
            value = getattr(fields, quantity)(x, t)  # raises if not finite
            assert value.dtype == dtype


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_brownian_velocity_carries_half_the_scores_of_the_ends(end):
    # b = E[dI/dt] - gamma gamma' s, and gamma gamma' is +a/2 at 0, -a/2 at 1; there x0 (x1) is the state itself.
    path = PATHS["linear_wide"]
    fields, x = bridge(path).fields(path), states(5)
    distribution, other = (RHO0, RHO1) if end == 0 else (RHO1, RHO0)
    drift = (other.mean - x) if end == 0 else (x - other.mean)
    sign = 1 if end == 0 else -1
    assert_close(fields.score(x, end), distribution.score(x))
    assert_close(fields.velocity(x, end), drift - sign * 2.5 / 2 * distribution.score(x))


def test_variance_preserving_velocity_at_the_end_is_score_plus_state():
    path = VariancePreserving()
    fields, x = bridge(path).fields(path), states(4)
    assert_close(fields.velocity(x, 1.0), RHO1.score(x) + x)
    assert_close(fields.velocity(x, 0.0), RHO1.mean.expand(4, 2))


def test_a_base_off_centre_has_no_finite_velocity_at_the_end_of_that_path():
    path = VariancePreserving(base=BASE)
    with pytest.raises(InvalidInputError, match=r"velocity: the value must be finite.*t=1"):
        GaussianMixtureBridge(BASE, RHO1).fields(path).velocity(states(2), 1.0)


def distributions(kind):
    source = torch.Generator().manual_seed(3)
    means = torch.randn(2, 3, generator=source, dtype=F64)
    weights = torch.tensor([0.4, 0.6], dtype=F64)
    full = GaussianMixture.random(2, 3, 2.0, seed=4)
    axes = GaussianMixture(weights, means, 0.5 + torch.rand(2, 3, generator=source, dtype=F64))
    round_ = GaussianMixture(weights, means, torch.tensor([0.5, 2.0], dtype=F64))
    return {
        "axes": (axes, round_, Linear(), AxisModes),
        "commuting": (round_, full, Linear(), BasisModes),
        "general_plain": (axes, full, Linear(envelope=ZeroEnvelope()), BasisModes),
        "general": (axes, full, Linear(), DenseModes),
        "mirror": (full, full, Mirror(), BasisModes),
    }[kind]


@pytest.mark.parametrize("kind", ["axes", "commuting", "general_plain", "general", "mirror"])
def test_every_factorisation_agrees_with_factors_made_at_that_time(kind):
    rho0, rho1, path, modes = distributions(kind)
    fields = GaussianMixtureBridge(rho0, rho1).fields(path)
    assert type(fields.modes_on(torch.device("cpu"))) is modes
    x = 2 * torch.randn(6, 3, generator=torch.Generator().manual_seed(5), dtype=F64)
    for t in (0.0, 0.3, 1.0):
        distribution = fields.marginal(t)
        assert_close(fields.log_prob(x, t), distribution.log_prob(x))
        assert_close(fields.score(x, t), distribution.score(x))
    time = torch.tensor([0.05, 0.2, 0.4, 0.6, 0.8, 0.95], dtype=F64)
    jacobian = torch.autograd.functional.jacobian(lambda y: fields.velocity(y, time).sum(0), x)
    assert_close(fields.divergence(x, time), jacobian.diagonal(dim1=0, dim2=2).sum(1))


def test_states_that_are_too_many_to_hold_at_once_are_answered_in_parts():
    """Factors of 120 times, four modes and 96 dimensions fill more than one part."""
    source = torch.Generator().manual_seed(0)
    roots = torch.randn(2, 2, 96, 96, dtype=F64, generator=source)
    covariances = roots @ roots.mT / 96 + 0.1 * torch.eye(96, dtype=F64)
    ends = [
        GaussianMixture(
            torch.full((2,), 0.5, dtype=F64), torch.randn(2, 96, dtype=F64, generator=source), each
        )
        for each in covariances
    ]
    fields = GaussianMixtureBridge(*ends).fields(Linear())
    x, t = torch.randn(120, 96, dtype=F64, generator=source), torch.linspace(0.1, 0.9, 120, dtype=F64)
    found = fields.velocity(x, t)
    rows = [0, 60, 112, 113, 114, 119]
    for row in rows:
        assert_close(found[row : row + 1], fields.velocity(x[row : row + 1], t[row]))


def test_eigenvalues_that_coincide_in_one_matrix_do_not_spoil_the_shared_basis():
    turn = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=F64)).Q
    c = turn @ torch.tensor([1.0, 1.0, 2.0, 2.0], dtype=F64).diag() @ turn.T
    d = turn @ torch.tensor([3.0, 4.0, 4.0, 3.0], dtype=F64).diag() @ turn.T
    zero = torch.zeros(1, 4, dtype=F64)
    modes = factorise(Pairs(zero[:, 0], zero, zero, c[None], d[None]), with_identity=True)
    assert isinstance(modes, BasisModes)


def test_precision_follows_the_distributions_and_the_answer_follows_the_state():
    path = Linear()
    exact = bridge(path).fields(path)
    x = states(4)
    low = exact.velocity(x.float(), 0.3)
    assert low.dtype == torch.float32
    assert_close(
        low.double(), exact.velocity(x.float().double(), float(torch.tensor(0.3))), atol=1e-6, rtol=1e-6
    )
    half = GaussianMixtureBridge(RHO0.to(dtype=torch.float32), RHO1.to(dtype=torch.float32)).fields(path)
    assert_close(half.velocity(x, 0.3), exact.velocity(x, 0.3), atol=2e-5, rtol=2e-5)


def test_a_base_that_is_not_the_paths_is_refused():
    with pytest.raises(
        InvalidInputError, match="rho0 must be the Gaussian base of OneSidedLinear, got a mean"
    ):
        GaussianMixtureBridge(BASE, RHO1).fields(OneSidedLinear())
    with pytest.raises(InvalidInputError, match=r"got a covariance that differs by 0\.5"):
        GaussianMixtureBridge(Gaussian(covariance=COVARIANCE), RHO1).fields(OneSidedLinear())
    with pytest.raises(InvalidInputError, match="got a mixture of 2 modes"):
        GaussianMixtureBridge(RHO0, RHO1).fields(OneSidedLinear())


def test_two_distributions_on_a_mirror_and_a_nonlinear_path_are_refused():
    with pytest.raises(InvalidInputError, match="rho0 must equal rho1 on a mirror path"):
        GaussianMixtureBridge(RHO0, RHO1).fields(Mirror())
    nonlinear = General(lambda t, x0, x1: (1 - t) * x0 + t * x1)
    with pytest.raises(InvalidInputError, match="path must be spatially linear, got General"):
        GaussianMixtureBridge(RHO0, RHO1).fields(nonlinear)
    with pytest.raises(InvalidInputError, match="rho0 must have 2 dimensions like rho1, got 3"):
        GaussianMixtureBridge(GaussianMixture.random(2, 3), RHO1)


def test_an_unknown_quantity_is_refused_by_name():
    with pytest.raises(InvalidInputError, match="Did you mean 'velocity'"):
        bridge(Linear()).fields(Linear()).provides("velocitty")


def test_a_steep_path_starts_at_the_limit_of_its_velocity():
    """``beta = sqrt(t)``, centred data: ``alpha' = -1`` and ``beta beta' = 1/2`` give ``-x + D C^-1 (x - m) / 2``."""
    one = torch.ones(1, dtype=F64)
    start = GaussianMixture(one, torch.tensor([[0.5, -1.0]], dtype=F64), COVARIANCE[None])
    end = GaussianMixture(one, torch.zeros(1, 2, dtype=F64), RHO1.covariances[1:2])
    path = SpatiallyLinear(lambda t: 1 - t, lambda t: t.sqrt(), ZeroEnvelope())
    assert path.is_steep_at_0
    fields, x = GaussianMixtureBridge(start, end).fields(path), states(5)
    wanted = -x + torch.linalg.solve(COVARIANCE, (x - start.mean).T).T @ end.covariance / 2
    assert_close(fields.velocity(x, 0.0), wanted, atol=1e-6, rtol=1e-6)
    assert_close(fields.velocity(x, 1e-6), wanted, atol=1e-3, rtol=1e-3)
