"""The loss of one quantity of a path under a structured condition, in the form that the training loop calls."""

from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.objectives.joint import Weight
from interpolants.objectives.losses import Objective
from interpolants.objectives.times import TimeSampler, UniformTimes


class ConditionedLoss:
    """``weight |f(x_t, t, cond) - target|^2`` on batches with ``x1``, ``t``, ``weight``; ``cond`` if there is one.

    Entries that are false in ``known``, truth values ``(B, *D)`` that a batch may have, do not count.

    Args:
        objective: What is learnt of which path.
        mean: Whether entries are averaged, not summed: then states of any size have losses of one size.
        weight: ``weight(x_t, t) -> {quantity: (B,)}``, how much a row counts, as of a preconditioned network.
        times: Told what the losses say of the times.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        mean: bool = False,
        weight: Weight | None = None,
        times: TimeSampler | None = None,
    ) -> None:
        self.objective, self.mean, self.weight = objective, mean, weight
        self.times = UniformTimes() if times is None else times

    def __call__(self, net: Any, batch: dict[str, Any], generator: Generator) -> dict[str, Tensor]:
        """Losses ``(B,)`` under the name of the quantity."""
        sample = self.objective.path.sample(x1=batch["x1"], t=batch["t"], generator=generator)
        gap = net(sample.x_t, sample.t, batch.get("cond")) - self.objective.target(sample)
        squares, head = gap.square(), self.objective.predicts
        if "known" in batch:
            squares = squares * batch["known"]
        error = squares.flatten(1).mean(1) if self.mean else squares.flatten(1).sum(1)
        counts = torch.ones_like(error) if self.weight is None else self.weight(sample.x_t, sample.t)[head]
        self.times.update(batch["t"], (error * counts).detach())
        return {head: error * (batch["weight"] * counts)}
