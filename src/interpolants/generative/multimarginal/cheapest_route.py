"""The route across the simplex that costs least: other densities may shorten the way between two of them.

Letters: ``w_k`` weights before they are made to add up to one; ``c_km`` coefficients of cosines.
"""

import math

import torch
from torch import Tensor

from interpolants.foundations.checks import whole
from interpolants.foundations.randomness import generator as seeded
from interpolants.generative.multimarginal.multimarginal import Multimarginal
from interpolants.generative.multimarginal.route_fields import RouteFields
from interpolants.generative.multimarginal.routes import Curve, Straight, choose_route


def cheapest_route(
    bridge: Multimarginal,
    source: int = 0,
    target: int = -1,
    *,
    terms: int = 3,
    steps: int = 150,
    batch_size: int = 512,
    lr: float = 0.1,
    seed: int = 0,
) -> Curve:
    """Minimise the kinetic energy ``int E|b|^2 dt`` over smooth routes, with the learnt heads held fixed.

    ``alpha_k ~ w_k`` with ``w_i = cos^2(pi t / 2) exp(t h_i)``, ``w_j = sin^2(pi t / 2) exp((1 - t) h_j)``, for the
    others ``w_k = sin(pi t) exp(h_k)``, and ``h_k(t) = sum_m c_km cos(pi m t)``: inside the simplex and exact at both
    ends for every c, and free to leave a vertex towards any other. States are blended from the data; nothing is
    simulated.

    Args:
        bridge: A fitted bridge.
        source: Where the route begins.
        target: Where it ends.
        terms: Cosines per density, >= 1.
        steps: Steps of Adam.
        batch_size: Draws per step.
        lr: Its learning rate.
        seed: Seed of the draws.

    Returns:
        The route, for ``transport(..., route=...)``; compare ``bridge.cost`` along it with that of the edge.

    Raises:
        InvalidInputError: If a setting is out of range, or the bridge is not fitted.

    Source: Albergo, Boffi, Lindsey & Vanden-Eijnden (2023), arXiv:2310.03695, section 2.3; our parametrisation.
    """
    for name, value in (("terms", terms), ("steps", steps), ("batch_size", batch_size)):
        whole("cheapest_route", name, value, at_least=1)
    edge = choose_route("straight", source, target, bridge.densities)
    assert isinstance(edge, Straight)
    # The search begins not far from the edge.
    coefficients = torch.zeros(bridge.densities, terms, dtype=torch.float64)
    coefficients[:, 0] = -1.5
    coefficients[[edge.source, edge.target], 0] = 0.0
    coefficients.requires_grad_(True)
    optimizer = torch.optim.Adam([coefficients], lr=lr)
    for step in range(steps):
        optimizer.zero_grad()
        fields = RouteFields(bridge.state["net"], _curve(coefficients, edge), bridge.latent)
        energy = bridge.energy(fields, batch_size, seeded(seed, "route energy", step))
        energy.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return _curve(coefficients.detach(), edge)


def _curve(coefficients: Tensor, edge: Straight) -> Curve:
    def alpha(t: Tensor) -> Tensor:
        waves = torch.cos(math.pi * torch.arange(coefficients.shape[1], device=t.device) * t[:, None])
        h = waves @ coefficients.to(t).T
        begin, end = (torch.arange(edge.size, device=t.device) == k for k in (edge.source, edge.target))
        t = t[:, None]
        cosine, sine = torch.cos(0.5 * math.pi * t), torch.sin(0.5 * math.pi * t)
        shape = torch.where(begin, cosine.square(), torch.where(end, sine.square(), 2 * sine * cosine))
        slope = torch.where(begin, t, torch.where(end, 1 - t, torch.ones_like(t)))
        weights = shape * torch.exp(slope * h)
        return weights / weights.sum(1, keepdim=True)

    return Curve(alpha)
