"""Intervals of time as tasks that share one network: how their losses are weighed against each other.

With losses l_i of k tasks and gradients g_i, each rule minimises ``sum_i c_i l_i`` with weights c that are found anew:

* uncertainty weighting: ``c_i = exp(-s_i) / 2``, s learnt from ``sum_i (exp(-s_i) l_i + s_i) / 2``, so that it tends to
  ``log l_i``: all tasks count alike whatever their scale;
* PCGrad: each gradient, where it conflicts with another (a negative product), loses its part along it;
* Nash: the weights with ``G c = 1 / c`` for the products ``G_ij = g_i . g_j``, which no scale of a gradient changes.

The weights of the last two depend on G alone, so one more backward pass with them as constants gives the direction.

Source: Go et al. (2023), arXiv:2306.00354; Kendall et al. (2018), arXiv:1705.07115; Yu et al. (2020), arXiv:2001.06782;
Navon et al. (2022), arXiv:2202.01017. Newton's method for the Nash weights is ours.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from interpolants.foundations.checks import number, positive, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.tell import FitWarning, tell
from interpolants.objectives.time_clusters import TimeClusters, choose_clusters
from interpolants.paths.path import Path, SpatiallyLinearPath
from interpolants.training.aggregates import StepContext, bin_means, bin_sizes
from interpolants.training.losses import Losses, sum_of_means

# Added to cosines of gradients: without it the weights of opposite ones would be infinite.
_RIDGE = 1e-12


class TaskWeights(ABC):
    """An aggregate that weighs the losses of clusters of times; with one cluster it is the plain mean, to the bit.

    Args:
        clusters: Number of clusters, inner edges, or ``objectives.TimeClusters``.
        by: What a number of clusters is cut by: ``"log_snr"`` of the path, or ``"time"``.
        path: The path, for ``"log_snr"``.

    Attributes:
        present: Clusters with samples in the batch, ``(k,)`` bool. Nothing is learnt of the others in a step, and their
            numbers stay those of the last step that had some.
    """

    def __init__(
        self,
        clusters: int | Sequence[float] | TimeClusters = 5,
        *,
        by: Literal["log_snr", "time"] = "time",
        path: Path | None = None,
    ) -> None:
        self.clusters = choose_clusters(type(self).__name__, clusters, by, path)
        self.weights = torch.ones(self.clusters.count, dtype=torch.float64)
        self.means = torch.zeros(self.clusters.count, dtype=torch.float64)
        self.present = torch.ones(self.clusters.count, dtype=torch.bool)
        self.about: dict[str, Any] = {"edges": list(self.clusters.edges)}

    @abstractmethod
    def find(self, means: Tensor, context: StepContext) -> Tensor:
        """Weights ``(k,)`` float64 for the mean losses ``(k,)``; those of tasks without samples are 0, and no news.

        What is learnt is noted in the state. :attr:`present` has the tasks with samples.
        """

    def __call__(self, losses: Losses, context: StepContext) -> Tensor:
        """The weighted sum; losses of the whole batch, such as penalties, are added as they are.

        Raises:
            InvalidInputError: If the batch has fewer rows than there are clusters.
        """
        if self.clusters.count == 1:
            return sum_of_means(losses)
        by_row = {name: loss for name, loss in losses.items() if loss.ndim}
        whole_batch = [loss for loss in losses.values() if not loss.ndim]
        total = torch.stack([*by_row.values()]).sum(0)
        count = self.clusters.count
        if len(total) * context.world.size < count:
            rule, remedy = f"batch_size must be at least the {count} clusters", "Use fewer clusters."
            raise invalid(type(self).__name__, rule, len(total), remedy)
        bins = self.clusters.of(context.batch["t"].to(total.device))
        means, own = bin_means(total, bins, count), bin_sizes(total, bins, count)
        sizes = context.average(own)
        # Over the rows of all processes; with one of them these are the means themselves.
        shared = means if context.world.size == 1 else context.average(means * own) / sizes.clamp_min(1e-30)
        self.present = (sizes > 0).cpu()
        self.means = torch.where(self.present, shared.detach().double().cpu(), self.means)
        weights = self.find(means, context).to(means)
        self.weights = weights.detach().double().cpu()
        return torch.stack([(weights.detach() * means).sum(), *whole_batch]).sum()

    def numbers(self) -> dict[str, float]:
        """Loss and weight of each task at the last step."""
        told = {f"loss_{k}": float(value) for k, value in enumerate(self.means)}
        return told | {f"weight_{k}": float(value) for k, value in enumerate(self.weights)}


class UncertaintyWeighting(TaskWeights):
    """Weights ``exp(-s_i) / 2`` with s learnt beside the network, by Adam with a rate of its own.

    Args:
        clusters: As in :class:`TaskWeights`.
        by: Likewise.
        path: Likewise.
        lr: Learning rate of s, > 0.
    """

    def __init__(
        self,
        clusters: int | Sequence[float] | TimeClusters = 5,
        *,
        by: Literal["log_snr", "time"] = "time",
        path: Path | None = None,
        lr: float = 0.025,
    ) -> None:
        super().__init__(clusters, by=by, path=path)
        self.lr = positive("UncertaintyWeighting", "lr", lr)
        self.about["lr"] = lr
        zeros = torch.zeros(self.clusters.count, dtype=torch.float64)
        self.state = {
            "s": zeros,
            "first": zeros.clone(),
            "second": zeros.clone(),
            "steps": zeros.clone(),
        }

    def find(self, means: Tensor, context: StepContext) -> Tensor:
        """Weights of the present s, and a step of s.

        Raises:
            InvalidInputError: If a mean loss is negative: the rule takes its logarithm.
        """
        if bool((self.means < 0).any()):
            remedy = "Use losses that are squared errors."
            raise invalid("UncertaintyWeighting", "losses must be >= 0", float(self.means.min()), remedy)
        s = self.state["s"].clone()
        slope = 0.5 * (1 - torch.exp(-s) * self.means)
        steps = (
            self.state["steps"] + self.present
        )  # of each task: Adam corrects its averages by their own age
        first = 0.9 * self.state["first"] + 0.1 * slope
        second = 0.999 * self.state["second"] + 0.001 * slope.square()
        ages = steps.clamp_min(1).tolist()
        weight, weight2 = (
            torch.tensor([1 - rate**age for age in ages], dtype=torch.float64) for rate in (0.9, 0.999)
        )
        move = first / weight / ((second / weight2).sqrt() + 1e-8)
        fresh = {"s": s - self.lr * move, "first": first, "second": second}
        news = {name: torch.where(self.present, value, self.state[name]) for name, value in fresh.items()}
        self.state = news | {"steps": steps}
        return 0.5 * torch.exp(-s)

    def state_dict(self) -> dict[str, Any]:
        """S with Adam's averages."""
        return dict(self.state)

    def load_state_dict(self, state: Any, /) -> None:
        """Restore a stored state; one of an earlier version counts steps of all tasks together."""
        found = {name: value.detach().double().cpu() for name, value in state.items()}
        self.state = found | {"steps": found["steps"].expand_as(found["s"]).clone()}


