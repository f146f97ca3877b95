"""Multimarginal interpolants of Gaussians, where every head is known.

``x_alpha ~ N(m, C)`` with ``m = sum alpha_k m_k``, ``C = sum alpha_k^2 C_k + gamma^2 Id``; by Gaussian conditioning
``g_k = m_k + alpha_k C_k C^-1 (x - m)`` and ``eta = gamma C^-1 (x - m)``.
"""

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.couplings import Independent, MinibatchOT
from interpolants.dynamics import sample
from interpolants.foundations.errors import InvalidInputError, NotIdentifiableError
from interpolants.framework import stored
from interpolants.framework.method import load
from interpolants.generative.multimarginal.multimarginal import Multimarginal
from interpolants.generative.multimarginal.route_fields import RouteFields
from interpolants.generative.multimarginal.routes import Straight, latent_variance
from interpolants.generative.multimarginal.simplex_learning import (
    SimplexBatches,
    SimplexLoss,
    SimplexNet,
    blend,
    simplex_points,
)
from interpolants.paths import BrownianEnvelope, Linear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from stirred_nets import stirred

MEANS = torch.tensor([[0.0, 0.0], [2.0, -1.0], [-1.0, 1.5]], dtype=torch.float64)
COVARIANCES = torch.tensor(
    [[[1.0, 0.3], [0.3, 0.5]], [[0.4, -0.2], [-0.2, 0.9]], [[0.3, 0.0], [0.0, 1.4]]], dtype=torch.float64
)
ROUTES = {
    "straight": "straight",
    "barycentre": "barycentre",
    "waypoints": [[1, 0, 0], [0.2, 0.7, 0.1], [0, 0, 1]],
    "curve": lambda t: torch.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], -1),
}


def solve_2x2(matrix, y):
    """By Cramer's rule: LAPACK is slow on thousands of tiny systems."""
    (a, b), (c, d) = matrix[:, 0].unbind(1), matrix[:, 1].unbind(1)
    solved = torch.stack([d * y[:, 0] - b * y[:, 1], a * y[:, 1] - c * y[:, 0]], 1)
    return solved / (a * d - b * c)[:, None]


class Exact(nn.Module):
    """The heads of three Gaussians in closed form; the parameter has no effect, but can be trained."""

    def __init__(self, scale):
        super().__init__()
        self.scale, self.idle = scale, nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x, alpha):
        alpha = alpha.double()
        variance = latent_variance(alpha, self.scale)
        eye = torch.eye(2, dtype=torch.float64)
        here = torch.einsum("bk,kde->bde", alpha.square(), COVARIANCES) + variance[:, None, None] * eye
        y = solve_2x2(here, x.double() - alpha @ MEANS)
        g = MEANS + alpha[..., None] * torch.einsum("kde,be->bkd", COVARIANCES, y)
        heads = torch.cat([g, (variance.sqrt()[:, None] * y)[:, None]], 1) if self.scale else g
        return heads.to(x.dtype) + 0 * self.idle.to(x.dtype)


def draws(n, generator):
    z = torch.randn(3, n, 2, dtype=torch.float64, generator=generator)
    return list(MEANS[:, None] + z @ torch.linalg.cholesky(COVARIANCES).mT)


