"""Forecasts that learn nothing of how states follow one another: no change, and any state that was seen."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from interpolants.foundations.kinds import Count
from interpolants.foundations.randomness import key
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.methods.parts.forecasts import ensemble_of, pair_roles
from interpolants.methods.parts.start_points import Pool


class Persistence(Method):
    """The state stays as it is."""

    noun: ClassVar[str] = "forecast"

    def roles(self) -> tuple[Role, ...]:
        """Pairs, of which only the shape is used."""
        return pair_roles()

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Nothing."""
        return {}

    @capability(reads={"context": "now"}, like="context")
    def forecast(self, context: Tensor, *, members: Count = 1, steps: Count = 1) -> Ensemble:
        """Repeat the states: ``(B, members, *D)``, or ``(B, members, steps, *D)`` for more than one step.

        Args:
            context: States now, ``(B, *D)``.
            members: Members of each ensemble, all equal.
            steps: Lags ahead.
        """
        still = context[:, None].expand(-1, members, *context.shape[1:])
        return ensemble_of([still] * steps)


class Climatology(Method):
    """A state drawn from all that came later in the training data, whatever the state now."""

    noun: ClassVar[str] = "forecast"

    def roles(self) -> tuple[Role, ...]:
        """Pairs; those later are kept."""
        return pair_roles()

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Keep at most 10,000 rows."""
        return {"later": Pool.of(data["later"], None, self.seed)}

    @capability(reads={"context": "now"}, like="context")
    def forecast(
        self, context: Tensor, *, members: Count = 50, steps: Count = 1, seed: int = 0, first_index: int = 0
    ) -> Ensemble:
        """Draw states: member m of case i at a lag is one row of (seed, i, m, lag).

        Args:
            context: States now, ``(B, *D)``; only their number is used.
            members: Members of each ensemble.
            steps: Lags ahead.
            seed: Seed of the draws.
            first_index: Index of the first row in a larger job, so that parts agree with the whole.

        Returns:
            ``(B, members, *D)``, or ``(B, members, steps, *D)`` for more than one step.
        """

        def drawn(lag: int, member: int) -> Tensor:
            pool: Pool = self.state["later"]
            return pool.draw(len(context), key(seed, "climatology", lag, member), first_index)

        lags = [torch.stack([drawn(lag, m) for m in range(members)], 1) for lag in range(steps)]
        return ensemble_of([x.to(context.dtype) for x in lags])
