"""Charged particles in free space: trajectories under Coulomb's force, or free ones, by simulation.

Letters: n trajectories, T frames, N particles, D dimensions, q charges.
"""

import torch
from torch import Generator, Tensor

from interpolants.apps.trajectories.data.tracks import Tracks
from interpolants.foundations.checks import number, positive, whole
from interpolants.foundations.errors import invalid

_FARTHEST = 0.01  # of a step; particles begin about 1 apart


class ChargedParticles:
    """N particles that attract and repel each other: ``a_i = strength sum_j q_i q_j (x_i - x_j) / |x_i - x_j|^3``.

    Positions begin as N(0, I), velocities have one length and random directions, charges are +1 or -1 with equal
    chances. ``strength=0`` leaves free particles on straight lines, whose future follows from two frames exactly.
    The process has the symmetries of space: turned, mirrored or moved starts are as likely, and end turned, mirrored or
    moved.

    Args:
        particles: N, >= 1.
        frames: T.
        strength: Of the force, >= 0; 0 for free particles.
        dim: D, >= 1.
        speed: Length of the first velocities, >= 0.
        dt: Step of the simulation, > 0 and at most ``0.1 / sqrt(largest)``.
        every: Steps between two frames.
        largest: Largest component of a pair's force, which a near encounter would make arbitrarily large.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Kipf, Fetaya, Wang, Welling & Zemel (2018), arXiv:1802.04687; in three dimensions Satorras, Hoogeboom &
    Welling (2021), arXiv:2102.09844.
    """

    def __init__(
        self,
        particles: int = 5,
        frames: int = 30,
        strength: float = 1.0,
        *,
        dim: int = 3,
        speed: float = 0.5,
        dt: float = 0.001,
        every: int = 100,
        largest: float = 100.0,
    ) -> None:
        who = "ChargedParticles"
        whole(who, "particles", particles, at_least=1), whole(who, "frames", frames, at_least=2)
        whole(who, "dim", dim, at_least=1), whole(who, "every", every, at_least=1)
        number(who, "strength", strength, at_least=0), number(who, "speed", speed, at_least=0)
        positive(who, "dt", dt), positive(who, "largest", largest)
        if strength and dt > (_FARTHEST / largest) ** 0.5 * (1 + 1e-9):
            rule = f"dt^2 largest must be at most {_FARTHEST}: so far the largest force moves a particle in a step"
            raise invalid(
                who, rule, f"{dt**2 * largest:.3g}", f"Use dt={(_FARTHEST / largest) ** 0.5:.2g} or less."
            )
        self.particles, self.frames, self.strength, self.dim = particles, frames, strength, dim
        self.speed, self.dt, self.every, self.largest = speed, dt, every, largest

    def sample(self, n: int, *, generator: Generator | None = None) -> Tracks:
        """``n`` trajectories ``(n, T, N, D)``; type 1 has charge +1, type 0 charge -1."""
        whole("ChargedParticles.sample", "n", n, at_least=1)
        shape = (n, self.particles, self.dim)
        x, v = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
        types = torch.randint(2, shape[:2], generator=generator)
        v = self.speed * v / v.norm(dim=-1, keepdim=True)
        return Tracks.of(self.simulated(x, v, 2.0 * types - 1), types)

    def simulated(self, x: Tensor, v: Tensor, charges: Tensor) -> Tensor:
        """Positions ``(n, T, N, D)`` from starts and first velocities ``(n, N, D)``, by the leapfrog scheme.

        Args:
            x: Positions in the first frame.
            v: Velocities there.
            charges: ``(n, N)``.
        """
        kept, force = [x], self.force(x, charges)
        for _ in range(self.frames - 1):
            for _ in range(1 if self.strength == 0 else self.every):
                dt = self.dt * (self.every if self.strength == 0 else 1)
                v = v + 0.5 * dt * force
                x = x + dt * v
                force = self.force(x, charges)
                v = v + 0.5 * dt * force
            kept.append(x)
        return torch.stack(kept, 1)

    def force(self, x: Tensor, charges: Tensor) -> Tensor:
        """Accelerations ``(n, N, D)`` at positions of charges ``(n, N)``; components of pairs are cut off."""
        if self.strength == 0:
            return torch.zeros_like(x)
        gap = x[:, :, None] - x[:, None]
        cubed = (gap.square().sum(-1) + 1e-12).pow(-1.5)
        pairs = (self.strength * charges[:, :, None] * charges[:, None] * cubed)[..., None] * gap
        return pairs.clamp(-self.largest, self.largest).sum(2)