class PCGrad(TaskWeights):
    """Gradients that conflict are projected off each other, in random order; k + 1 backward passes a step."""

    def find(self, means: Tensor, context: StepContext) -> Tensor:
        """Weights of the sum of the projected gradients."""
        products = gram(means, context)
        return pcgrad_weights(products, generator=context.generator)


class NashMTL(TaskWeights):
    """Weights of a Nash bargaining between tasks, found anew every ``every`` steps; k backward passes more then.

    Products of gradients are averaged over the times at which they are found, since those of one batch are noisy.

    Args:
        clusters: As in :class:`TaskWeights`.
        by: Likewise.
        path: Likewise.
        every: Steps between two solutions.
        memory: Share of the former products in the average, in [0, 1).
    """

    def __init__(
        self,
        clusters: int | Sequence[float] | TimeClusters = 5,
        *,
        by: Literal["log_snr", "time"] = "time",
        path: Path | None = None,
        every: int = 25,
        memory: float = 0.5,
    ) -> None:
        super().__init__(clusters, by=by, path=path)
        self.every = whole("NashMTL", "every", every, at_least=1)
        self.memory = number("NashMTL", "memory", memory, at_least=0, below=1)
        self.about |= {"every": every, "memory": memory}
        k = self.clusters.count
        self.state = {
            "products": torch.zeros(k, k, dtype=torch.float64),
            "weights": torch.ones(k, dtype=torch.float64),
            "met": torch.zeros(k, k, dtype=torch.float64),
        }

    def find(self, means: Tensor, context: StepContext) -> Tensor:
        """The present weights, solved for where it is time, or where a task has samples for the first time."""
        met = self.state["met"] > 0  # pairs of tasks whose product has been found
        is_new = bool((self.present & ~met.diagonal()).any())
        if is_new or (context.step - 1) % self.every == 0:
            fresh, old = gram(means, context), self.state["products"]
            here = self.present[:, None] & self.present
            products = torch.where(met, self.memory * old + (1 - self.memory) * fresh, fresh)
            products, met = torch.where(here, products, old), met | here
            known = met.diagonal()
            weights = torch.ones_like(self.state["weights"])
            weights[known] = nash_weights(_of_gradients(products[known][:, known], bool(here.all())))
            self.state = {"products": products, "weights": weights, "met": met.double()}
        return self.state["weights"]

    def state_dict(self) -> dict[str, Any]:
        """Return the stored products and weights."""
        return dict(self.state)

    def load_state_dict(self, state: Any, /) -> None:
        """Restore a stored state; one of an earlier version has seen all tasks, if any."""
        found = {name: value.detach().double().cpu() for name, value in state.items()}
        met = torch.ones_like(found["products"]) * bool(found["products"].any())
        self.state = {"met": met, **found}


