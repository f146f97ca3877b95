"""Energy guidance: the score is shifted by the gradient of an energy of the denoised state.

Letters: ``e1 = E[x1|x_t]``; E an energy in nats, low where a result is wanted; ``lambda`` its strength.

The score becomes ``s - lambda grad_x E(e1(x))``, and velocity, endpoints and mean noise follow by the path's own
relations (``guidance.shifted``). For ``exp(-E)`` a likelihood this puts the energy of the mean end point in the place
of the true ``-log E[exp(-E(x1)) | x_t]``: right to first order in the spread of x1 given x_t, and late on the path.

The gradient is taken in one of two ways. *At the input* it goes through the fields: ``grad_x e1`` carries what is
known of some entries over to the others. *At the output* the mean noise is held constant, ``e1 = (x - alpha e0)/beta``,
so that ``grad_x E = grad E(e1) / beta``: no derivative of the network, and the entries on which E depends are pushed
alone. The network carries their new values over at the next step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor

from interpolants.fields.protocol import Fields
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import number, one_of
from interpolants.foundations.derivatives import gradient
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.kinds import Check, Positive
from interpolants.foundations.ops import sum_event
from interpolants.foundations.types import Condition
from interpolants.guidance.experts import Schedule
from interpolants.guidance.shifted import ShiftedScore
from interpolants.operators.measurement import Operator, as_operator

Energy = Callable[[Tensor, Any], Tensor]
PLACES = ("input", "output")


class Observed(NamedTuple):
    """The condition of guidance by an energy.

    Attributes:
        y: What the energy compares with, one row per sample, ``(B, ...)``.
        cond: The inner fields' own condition, one row per sample.
    """

    y: Any
    cond: Condition = None


def observed(y: Any, cond: Condition = None) -> Observed:
    """The condition of guidance by an energy: what the energy compares with, beside the fields' own condition.

    Args:
        y: One row per sample, ``(B, ...)``.
        cond: The inner fields' own condition, one row per sample.
    """
    return Observed(y, cond)


@dataclass(frozen=True)
class Misfit(Checked):
    """``E(x1, y) = |y - H(x1)|^2 / (2 noise^2)``: a measurement with Gaussian noise.

    Raises:
        InvalidInputError: If the noise is not positive, or the operator is none.
    """

    operator: Annotated[Operator, Check(as_operator)]
    """H: an ``Operator``, a matrix, or any differentiable function."""
    noise: Positive = 1.0
    """Standard deviation of the noise, in units of y."""

    def __call__(self, x1: Tensor, y: Tensor) -> Tensor:
        """The energy of each row, ``(B,)`` in nats."""
        return sum_event((y - self.operator(x1)).square()) / (2 * self.noise**2)


class EnergyGuided(ShiftedScore):
    """Fields with the score ``s - lambda(t) grad_x E(E[x1|x])`` and every other quantity to match.

    ::

        guided = EnergyGuided(fields, Misfit(Mask(known), 0.05))
        sample(guided, x, eps=0.5, cond=observed(y))
        EnergyGuided(fields, lambda x1, _: x1.square().flatten(1).sum(1))      # no y

    Each evaluation at the input differentiates the fields once, each at the output the energy alone. For a Gaussian
    distribution and a linear measurement the exact guidance sets ``|y - H e1|^2`` against ``noise^2 + H Var[x1|x]
    H^T``: with ``noise^2`` alone it pushes too hard early, and a noise far below the spread of x1 needs small steps.

    Args:
        fields: Fields on a one-sided path with a Gaussian base.
        energy: ``E(x1, y) -> (B,)`` in nats, differentiable in x1; y is what the condition holds, or None.
        strength: lambda: a number or a function of t, >= 0.
        at: ``"input"`` takes the gradient through the fields, ``"output"`` that in ``E[x1|x]`` with the mean noise held
            constant.

    Raises:
        InvalidInputError: If the path is another, the energy cannot be called, or ``at`` is unknown.
        DivergedError: If the guided score leaves the finite numbers, at an evaluation.

    Source: Chung et al. (2023), arXiv:2209.14687, for measurements; Kollovieh et al. (2023), arXiv:2307.11494, for
    series; the rule for all quantities is ours.
    """

    def __init__(
        self, fields: Fields, energy: Energy, strength: Schedule = 1.0, *, at: str = "input"
    ) -> None:
        super().__init__(fields)
        given: Any = energy
        if not callable(given):
            raise invalid("EnergyGuided", "energy must be callable as E(x1, y)", type(given).__name__)
        if not callable(strength):
            number("EnergyGuided", "strength", strength, at_least=0)
        self.energy, self.strength = energy, strength
        self.at = one_of("EnergyGuided", "at", at, PLACES)

    def inner_cond(self, cond: Condition) -> Condition:
        """The inner fields' own condition."""
        return cond.cond if isinstance(cond, Observed) else cond

    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        """The wanted quantities; at the output they come from one evaluation of the inner fields."""
        if self.at == "input":
            return super().evaluate(x, t, want, cond)
        asked = list(dict.fromkeys([*want, "denoised"]))
        values = self.inner.evaluate(x, t, asked, self.inner_cond(cond))
        h = self._shift_at_output(values["denoised"], t, cond)
        return {name: values[name] + self._share(name, h, t) for name in want}

    def shift(self, x: Tensor, t: Tensor, cond: Condition) -> Tensor:
        """``-lambda grad E(E[x1|x])``.

        Raises:
            DivergedError: If it is not finite.
        """
        rest = self.inner_cond(cond)
        if self.at == "output":
            return self._shift_at_output(self._mean(x, t, rest), t, cond)
        slope = gradient(lambda point: self._energy(self._mean(point, t, rest), cond), x)
        return self._weighted(slope, t)

    def _mean(self, x: Tensor, t: Tensor, rest: Condition) -> Tensor:
        return self.inner.evaluate(x, t, ("denoised",), rest)["denoised"]

    def _shift_at_output(self, mean: Tensor, t: Tensor, cond: Condition) -> Tensor:
        slope = gradient(lambda point: self._energy(point, cond), mean.detach())
        beta = self.path.beta(t)
        # Where beta = 0 the state says nothing of the data, and nothing is added.
        inverse = torch.where(beta == 0, torch.zeros_like(beta), 1 / torch.where(beta == 0, 1.0, beta))
        return self._weighted(self.path.apply(inverse, slope), t)

    def _energy(self, mean: Tensor, cond: Condition) -> Tensor:
        value = self.energy(mean, cond.y if isinstance(cond, Observed) else None)
        if value.shape != (len(mean),):
            rule = f"the energy must return one number per row, ({len(mean)},)"
            raise invalid("EnergyGuided", rule, tuple(value.shape))
        return value

    def _weighted(self, slope: Tensor, t: Tensor) -> Tensor:
        # Read back on the CPU only; elsewhere the samplers' own check at the end has to do.
        if slope.is_cpu and not bool(torch.isfinite(slope).all()):
            row = int((~torch.isfinite(slope).reshape(len(slope), -1).all(1)).nonzero()[0])
            when = float(t if t.ndim == 0 else t[row])
            remedy = "Take more steps, a smaller strength or more noise in the energy."
            raise DivergedError(
                f"EnergyGuided: the guidance of row {row} is not finite at t={when:.6g}. {remedy}"
            )
        strength = self.strength(t) if callable(self.strength) else self.strength
        if isinstance(strength, Tensor):
            return self.path.apply(-strength, slope)
        return -strength * slope
