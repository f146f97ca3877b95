import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.trajectories.problems.charged_particles import ChargedParticles
from interpolants.foundations.errors import InvalidInputError


def starts(n=4, particles=5, dim=3):
    g = torch.Generator().manual_seed(0)
    x, v = (torch.randn(n, particles, dim, dtype=torch.float64, generator=g) for _ in range(2))
    return 2 * x, v, 2.0 * torch.randint(2, (n, particles), generator=g) - 1


def test_two_opposite_charges_go_round_in_keplers_time():
    """At distance d about their middle: ``omega^2 = 2 / d^3`` for unit masses and charges."""
    d = 2.0
    turn = 2 * math.pi / math.sqrt(2 / d**3)
    problem = ChargedParticles(2, frames=2, dt=turn / 4000, every=4000)
    x = torch.tensor([[[d / 2, 0, 0], [-d / 2, 0, 0]]], dtype=torch.float64)
    speed = (2 * math.pi / turn) * d / 2
    v = torch.tensor([[[0, speed, 0], [0, -speed, 0]]], dtype=torch.float64)
    found = problem.simulated(x, v, torch.tensor([[1.0, -1.0]], dtype=torch.float64))
    assert_close(found[:, 1], x, atol=1e-4, rtol=0)
    quarter = ChargedParticles(2, frames=2, dt=turn / 4000, every=1000)
    there = quarter.simulated(x, v, torch.tensor([[1.0, -1.0]], dtype=torch.float64))[:, 1]
    assert_close(there[0, 0], torch.tensor([0, d / 2, 0], dtype=torch.float64), atol=1e-4, rtol=0)


def test_momentum_is_kept():
    x, v, q = starts()
    problem = ChargedParticles(frames=12, every=20)
    found = problem.simulated(x, v, q)
    middle = found.mean(2)
    time = 0.02 * torch.arange(12, dtype=torch.float64)
    assert_close(middle, x.mean(1)[:, None] + time[None, :, None] * v.mean(1)[:, None], atol=1e-12, rtol=0)


def test_equal_charges_repel():
    problem = ChargedParticles(2)
    x = torch.tensor([[[0.0, 0, 0], [2.0, 0, 0]]], dtype=torch.float64)
    force = problem.force(x, torch.ones(1, 2, dtype=torch.float64))
    assert_close(force[0, :, 0], torch.tensor([-0.25, 0.25], dtype=torch.float64))
    far = torch.tensor([[1e-3, 0, 0]], dtype=torch.float64)
    near = problem.force(torch.stack([0 * far, far], 1), torch.ones(1, 2, dtype=torch.float64))
    assert near.abs().max() == 100.0


def test_free_particles_move_on_straight_lines_at_their_speed():
    tracks = ChargedParticles(strength=0.0).sample(6, generator=torch.Generator().manual_seed(0))
    steps = tracks.x[:, 1:] - tracks.x[:, :-1]
    assert_close(steps, steps[:, :1].expand_as(steps), atol=1e-12, rtol=0)
    assert_close(steps.norm(dim=-1), torch.full(steps.shape[:-1], 0.05, dtype=torch.float64))


def test_constant_velocity_misses_charges_by_as_much_as_published_simulations():
    """Half a unit over twenty frames; groups of 40 range over 0.41 to 0.56."""
    tracks = ChargedParticles(every=50, dt=0.002).sample(200, generator=torch.Generator().manual_seed(0))
    ahead = torch.arange(1, 21)[None, :, None, None]
    straight = tracks.x[:, 9:10] + ahead * (tracks.x[:, 9:10] - tracks.x[:, 8:9])
    error = (straight - tracks.x[:, 10:]).norm(dim=-1).mean()
    assert 0.43 < float(error) < 0.55


@pytest.mark.parametrize(
    "bad", [{"particles": 0}, {"strength": -1.0}, {"dt": 0.0}, {"dt": 0.02}, {"frames": 1}]
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(InvalidInputError, match=next(iter(bad))):
        ChargedParticles(**bad)
