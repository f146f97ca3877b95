"""The weighted Fokker-Planck equation, term by term on a grid, for every kind of target, transport and path.

Particles with drift u, noise level eps and rate W carry the distribution p if ``p' = -(p u)' + eps p'' + p (W - E_p
W)``. Here p is known: a product of powers of exact mixtures on a line. Time is differentiated by central differences of
the exact log densities, space by central differences on the grid.
"""

import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics.noise import NoiseTable, as_noise
from interpolants.foundations.gaussian import Gaussian
from interpolants.guidance.experts import Expert, Reward, annealed, product, total_of, value_of
from interpolants.guidance.references import GaussianFlow, LinearDrift, MeanVelocity
from interpolants.guidance.tilted import Target
from interpolants.paths import (
    VP,
    BrownianEnvelope,
    Linear,
    OneSidedLinear,
    OneSidedTrigonometric,
    Trigonometric,
    VariancePreserving,
)
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

F64 = torch.float64
X = torch.linspace(-9, 9, 6001, dtype=F64)
DX = float(X[1] - X[0])


def mixture(weights, means, stds):
    table = [torch.tensor(part, dtype=F64) for part in (weights, means, stds)]
    return GaussianMixture(table[0], table[1][:, None], table[2].square())


FIRST = mixture([0.3, 0.7], [1.5, -1.0], [0.5, 0.7])
SECOND = mixture([0.6, 0.4], [0.3, -2.0], [0.6, 0.9])
START = mixture([0.5, 0.5], [-1.0, 1.2], [0.8, 0.6])
OTHER = mixture([0.2, 0.8], [-0.5, 1.0], [0.7, 0.9])
COLOURED = Gaussian(mean=torch.tensor([0.7], dtype=F64), scale=torch.tensor([1.3], dtype=F64))
ONE_SIDED = {
    "vp": VP(base=Gaussian((1,))),
    "linear": OneSidedLinear(base=Gaussian((1,))),
    "coloured": OneSidedLinear(base=COLOURED),
    "trigonometric": OneSidedTrigonometric(base=Gaussian((1,))),
    "steep": VariancePreserving(base=Gaussian((1,))),
}
TWO_SIDED = {
    "bridge": Linear(envelope=BrownianEnvelope(scale=0.8)),
    "trigonometric_bridge": Trigonometric(),
}
PATHS = ONE_SIDED | TWO_SIDED


def fields(name):
    """Two experts; on a two-sided path they differ at both ends."""
    path = PATHS[name]
    starts = (path.base, path.base) if path.is_one_sided else (START, OTHER)
    return [
        GaussianMixtureBridge(start, end).fields(path)
        for start, end in zip(starts, (FIRST, SECOND), strict=True)
    ]


REWARD = Reward(lambda x: torch.sin(2 * x).sum(1) - 0.3 * x.square().sum(1), lambda t: t**2)
TARGETS = {
    "annealed": lambda one, two: (annealed(one, 3.0), None),
    "warm": lambda one, two: (annealed(one, 0.5), None),
    "guided": lambda one, two: ([Expert(two, 1 - 2.5), Expert(one, 2.5)], None),
    "average": lambda one, two: ([Expert(one, 0.4), Expert(two, 0.6)], None),
    "product": lambda one, two: (product(one, two), None),
    "annealed_product": lambda one, two: (product(one, two, beta=1.7), None),
    "reward": lambda one, two: ([Expert(one, 1.0)], REWARD),
    "annealed_reward": lambda one, two: (annealed(one, 2.0), REWARD),
    "schedule": lambda one, two: ([Expert(one, lambda t: 1 + t), Expert(two, lambda t: 0.5 * t**2)], None),
}
FLOW = GaussianFlow(std1=1.2, mean1=0.2, std0=1.1)


def log_target(experts, reward, t):
    time = torch.tensor(t, dtype=F64)
    total = sum(value_of(e.beta, t) * e.fields.log_prob(X[:, None], time) for e in experts)
    return total if reward is None else total + value_of(reward.schedule, t) * reward.function(X[:, None])


def slope(values):
    return torch.gradient(values, spacing=DX)[0]


def reference(kind, name, experts):
    path = PATHS[name]
    if kind == "score":
        return LinearDrift(path)
    return MeanVelocity(experts) if kind == "pf" else FLOW.on("test", path)


