"""Linear chains with Gaussian noise, steered so that their paths meet what was observed.

Letters: ``z (D,)`` state, of which the first entry x is observed; ``z' = A z + d + B xi``, ``xi ~ N(0, I)``; values
``y = x + s e`` at some steps. ``V_n(z)`` is the log density of the values from step n on, given the state there: a
quadratic function ``c + q z - z P z / 2``. Given them, ``xi ~ N(L^-T (v - W A z), (L L^T)^-1)`` with ``L L^T = I +
B^T P B``.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Chain:
    """Coefficients of a chain of N steps, of which some are equal.

    Attributes:
        move: A of each sort of step, ``(U, D, D)``.
        noise: B of each, ``(U, D, R)``.
        shift: d of each, ``(U, D)``.
        sort: Sort of each step, ``(N,)`` whole numbers.
        start_noise: B of the first state, ``(D, D)``: ``z_0 = start_noise xi``.
        variance: ``s^2``.
    """

    move: Tensor
    noise: Tensor
    shift: Tensor
    sort: Sequence[int]
    start_noise: Tensor
    variance: Tensor


@dataclass(frozen=True, eq=False)
class Gain:
    """The law of the noise of a step given the values that follow: ``L``, ``v``, ``W A`` and ``W``; see the module."""

    root: Tensor
    aim: Tensor
    feedback: Tensor
    pull: Tensor

    def noise(self, z: Tensor, fresh: Tensor, moved: Tensor | None = None) -> Tensor:
        """``xi`` for states ``z (S, M, D)`` and standard normal ``fresh (S, M, R)``; ``moved (S, M, D)`` adds to d."""
        aimed = self.aim[:, None] - z @ self.feedback.mT + fresh
        aimed = aimed if moved is None else aimed - moved @ self.pull.mT
        found: Tensor = torch.linalg.solve_triangular(self.root.mT, aimed.mT, upper=True).mT
        return found

    @property
    def log_density(self) -> Tensor:
        """``log det L``, ``(S,)`` or ``(1,)``."""
        found: Tensor = self.root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return found


@dataclass(frozen=True, eq=False)
class Guide:
    """What steers paths to the values.

    Attributes:
        gains: Of the first state, then of every step, ``N + 1``.
        log_evidence: Log density of all values of each series, ``(S,)`` nats.
    """

    gains: Sequence[Gain]
    log_evidence: Tensor


@dataclass(frozen=True, eq=False)
class _Value:
    """``c + q z - z P z / 2``; P is shared ``(1, D, D)`` where all series have the same gaps."""

    p: Tensor
    q: Tensor
    c: Tensor

    def observed(self, y: Tensor, seen: Tensor, variance: Tensor) -> "_Value":
        """With values ``y (S,)`` of the first entry, where they were seen."""
        first = torch.zeros_like(self.q[0])
        first[0] = 1.0
        weight = seen.to(y.dtype) / variance
        shared = weight[:1] if len(self.p) == 1 else weight
        p = self.p + shared[:, None, None] * first[:, None] * first
        q = self.q + (weight * y)[:, None] * first
        log_size = torch.log(2 * math.pi * variance)
        return _Value(p, q, self.c - (weight * y.square() + seen.to(y.dtype) * log_size) / 2)

    def before(self, move: Tensor | None, noise: Tensor, shift: Tensor) -> tuple["_Value", Gain]:
        """The value one step before, and the gain of that step; no state comes before the first."""
        pb = self.p @ noise
        root = torch.linalg.cholesky(torch.eye(noise.shape[-1], dtype=pb.dtype) + noise.mT @ pb)
        rest = self.q - shift @ self.p
        aim = torch.linalg.solve_triangular(root, (rest @ noise)[..., None], upper=False)[..., 0]
        w = torch.linalg.solve_triangular(root, pb.mT, upper=False)
        moved = self.q @ shift - (shift @ self.p @ shift) / 2
        c = self.c + moved + aim.square().sum(-1) / 2 - root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        if move is None:
            return _Value(self.p, self.q, c), Gain(root, aim, torch.zeros_like(w), w)
        p = move.mT @ (self.p - w.mT @ w) @ move
        q = (rest - (aim[:, None] @ w)[:, 0]) @ move
        return _Value((p + p.mT) / 2, q, c), Gain(root, aim, w @ move, w)


def guide(chain: Chain, y: Tensor, seen: Tensor) -> Guide:
    """Gains and log evidence, by one pass back over the steps.

    Args:
        chain: The chain of N steps.
        y: Values ``(S, N + 1)``, of which those that were not seen are arbitrary.
        seen: Which were seen.
    """
    size = chain.move.shape[-1]
    alike = bool((seen == seen[:1]).all())
    zero = _Value(
        y.new_zeros(1 if alike else len(y), size, size), y.new_zeros(len(y), size), y.new_zeros(len(y))
    )
    value, gains = zero.observed(y[:, -1], seen[:, -1], chain.variance), []
    for n in range(len(chain.sort) - 1, -1, -1):
        u = chain.sort[n]
        value, gain = value.before(chain.move[u], chain.noise[u], chain.shift[u])
        gains.append(gain)
        value = value.observed(y[:, n], seen[:, n], chain.variance)
    value, gain = value.before(None, chain.start_noise, torch.zeros_like(chain.shift[0]))
    return Guide([gain, *reversed(gains)], value.c)


@dataclass(frozen=True, eq=False)
class Control:
    """What a control does to the noise of one step: ``xi = guided (I + (e^v - 1) d d^T) fresh + shift``.

    Attributes:
        shift: ``(S, M, R)``.
        log_size: v, ``(S, M, 1)``.
        along: Unit vector d, ``(R,)``.
    """

    shift: Tensor
    log_size: Tensor
    along: Tensor

    def scaled(self, fresh: Tensor) -> Tensor:
        """Standard normal numbers with another size along d."""
        return fresh + torch.expm1(self.log_size) * (fresh @ self.along)[..., None] * self.along


@dataclass(frozen=True, eq=False)
class Paths:
    """Steered paths.

    Attributes:
        x: Their observed entry, ``(S, M, N + 1)``.
        end: Their last state, ``(S, M, D)``.
        log_weight: Log density of values and path over that of the path as it was drawn, ``(S, M)`` nats: its mean is
            the evidence lower bound, the log of the mean of its exponential the evidence.
    """

    x: Tensor
    end: Tensor
    log_weight: Tensor


@dataclass(frozen=True, eq=False)
class Steering:
    """How paths are drawn.

    Attributes:
        gains: Of a guide; None for the law of the chain itself.
        control: What is done to the noise of step n in state z; nothing if None.
        drift: What a drift that is not linear adds to the state of step n, ``(S, M, D)``.
    """

    gains: Sequence[Gain] | None = None
    control: Callable[[int, Tensor], Control] | None = None
    drift: Callable[[int, Tensor], Tensor] | None = None

    def noise(self, n: int, z: Tensor, fresh: Tensor, moved: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The noise of step n, and its log density under the chain over that under which it was drawn, ``(S, M)``."""
        control = None if self.control is None else self.control(n, z)
        sized = fresh if control is None else control.scaled(fresh)
        xi = sized if self.gains is None else self.gains[n + 1].noise(z, sized, moved)
        xi = xi if control is None else xi + control.shift
        ratio = (fresh.square().sum(-1) - xi.square().sum(-1)) / 2
        ratio = ratio if control is None else ratio + control.log_size[..., 0]
        return xi, ratio if self.gains is None else ratio - self.gains[n + 1].log_density[:, None]


