"""The loss of one quantity of a path under a structured condition, in the form that the training loop calls."""

from typing import Any

from torch import Generator, Tensor, nn

from interpolants.fields.preconditioned import Preconditioned, check_preconditioned
from interpolants.fields.protocol import QUANTITIES
from interpolants.foundations.checks import one_of
from interpolants.objectives.joint import Weight, joint_loss
from interpolants.objectives.losses import Objective
from interpolants.paths.path import Path


class ConditionedLoss:
    """``weight |f(x_t, t, cond) - target|^2`` on batches with ``x1``, ``cond``, ``t`` and ``weight``.

    Entries that are false in ``known``, truth values ``(B, *D)`` that a batch may have, do not count.

    Args:
        objective: What is learnt of which path.
        mean: Whether entries are averaged, not summed: then states of any size have losses of one size.
        weight: ``weight(x_t, t) -> {quantity: (B,)}``, how much a row counts, as of a preconditioned network.
    """

    def __init__(self, objective: Objective, *, mean: bool = False, weight: Weight | None = None) -> None:
        self.objective, self.mean, self.weight = objective, mean, weight

    def __call__(self, net: Any, batch: dict[str, Any], generator: Generator) -> dict[str, Tensor]:
        """Losses ``(B,)`` under the name of the quantity."""
        sample = self.objective.path.sample(x1=batch["x1"], t=batch["t"], generator=generator)
        gap = net(sample.x_t, sample.t, batch["cond"]) - self.objective.target(sample)
        if "known" in batch:
            gap = gap * batch["known"]
        squares, head = gap.square().flatten(1), self.objective.predicts
        weight = batch["weight"]
        if self.weight is not None:
            weight = weight * self.weight(sample.x_t, sample.t)[head]
        return {head: (squares.mean(1) if self.mean else squares.sum(1)) * weight}


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