class MinSNR:
    """Weights ``min(SNR, gamma) / SNR`` of the loss of the noise, or ``min(SNR, gamma)`` of that of the denoised state.

    Args:
        path: A one-sided spatially linear path.
        gamma: The bound, > 0.
        quantity: ``"noise"`` or ``"denoised"``, what is learnt.

    Source: Hang et al. (2023), arXiv:2303.09556.
    """

    def __init__(
        self, path: Path, *, gamma: float = 5.0, quantity: Literal["noise", "denoised"] = "noise"
    ) -> None:
        if not isinstance(path, SpatiallyLinearPath) or not path.is_one_sided:
            raise invalid(
                "MinSNR", "the path must be one-sided", type(path).__name__, "For example, use paths.VP()."
            )
        self.path, self.gamma, self.quantity = path, positive("MinSNR", "gamma", gamma), quantity
        self.about = {"gamma": gamma, "quantity": quantity}

    def __call__(self, losses: Losses, context: StepContext) -> Tensor:
        """The weighted means, summed."""
        snr = self.path.log_snr(context.batch["t"].double()).exp()
        weight = (self.gamma / snr).clamp_max(1) if self.quantity == "noise" else snr.clamp_max(self.gamma)
        return sum_of_means(
            {name: loss * weight.to(loss) if loss.ndim else loss for name, loss in losses.items()}
        )


def gram(means: Tensor, context: StepContext) -> Tensor:
    """Products of the gradients of the tasks' mean losses, ``(k, k)`` float64."""
    gradients = context.gradients(means).double()
    return (gradients @ gradients.T).cpu()


def _of_gradients(products: Tensor, at_once: bool) -> Tensor:
    """Products that some gradients can have: those found at different steps may have negative eigenvalues."""
    if at_once:
        return products
    values, vectors = torch.linalg.eigh(products)
    found: Tensor = (vectors * values.clamp_min(0)) @ vectors.T
    return found


def pcgrad_weights(products: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Weights c of ``sum_i c_i g_i``, the sum of gradients that lost their part along those they conflict with.

    Args:
        products: ``G_ij = g_i . g_j``, ``(k, k)`` float64.
        generator: Source of the order of projections.
    """
    k = len(products)
    total = torch.zeros(k, dtype=torch.float64)
    for i in range(k):
        own = torch.zeros(k, dtype=torch.float64)
        own[i] = 1.0
        for j in torch.randperm(k, generator=generator).tolist():
            along = float(own @ products[:, j])
            if j != i and along < 0:
                own[j] -= along / float(products[j, j])
        total += own
    return total


def nash_weights(products: Tensor, *, most: int = 100) -> Tensor:
    """The positive weights with ``G c = 1 / c``, by damped Newton steps on ``c^T G c / 2 - sum_i log c_i``.

    Tasks without a gradient get the weight 0. Where gradients oppose each other, so that no step is good for all, there
    are no such weights; those returned are large there, and cancel.

    Args:
        products: G, ``(k, k)`` float64, positive semi-definite.
        most: Most steps.
    """
    lengths = products.diagonal().clamp_min(0).sqrt()
    there = lengths > 1e-12 * lengths.amax().clamp_min(1e-300)
    weights = torch.zeros_like(lengths)
    if not bool(there.all()):
        tell(FitWarning, "NashMTL: a task without a gradient takes no part")
    if not bool(there.any()):
        return weights
    scale = lengths[there]
    cosines = products[there][:, there] / scale[:, None] / scale
    cosines = cosines + _RIDGE * torch.eye(len(scale), dtype=torch.float64)
    c = torch.ones(len(scale), dtype=torch.float64)

    def height(x: Tensor) -> float:
        return float(0.5 * x @ cosines @ x - x.log().sum()) if bool((x > 0).all()) else float("inf")

    for _ in range(most):
        slope = cosines @ c - 1 / c
        if float(slope.abs().max()) < 1e-12:
            break
        step = torch.linalg.solve(cosines + torch.diag(c**-2), slope)
        size = 1.0
        while height(c - size * step) > height(c) - 1e-4 * size * float(slope @ step) and size > 1e-12:
            size /= 2
        if size <= 1e-12:  # as near as rounding allows
            break
        c = c - size * step
    weights[there] = c / scale
    return weights