def fitted(scale, generator, n=50):
    settings = {"steps": 1, "batch_size": 8}
    return Multimarginal(densities=3, latent=scale, net=Exact(scale), **settings).fit(*draws(n, generator))


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("scale", [0.0, 0.5])
@pytest.mark.parametrize("reverse", [False, True])
def test_every_route_carries_one_gaussian_to_another(route, scale, reverse, generator):
    """The flow of linear fields is an affine map x -> A x + c: A C_i A^T = C_j and A m_i + c = m_j, to solver error."""
    bridge = fitted(scale, generator)
    begin, end = (2, 0) if reverse else (0, 2)
    x = torch.cat([torch.zeros(1, 2), torch.eye(2)]).double() + MEANS[begin]
    grid = "cosine" if scale else "uniform"
    options = {"method": "rk4", "n_steps": 80, "time_grid": grid}
    y = bridge.transport(x, source=0, target=2, route=ROUTES[route], reverse=reverse, **options)
    matrix = (y[1:] - y[0]).T
    # sqrt(t) at the ends of a straight route with latent noise; smooth otherwise.
    tolerance = 4e-3 if scale else 1e-5
    assert_close(y[0], MEANS[end], atol=tolerance, rtol=0)
    assert_close(matrix @ COVARIANCES[begin] @ matrix.T, COVARIANCES[end], atol=2 * tolerance, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("route", ["straight", "barycentre"])
def test_the_sde_samples_the_target_too(route, generator):
    bridge = fitted(0.5, generator)
    n = 4000
    x = draws(n, generator)[1]
    y = bridge.transport(x, source=1, target=2, route=route, eps=0.4, seed=3, n_steps=100)
    error = (COVARIANCES[2].diagonal() / n).sqrt()
    assert ((y.mean(0) - MEANS[2]).abs() <= 4 * error + 5e-3).all()
    d = COVARIANCES[2].diagonal()
    spread = ((d[:, None] * d + COVARIANCES[2].square()) / n).sqrt()
    assert ((y.T.cov() - COVARIANCES[2]).abs() <= 4 * spread + 1e-2).all()


def test_stopping_inside_gives_the_law_of_the_blend(generator):
    bridge = fitted(0.0, generator)
    x = torch.cat([torch.zeros(1, 2), torch.eye(2)]).double() + MEANS[0]
    y = bridge.transport(x, target=2, route="barycentre", stop=0.5, method="rk4", n_steps=100)
    matrix = (y[1:] - y[0]).T
    assert_close(y[0], MEANS.mean(0), atol=1e-6, rtol=0)
    assert_close(matrix @ COVARIANCES[0] @ matrix.T, COVARIANCES.sum(0) / 9, atol=1e-6, rtol=0)


@pytest.mark.parametrize("scale", [0.0, 0.5])
def test_regression_on_draws_gives_the_closed_form_heads(scale, generator):
    """At one alpha the heads are linear in x: least squares on 40,000 draws against their matrices."""
    alpha = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64).expand(40_000, 3)
    ends = torch.stack(draws(40_000, generator), 1)
    z = torch.randn(40_000, 2, dtype=torch.float64, generator=generator)
    x = blend(alpha, ends, scale, z)
    exact = Exact(scale)(x, alpha).detach()
    targets = torch.cat([ends, z[:, None]], 1) if scale else ends
    design = torch.cat([torch.ones(len(x), 1, dtype=torch.float64), x], 1)
    for head, target in zip(exact.unbind(1), targets.unbind(1), strict=True):
        fitted_line = torch.linalg.lstsq(design, target).solution
        exact_line = torch.linalg.lstsq(design, head).solution
        left = (target - head).square().mean(0)
        error = (left * torch.linalg.inv(design.T @ design).diagonal()[:, None]).sqrt()
        assert ((fitted_line - exact_line).abs() <= 4.5 * error).all()


@pytest.mark.parametrize("quantity", ["velocity", "mean_rate", "score", "noise", "endpoint0", "denoised"])
def test_an_edge_is_the_linear_bridge_of_its_two_ends(quantity, generator):
    laws = [GaussianMixture(torch.ones(1).double(), MEANS[k : k + 1], COVARIANCES[k : k + 1]) for k in (1, 0)]
    known = GaussianMixtureBridge(*laws).fields(Linear(envelope=BrownianEnvelope(scale=0.5)))
    ours = RouteFields(Exact(0.5), Straight(1, 0, 3), 0.5)
    x = torch.randn(6, 2, dtype=torch.float64, generator=generator)
    for t in (0.3, torch.linspace(0.1, 0.9, 6, dtype=torch.float64)):
        with torch.no_grad():
            assert_close(getattr(ours, quantity)(x, t), getattr(known, quantity)(x, t))


def test_the_loss_of_the_exact_heads_is_the_conditional_variance(generator):
    """E|x_k - g_k|^2 = tr(C_k - alpha_k^2 C_k C^-1 C_k), and any other head loses more."""
    n = 40_000
    alpha = torch.tensor([0.6, 0.1, 0.3], dtype=torch.float64)
    batch = {"ends": torch.stack(draws(n, generator), 1), "alpha": alpha.expand(n, 3)}
    losses = SimplexLoss(0.5)(Exact(0.5), batch, generator)
    eye = torch.eye(2, dtype=torch.float64)
    variance = latent_variance(alpha, 0.5)
    here = torch.einsum("k,kde->de", alpha.square(), COVARIANCES) + variance * eye
    for k in range(3):
        given = COVARIANCES[k] - alpha[k] ** 2 * COVARIANCES[k] @ torch.linalg.solve(here, COVARIANCES[k])
        loss = losses[f"g{k}"].detach()
        assert abs(float(loss.mean() - given.trace())) <= 4 * float(loss.std()) / n**0.5
    rest = (eye - variance * torch.linalg.inv(here)).trace()
    loss = losses["noise"].detach()
    assert abs(float(loss.mean() - rest)) <= 4 * float(loss.std()) / n**0.5


