"""First-order MAML: an initialisation from which a few steps of gradient descent learn a task; a peer."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Generator, Tensor, nn

from interpolants.foundations.asked import who
from interpolants.foundations.checks import whole
from interpolants.foundations.kinds import Count, Each, Positive, Whole
from interpolants.foundations.randomness import generator
from interpolants.framework.capabilities import capability
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.sciml.bayes.episodes import Groups
from interpolants.sciml.bayes.hierarchical_gaussian import TaskBatches
from interpolants.sciml.bayes.local_solutions import descend
from interpolants.sciml.bayes.nets.weight_vectors import ActivationName, WeightVectors
from interpolants.sciml.bayes.task_posterior import (
    GROUPS,
    XY,
    TaskPosterior,
    check_columns,
    in_units,
    net_of,
    units_of,
)


class FirstOrderMAML(Trained):
    """``w <- w - lr grad L_query(w_k)``, where ``w_k`` is reached from w by k steps of descent on rows of one task.

    The derivative of ``w_k`` with respect to w is taken as the identity. With ``train_steps=0`` no task is adapted
    to in training: one network is pooled over all tasks, and still adapts when it is asked to.

    Args:
        batch_size: Tasks of a step.

    Raises:
        InvalidInputError: If a setting is out of range, when fitted also if a task has too few rows, or there is one
            task alone.

    Source: Finn, Abbeel & Levine (2017), arXiv:1703.03400, section 5.2.
    """

    noun: ClassVar[str] = "meta-learner"

    hidden: Annotated[tuple[Count, ...], Each("every width of hidden")] = (40, 40)
    """Widths of the hidden layers."""
    activation: ActivationName = "tanh"
    """As for the MLP."""
    shots: Count = 5
    """Rows of a task from which the steps of training learn."""
    rows: Annotated[int, Ge(2)] = 20
    """Rows of a task in a step; those beyond ``shots`` judge it."""
    train_steps: Whole = 5
    """Steps of descent in training."""
    inner_steps: Whole = 5
    """Steps of descent of an adaptation."""
    inner_lr: Positive = 0.1
    """Their size."""
    steps = 3000
    batch_size = 16
    lr = 0.005
    ema = None

    def check_settings(self) -> None:
        """Refuse a step whose rows are all learnt from."""
        whole(who(), "rows", self.rows, at_least=self.shots + 1)

    def roles(self) -> tuple[Role, ...]:
        """Rows of all tasks, and whose they are."""
        return *XY, GROUPS

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The initialisation, and the error that adaptations leave on average."""
        x, y = data["x"], data["y"]
        check_columns(x, y)
        groups = Groups.of(who(), data["groups"], self.shots + 1, tasks=2)
        units = {**units_of(x, "x"), **units_of(y, "y")}
        x, y = in_units(x, units, "x"), in_units(y, units, "y")[:, 0]
        net, source = net_of(self, x.shape[1]), generator(self.seed, "first weights")
        weights = Weights(torch.randn(net.count, dtype=torch.float64, generator=source))
        batches = TaskBatches(x, y, groups, self.batch_size, self.rows)
        run.train("initialisation", weights, self._loss, batches, self.training())
        start = weights.w.detach()
        index = groups.episodes(200, batches.rows, generator(self.seed, "error"))
        adapted = self._adapted(net, start.expand(200, -1), x[index], y[index], self.inner_steps)
        error = (net(adapted, x[index][:, self.shots :])[..., 0] - y[index][:, self.shots :]).square().mean()
        spread = {"log_s": torch.full_like(start, -math.inf), "log_noise": error.log()}
        return {"mean": start, **spread, **units}

    def _adapted(self, net: WeightVectors, w: Tensor, x: Tensor, y: Tensor, steps: int) -> Tensor:
        """Weights after descent on the first rows of each task."""
        return descend(net, w, x[:, : self.shots], y[:, : self.shots], steps, self.inner_lr)

    def _loss(
        self, module: "Weights", batch: Mapping[str, Tensor], generator: Generator
    ) -> dict[str, Tensor]:
        """Squared error after adaptation; of all rows where there is none."""
        x, y = batch["x"], batch["y"]
        net, start = net_of(self, x.shape[2]), module.w.expand(len(x), -1)
        first = self.shots if self.train_steps else 0
        moved = self._adapted(net, start.detach(), x, y, self.train_steps) - start.detach()
        error = net(start + moved, x[:, first:])[..., 0] - y[:, first:]
        return {"error": error.square().mean(1)}

    @capability()
    def adapt(self, x: Tensor, y: Tensor) -> TaskPosterior:
        """A network for the task that a few rows come from.

        Args:
            x: Inputs ``(n, D)``.
            y: Values ``(n,)`` or ``(n, 1)``.
        """
        names = ("hidden", "activation", "inner_steps", "inner_lr", "seed")
        settings = {name: getattr(self, name) for name in names}
        return TaskPosterior(prior=dict(self.state), local="point", **settings).fit(
            x, y[:, 0] if self.given["y"].flat else y
        )


class Weights(nn.Module):
    """Weights as one parameter."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)
