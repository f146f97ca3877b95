"""Log weights of forward and backward paths between two unnormalised densities.

Notation: ``f0, f1`` log densities up to the constants ``log Z0, log Z1``; b, s velocity and score; h the step, and
``2 eps h`` the variance of its noise. The forward step from x has the mean ``F(x) = x + h (b + eps s)(t, x)``, the
backward step from y has ``G(y) = y + h (-b + eps s)(t + h, y)``. The log weight of a path is

``L = f1(x_K) - f0(x_0) + sum [ |y - F(x)|^2 - |x - G(y)|^2 ] / (4 eps h)``,

the log ratio of the two distributions of the path, up to the constants. For any fields and any step

``E_F e^L = Z1/Z0``, ``E_B e^-L = Z0/Z1``, ``E_F L <= log Z1/Z0 <= E_B L``.

With the fields of the path between the two and small steps L has no variance. Each mean may use the fields at its own
point and time only; with others the step has no density, and the weights are biased at every number of steps.

Source: He et al. (2025), arXiv:2504.11516, with our own derivation; Crooks (1999), Phys. Rev. E 60, 2721, for the two
distributions.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics.noise import SAFE_STEP
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import number, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import BlockNoise
from interpolants.solvers.euler_maruyama import EulerMaruyama
from interpolants.solvers.weighted import Node, Step, integrate_weighted, kernel_log_ratio

LogDensity = Callable[[Tensor], Any]

# Paths at a time, in numbers of a state.
_MOST_NUMBERS = 2**20


@dataclass
class _Node(Node):
    """Velocity and score at a point of a path."""

    velocity: Tensor | None = None
    score: Tensor | None = None


def crooks_weights(
    fields: Fields,
    x: Tensor,
    log_densities: tuple[LogDensity, LogDensity],
    *,
    reverse: bool = False,
    eps: float = 0.5,
    n_steps: int = 100,
    seed: int = 0,
) -> Tensor:
    """Log weights L of one path from each row of ``x``, ``(B,)`` float64, in nats.

    Fields whose score follows from the mean noise are evaluated half a step inside the path's ends, where the noise
    vanishes, and ``eps`` is capped there. Neither changes what the weights estimate.

    Args:
        fields: Velocity and score, exact or learnt; the weights are right for any.
        x: Starts ``(B, *D)``: samples of the density at t = 0, or of that at t = 1 if ``reverse``. Use held-out rows:
            with those of the training the bounds do not hold.
        log_densities: Log densities at t = 0 and t = 1 in nats, up to constants, ``(B, *D)`` float64 -> ``(B,)``.
        reverse: Run the paths from t = 1 to t = 0. The functional L is the same.
        eps: Noise level, > 0, in units of the states squared.
        n_steps: Number of steps.
        seed: Seed of the noise.

    Raises:
        InvalidInputError: If the fields have no score, the path has a basis, ``eps`` is not positive, or a log density
            is not one number per row, is NaN or plus infinity, or is minus infinity at a start.
    """
    number(
        "crooks_weights",
        "eps",
        eps,
        above=0,
        remedy="At eps = 0 the weights need the divergence of the velocity: log_prob.",
    )
    whole("crooks_weights", "n_steps", n_steps, at_least=1)
    if not fields.has_score:
        remedy = "Learn a score as well, such as heads=('velocity', 'noise') on a path with a latent term."
        raise invalid("crooks_weights", "the fields must have a score", type(fields).__name__, remedy)
    if fields.path is not None and fields.path.basis is not None:
        rule = "the path must have one noise scale for all directions, not a basis"
        raise invalid("crooks_weights", rule, type(fields.path).__name__)
    walk = _Walk.of(fields, float(eps), n_steps, reverse)
    size = max(1, _MOST_NUMBERS // max(1, x[0].numel())) if len(x) else 1
    with torch.no_grad():
        parts = [
            _weights(walk, part, log_densities, seed, n * size) for n, part in enumerate(torch.split(x, size))
        ]
    return torch.cat(parts)


def _weights(
    walk: "_Walk", x: Tensor, log_densities: tuple[LogDensity, LogDensity], seed: int, first: int
) -> Tensor:
    """L of paths from ``x``, of samples ``first, first + 1, ...``."""
    sign = -1.0 if walk.reverse else 1.0
    arrived, ratios = walk.go(x, seed, first)
    states = (arrived, x) if walk.reverse else (x, arrived)
    starts = (not walk.reverse, walk.reverse)
    f0, f1 = (
        checked_log_density(f"log_densities[{k}]", log_densities[k], states[k], start=starts[k])
        for k in (0, 1)
    )
    return f1 - f0 + sign * ratios.double()


def checked_log_density(name: str, log_density: LogDensity, x: Tensor, *, start: bool) -> Tensor:
    """Values of a log density at states ``(B, *D)``, ``(B,)`` float64.

    Args:
        name: Name in errors.
        log_density: The function.
        x: The states; it is called on them in float64.
        start: Whether these are samples of the density, at which it is positive.

    Raises:
        InvalidInputError: As in :func:`crooks_weights`.
    """
    value = torch.as_tensor(log_density(x.double()))
    if value.shape != x.shape[:1]:
        remedy = "Return one number per row: -U(x)/kT, in nats."
        raise invalid(
            "crooks_weights", f"{name} must give the shape {tuple(x.shape[:1])}", tuple(value.shape), remedy
        )
    value = value.double()
    invalid_rows = value.isnan() | (value == torch.inf)
    if bool(invalid_rows.any()):
        row = int(invalid_rows.nonzero()[0])
        remedy = "Minus infinity, for a density of zero, is allowed away from its samples."
        raise invalid("crooks_weights", f"{name} must be a number, at row {row}", float(value[row]), remedy)
    if start and bool((value == -torch.inf).any()):
        row = int((value == -torch.inf).nonzero()[0])
        remedy = "Log densities come in the order of the ends: (f0, f1)."
        raise invalid(
            "crooks_weights",
            f"{name} must be finite at samples of its density, at row {row}",
            -torch.inf,
            remedy,
        )
    return value


@dataclass(frozen=True)
class _Walk:
    """Paths in one direction: the grid, and one noise level for each step that both directions share."""

    fields: Fields
    times: Tensor
    levels: list[float]
    margin: float
    reverse: bool

    @classmethod
    def of(cls, fields: Fields, eps: float, n_steps: int, reverse: bool) -> "_Walk":
        times = torch.linspace(0, 1, n_steps + 1, dtype=torch.float64)
        levels, h = torch.full((n_steps,), eps, dtype=torch.float64), 1 / n_steps
        singular = fields.bounded_quantity == "noise" and fields.path is not None
        if singular and fields.path is not None:
            variance = fields.path.noise_scale(times[:-1] + h / 2).square()
            levels = torch.minimum(levels, SAFE_STEP * variance / h)
        times, levels = (times.flip(0), levels.flip(0)) if reverse else (times, levels)
        margin = h / 2 if singular else 0.0
        return cls(fields.closer(margin) if singular else fields, times, levels.tolist(), margin, reverse)

    def go(self, x: Tensor, seed: int, first: int) -> tuple[Tensor, Tensor]:
        """End points, and log ratios ``(B,)`` of the reverse kernels to the kernels of the paths."""
        sign = -1.0 if self.reverse else 1.0
        levels = iter([*self.levels, 0.0])  # the last node starts no step

        def node(y: Tensor, t: Tensor) -> _Node:
            inside = t.clamp(self.margin, 1 - self.margin)
            values = self.fields.evaluate(y, inside, ("velocity", "score"))
            drift = values["velocity"] + sign * next(levels) * values["score"]
            return _Node(y, drift, values["velocity"], values["score"])

        def increment(at: _Node, after: _Node, step: Step) -> Tensor:
            assert at.velocity is not None and at.score is not None  # noqa: PT018
            assert after.velocity is not None and after.score is not None  # noqa: PT018
            scores = at.score + after.score
            shift = step.dt * (after.velocity - at.velocity - sign * step.g**2 / 2 * scores)
            return kernel_log_ratio(shift.double(), step.dw.double(), step.g, step.dt)

        strength = [(2 * level) ** 0.5 for level in (*self.levels, self.levels[-1])]
        total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        source = BlockNoise.like(x, seed, "crooks", int(self.reverse), first=first)
        result = integrate_weighted(
            node,
            x,
            self.times.numpy(),
            EulerMaruyama(),
            strength,
            self._brownian(source),
            increment,
            log_weights=total,
        )
        return result.node.x, result.log_weights

    def _brownian(self, source: BlockNoise) -> Iterator[tuple[Tensor, None]]:
        h = 1 / len(self.levels)
        for _ in self.levels:
            yield source.normal(h**0.5), None
