"""Systems of particles that interact through their distribution: opinions, and a network of neurons.

Letters: n particles or neurons, T times; systems of at most so many particles are independent of each other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Generator, Tensor

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import whole
from interpolants.foundations.kinds import Count, NonNegative, Positive, Real
from interpolants.sciml.processes.state_noise import integrate_state_noise
from interpolants.solvers.fixed import Velocity

_PAIRS = 1 << 20  # of particles that act on each other, which systems side by side may have


@dataclass(frozen=True, eq=False)
class OpinionDynamics(Checked):
    """Opinions that move towards those near to them: ``dY_i = -mean_j phi(|Y_i - Y_j|) (Y_i - Y_j) dt + noise dB_i``.

    ``phi(r) = strength exp(-0.01 / (1 - (r - 0.2)^2))`` for ``r < 1.2``, else 0. From the uniform distribution on
    ``(-2, 2)`` opinions gather in a few groups, so that the distribution at a later time has several peaks.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Motsch & Tadmor (2014), SIAM Review 56, 577-621; with these numbers Min, Hu & Ichiba (2023),
        arXiv:2304.13131.
    """

    length: Annotated[int, Ge(2)] = 51
    """Times of a path."""
    horizon: Positive = 1.0
    """Time of the last one."""
    strength: NonNegative = 6.0
    """Largest pull."""
    noise: NonNegative = 0.1
    """Size of the Brownian motions."""
    particles: Count = 512
    """Most particles of a system; paths of different systems are independent."""
    substeps: Count = 1
    """Steps of Euler's scheme from one time to the next; a step is at most 0.25 / strength."""

    def check_settings(self) -> None:
        """Refuse steps that are too long.

        Opinions of one group are pulled together at the rate of the strength; the scheme makes their variance 14 % too
        large there.
        """
        _check_steps(self.length, self.horizon, self.substeps, 0.25 / max(self.strength, 1e-12))

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Paths ``(n, length, 1)`` float64 of the particles of as many systems as n of them need."""
        whole(who(), "n", n, at_least=1)
        start = 4 * torch.rand(n, 1, dtype=torch.float64, generator=generator) - 2
        systems = torch.split(start, self.particles)
        whole_ones, rest = systems[: n // self.particles], systems[n // self.particles :]
        at_once = max(1, _PAIRS // self.particles**2)
        groups = [whole_ones[k : k + at_once] for k in range(0, len(whole_ones), at_once)]
        return torch.cat([self._paths(group, generator) for group in (*groups, rest) if group])

    def continued(self, start: Tensor, *, generator: Generator | None = None) -> Tensor:
        """Paths ``(n, length, 1)`` of a system from its first state ``(n, 1)``."""
        if start.ndim != 2 or start.shape[1] != 1:
            raise invalid("the start must be (n, 1)", tuple(start.shape))
        return self._paths((start,), generator)

    def _paths(self, systems: Sequence[Tensor], generator: Generator | None) -> Tensor:
        """Paths of systems of one size, side by side; each has the draws that it would have alone."""
        grid = _grid(self.length, self.horizon, self.substeps)
        noise = torch.cat([_increments(one, grid, 1, generator) for one in systems], 1)
        start = torch.cat(list(systems))

        def drift(x: Tensor, t: Tensor) -> Tensor:
            return self.pull(x.reshape(len(systems), -1)).reshape(-1, 1)

        def strength(x: Tensor, t: Tensor) -> Tensor:
            return torch.full_like(x, self.noise)[..., None]

        return _paths(drift, strength, start, grid, noise)[:, :: self.substeps]

    def pull(self, y: Tensor) -> Tensor:
        """Drift of each opinion of a system, ``(n,) -> (n,)``, or of several, ``(S, n) -> (S, n)``."""
        apart = y[..., :, None] - y[..., None, :]
        r = apart.abs()
        inner = (1 - (r - 0.2).square()).clamp_min(1e-12)
        phi = torch.where(r < 1.2, self.strength * torch.exp(-0.01 / inner), 0.0)
        found: Tensor = -(phi * apart).mean(-1)
        return found


@dataclass(frozen=True, eq=False)
class FitzHughNagumoNetwork(Checked):
    """Neurons that excite each other: voltage v, recovery w and gate y of the synapse, each pulled by the mean gate.

    ``dv = (v - v^3 / 3 - w + current) dt - coupling (v - 1) ybar dt + 0.5 dB1 - 0.2 (v - 1) ybar dB2``,
    ``dw = 0.08 (v + 0.7 - 0.8 w) dt``, ``dy = (S(v) (1 - y) - y) dt + sqrt(S(v) (1 - y) + y) chi(y) dB3`` with
    ``S(v) = 1 / (1 + exp(-0.2 (v - 2)))``, ``chi(y) = 0.1 exp(-0.5 / (1 - (2 y - 1)^2))`` in (0, 1), and ybar the mean
    over the neurons **at that time**. Some fire early and some late: the distribution of v has two peaks.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Baladron, Fasoli, Faugeras & Touboul (2012), Journal of Mathematical Neuroscience 2:10.
    """

    columns: ClassVar[tuple[str, ...]] = ("voltage", "recovery", "gate")

    length: Annotated[int, Ge(2)] = 51
    """Times of a path."""
    horizon: Positive = 2.0
    """Time of the last one."""
    current: Real = 0.5
    """Input current."""
    coupling: NonNegative = 1.0
    """Strength of the synapses."""
    noise: NonNegative = 1.0
    """Factor of all Brownian motions."""
    substeps: Count = 2
    """Steps of Euler's scheme from one time to the next; a step is at most 0.1."""

    def check_settings(self) -> None:
        """Refuse steps that are too long: with those from about 1 voltages grow without bound."""
        _check_steps(self.length, self.horizon, self.substeps, 0.1)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Paths ``(n, length, 3)`` float64 of the n neurons of one network, each from a start of its own."""
        whole(who(), "n", n, at_least=1)
        z = torch.randn(n, 3, dtype=torch.float64, generator=generator)
        start = torch.tensor([0.0, 0.5, 0.3]).double() + z * torch.tensor([0.4, 0.4, 0.05]).double()
        return self.continued(start, generator=generator)

    def continued(self, start: Tensor, *, generator: Generator | None = None) -> Tensor:
        """Paths ``(n, length, 3)`` of a network from its first state ``(n, 3)``."""
        if start.ndim != 2 or start.shape[1] != 3:
            raise invalid("the start must be (n, 3)", tuple(start.shape))
        grid = _grid(self.length, self.horizon, self.substeps)
        noise = _increments(start, grid, 3, generator)
        return _paths(self.drift, self.strengths, start, grid, noise)[:, :: self.substeps]

    def drift(self, x: Tensor, t: Tensor) -> Tensor:
        """``(n, 3) -> (n, 3)``."""
        v, w, y = x.unbind(1)
        synapse = self.coupling * (v - 1) * y.mean()
        opening = torch.sigmoid(0.2 * (v - 2))
        return torch.stack(
            [v - v**3 / 3 - w + self.current - synapse, 0.08 * (v + 0.7 - 0.8 * w), opening * (1 - y) - y], 1
        )

    def strengths(self, x: Tensor, t: Tensor) -> Tensor:
        """``(n, 3) -> (n, 3, 3)``; the last axis are the Brownian motions."""
        v, _, y = x.unbind(1)
        inside = ((y > 0) & (y < 1)).to(y)
        chi = 0.1 * inside * torch.exp(-0.5 / (1 - (2 * y - 1).square()).clamp_min(1e-12))
        found = x.new_zeros(len(x), 3, 3)
        found[:, 0, 0], found[:, 0, 1] = 0.5, -0.2 * self.coupling * (v - 1) * y.mean()
        found[:, 2, 2] = (torch.sigmoid(0.2 * (v - 2)) * (1 - y) + y).clamp_min(0).sqrt() * chi
        return self.noise * found


def _check_steps(length: int, horizon: float, substeps: int, longest: float) -> None:
    """Refuse steps with which Euler's scheme gives other paths than those of the equation."""
    needed = math.ceil(horizon / (length - 1) / longest * (1 - 1e-9))
    if substeps < needed:
        rule = f"a step from one time to the next must be at most {longest:.3g} long"
        raise invalid(rule, f"{horizon / (length - 1) / substeps:.3g}", f"Use substeps={needed}.")


def _grid(length: int, horizon: float, substeps: int) -> Tensor:
    return torch.linspace(0, horizon, (length - 1) * substeps + 1, dtype=torch.float64)


def _increments(start: Tensor, times: Tensor, motions: int, generator: Generator | None) -> Tensor:
    """Of each particle's Brownian motions, drawn step by step: ``(T - 1, n, motions)``."""
    size = math.sqrt(float(times[1] - times[0]))
    drawn = [
        torch.randn(len(start), motions, dtype=start.dtype, generator=generator)
        for _ in range(len(times) - 1)
    ]
    return size * torch.stack(drawn)


def _paths(f: Velocity, g: Velocity, start: Tensor, times: Tensor, noise: Tensor) -> Tensor:
    """All states, ``(n, T, C)``."""
    steps = ((increment, None) for increment in noise)
    done = integrate_state_noise(f, g, start, times, steps, return_path=True)
    assert done.path is not None
    return done.path.transpose(0, 1).contiguous()
