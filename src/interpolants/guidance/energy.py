"""Energy guidance: the score is shifted by the gradient of an energy of the denoised state.

Letters: ``e1 = E[x1|x_t]``; E an energy in nats, low where a result is wanted; ``lambda`` its strength.

The score becomes ``s - lambda grad_x E(e1(x))``, and velocity, endpoints and mean noise follow by the path's own
relations (``guidance.shifted``). For ``exp(-E)`` a likelihood this puts the energy of the mean end point in the place
of the true ``-log E[exp(-E(x1)) | x_t]``: right to first order in the spread of x1 given x_t, and late on the path.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import number, positive
from interpolants.foundations.derivatives import gradient
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.ops import sum_event
from interpolants.foundations.types import Condition
from interpolants.guidance.experts import Schedule
from interpolants.guidance.shifted import ShiftedScore
from interpolants.operators.measurement import Operator, as_operator

Energy = Callable[[Tensor, Any], Tensor]
_GIVEN, _REST = "observed", "rest"


def observed(y: Any, cond: Condition = None) -> dict[str, Any]:
    """The condition of guidance by an energy: what the energy compares with, beside the fields' own condition.

    Args:
        y: One row per sample, ``(B, ...)``.
        cond: The inner fields' own condition, one row per sample.
    """
    return {_GIVEN: y, _REST: cond}


def is_observed(cond: Condition) -> bool:
    """Whether a condition was made by :func:`observed`."""
    return isinstance(cond, dict) and _GIVEN in cond


@dataclass(frozen=True)
class Misfit:
    """``E(x1, y) = |y - H(x1)|^2 / (2 noise^2)``: a measurement with Gaussian noise.

    Args:
        operator: H: an ``Operator``, a matrix, or any differentiable function.
        noise: Standard deviation of the noise, in units of y, > 0.

    Raises:
        InvalidInputError: If the noise is not positive, or the operator is none.
    """

    operator: Operator
    noise: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "operator", as_operator("Misfit", self.operator))
        positive("Misfit", "noise", self.noise)

    def __call__(self, x1: Tensor, y: Tensor) -> Tensor:
        """The energy of each row, ``(B,)`` in nats."""
        return sum_event((y - self.operator(x1)).square()) / (2 * self.noise**2)


class EnergyGuided(ShiftedScore):
    """Fields with the score ``s - lambda(t) grad_x E(E[x1|x])`` and every other quantity to match.

    ::

        guided = EnergyGuided(fields, Misfit(Mask(known), 0.05))
        sample(guided, x, eps=0.5, cond=observed(y))
        EnergyGuided(fields, lambda x1, _: x1.square().flatten(1).sum(1))      # no y

    Each evaluation differentiates the fields once. For a Gaussian distribution and a linear measurement the exact
    guidance sets ``|y - H e1|^2`` against ``noise^2 + H Var[x1|x] H^T``: with ``noise^2`` alone it pushes too hard
    early, and a noise far below the spread of x1 needs small steps.

    Args:
        fields: Fields on a one-sided path with a Gaussian base.
        energy: ``E(x1, y) -> (B,)`` in nats, differentiable in x1; y is what the condition holds, or None.
        strength: lambda: a number or a function of t, >= 0.

    Raises:
        InvalidInputError: If the path is another, or the energy cannot be called.
        DivergedError: If the guided score leaves the finite numbers, at an evaluation.

    Source: Chung et al. (2023), arXiv:2209.14687, for measurements; the rule for all quantities is ours.
    """

    def __init__(self, fields: Fields, energy: Energy, strength: Schedule = 1.0) -> None:
        super().__init__(fields)
        given: Any = energy
        if not callable(given):
            raise invalid("EnergyGuided", "energy must be callable as E(x1, y)", type(given).__name__)
        if not callable(strength):
            number("EnergyGuided", "strength", strength, at_least=0)
        self.energy, self.strength = energy, strength

    def inner_cond(self, cond: Condition) -> Condition:
        """The inner fields' own condition."""
        return cond[_REST] if is_observed(cond) else cond

    def shift(self, x: Tensor, t: Tensor, cond: Condition) -> Tensor:
        """``-lambda grad E(E[x1|x])``.

        Raises:
            DivergedError: If it is not finite.
        """
        given, rest = (cond[_GIVEN] if is_observed(cond) else None), self.inner_cond(cond)

        def energy(point: Tensor) -> Tensor:
            mean = self.inner.evaluate(point, t, ("denoised",), rest)["denoised"]
            value = self.energy(mean, given)
            if value.shape != (len(point),):
                rule = f"the energy must return one number per row, ({len(point)},)"
                raise invalid("EnergyGuided", rule, tuple(value.shape))
            return value

        slope = gradient(energy, x)
        # Read back on the CPU only; elsewhere the samplers' own check at the end has to do.
        if slope.is_cpu and not bool(torch.isfinite(slope).all()):
            row = int((~torch.isfinite(slope).reshape(len(x), -1).all(1)).nonzero()[0])
            when = float(t if t.ndim == 0 else t[row])
            remedy = "Take more steps, a smaller strength or more noise in the energy."
            raise DivergedError(
                f"EnergyGuided: the guidance of row {row} is not finite at t={when:.6g}. {remedy}"
            )
        strength = self.strength(t) if callable(self.strength) else self.strength
        if isinstance(strength, Tensor):
            return self.path.apply(-strength, slope)
        return -strength * slope