def test_cost_of_an_edge_is_the_integral_known_for_gaussians(generator):
    """Isotropic in one coordinate each: E|b|^2 = |m_j - m_i|^2 + sum_d sigma_d'(t)^2 for diagonal covariances."""
    bridge = fitted(0.0, generator, n=10_000)
    t = torch.linspace(0, 1, 4001, dtype=torch.float64)[:, None, None]
    c0, c2 = COVARIANCES[0], COVARIANCES[2]
    here, rate = (1 - t) ** 2 * c0 + t**2 * c2, t * c2 - (1 - t) * c0
    moving = (rate @ torch.linalg.inv(here) @ rate.mT).diagonal(dim1=1, dim2=2).sum(1)
    exact = float((MEANS[2] - MEANS[0]).square().sum() + torch.trapezoid(moving, t.flatten()))
    assert bridge.cost(0, 2, n=20_000) == pytest.approx(exact, rel=0.03)


def test_points_fill_the_simplex_and_its_edges(generator):
    n = 20_000
    inside = simplex_points(n, 4, 0.0, generator)
    assert_close(inside.sum(1), torch.ones(n))
    variance = 3 / (4**2 * 5)  # of one coordinate of the uniform law
    assert (inside.mean(0) - 0.25).abs().max() <= 4.5 * (variance / n) ** 0.5
    assert (inside.var(0) / variance - 1).abs().max() <= 0.05
    mixed = simplex_points(n, 4, 0.3, generator)
    on_edge = (mixed == 0).sum(1) == 2
    assert abs(float(on_edge.float().mean()) - 0.3) <= 4 * (0.21 / n) ** 0.5
    touched = (mixed[on_edge] > 0).float().mean(0)
    assert (touched - 0.5).abs().max() <= 4.5 * (0.25 / int(on_edge.sum())) ** 0.5


def test_the_chain_of_couplings_keeps_every_density_and_its_order(generator):
    """On a line optimal pairs have one rank in all densities."""
    densities = [torch.randn(64, 1, generator=generator) * s + m for s, m in ((1, 0), (2, 5), (0.5, -3))]
    ends = SimplexBatches(densities, 64, MinibatchOT(), 0.5).ends(64, generator)
    apart = ends[:, None, :, 0] - ends[None, :, :, 0]
    assert (apart[..., 0] * apart[..., 1] >= 0).all()
    assert (apart[..., 1] * apart[..., 2] >= 0).all()
    for k in range(3):
        assert torch.isin(ends[:, k, 0], densities[k][:, 0]).all()
    paired = Multimarginal(coupling="paired").coupling
    rows = SimplexBatches([torch.arange(9.0)[:, None] + 10 * k for k in range(3)], 8, paired, 0.5).ends(
        8, generator
    )
    assert torch.equal(rows[:, 1] - rows[:, 0], torch.full((8, 1), 10.0))


@pytest.mark.slow
def test_it_learns_the_heads_of_gaussians(generator):
    densities = [x.float() for x in draws(4000, generator)]
    settings = {"steps": 300, "batch_size": 256, "lr": 5e-3, "ema": 0.97}
    net = {"kind": "mlp", "width": 48, "depth": 2}
    bridge = Multimarginal(densities=3, latent=0.5, net=net, **settings).fit(*densities)
    alpha = simplex_points(500, 3, 0.5, generator)
    ends = SimplexBatches(densities, 500, Independent(), 0.5).ends(500, generator)
    x = blend(alpha, ends, 0.5, torch.randn(500, 2, generator=generator))
    with torch.no_grad():
        learnt, exact = bridge.state["net"](x, alpha), Exact(0.5)(x, alpha)
    gap = (learnt - exact).square().mean((0, 2)).sqrt()
    size = (exact - exact.mean(0)).square().mean((0, 2)).sqrt()
    assert (gap <= 0.35 * size).all()
    assert {"g0", "g1", "g2", "noise"} <= set(bridge.history[-1])
    together = bridge.transport_all(densities[0][:400])
    assert together.shape == (400, 3, 2)
    assert torch.equal(together[:, 0], densities[0][:400])
    for k in (1, 2):
        assert (together[:, k].mean(0) - MEANS[k]).abs().max() <= 0.25
    # A sample does not feel its batch, and a run can be repeated.
    assert torch.equal(together[100:120, 2], bridge.transport(densities[0][100:120], target=2))
    again = Multimarginal(densities=3, latent=0.5, net=net, **settings).fit(*densities)
    assert torch.equal(again.transport(densities[0][:5]), bridge.transport(densities[0][:5]))


