"""Empirical bridge: exact fields of one-sided paths to a finite set of points.

Letters: base ``x0 = m + L z`` over N entries with an elliptical distribution, points ``y_i`` of weight ``p_i`` and mean
``y``; at time t ``u = L^-1 (x - alpha m - beta y)``, ``c_i = L^-1 (y_i - y)`` and ``z_i = (u - beta c_i) / alpha``, the
noise that leads from ``y_i`` to x. With ``q`` the density of z and ``k = pull(|z|^2)``, ``grad log q = -k z``:

* posterior weights ``w_i ~ p_i q(z_i)``, ends ``E[x1|x] = sum w_i y_i`` and ``E[x0|x] = (x - beta E[x1|x]) / alpha``;
* score ``sum w_i s_i`` with ``s_i = -L^-T k_i z_i / alpha``;
* divergence of the endpoint ``sum w_i (y_i - y) . (s_i - s)``.

Nothing here asks the base to be Gaussian.
"""

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Generator, Tensor

from interpolants.fields.protocol import QUANTITIES, Fields, as_time
from interpolants.foundations.checks import finite, floating, one_of
from interpolants.foundations.elliptical import Elliptical
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import sum_event
from interpolants.foundations.types import Condition
from interpolants.paths.path import Path, SpatiallyLinearPath


