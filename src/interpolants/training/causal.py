"""Causal weights: a loss along an ordered axis counts at a place once it is small at all places before it.

``w_i = exp(-eps sum_{k < i} L_k)`` for losses ``L_1, ..., L_n`` in order. The sum is n / T times an integral over the
axis: not eps but ``eps n / T`` is a property of the problem.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.checks import number, positive, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.tell import FitWarning, tell
from interpolants.training.aggregates import StepContext
from interpolants.training.losses import Losses, sum_of_means

# A weight below this counts as none.
VANISHED = 1e-3


def causal_weights(losses: Tensor, eps: float, before: Tensor | float = 0.0) -> Tensor:
    """``w_i = exp(-eps (before + sum_{k < i} L_k))``, ``(n,)`` -> ``(n,)``, without a gradient; ones for eps = 0.

    Args:
        losses: Losses in order, >= 0.
        eps: Strength; >= 0, in 1 / loss.
        before: Loss that comes before all of them.
    """
    with torch.no_grad():
        passed = torch.cat([losses.new_zeros(1), losses[:-1].cumsum(0)])
        return torch.exp(-eps * (passed + before))


class Causal:
    """An aggregate that weighs one loss causally: ``mean_i w_i L_i`` plus the means of the other losses.

    The strength eps climbs a ladder: it goes to the next rung when all weights exceed ``delta``, or after
    ``rung_steps`` steps. Where it stands is part of every checkpoint.

    Args:
        eps: The rungs, increasing; a single number for one, 0 for no weights at all.
        rung_steps: Most steps of a rung; the last one lasts as long as the training.
        delta: What all weights must exceed, in (0, 1).
        loss: Name of the loss with one value per place, in order.
        axis: Name of the places in the batch, ``(n,)``, increasing.
        first: Name of a loss that comes before all places, such as that of the initial condition; none if empty.
        first_places: Number of places as which that loss counts in the sum of the losses before a place; > 0.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Wang, Sankaran & Perdikaris (2024), arXiv:2203.07404, sections 3 and 4.
    """

    def __init__(
        self,
        eps: float | Sequence[float],
        *,
        rung_steps: int,
        delta: float = 0.99,
        loss: str = "residual",
        axis: str = "t",
        first: str = "",
        first_places: float = 1.0,
    ) -> None:
        self.ladder = check_ladder("Causal", eps)
        self.rung_steps = whole("Causal", "rung_steps", rung_steps, at_least=1)
        self.delta = number("Causal", "delta", delta, above=0, below=1)
        self.loss, self.axis, self.first = loss, axis, first
        self.first_places = positive("Causal", "first_places", first_places)
        self.rung, self.left, self.still = 0, self.rung_steps, 0
        self.lowest, self.front, self._used = 1.0, 0.0, self.ladder[0]
        self.about = {"eps": list(self.ladder), "rung_steps": rung_steps, "delta": delta, "loss": loss,
                      "axis": axis, "first": first}  # fmt: skip
        if first_places != 1:
            self.about["first_places"] = self.first_places

    @property
    def eps(self) -> float:
        """Strength on the rung it stands on."""
        return self.ladder[self.rung]

    def __call__(self, losses: Losses, context: StepContext) -> Tensor:
        """The weighted mean, and the means of the other losses."""
        ordered, places = losses[self.loss], context.batch[self.axis]
        self._check(ordered, places, context)
        before = self.first_places * losses[self.first].detach().mean() if self.first else 0.0
        weights = causal_weights(ordered, self.eps, before)
        total = sum_of_means({**losses, self.loss: weights * ordered})
        self._note(weights, places)
        return total

    def numbers(self) -> dict[str, float]:
        """Strength and smallest weight of the last step, for the log."""
        return {"eps": self._used, "w_min": self.lowest}

    def state_dict(self) -> dict[str, Any]:
        """The rung, the steps left on it, for how long weights have vanished, and what was found last."""
        return {
            "rung": self.rung,
            "left": self.left,
            "still": self.still,
            "lowest": self.lowest,
            "front": self.front,
        }

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Restore a stored state."""
        for name in self.state_dict():
            setattr(self, name, state[name])

    @property
    def stalled(self) -> float | None:
        """Place beyond which weights have vanished for as long as a rung may last; None if there is none."""
        return self.front if self.still >= self.rung_steps else None

    def warn(self, who: str) -> None:
        """Warn if training stalled, with the position.

        Args:
            who: Public name of who trains.
        """
        if (place := self.stalled) is not None:
            remedy = "Begin the ladder lower, or train longer; what lies beyond was not trained."
            message = (
                f"{who}: stalled at {self.axis} = {place:.4g}: weights beyond it stay below {VANISHED:g}"
            )
            tell(FitWarning, f"{message}. {remedy}")

    def _check(self, ordered: Tensor, places: Tensor, context: StepContext) -> None:
        if ordered.ndim != 1 or ordered.shape != places.shape:
            rule = f"loss {self.loss!r} must have one value per place of {self.axis!r}, {tuple(places.shape)}"
            raise invalid("Causal", rule, tuple(ordered.shape))
        if not bool((places[1:] > places[:-1]).all()):
            remedy = "Sort the positions and remove repeated ones."
            raise invalid(
                "Causal",
                f"{self.axis!r} of the batch must be strictly increasing",
                "positions that are not",
                remedy,
            )
        if context.world.size > 1:
            raise invalid(
                "Causal", "it must see all places, so training must be by one process", context.world.size
            )

    def _note(self, weights: Tensor, places: Tensor) -> None:
        """Count this step, and climb where it is due."""
        self._used = self.eps
        self.lowest = float(weights.min())
        seen = int((weights > VANISHED).sum())
        self.front = float(places[max(seen - 1, 0)])
        self.still = self.still + 1 if seen < len(weights) else 0
        self.left -= 1
        if self.rung + 1 < len(self.ladder) and (self.lowest > self.delta or self.left <= 0):
            self.rung, self.left = self.rung + 1, self.rung_steps


def check_ladder(who: str, eps: Any, name: str = "eps") -> tuple[float, ...]:
    """The rungs of a ladder, increasing numbers >= 0; a single number is a ladder of one.

    Args:
        who: Name of the caller, used in error messages.
        eps: The rungs.
        name: Name of the argument, used in error messages.

    Raises:
        InvalidInputError: If it is empty, does not increase, or one is negative.
    """
    rungs = tuple(eps) if isinstance(eps, Sequence) else (eps,)
    found = tuple(number(who, name, value, at_least=0) for value in rungs)
    if not found or any(b <= a for a, b in pairwise(found)):
        raise invalid(who, f"{name} must be numbers that increase, from weak to strong", rungs)
    return found