def test_images_and_vectors_pass_through_the_networks(generator):
    images = [torch.randn(10, 1, 8, 8, generator=generator) for _ in range(3)]
    net = {"kind": "unet", "channels": 8, "blocks": 1, "attention": ()}
    bridge = Multimarginal(densities=3, net=net, steps=2, batch_size=4).fit(*images)
    assert bridge.transport(images[1], source=1, target=0, n_steps=2).shape == (10, 1, 8, 8)
    assert bridge.interpolate([0.2, 0.3, 0.5], 6).shape == (6, 1, 8, 8)


def test_what_does_not_follow_is_refused(generator):
    bridge = fitted(0.0, generator)
    assert not bridge.fields().has_score
    with pytest.raises(NotIdentifiableError, match="needs latent noise"):
        sample(bridge.fields(), draws(5, generator)[0], eps=0.1)
    with pytest.raises(InvalidInputError, match="the bridge must be fitted"):
        Multimarginal().transport(torch.zeros(2, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Multimarginal(stepz=3), "Did you mean 'steps'"),
        (lambda: Multimarginal().fit(torch.zeros(3, 2)), "x1 is needed"),
        (lambda: Multimarginal().fit(*[torch.zeros(3, 2)] * 3), "there are 2 roles: x0, x1, got 3 values"),
        (lambda: Multimarginal().fit(torch.zeros(3, 2), torch.zeros(3, 4)), "must have the same event shape"),
        (
            lambda: Multimarginal(coupling="paired").fit(torch.zeros(3, 2), torch.zeros(4, 2)),
            "as many rows, one for one",
        ),
        (lambda: Multimarginal().fit(torch.zeros(3, 2), torch.full((3, 2), torch.nan)), "x1 must be finite"),
    ],
)
def test_bad_settings_and_data_are_refused_and_shown(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


class LearntCoupling(Independent):
    """A toy that must see two sample sets first."""

    def fit(self, x0, x1):
        return self


def test_a_coupling_that_must_be_learnt_is_refused():
    with pytest.raises(
        InvalidInputError, match="must need no fit: it pairs every density, got LearntCoupling"
    ):
        Multimarginal(coupling=LearntCoupling())


FEW = {"densities": 3, "net": {"kind": "mlp", "width": 8, "depth": 1}, "steps": 4, "batch_size": 8}


def test_a_stored_bridge_goes_every_way_to_the_same_bits(tmp_path, generator):
    sets = [x.float().numpy() for x in draws(70, generator)]
    bridge = Multimarginal(latent=0.5, **FEW).fit(*sets)
    back = load(bridge.save(tmp_path / "m"))
    way = {"source": 2, "target": 1, "route": "barycentre", "eps": 0.2, "n_steps": 3}
    moved = bridge.transport(sets[2], **way)
    assert isinstance(moved, np.ndarray)
    assert np.array_equal(back.transport(sets[2][:5], **way), moved[:5])
    assert np.array_equal(back.sample(5, **way), bridge.sample(70, **way)[:5])
    assert torch.equal(back.interpolate([0.2, 0.3, 0.5], 6), bridge.interpolate([0.2, 0.3, 0.5], 6))
    assert back.cost(0, 1) == bridge.cost(0, 1)


def test_a_killed_fit_resumes_to_the_same_bits(tmp_path, generator):
    sets = [x.float() for x in draws(40, generator)]
    settings = {**FEW, "checkpoint_every": 2}
    wanted = Multimarginal(**settings).fit(*sets)

    class KilledError(Exception):
        pass

    def kill(stage, k, steps):
        if k == 3:
            raise KilledError

    with pytest.raises(KilledError):
        Multimarginal(**settings).fit(*sets, out=tmp_path, watch=kill)
    again = Multimarginal(**settings).fit(*sets, out=tmp_path, resume=True)
    assert stored.fingerprint(again.state) == stored.fingerprint(wanted.state)


def test_where_the_data_stand_changes_nothing_for_the_network():
    """A fresh network answers 0 wherever it is: its weights are made noisy first."""
    nets = [SimplexNet("mlp", (2,), 3, 4, shift=(s,), scale=(2.0,)) for s in (0.0, 64.0)]
    generator = torch.Generator().manual_seed(0)
    stirred(nets[0])
    nets[1].load_state_dict(nets[0].state_dict())
    x, alpha = torch.randn(5, 2, generator=generator), torch.rand(5, 3, generator=generator)
    with torch.no_grad():
        still, moved = nets[0](x, alpha), nets[1](x + 64, alpha)
    assert float(still.std(0).min()) > 1e-3
    assert_close(moved[:, :3] - 64, still[:, :3], rtol=0, atol=1e-3)
    assert_close(moved[:, 3:], still[:, 3:], rtol=0, atol=1e-3)
