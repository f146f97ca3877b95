"""Hierarchical Bayesian meta-learning: a Gaussian prior over the weights of a network, learnt from many small tasks."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from annotated_types import Ge
from torch import Generator, Tensor, nn

from interpolants.foundations.asked import who
from interpolants.foundations.kinds import Count, Each, Positive, Remedy
from interpolants.foundations.randomness import generator
from interpolants.framework.capabilities import capability
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.sciml.bayes.episodes import Groups
from interpolants.sciml.bayes.local_solutions import evidence, losses
from interpolants.sciml.bayes.nets.weight_vectors import ActivationName
from interpolants.sciml.bayes.normal_inverse_wishart import divergence
from interpolants.sciml.bayes.task_posterior import (
    GROUPS,
    XY,
    TaskPosterior,
    check_columns,
    check_inner_steps,
    descent_of,
    in_units,
    net_of,
    units_of,
)

_FIRST_NOISE = 0.1  # variance, in standardised units


class HierarchicalGaussian(Trained):
    """Learn from tasks how tasks are alike: ``theta_i ~ N(m0, S)``, ``y = f(x; theta_i) + e``.

    ::

        model = HierarchicalGaussian().fit(x, y, groups)      # rows of many tasks, (N, D), (N,), (N,)
        task = model.adapt(few_x, few_y)                      # a few rows of a new task -> a method
        task.predict(new_x)                                   # .mean, .std, .quantile(0.95)

    Each step draws some tasks and rows of each, solves for their posteriors ``q_i`` with the prior fixed, and moves the
    prior (m0, log S, and the variance of e) by one gradient of ``E_q l_i + KL(q_i | N(m0, S))``. Nothing is
    differentiated through the inner solution, whose memory does not grow with its steps.

    Args:
        batch_size: Tasks of a step.

    Raises:
        InvalidInputError: If a setting is out of range, when fitted also if a task has fewer than two rows, there is
            one task alone, or y has more than one column.

    Source: Kim & Hospedales (2024), arXiv:2306.09702. S is diagonal: correlations between weights from task to task are
    not learnt. Ours: S instead of V0 and n0, and the local solution of the linearised network.
    """

    noun: ClassVar[str] = "meta-learner"

    hidden: Annotated[tuple[Count, ...], Each("every width of hidden")] = (40, 40)
    """Widths of the hidden layers; none for linear regression, where everything is exact."""
    activation: ActivationName = "tanh"
    """As for the MLP."""
    local: Literal["gauss_newton", "sgd", "sgld"] = "gauss_newton"
    """Posterior of a task: ``"gauss_newton"`` (exact for the network linearised at m0, with all correlations),
    ``"sgd"`` (a few steps of descent, and the diagonal of the Gauss-Newton matrix) or ``"sgld"`` (mean and spread of a
    short noisy chain, as in the paper). The last two can end near one network for all tasks."""
    inner_steps: Count = 5
    """Steps of descent for the last two."""
    inner_lr: Positive = 0.1
    """Their size, in units of the mean squared error."""
    draws: Count = 20
    """Networks that are averaged in predictions of the last two."""
    rows: Annotated[int, Ge(2)] = 20
    """Rows of a task in a step, at most; tasks with fewer bound it."""
    spread: Positive = 0.01
    """First S."""
    noise: Annotated[Literal["auto"] | Positive, Remedy("Or leave it to the fit: 'auto'.")] = "auto"
    """Standard deviation of e in units of y, where it is known; ``"auto"`` learns it with the prior."""
    steps = 1000
    batch_size = 16
    lr = 0.02
    clip_norm = 100.0
    ema = None

    def check_settings(self) -> None:
        """Refuse too few steps for the local solution."""
        check_inner_steps(self)

    def roles(self) -> tuple[Role, ...]:
        """Rows of all tasks, and whose they are."""
        return *XY, GROUPS

    def fit(self, *args: Any, **given: Any) -> Self:
        """Learn the prior from ``x``, ``y`` and ``groups``; options as in :meth:`Method.fit`."""
        return super().fit(*args, **given)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """One gradient of the bound per step."""
        x, y = data["x"], data["y"]
        check_columns(x, y)
        groups = Groups.of(who(), data["groups"], 2, tasks=2)
        units = {**units_of(x, "x"), **units_of(y, "y")}
        count, source = net_of(self, x.shape[1]).count, generator(self.seed, "first prior")
        mean = torch.randn(count, dtype=torch.float64, generator=source)
        first = {
            "mean": mean if self.hidden else 0 * mean,
            "log_s": torch.full((count,), math.log(self.spread), dtype=torch.float64),
            "log_noise": torch.tensor(math.log(_FIRST_NOISE), dtype=torch.float64),
        }
        known = self.noise != "auto"
        if known:
            first["log_noise"] = 2 * torch.log(float(self.noise) / units["y_scale"][0])
        prior = PriorModule(first, known=known)
        batches = TaskBatches(
            in_units(x, units, "x"), in_units(y, units, "y")[:, 0], groups, self.batch_size, self.rows
        )
        run.train("prior", prior, self._loss, batches, self.training())
        return {**{name: value.detach() for name, value in prior.tensors().items()}, **units}

    def _loss(
        self, module: "PriorModule", batch: Mapping[str, Tensor], generator: Generator
    ) -> dict[str, Tensor]:
        """The bound of each task, per row."""
        x, y, prior = batch["x"], batch["y"], module.tensors()
        net = net_of(self, x.shape[2])
        if self.local == "gauss_newton":
            return {"bound": -evidence(net, prior, x, y) / x.shape[1]}
        m, v = descent_of(self).posterior(net, prior, x, y, generator)
        xi = torch.randn(m.shape, dtype=m.dtype, generator=generator)
        expected = losses(net, m + v.sqrt() * xi, x, y, prior["log_noise"].exp())
        bound = expected + divergence(m, v, prior["mean"], prior["log_s"].exp())
        return {"bound": bound / x.shape[1]}

    # --- what was found

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise, in units of y."""
        state = self.fitted_state("noise_std")
        return float((0.5 * state["log_noise"]).exp() * state["y_scale"][0])

    @capability()
    def adapt(self, x: Tensor, y: Tensor) -> TaskPosterior:
        """A method for the task that a few rows come from, which predicts.

        Args:
            x: Inputs ``(n, D)``, at least one row.
            y: Values ``(n,)`` or ``(n, 1)``.
        """
        names = ("hidden", "activation", "local", "inner_steps", "inner_lr", "draws", "seed")
        made = TaskPosterior(prior=dict(self.state), **{name: getattr(self, name) for name in names})
        return made.fit(x, y[:, 0] if self.given["y"].flat else y)


class PriorModule(nn.Module):
    """The prior as parameters: what a step moves; a known noise stays."""

    def __init__(self, first: Mapping[str, Tensor], *, known: bool) -> None:
        super().__init__()
        self.mean = nn.Parameter(first["mean"])
        self.log_s = nn.Parameter(first["log_s"])
        self.log_noise: Tensor
        if known:
            self.register_buffer("log_noise", first["log_noise"])
        else:
            self.log_noise = nn.Parameter(first["log_noise"])

    def tensors(self) -> dict[str, Tensor]:
        """By name."""
        return {"mean": self.mean, "log_s": self.log_s, "log_noise": self.log_noise}


class TaskBatches:
    """Rows of some tasks for each step."""

    def __init__(self, x: Tensor, y: Tensor, groups: Groups, tasks: int, rows: int) -> None:
        self.x, self.y, self.groups = x, y, groups
        self.tasks, self.rows = tasks, min(rows, groups.fewest)

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> dict[str, Tensor]:
        """``x (tasks, rows, D)`` and ``y (tasks, rows)``."""
        index = self.groups.episodes(self.tasks, self.rows, generator)
        return {"x": self.x[index], "y": self.y[index]}
