import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.problems import GaussianSchrodingerBridge, get_problem

F64 = torch.float64
M0, M1 = torch.tensor([1.0, -0.5], dtype=F64), torch.tensor([-1.0, 2.0], dtype=F64)
S0 = torch.tensor([[1.5, 0.6], [0.6, 0.8]], dtype=F64)
S1 = torch.tensor([[0.4, -0.3], [-0.3, 1.2]], dtype=F64)
EYE = torch.eye(2, dtype=F64)
EPS = (0.05, 0.4, 3.0)


def bridge(eps):
    return GaussianSchrodingerBridge(M0, S0, M1, S1, eps)


def states(n=6):
    return 1.5 * torch.randn(n, 2, generator=torch.Generator().manual_seed(1), dtype=F64)


@pytest.mark.parametrize("eps", EPS)
def test_the_coupling_is_the_fixed_point_of_sinkhorns_iteration(eps):
    # Gaussian potentials exp(-x A x / 2), exp(-y B y / 2) around the kernel exp(-|x - y|^2 / 4 eps): alternate until
    # both marginals fit. The joint precision is [[A + k, -k], [-k, B + k]] with k = Id / 2 eps.
    k = EYE / (2 * eps)
    b = EYE.clone()
    for _ in range(600):
        a = torch.linalg.inv(S0) - k + k @ torch.linalg.inv(b + k) @ k
        b = torch.linalg.inv(S1) - k + k @ torch.linalg.inv(a + k) @ k
    joint = torch.linalg.inv(torch.cat([torch.cat([a + k, -k], 1), torch.cat([-k, b + k], 1)]))
    assert_close(joint[:2, :2], S0, rtol=1e-8, atol=1e-8)
    assert_close(bridge(eps).coupling_covariance, joint[:2, 2:], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("eps", EPS)
def test_isotropic_ends_solve_the_scalar_equation(eps):
    one = GaussianSchrodingerBridge([0.0], 1.7, [1.0], 0.6, eps)
    c = float(one.coupling_covariance)
    assert c**2 + 2 * eps * c == pytest.approx(1.7 * 0.6)
    # and agrees with the matrix route
    full = GaussianSchrodingerBridge([0.0], [[1.7]], [1.0], [[0.6]], eps)
    x = torch.linspace(-2, 2, 5, dtype=F64)[:, None]
    for t in (0.0, 0.3, 1.0):
        assert_close(one.drift(x, t), full.drift(x, t))
        assert_close(one.fields().velocity(x, t), full.fields().velocity(x, t))
    # The formula of the text, which divides by 1 - t.
    t, s1 = 0.3, 0.6
    variance = (1 - t) ** 2 * 1.7 + t**2 * s1 + 2 * t * (1 - t) * (c + eps)
    assert float(one.marginal(t).covariance) == pytest.approx(variance)
    wanted = (1.0 + ((1 - t) * c + t * s1) / variance * (x - t) - x) / (1 - t)
    assert_close(one.drift(x, t), wanted)


def slope_of_drift(drift, t):
    """A linear drift's matrix and its value at zero, read off at the origin and the axes."""
    points = torch.cat([torch.zeros(1, 2, dtype=F64), EYE])
    value = drift(points, t)
    return (value[1:] - value[0]).T, value[0]


@pytest.mark.slow
@pytest.mark.parametrize("eps", EPS)
def test_moments_carried_by_the_forward_process_reach_the_other_end(eps):
    # m' = u(m), S' = K S + S K^T + 2 eps Id, Cov(x0, x_t)' = Cov K^T, by Runge-Kutta of order four.
    problem = bridge(eps)

    def rate(t, state):
        slope, shift = slope_of_drift(problem.drift, t)
        mean, cov, cross = state
        spread = slope @ cov + cov @ slope.T + 2 * eps * EYE
        return [slope @ mean + shift, spread, cross @ slope.T]

    state, steps = [M0, S0, S0], 400
    for k in range(steps):
        h, t = 1 / steps, k / steps
        k1 = rate(t, state)
        k2 = rate(t + h / 2, [a + h / 2 * b for a, b in zip(state, k1, strict=True)])
        k3 = rate(t + h / 2, [a + h / 2 * b for a, b in zip(state, k2, strict=True)])
        k4 = rate(t + h, [a + h * b for a, b in zip(state, k3, strict=True)])
        state = [
            a + h / 6 * (p + 2 * q + 2 * r + s) for a, p, q, r, s in zip(state, k1, k2, k3, k4, strict=True)
        ]
        if k == steps // 2 - 1:
            assert_close(state[1], problem.marginal(0.5).covariance, rtol=1e-6, atol=1e-6)
    assert_close(state[0], M1, rtol=1e-6, atol=1e-6)
    assert_close(state[1], S1, rtol=1e-6, atol=1e-6)
    assert_close(state[2], problem.coupling_covariance, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("eps", EPS)
def test_density_and_velocity_obey_the_continuity_equation(eps):
    problem = bridge(eps)
    fields, x = problem.fields(), states()
    for t in (0.001, 0.3, 0.8):
        h = 1e-5
        rate = (problem.marginal(t + h).log_prob(x) - problem.marginal(t - h).log_prob(x)) / (2 * h)
        slope, _ = slope_of_drift(fields.velocity, t)
        transport = (fields.velocity(x, t) * problem.marginal(t).score(x)).sum(1)
        assert_close(rate, -slope.trace() - transport, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("t", [0.0, 0.2, 0.7, 1.0])
def test_the_two_drifts_are_the_flow_plus_and_minus_the_score(t):
    problem, x = bridge(0.4), states()
    fields = problem.fields()
    score = problem.marginal(t).score(x)
    assert_close(fields.score(x, t), score)
    assert_close(problem.drift(x, t), fields.velocity(x, t) + 0.4 * score)
    assert_close(problem.backward_drift(x, t), fields.velocity(x, t) - 0.4 * score)


@pytest.mark.parametrize("t", [0.2, 0.7])
def test_drifts_point_at_the_mean_ends(t):
    problem, x = bridge(0.4), states()
    fields = problem.fields()
    assert_close(problem.drift(x, t), (fields.denoised(x, t) - x) / (1 - t))
    assert_close(problem.backward_drift(x, t), (x - fields.endpoint0(x, t)) / t)


def test_the_forward_drift_is_a_gradient_and_the_potential_solves_burgers():
    # u = grad lambda with d lambda/dt + |u|^2/2 + eps div u = c(t): so u is curl free and
    # du/dt + (grad u) u = 0 up to a linear Gaussian potential's constant.
    problem, x, h = bridge(0.4), states(), 1e-5
    for t in (0.2, 0.6):
        slope, _ = slope_of_drift(problem.drift, t)
        assert_close(slope, slope.T)
        rate = (problem.drift(x, t + h) - problem.drift(x, t - h)) / (2 * h)
        assert_close(rate + problem.drift(x, t) @ slope.T, torch.zeros_like(x), rtol=0, atol=1e-6)


def test_learnt_from_its_own_pair_the_path_gives_the_same_fields():
    problem, x = bridge(0.4), states()
    exact = problem.fields()
    fields = LearnedFields(problem.path, velocity=exact.velocity, noise=exact.noise)
    t = torch.tensor([0.05, 0.2, 0.4, 0.5, 0.8, 0.95], dtype=F64)
    for quantity in ("score", "mean_rate", "endpoint0", "denoised"):
        assert_close(getattr(fields, quantity)(x, t), getattr(exact, quantity)(x, t))
    at_once = exact.evaluate(x, torch.tensor(0.4, dtype=F64), ("velocity",))["velocity"]
    assert_close(at_once[2:3], exact.velocity(x, t)[2:3])


def test_without_noise_it_is_the_optimal_map():
    problem, x = bridge(0.0), states()
    root = torch.linalg.eigh(S0)
    half = (root.eigenvectors * root.eigenvalues.sqrt()) @ root.eigenvectors.T
    middle = torch.linalg.eigh(half @ S1 @ half)
    inner = (middle.eigenvectors * middle.eigenvalues.sqrt()) @ middle.eigenvectors.T
    back = torch.linalg.inv(half)
    brenier = back @ inner @ back
    assert_close(problem.coupling_covariance, S0 @ brenier)
    assert_close(problem.drift(x, 0.0), M1 + (x - M0) @ brenier.T - x)
    pairs = problem.sample_coupling(5, generator=torch.Generator().manual_seed(0))
    # The spread of x1 given x0 is zero up to the root of rounding.
    assert_close(pairs.x1, M1 + (pairs.x0 - M0) @ brenier.T, rtol=0, atol=1e-6)


def test_with_much_noise_the_ends_are_independent():
    for eps in (1e2, 1e4):
        # C tends to S0 S1 / 2 eps
        assert_close(bridge(eps).coupling_covariance * 2 * eps, S0 @ S1, rtol=0, atol=2 / eps)


@pytest.mark.parametrize("problem", [bridge(0.4), GaussianSchrodingerBridge(M0, 1.5, M1, [0.4, 1.2], 0.4)])
def test_coupled_draws_have_the_joint_covariance(problem):
    n = 40_000
    pairs = problem.sample_coupling(n, generator=torch.Generator().manual_seed(3))
    joint = torch.cat([pairs.x0, pairs.x1], 1)
    c = problem.coupling_covariance
    s0, s1 = problem.rho0.covariance, problem.rho1.covariance
    wanted = torch.cat([torch.cat([s0, c], 1), torch.cat([c.T, s1], 1)])
    slack = ((wanted.diagonal()[:, None] * wanted.diagonal() + wanted.square()) / n).sqrt()
    assert bool(((joint.T.cov() - wanted).abs() <= 4 * slack).all())
    assert bool(((joint.mean(0) - torch.cat([M0, M1])).abs() <= 4 * (wanted.diagonal() / n).sqrt()).all())


def test_precision_follows_the_state():
    assert bridge(0.4).drift(states().float(), 0.3).dtype == torch.float32


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (([0.0], 1.0, [0.0], 1.0, -1.0), "eps must be finite and >= 0, got -1"),
        (([0.0], 1.0, [0.0, 1.0], 1.0, 1.0), "mean1 must have 1 entries like mean0, got 2"),
        (([0.0], [1.0, 2.0], [0.0], 1.0, 1.0), r"cov0 must be a number or have shape \(1,\) or \(1, 1\)"),
        (([0.0], 1.0, [0.0], -1.0, 1.0), "variances must be > 0"),
        ((0.0, 1.0, [0.0], 1.0, 1.0), r"mean0 must have shape \(D,\)"),
    ],
)
def test_bad_parameters_are_refused(settings, message):
    with pytest.raises(InvalidInputError, match=message):
        GaussianSchrodingerBridge(*settings)


def test_it_comes_by_name():
    problem = get_problem(
        "gaussian_schrodinger_bridge", mean0=[0.0], cov0=1.0, mean1=[1.0], cov1=2.0, eps=0.1
    )
    assert problem.event_shape == (1,)
    with pytest.raises(InvalidInputError, match="Did you mean 'score'"):
        problem.fields().provides("scor")


@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("matrix", [True, False])
def test_the_kinetic_energy_is_that_of_the_drift(eps, matrix):
    # E|K (x - m) + k|^2 = tr(K Sigma K^T) + |k|^2 at the nodes of a Gauss-Legendre rule in t.
    problem = bridge(eps) if matrix else GaussianSchrodingerBridge(M0, S0.diag(), M1, S1.diag(), eps)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    total = 0.0
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        distribution = problem.marginal(node)
        slope, _ = slope_of_drift(problem.drift, node)
        mean = problem.drift(distribution.mean[None], node)[0]
        total += weight * float((slope @ distribution.covariance @ slope.T).trace() + mean.square().sum()) / 2
    assert problem.kinetic_energy == pytest.approx(total, rel=1e-6)


def test_without_noise_the_kinetic_energy_is_the_transport_cost():
    one = GaussianSchrodingerBridge([0.0], 4.0, [3.0], 1.0, 0.0)
    assert one.kinetic_energy == pytest.approx((9 + 1) / 2)
    assert GaussianSchrodingerBridge([0.0], 4.0, [3.0], 1.0, 1e-6).kinetic_energy == pytest.approx(
        5, rel=1e-3
    )
