"""Three centred Gaussians on the line with spreads 1, 1 and 3.

Along any route the spread is ``sigma^2 = alpha_0^2 + alpha_1^2 + 9 alpha_2^2`` and the velocity ``sigma'/sigma x``, so
the energy is ``int sigma'^2 dt``. On the edge from 0 to 1 it is ``2 (1 - pi/4)``; a route that leans to the third
density keeps sigma at one and costs nothing, as much as the optimal map, which is the identity.
"""

import math

import pytest
import torch
from torch import nn

from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.multimarginal.cheapest_route import cheapest_route
from interpolants.generative.multimarginal.multimarginal import Multimarginal

SPREADS = torch.tensor([1.0, 1.0, 3.0])


class Heads(nn.Module):
    """``g_k = alpha_k sigma_k^2 x / sigma^2``; the parameter is idle."""

    def __init__(self):
        super().__init__()
        self.idle = nn.Parameter(torch.zeros(()))

    def forward(self, x, alpha):
        parts = alpha * SPREADS.to(alpha).square()
        return (parts / (alpha * parts).sum(1, keepdim=True))[..., None] * x[:, None] + 0 * self.idle


@pytest.fixture(scope="module")
def bridge():
    generator = torch.Generator().manual_seed(0)
    sets = [s * torch.randn(5000, 1, generator=generator) for s in SPREADS]
    return Multimarginal(densities=3, net=Heads(), steps=1, batch_size=4).fit(*sets)


@pytest.mark.slow
def test_a_third_density_takes_away_nine_tenths_of_the_cost(bridge):
    assert bridge.cost(0, 1, n=4000) == pytest.approx(2 * (1 - math.pi / 4), rel=0.06)
    route = cheapest_route(bridge, 0, 1, steps=100, lr=0.15, batch_size=256)
    assert bridge.cost(0, 1, route, n=4000) <= 0.04  # a tenth of it
    t = torch.linspace(0, 1, 33, dtype=torch.float64)
    alpha = route.alpha(t)
    spread = (alpha * SPREADS.double()).square().sum(1).sqrt()
    assert (spread - 1).abs().max() <= 0.12
    assert (alpha[[0, -1]] - torch.eye(3, dtype=torch.float64)[[0, 1]]).abs().max() <= 1e-15
    # The map along it is the optimal one.
    x = torch.linspace(-2, 2, 5)[:, None]
    y = bridge.transport(x, source=0, target=1, route=route, n_steps=50)
    assert (y - x).abs().max() <= 0.03


def test_bad_settings_are_refused_and_shown(bridge):
    with pytest.raises(InvalidInputError, match="terms must be a whole number >= 1, got 0"):
        cheapest_route(bridge, 0, 1, terms=0)
    with pytest.raises(InvalidInputError, match="must differ"):
        cheapest_route(bridge, 1, 1)


def test_as_many_steps_are_made_as_asked_for(bridge):
    t = torch.tensor([0.3, 0.5])
    still, moved = (
        cheapest_route(bridge, 0, 1, steps=1, lr=lr, batch_size=64).alpha(t) for lr in (1e-12, 0.5)
    )
    assert float((still - moved).abs().max()) > 0.01


def test_the_energy_is_taken_at_one_time_in_each_of_even_cells(bridge):
    fields, seen = bridge.fields(0, 1, "straight"), []

    class Watched:
        route = fields.route

        def evaluate(self, x, t, want):
            seen.append(t)
            return fields.evaluate(x, t, want)

    energy = bridge.energy(Watched(), 500, torch.Generator().manual_seed(0))
    assert float(energy) == pytest.approx(2 * (1 - math.pi / 4), rel=0.2)
    assert ((500 * seen[0]).floor().sort().values == torch.arange(500)).all()