@torch.no_grad()
def residual(name, target, kind, eps, t=0.6, sign=1.0):
    """Largest violation of the equation over its largest term, and the error of d log Z / dt."""
    experts, reward = TARGETS[target](*fields(name))
    table = (
        NoiseTable(as_noise(eps), PATHS[name], torch.linspace(0, 1, 11).numpy(), cap=False) if eps else None
    )
    free = reference(kind, name, experts)
    flow = Target(experts, free, reward, table).flow(X[:, None], torch.tensor(t, dtype=F64))
    drift = (flow.transport if flow.push is None else flow.transport + flow.push)[:, 0]
    hair = 1e-4
    logs = [log_target(experts, reward, t + step * hair) for step in (-1, 0, 1)]
    mass = [torch.trapezoid(log.exp(), dx=DX) for log in logs]
    before, p, after = (log.exp() / m for log, m in zip(logs, mass, strict=True))
    rate = flow.rate * sign
    mean = torch.trapezoid(p * rate, dx=DX)
    left = (after - before) / (2 * hair)
    flux, spread, weight = -slope(p * drift), eps * slope(slope(p)), p * (rate - mean)
    gap = (left - flux - spread - weight).abs().max()
    largest = max(float(term.abs().max()) for term in (left, flux, weight))
    growth = (mass[2] / mass[0]).log() / (2 * hair)
    if free.uniform:
        h = 1e-5
        uniform = free.integral(t - h, t + h, torch.Size([1])) / (2 * h)
        mean = mean + (1 - total_of(experts, t)) * uniform
    return float(gap) / largest, float((mean - growth).abs())