class EmpiricalBridge:
    """A finite set of points as the distribution of x1, reached from the base of a one-sided path.

    Args:
        points: ``(n, *D)``, in data units; computed in float64.
        weights: ``(n,)`` positive; equal when left out.

    Raises:
        InvalidInputError: If there are no points, one is not finite, or a weight is not positive.
    """

    def __init__(self, points: Tensor, weights: Tensor | None = None) -> None:
        who = "EmpiricalBridge"
        if not isinstance(points, Tensor):
            raise invalid(who, "points must be a tensor (n, *D)", type(points).__name__, "torch.as_tensor(x)")
        if points.ndim < 2 or len(points) < 1 or not points.is_floating_point():
            what = f"{points.dtype} of shape {tuple(points.shape)}"
            raise invalid(who, "points must be a floating-point tensor (n, *D)", what)
        finite(who, "points", points)
        if weights is None:
            weights = torch.ones(len(points))
        if weights.shape != (len(points),) or not bool((torch.isfinite(weights) & (weights > 0)).all()):
            raise invalid(who, f"weights must be {len(points)} finite numbers > 0", tuple(weights.shape))
        self.points = points.double()
        self.weights = (weights.double() / weights.double().sum()).to(self.points)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return tuple(self.points.shape[1:])

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw ``(n, *D)`` with replacement."""
        return self.points[torch.multinomial(self.weights, n, replacement=True, generator=generator)]

    def fields(self, path: Path) -> "EmpiricalFields":
        """All fields of a one-sided path, exact at every time before t = 1.

        Raises:
            InvalidInputError: If the path is not one-sided and spatially linear, or its base is not elliptical.
        """
        return EmpiricalFields(path, self.points, self.weights)


class EmpiricalFields(Fields):
    """The fields that :meth:`EmpiricalBridge.fields` gives; also density and divergence.

    States of any precision are computed in float64 and cast back. A condition is ignored. The distribution at t = 1 is
    discrete: there the fields are those a hair before, with the alpha of ``t = 1 - path.margin``.
    """

    path: SpatiallyLinearPath

    def __init__(self, path: Path, points: Tensor, weights: Tensor) -> None:
        who = "EmpiricalBridge"
        if not isinstance(path, SpatiallyLinearPath) or not isinstance(path.base, Elliptical):
            remedy = "For example, use OneSidedLinear(base=StudentT(df=4))."
            found = f"{type(path).__name__} with base {path.base}" if isinstance(path, Path) else repr(path)
            raise invalid(who, "path must be one-sided with an elliptical base", found, remedy)
        if path.basis is not None:
            raise invalid(who, "path must have one schedule for all directions", type(path).__name__)
        self.path, self.base = path, path.base
        self.points, self.shape = points.flatten(1), tuple(points.shape[1:])
        self.log_weights = weights.log()
        # L^-1 (y_i - y): squares of what is far from 0 would leave no digits to their differences
        zero = torch.zeros_like(points[:1])
        middle = (weights @ self.points).reshape(zero.shape)
        self.middle = middle.flatten(1)
        self.white_middle = (self.base.whiten(middle) - self.base.whiten(zero)).flatten(1)
        self.white = (self.base.whiten(points - middle) - self.base.whiten(zero)).flatten(1)
        self.white_squared = self.white.square().sum(1)

    def provides(self, quantity: str) -> bool:
        """Always, for a quantity that exists."""
        one_of("Fields", "the quantity", quantity, QUANTITIES)
        return True

    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        """The wanted quantities at ``x (B, *D)`` and ``t`` 0-d or ``(B,)``; the points are weighted once."""
        point = _Point(self.on(x.device), x, t)
        return {name: getattr(point, name).reshape(x.shape).to(x.dtype) for name in want}

    def log_prob(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Log density of ``x_t`` in nats, for t < 1; ``(B, *D)`` -> ``(B,)``."""
        return _Point(self.on(x.device), x, as_time(t, x)).log_prob.to(x.dtype)

    def divergence_of(self, cond: Condition = None) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Velocity and divergence from one weighting of the points."""

        def both(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            point = _Point(self.on(x.device), x, t)
            return point.velocity.reshape(x.shape).to(x.dtype), point.divergence.to(x.dtype)

        return both

    def on(self, device: torch.device) -> "EmpiricalFields":
        """The fields themselves, their points moved to where the states are."""
        if self.points.device != device:
            for name in ("points", "log_weights", "middle", "white_middle", "white", "white_squared"):
                setattr(self, name, getattr(self, name).to(device))
        return self


class _Point:
    """The fields at given states and times, each computed when first asked for; states flattened."""

    def __init__(self, fields: EmpiricalFields, x: Tensor, t: Tensor) -> None:
        if tuple(x.shape[1:]) != fields.shape:
            rule = f"states must have the shape of the points, {fields.shape}"
            raise invalid("EmpiricalBridge", rule, tuple(x.shape[1:]))
        self.fields, self.base, self.shape = fields, fields.base, x.shape
        time, path = t.double().reshape(-1, 1), fields.path
        alpha, self.beta = path.alpha(time), path.beta(time)
        # at t = 1 the distribution is the points themselves: divide by the last alpha that a sampler would divide by
        self.alpha = torch.where(alpha > 0, alpha, path.alpha(torch.full_like(time, 1 - path.margin)))
        self.alpha_dot, self.beta_dot = path.alpha_dot(time), path.beta_dot(time)
        self.x = floating("EmpiricalBridge", "x", x).double().flatten(1)
        self.size = self.x.shape[1]
        centre = self._white(torch.zeros_like(self.x[:1]))
        self.u = self._white(self.x) - centre + self.alpha * centre - self.beta * fields.white_middle
        self.along = self.u @ fields.white.T  # u . c_i
        squared = self.u.square().sum(1, keepdim=True) - 2 * self.beta * self.along
        squared = (squared + self.beta.square() * fields.white_squared).clamp_min(0) / self.alpha.square()
        self.log_joint = fields.log_weights + self.base.log_radial(squared, self.size)
        self.weights = self.log_joint.softmax(1)
        self.pulled = self.weights * self.base.pull(squared, self.size)

    def _white(self, x: Tensor) -> Tensor:
        return self.base.whiten(x.reshape(-1, *self.fields.shape)).flatten(1)

    @cached_property
    def log_prob(self) -> Tensor:
        """Of x_t."""
        volume = self.size * self.alpha[:, 0].log() + self.base.log_det(self.x.reshape(self.shape))
        return self.log_joint.logsumexp(1) - volume

    @cached_property
    def score(self) -> Tensor:
        """``-L^-T sum w_i k_i z_i / alpha``."""
        pulled = self.pulled.sum(1, keepdim=True) * self.u - self.beta * (self.pulled @ self.fields.white)
        wide = pulled.reshape(-1, *self.fields.shape)
        return -self.base.inverse_root_transpose(wide).flatten(1) / self.alpha.square()

    @cached_property
    def denoised(self) -> Tensor:
        """``sum w_i y_i``."""
        return self.weights @ self.fields.points

    @cached_property
    def endpoint0(self) -> Tensor:
        """``(x - beta E[x1 | x_t]) / alpha``."""
        return (self.x - self.beta * self.denoised) / self.alpha

    @cached_property
    def noise(self) -> Tensor:
        """``L^-1 (E[x0|x] - m)``."""
        return self._white(self.endpoint0)

    @cached_property
    def velocity(self) -> Tensor:
        """``alpha' E[x0|x] + beta' E[x1|x]``."""
        return self.alpha_dot * self.endpoint0 + self.beta_dot * self.denoised

    @property
    def mean_rate(self) -> Tensor:
        """The velocity: there is no latent term."""
        return self.velocity

    @cached_property
    def divergence(self) -> Tensor:
        """Of the velocity; ``(B,)``."""
        own = self.beta * self.fields.white_squared - self.along  # (y_i - y) . s_i alpha^2 / k_i
        of_end = (self.pulled * own).sum(1, keepdim=True) / self.alpha.square()
        of_end = of_end - sum_event((self.denoised - self.fields.middle) * self.score)[:, None]
        of_start = (self.size - self.beta * of_end) / self.alpha
        return (self.alpha_dot * of_start + self.beta_dot * of_end)[:, 0]
