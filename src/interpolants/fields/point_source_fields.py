"""Fields of an interpolant that starts at one known point: one drift determines all others at every noise level.

Letters: x_t = alpha x0 + beta x1 + gamma z with x0 known; ``r = x - alpha x0``, ``w = u - alpha' x0``,
``D = (1 - t) beta' + beta``, ``q = beta / D``. Learnt is

    ``u(t, x | x0) = E[dI/dt - gamma / (1 - t) z | x_t = x, x0]``,

the drift of the SDE of noise level ``eps* = gamma gamma' + gamma^2 / (1 - t)`` that starts from the point x0; for
``gamma^2 = 2 a t (1 - t)`` that is ``eps* = a``. It is finite at t = 0, where velocity and score, each alone, are not
defined away from x0. As x0 is known, position and u determine the mean end point and hence

* score ``s = -((1 - q) r - (1 - t) q w) / gamma^2``: finite at t = 1 for a Brownian envelope, no division by 1 - t;
* velocity ``b = u - eps* s``, so the drift at any other noise level is ``u + (eps - eps*) s``.

Where beta = 0 (an interpolant at rest) x1 is absent, q = 0 and ``s = -r / gamma^2`` is exact.

Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section on diffusive interpolants; Chen et al. (2024),
arXiv:2403.13724; formulas derived anew for a free envelope.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from interpolants.fields.protocol import QUANTITIES, Fields
from interpolants.foundations.checks import number, one_of
from interpolants.foundations.clock import is_number, number_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import expand_like
from interpolants.foundations.types import Condition, Field
from interpolants.paths.path import SpatiallyLinearPath


def start_at(x0: Tensor, cond: Condition = None) -> dict[str, Any]:
    """The condition of a point-source field: where each row started, and whatever else is known of it."""
    return {"x0": x0, "cond": cond}


class Level(NamedTuple):
    """Coefficients of u and of the relations at one time, float64 numbers or ``(B, 1, ...)`` tensors.

    Attributes:
        alpha, alpha_dot: Of the path.
        p: ``(1 - t) beta / D``.
        rest: ``1 - beta / D``, not taken from a rounded ``beta / D``: it vanishes at t = 1 as ``gamma^2`` does.
        squared: ``gamma^2``.
        gamma: Of the path.
        eps: ``eps* = gamma gamma' + gamma^2 / (1 - t)``.
        pull: ``1 / (1 - t)``.
        divisor: D.
        beta, beta_dot: Of the path.
    """

    alpha: Any
    alpha_dot: Any
    p: Any
    rest: Any
    squared: Any
    gamma: Any
    eps: Any
    pull: Any
    divisor: Any
    beta: Any
    beta_dot: Any


class FirstStep(NamedTuple):
    """The distribution of ``x_t`` soon after a point start: ``N(mean, std^2 Id)``, ``mean (B, *D)``."""

    mean: Tensor
    std: float


class PointSourceFields(Fields):
    """All fields of ``x_t`` given the point ``x0`` it started from, out of one learnt or exact function.

    The condition handed to the fields is ``start_at(x0, cond)``.

    Args:
        path: A two-sided spatially linear path with latent noise, e.g. ``Diffusive``; x0 must leave with
            ``alpha' = beta' = 0`` or at least at a finite rate.
        drift: u, the drift at the noise level ``eps*``, as ``f(x, t, cond)`` with ``cond = start_at(x0, ...)``.
        denoised: ``E[x1 | x_t, x0]`` instead, called alike; exact problems know it. Its errors are divided by 1 - t.
        margin: Relations are evaluated at times clipped to ``[margin, 1 - margin]``, the function itself is not.

    Raises:
        InvalidInputError: If the path has no latent noise or a base of its own, or not just one function is given.
    """

    path: SpatiallyLinearPath

    def __init__(
        self,
        path: SpatiallyLinearPath,
        *,
        drift: Field | None = None,
        denoised: Field | None = None,
        margin: float = 1e-5,
    ) -> None:
        who = "PointSourceFields"
        if not isinstance(path, SpatiallyLinearPath) or path.is_one_sided or path.envelope.is_zero:
            remedy = "For example, use paths.Diffusive(); a point spreads only where there is noise."
            raise invalid(
                who,
                "path must be two-sided, spatially linear, with gamma > 0 inside",
                type(path).__name__,
                remedy,
            )
        if path.is_static:
            raise invalid(
                who, "path must lead from x0 to x1", type(path).__name__, "A mirror path stays at x1."
            )
        if (drift is None) == (denoised is None):
            raise invalid(
                who,
                "exactly one of drift and denoised must be passed",
                "none" if drift is None else "both",
                "Either determines all other fields.",
            )
        number(who, "margin", margin, above=0, below=0.5)
        self.path, self.margin = path, margin
        self._drift, self._denoised = drift, denoised
        self._memory: dict[float, Level] = {}

    @property
    def networks(self) -> list[nn.Module]:
        """The network, if the function is one."""
        return [f for f in (self._drift, self._denoised) if isinstance(f, nn.Module)]

    def provides(self, quantity: str) -> bool:
        """All six quantities."""
        one_of("Fields", "the quantity", quantity, QUANTITIES)
        return True

    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        """The wanted quantities at ``x (B, *D)``, ``t`` 0-d or ``(B,)``, given ``cond = start_at(x0, ...)``."""
        x0, at = _start(cond, x), self.level(t, x)
        u = self._forward(x, t, cond, at)
        r, w = x - at.alpha * x0, u - at.alpha_dot * x0
        score = (at.p * w - at.rest * r) / at.squared
        rules: dict[str, Callable[[], Tensor]] = {
            "score": lambda: score,
            "noise": lambda: -at.gamma * score,
            "velocity": lambda: u - at.eps * score,
            "mean_rate": lambda: u - at.squared * at.pull * score,
            "endpoint0": lambda: x0,
            "denoised": lambda: (w + at.pull * r) / (at.pull * at.divisor),
        }
        return {name: rules[name]() for name in want}

    def forward_drift(self, x: Tensor, t: Tensor | float, x0: Tensor, cond: Condition = None) -> Tensor:
        """The drift u itself, in data units per unit of time; finite on [0, 1) with t = 0 included."""
        time = torch.as_tensor(t, dtype=x.dtype, device=x.device)
        return self._forward(x, time, start_at(x0, cond), self.level(time, x))

    def first_step(self, x0: Tensor, t: float, cond: Condition = None) -> FirstStep:
        """The distribution of ``x_t`` at a small ``t > 0``: exact up to ``beta(t)`` times the spread of x1, squared.

        ``x_t = alpha x0 + beta x1 + gamma z`` with x1 replaced by its mean given that nothing has happened yet.
        """
        time = torch.as_tensor(t, dtype=x0.dtype, device=x0.device)
        at = self.level(time, x0)
        base = at.alpha * x0
        u = self._forward(base, time, start_at(x0, cond), at)
        return FirstStep(base + at.p * (u - at.alpha_dot * x0), float(at.gamma))

    def level(self, t: Tensor, x: Tensor) -> Level:
        """The coefficients at a time; numbers are remembered, as a sampler visits the same times again and again."""
        if is_number(t):
            key = number_of(t)
            if key not in self._memory:
                if len(self._memory) > 4096:
                    self._memory.clear()
                self._memory[key] = Level(*(float(c) for c in self._level(t.double())))
            return self._memory[key]
        return Level(*(expand_like(c, x).to(x.dtype) for c in self._level(t.double())))

    def _level(self, t: Tensor) -> Level:
        path, t = self.path, t.clamp(self.margin, 1 - self.margin)
        beta, beta_dot, gamma = path.beta(t), path.beta_dot(t), path.envelope.gamma(t)
        divisor = (1 - t) * beta_dot + beta
        # at the start beta and its rate may be zero: x1 has no share yet
        q = torch.where(divisor == 0, torch.zeros_like(t), beta / divisor)
        rest = torch.where(divisor == 0, torch.ones_like(t), (1 - t) * beta_dot / divisor)
        squared = gamma.square()
        eps = path.envelope.gamma_gamma_dot(t) + squared / (1 - t)
        return Level(
            path.alpha(t),
            path.alpha_dot(t),
            (1 - t) * q,
            rest,
            squared,
            gamma,
            eps,
            1 / (1 - t),
            divisor,
            beta,
            beta_dot,
        )

    def _forward(self, x: Tensor, t: Tensor, cond: Condition, at: Level) -> Tensor:
        function = self._drift if self._drift is not None else self._denoised
        assert function is not None
        value = function(x, t, cond)
        if value.shape != x.shape:
            rule = f"the output must have shape {tuple(x.shape)}"
            raise invalid("PointSourceFields", rule, tuple(value.shape))
        if self._drift is not None:
            return value
        x0: Tensor = cond["x0"]
        rest = x - at.alpha * x0 - at.beta * value
        u: Tensor = at.alpha_dot * x0 + at.beta_dot * value - at.pull * rest
        return u


def _start(cond: Condition, x: Tensor) -> Tensor:
    if not isinstance(cond, dict) or "x0" not in cond:
        remedy = "Pass cond=start_at(x0), or use dynamics.sample_from_point."
        raise invalid(
            "PointSourceFields",
            "the condition must contain the starting point of each row",
            type(cond).__name__,
            remedy,
        )
    x0: Tensor = cond["x0"]
    if x0.shape != x.shape:
        raise invalid("PointSourceFields", f"x0 must have the shape of x, {tuple(x.shape)}", tuple(x0.shape))
    return x0
