"""The loss of one quantity of a path under a structured condition, in the form that the training loop calls."""

from typing import Any

import torch
from torch import Generator, Tensor, nn

from interpolants.fields.preconditioned import Preconditioned, check_preconditioned
from interpolants.fields.protocol import QUANTITIES
from interpolants.foundations.checks import one_of
from interpolants.objectives.joint import Weight, joint_loss
from interpolants.objectives.losses import Objective
from interpolants.objectives.times import TimeSampler, UniformTimes
from interpolants.paths.path import Path


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


def check_head(who: str, path: Path, head: str) -> str:
    """A quantity that a network can learn on a path, if it is one and can be preconditioned there."""
    if one_of(who, "head", head, QUANTITIES) != "velocity":
        check_preconditioned(path, (head,))
    return head


def net_and_loss(net: nn.Module, path: Path, head: str) -> tuple[nn.Module, ConditionedLoss]:
    """A network for a quantity of a path, for data of unit size, and its mean loss.

    A velocity is learnt as it is. Of others it follows by a division by what vanishes at an end of the path, which
    would multiply every error: they are preconditioned.
    """
    objective = joint_loss((head,), path).objectives[0]
    if head == "velocity":
        return net, ConditionedLoss(objective, mean=True)
    wrapped = Preconditioned(net, path, (head,), 1.0)
    return wrapped, ConditionedLoss(objective, mean=True, weight=wrapped.weight)
