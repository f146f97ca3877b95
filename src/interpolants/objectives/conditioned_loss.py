"""The loss of one quantity of a path under a structured condition, in the form that the training loop calls."""

from typing import Any

from torch import Generator, Tensor

from interpolants.objectives.losses import Objective


class ConditionedLoss:
    """``weight |f(x_t, t, cond) - target|^2`` on batches with ``x1``, ``cond``, ``t`` and ``weight``.

    Entries that are false in ``known``, truth values ``(B, *D)`` that a batch may have, do not count.

    Args:
        objective: What is learnt of which path.
        mean: Whether entries are averaged, not summed: then states of any size have losses of one size.
    """

    def __init__(self, objective: Objective, *, mean: bool = False) -> None:
        self.objective, self.mean = objective, mean

    def __call__(self, net: Any, batch: dict[str, Any], generator: Generator) -> dict[str, Tensor]:
        """Losses ``(B,)`` under the name of the quantity."""
        sample = self.objective.path.sample(x1=batch["x1"], t=batch["t"], generator=generator)
        gap = net(sample.x_t, sample.t, batch["cond"]) - self.objective.target(sample)
        if "known" in batch:
            gap = gap * batch["known"]
        squares = gap.square().flatten(1)
        return {self.objective.predicts: (squares.mean(1) if self.mean else squares.sum(1)) * batch["weight"]}
