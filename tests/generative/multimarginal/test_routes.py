"""Routes across the simplex: inside it, exact at the ends, with the rate that autograd finds."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.multimarginal.routes import (
    Curve,
    RoutePath,
    Straight,
    Waypoints,
    choose_route,
    latent_variance,
)
from interpolants.paths import BrownianEnvelope


def bend(t):
    """From vertex 0 to vertex 2, leaning to vertex 1 on the way."""
    middle = 0.8 * t * (1 - t)
    return torch.stack([1 - t - middle / 2, middle, t - middle / 2], -1)


ROUTES = {
    "straight": Straight(0, 2, 3),
    "barycentre": choose_route("barycentre", 0, 2, 3),
    "waypoints": Waypoints([[1, 0, 0], [0.2, 0.5, 0.3], [0.1, 0.9, 0.0], [0, 0, 1]], [0, 0.3, 0.5, 1]),
    "curve": Curve(bend),
}


@pytest.mark.parametrize("name", ROUTES)
def test_a_route_stays_inside_ends_at_vertices_and_has_its_own_rate(name):
    route = ROUTES[name]
    t = torch.linspace(0, 1, 41, dtype=torch.float64)
    alpha = route.alpha(t)
    assert alpha.shape == (41, 3)
    assert (alpha >= -1e-15).all()
    assert_close(alpha.sum(1), torch.ones_like(t))
    eye = torch.eye(3, dtype=torch.float64)
    assert torch.equal(alpha[0], eye[0])
    assert torch.equal(alpha[-1], eye[2])
    inner = torch.tensor([0.05, 0.31, 0.49, 0.51, 0.9], dtype=torch.float64, requires_grad=True)
    slopes = [torch.autograd.grad(route.alpha(inner)[:, k].sum(), inner)[0] for k in range(3)]
    assert_close(route.alpha_dot(inner.detach()), torch.stack(slopes, 1))
    # One time for all rows gives one point.
    assert_close(route.alpha(t[7]), alpha[7])
    assert_close(route.alpha_dot(t[7]), route.alpha_dot(t)[7])


def test_waypoints_are_passed_at_their_times_and_at_rest():
    route = ROUTES["waypoints"]
    assert_close(route.alpha(route.times), route.points)
    assert_close(route.alpha_dot(route.times), torch.zeros_like(route.points))


def test_the_latent_noise_is_brownian_on_edges_and_zero_on_vertices():
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    brownian = BrownianEnvelope(scale=0.7)
    envelope = RoutePath(Straight(2, 1, 4), 0.7).envelope
    assert_close(envelope.gamma(t), brownian.gamma(t))
    assert_close(envelope.gamma_gamma_dot(t), brownian.gamma_gamma_dot(t))
    assert_close(latent_variance(torch.eye(4), 0.7), torch.zeros(4))
    alpha = torch.tensor([0.2, 0.3, 0.5])
    assert_close(latent_variance(alpha, 2.0), 2 * torch.tensor(0.2 * 0.3 + 0.2 * 0.5 + 0.3 * 0.5))


@pytest.mark.parametrize("name", ROUTES)
def test_the_product_is_half_the_slope_of_the_latent_variance(name):
    envelope = RoutePath(ROUTES[name], 1.3).envelope
    t = torch.tensor([0.1, 0.45, 0.8], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(envelope.gamma(t).square().sum(), t)
    assert_close(envelope.gamma_gamma_dot(t.detach()), slope / 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Waypoints([[1, 0], [0.5, 0.6], [0, 1]]), "add up to one"),
        (lambda: Waypoints([[0.5, 0.5], [0, 1]]), "begin and end at a vertex"),
        (lambda: Waypoints([[1, 0], [0, 1]], [0.0, 0.9]), "increasing from 0 to 1"),
        (lambda: Curve(lambda t: torch.stack([1 - 2 * t, 2 * t], -1)), ">= 0 and add up"),
        (lambda: choose_route("strait", 0, 1, 2), "Did you mean 'straight'"),
        (lambda: choose_route("straight", 1, 1, 2), "must differ"),
        (lambda: choose_route("straight", 0, 2, 2), "target must be an integer in -2 ... 1, got 2"),
        (lambda: choose_route(Straight(0, 1, 3), 0, 2, 3), "must lead from density 0 to 2"),
        (lambda: RoutePath(ROUTES["curve"], 1.0).interpolate(torch.zeros(1), None, None), "needs all K ends"),
    ],
)
def test_bad_routes_are_refused_and_shown(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()