@pytest.mark.parametrize("eps", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("kind", ["score", "pf", "moments"])
@pytest.mark.parametrize("target", ["annealed", "guided", "product"])
def test_the_equation_holds_on_the_diffusion_path(target, kind, eps):
    error, constant = residual("vp", target, kind, eps)
    assert error <= 5e-4
    assert constant <= 1e-4


@pytest.mark.parametrize("kind", ["score", "pf", "moments"])
@pytest.mark.parametrize("target", [t for t in TARGETS if t != "schedule"])
@pytest.mark.parametrize("name", ONE_SIDED)
def test_the_equation_holds_for_every_target_on_one_sided_paths(name, target, kind):
    error, constant = residual(name, target, kind, 0.3)
    assert error <= 5e-4
    assert constant <= 1e-4


@pytest.mark.parametrize("eps", [0.0, 0.4])
@pytest.mark.parametrize("kind", ["pf", "moments"])
@pytest.mark.parametrize("target", [t for t in TARGETS if t != "schedule"])
@pytest.mark.parametrize("name", TWO_SIDED)
def test_the_equation_holds_between_two_distributions(name, target, kind, eps):
    error, constant = residual(name, target, kind, eps)
    assert error <= 5e-4
    assert constant <= 1e-4


@pytest.mark.parametrize("name", PATHS)
def test_the_equation_holds_for_exponents_that_change(name):
    error, constant = residual(name, "schedule", "pf", 0.3)
    assert error <= 5e-4
    assert constant <= 1e-4


@pytest.mark.parametrize("t", [0.1, 0.35, 0.9])
def test_the_equation_holds_early_and_late(t):
    for kind in ("score", "pf", "moments"):
        assert residual("vp", "annealed", kind, 0.5, t)[0] <= 5e-4
        assert residual("bridge", "average", "pf", 0.5, t)[0] <= 5e-4


def test_the_test_sees_a_wrong_sign():
    assert residual("vp", "annealed", "score", 0.3, sign=-1.0)[0] > 0.1
    assert residual("bridge", "product", "pf", 0.3, sign=0.9)[0] > 1e-2


def test_the_scores_transport_is_the_papers_formula():
    (one, two), t = fields("vp"), torch.tensor(0.4, dtype=F64)
    path, x = PATHS["vp"], X[::100, None]
    kappa = 0.7
    g_squared = float(path.g_squared(t))
    table = NoiseTable(as_noise(kappa * g_squared / 2), path, torch.linspace(0, 1, 3).numpy(), cap=False)
    betas = (2.0, -0.5)
    experts = [Expert(one, betas[0]), Expert(two, betas[1])]
    flow = Target(experts, LinearDrift(path), None, table).flow(x, t)
    scores = [f.score(x, t) for f in (one, two)]
    mixed = betas[0] * scores[0] + betas[1] * scores[1]
    assert_close(flow.score, mixed)
    rate = mixed.square() - betas[0] * scores[0].square() - betas[1] * scores[1].square()
    assert_close(flow.rate, g_squared / 2 * rate.sum(1))
    drift = float(path.signal_rate(t)) * x + g_squared / 2 * (1 + kappa) * mixed
    assert_close(flow.transport + flow.push, drift)


@pytest.mark.parametrize("name", ONE_SIDED)
def test_the_velocity_leaves_the_linear_drift_by_half_the_score(name):
    """``b - l = (g^2/2) C s``, wherever the base has its mean."""
    path, t, x = PATHS[name], torch.tensor(0.4, dtype=F64), X[::100, None]
    half_g_squared = path.alpha(t) ** 2 * path.signal_rate(t) - path.alpha_alpha_dot(t)
    for exact in fields(name):
        away = exact.velocity(x, t) - LinearDrift(path).at(x, t, [], [])[0]
        score = path.base.root(path.base.root_transpose(exact.score(x, t)))
        assert_close(away, half_g_squared * score)


def test_guidance_weights_are_squared_differences_of_scores():
    (one, two), t, w = fields("vp"), torch.tensor(0.4, dtype=F64), 2.5
    experts = [Expert(one, 1 - w), Expert(two, w)]
    x = X[::100, None]
    flow = Target(experts, MeanVelocity(experts, needed=False), None, None).flow(x, t)
    gap = (two.score(x, t) - one.score(x, t)).square().sum(1)
    assert_close(flow.rate, float(PATHS["vp"].g_squared(t)) / 2 * w * (w - 1) * gap)


@pytest.mark.parametrize(("name", "mean1"), [*((name, -0.4) for name in PATHS), ("coloured", 0.0)])
def test_the_flow_of_a_gaussian_is_its_exact_velocity_and_its_weights_are_constant(name, mean1):
    path = PATHS[name]
    end = mixture([1.0], [mean1], [0.6])
    start = path.base if path.is_one_sided else mixture([1.0], [0.9], [1.4])
    exact = GaussianMixtureBridge(start, end).fields(path)
    own = {} if path.is_one_sided else {"std0": 1.4, "mean0": 0.9}
    own = {"std0": 1.3} if name == "coloured" else own
    linear = GaussianFlow(std1=0.6, mean1=mean1, **own).on("test", path)
    x = X[::200, None]
    for t in (0.0, 0.3, 0.8, 0.999):
        time = torch.tensor(t, dtype=F64)
        velocity, divergence = linear.at(x, time, [], [])
        assert divergence is None
        assert_close(velocity, exact.velocity(x, time))
        experts = annealed(exact, 3.0)
        assert float(Target(experts, linear, None, None).flow(x, time).rate.abs().max()) < 1e-10
        rates = Target(experts, MeanVelocity(experts), None, None).flow(x, time).rate
        assert float(rates.max() - rates.min()) < 1e-10
    slope_of_volume = linear.integral(0.0, 0.8, torch.Size([1]))
    t = torch.linspace(0, 0.8, 401, dtype=F64)
    total = torch.trapezoid(torch.stack([exact.divergence(x[:1], s)[0] for s in t]), t)
    assert slope_of_volume == pytest.approx(float(total), abs=1e-4)


def test_probes_estimate_the_divergence(generator):
    (one, _), t = fields("vp"), torch.tensor(0.5, dtype=F64)
    x = X[::500, None]
    experts = annealed(one, 2.0)
    exact = MeanVelocity(experts).at(x, t, [one.velocity(x, t)], [2.0])[1]
    signs = lambda: [torch.ones_like(x), -torch.ones_like(x)]  # noqa: E731
    probed = MeanVelocity(experts, signs)
    probed.closed = []
    # On a line the estimate is exact.
    assert_close(probed.at(x, t, [one.velocity(x, t)], [2.0])[1], exact)
    plain = MeanVelocity(experts)
    plain.closed = []
    assert_close(plain.at(x, t, [one.velocity(x, t)], [2.0])[1], exact)
