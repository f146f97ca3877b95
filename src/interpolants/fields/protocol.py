"""Fields of an interpolant: conditional expectations and the score of the distribution of x_t.

Quantities, by name (x is the state at time t):

========== ============================== =====================
name       meaning                        letter
========== ============================== =====================
velocity   E[dI/dt + gamma' z | x_t = x]   b
mean_rate  E[dI/dt | x_t = x]              v
score      grad log rho(t, x)             s
noise      E[z | x_t = x]                 eta_z
endpoint0  E[x0 | x_t = x]                eta_0
denoised   E[x1 | x_t = x]                eta_1
========== ============================== =====================

In a one-sided path z is the whitened base point, ``x0 = mean + L z``, whatever the distribution of the base.
The drift of an SDE is another thing: ``b + eps s`` forwards, ``b - eps s`` backwards.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn, Protocol, SupportsFloat, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import time_dtype
from interpolants.foundations.renamed import renamed_to
from interpolants.foundations.types import Condition
from interpolants.paths.path import Path

_ZERO = torch.zeros(())
Weights = Callable[[Tensor], Sequence[Tensor | float]]


class Combined(Protocol):
    """A weighted sum of fields as a function of state, time and condition."""

    def __call__(self, x: Tensor, t: Tensor, cond: Condition) -> Tensor:
        """The sum, ``(B, *D)``."""
        ...


QUANTITIES = ("velocity", "mean_rate", "score", "noise", "endpoint0", "denoised")


@runtime_checkable
class LogDensities(Protocol):
    """Fields that know the log density of x_t."""

    def log_prob(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Log density at time ``t``, ``(B, *D) -> (B,)`` in nats."""
        ...