def draw_paths(
    chain: Chain,
    y: Tensor,
    seen: Tensor,
    count: int,
    steering: Steering,
    generator: torch.Generator | None = None,
    start: Tensor | None = None,
) -> Paths:
    """Paths of the chain with their log weights, differentiable in the chain, the controls and the drift.

    Args:
        chain: The chain of N steps.
        y: Values ``(S, N + 1)``.
        seen: Which were seen.
        count: M.
        steering: How they are drawn.
        generator: Source of the noise.
        start: First states ``(S, M, D)``; drawn if not given.
    """

    def fresh(size: int) -> Tensor:
        return torch.randn(len(y), count, size, dtype=y.dtype, generator=generator)

    total = y.new_zeros(len(y), count)
    if start is None:
        free = fresh(chain.move.shape[-1])
        first = Steering(None if steering.gains is None else steering.gains[:1])
        xi, total = first.noise(-1, torch.zeros_like(free), free)
        start = xi @ chain.start_noise.T
    z, seen_x = start, [start[..., 0]]
    total = total + _observed(z, y[:, 0], seen[:, 0], chain.variance)
    for n, u in enumerate(chain.sort):
        bent = None if steering.drift is None else steering.drift(n, z)
        xi, ratio = steering.noise(n, z, fresh(chain.noise.shape[-1]), bent)
        total = total + ratio
        moved = z @ chain.move[u].T + chain.shift[u] + xi @ chain.noise[u].T
        z = moved if bent is None else moved + bent
        total = total + _observed(z, y[:, n + 1], seen[:, n + 1], chain.variance)
        seen_x.append(z[..., 0])
    return Paths(torch.stack(seen_x, -1), z, total)


def _observed(z: Tensor, y: Tensor, seen: Tensor, variance: Tensor) -> Tensor:
    """Log density of the values of one step, ``(S, M)``."""
    error = (y[:, None] - z[..., 0]).square() / variance + torch.log(2 * math.pi * variance)
    return -seen[:, None].to(y.dtype) * error / 2