class Fields(ABC):
    """The fields of one interpolant; everything downstream asks for velocity and score only.

    A subclass answers :meth:`evaluate`, several quantities in one call, so that shared work is done once.
    """

    path: Path | None = None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            new = renamed_to(name, dir(type(self)))
            hint = "" if new is None else f"; it was renamed to {new!r}"
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")

    @abstractmethod
    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        """The wanted quantities at ``x (B, *D)`` and ``t`` (0-d or ``(B,)``), each ``(B, *D)``.

        No value is checked here: this is the samplers' inner loop.
        """

    @abstractmethod
    def provides(self, quantity: str) -> bool:
        """Whether the quantity follows from what is known."""

    @property
    def known(self) -> tuple[str, ...]:
        """The quantities that are given directly; the others follow from them by relations of the path."""
        return ("velocity",)

    @property
    def networks(self) -> list[nn.Module]:
        """The networks that are evaluated: the width of their layers decides how many rows fit the cache."""
        return []

    def density_caveat(self, cond: Condition) -> str:
        """Warning about densities by the flow of these fields; empty for none."""
        return ""

    @property
    def rounded_by(self) -> tuple[object, str]:
        """What decides how rows are rounded, an object that may outlive the fields, and how these ask it."""
        return self, ""

    @property
    def bounded_quantity(self) -> str:
        """Which of score and noise stays finite at the ends: samplers multiply that one by what vanishes."""
        return "score"

    def through(self, change: Callable[[nn.Module], nn.Module]) -> "Fields":
        """The same fields with every network replaced by what ``change`` makes of it; themselves without networks."""
        return self

    def closer(self, margin: float) -> "Fields":
        """The same fields, with relations evaluated up to ``margin`` from the ends if they stop further away."""
        return self

    def error_factors(self, quantity: str, times: Tensor) -> Tensor:
        """By how much errors of what was learnt are multiplied in a quantity at times ``(n,)``; ``(n,)`` float64."""
        return torch.ones(len(times), dtype=torch.float64)

    @property
    def knows_latent_apart(self) -> bool:
        """Whether mean rate and mean noise are known apart, so that a step may take the increment of gamma itself.

        Samplers with fixed steps then ask for these two and not for the velocity.
        """
        return False

    @property
    def has_score(self) -> bool:
        """Whether SDEs can be run."""
        return self.provides("score")

    def combine(
        self, x: Tensor, t: Tensor, terms: Sequence[tuple[str, Tensor | float]], cond: Condition = None
    ) -> Tensor:
        """``sum_k w_k q_k(x, t)`` for ``terms`` ``(q_k, w_k)`` with weights that depend on time alone, ``(B, *D)``.

        On a path with a basis a weight may be one number per coordinate.
        """
        return self.weigh(self.evaluate(x, t, [name for name, _ in terms], cond), terms)

    def weigh(self, values: Mapping[str, Tensor], terms: Sequence[tuple[str, Tensor | float]]) -> Tensor:
        """The sum of :meth:`combine` from its quantities."""
        basis = None if self.path is None else self.path.basis
        if basis is None:
            return weighted_sum([(values[name], weight) for name, weight in terms])
        total = weighted_sum([(basis.forward(values[name]), weight) for name, weight in terms])
        return basis.inverse(total).to(values[terms[0][0]].dtype)

    def combined(self, names: Sequence[str], weights: Weights, times: Sequence[Tensor] = ()) -> Combined:
        """:meth:`combine` with weights that are functions of time, made once for the samplers' inner loop.

        Args:
            names: The quantities.
            weights: One time, 0-d, or all of ``times`` in their order, ``(n,)`` -> one weight per quantity, a number or
                of the shape of the times; on a path with a basis there may be one per time and coordinate.
            times: Times that will be asked for, from ``clock``: what depends on time alone may be worked out now.

        Returns:
            ``(x, t, cond) -> sum_k w_k(t) q_k(x, t)``.
        """

        def sum_at(x: Tensor, t: Tensor, cond: Condition) -> Tensor:
            return self.combine(x, t, [*zip(names, weights(t), strict=True)], cond)

        return sum_at

    def velocity_of(self, cond: Condition = None) -> Callable[[Tensor, Tensor], Tensor]:
        """The velocity as a function of state and time alone, for the solvers' inner loop."""
        evaluate, want = self.evaluate, ("velocity",)
        return lambda x, t: evaluate(x, t, want, cond)["velocity"]

    def divergence_of(
        self, cond: Condition = None
    ) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
        """The velocity with its divergence ``(B,)`` in closed form, where there is one: else it is differentiated."""
        return None

    def log_density_of(self, cond: Condition = None) -> Callable[[Tensor, Tensor], Tensor] | None:
        """The log density ``u(x, t) -> (B,)``, up to a function of time, whose gradient the score is; or None."""
        return None

    def velocity(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """The field b of the probability flow, in data units per unit of time."""
        return self._one("velocity", x, t, cond)

    def mean_rate(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """The mean rate v, the velocity without the latent term's share."""
        return self._one("mean_rate", x, t, cond)

    def score(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """The score, in 1/data.

        Raises:
            NotIdentifiableError: If it does not follow from what is known.
            InvalidInputError: If it is singular at a requested time: no noise at an end, and no direct score.
        """
        return self._one("score", x, t, cond)

    def noise(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """The mean noise ``E[z|x_t]``, without unit (noise prediction)."""
        return self._one("noise", x, t, cond)

    def endpoint0(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """The mean start point ``E[x0|x_t]``, in data units."""
        return self._one("endpoint0", x, t, cond)

    def denoised(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """The denoised state ``E[x1|x_t]``, in data units (data prediction)."""
        return self._one("denoised", x, t, cond)

    def _exact(self, x: Tensor, t: Tensor, quantity: str, cond: Condition) -> Tensor:
        return self.evaluate(x, t, (quantity,), cond)[quantity]

    def _one(self, quantity: str, x: Tensor, t: Tensor | float, cond: Condition) -> Tensor:
        time = as_time(t, x, f"Fields.{quantity}")
        value = self._exact(x, time, quantity, cond)
        # Read back on the CPU only; elsewhere the read would stall the queue.
        if value.is_cpu and not bool(torch.isfinite(value).all()):
            bad = ~torch.isfinite(value).reshape(x.shape[0], -1).all(1)
            when = time.expand(x.shape[0])[bad][0]
            remedy = "Stay inside (0, 1), or learn this quantity directly."
            raise invalid(
                f"Fields.{quantity}", "the value must be finite", f"nan or inf at t={float(when):.6g}", remedy
            )
        return value


def weighted_sum(terms: Sequence[tuple[Tensor, Tensor | float]]) -> Tensor:
    """``sum_k w_k y_k`` by one operation per term; weights are numbers or 0-d tensors."""
    (value, weight), *rest = terms
    own = isinstance(weight, Tensor) or weight != 1.0  # whether the sum is in memory made here
    if isinstance(weight, Tensor):
        total = value * weight
    else:  # an addition, as what follows is: code that has just run is in the caches, which a network has emptied
        total = torch.add(_ZERO, value, alpha=weight) if own else value
    for value, weight in rest:
        if isinstance(weight, Tensor):
            total = torch.addcmul(total, value, weight.to(total.dtype))
        elif own:
            total.add_(value, alpha=weight)
        else:
            total = torch.add(total, value, alpha=weight)
        own = True
    return total


# Times that were calculated may be off by rounding.
_SLACK = 1e-6


def as_time(t: Tensor | float, x: Tensor, who: str = "fields") -> Tensor:
    """A number or tensor of times in [0, 1] in the type that suits ``x``; 0-d stays 0-d.

    Raises:
        InvalidInputError: If it is no number, or out of [0, 1]: what a network makes of such a time is arbitrary.
    """
    remedy = "Time is 0 at the start and 1 at the data."
    if isinstance(t, bool) or not isinstance(t, Tensor | np.ndarray | SupportsFloat):
        raise invalid(who, "t must be a number or a tensor of times", repr(t), remedy)
    time = torch.as_tensor(t, dtype=time_dtype(x), device=x.device)
    # Read back on the CPU only; elsewhere the read would stall the queue.
    if time.is_cpu and not bool(((time >= -_SLACK) & (time <= 1 + _SLACK)).all()):
        outside = time[~((time >= -_SLACK) & (time <= 1 + _SLACK))].flatten()[0]
        raise invalid(who, "t must lie in [0, 1]", f"{float(outside):g}", remedy)
    return time
