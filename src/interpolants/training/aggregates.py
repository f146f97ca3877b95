"""Aggregates: how named losses become the scalar that is minimised, and what such a rule may see and keep."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn

from interpolants.foundations.errors import invalid
from interpolants.training.losses import Losses, has_parameter
from interpolants.training.seeds import AGGREGATE, step_seed
from interpolants.training.world import World

Aggregate = Callable[..., Tensor]


@runtime_checkable
class KeepsState(Protocol):
    """An aggregate with a state, which is stored with each checkpoint.

    Tensors come back on the device of the run, and all else as JSON has it. A step that does not count, because
    something was not finite, leaves the state as it was before.
    """

    def state_dict(self) -> Mapping[str, Any]:
        """The whole state: tensors, and values that JSON takes, by name."""
        ...

    def load_state_dict(self, state: Mapping[str, Any], /) -> Any:
        """Restore a stored state."""
        ...


@runtime_checkable
class TellsNumbers(Protocol):
    """An aggregate that has numbers of its own to log, such as the weights it gave."""

    def numbers(self) -> Mapping[str, float]:
        """Numbers of the last step, by name."""
        ...


@dataclass(frozen=True)
class StepContext:
    """One step of the training, as an aggregate sees it.

    Attributes:
        step: The step, 1, 2, ...
        batch: The batch: its times, tasks, and what else ``batches`` returned.
        modules: What is trained.
        parameters: The trained parameters, by name.
        seed: Seed of the run.
        world: The processes that train together.
    """

    step: int
    batch: Any
    modules: nn.Module
    parameters: Mapping[str, nn.Parameter]
    seed: int
    world: World

    @cached_property
    def generator(self) -> Generator:
        """Randomness of the aggregate at this step, on the CPU; the same on all processes."""
        return Generator().manual_seed(step_seed(self.seed, AGGREGATE, self.step))

    def gradients(self, values: Tensor | Sequence[Tensor]) -> Tensor:
        """Gradients of several scalars with respect to all trained parameters, ``(K, P)``, averaged over the processes.

        Columns follow `parameters`, each flattened. A parameter that a value does not depend on has gradient 0.
        Each row costs a backward pass. The graph is kept, so that the values can be part of the aggregate.

        Args:
            values: ``(K,)``, or K scalar tensors: means of losses, of tasks or of time bins (`bin_means`).
        """
        rows = [
            self._gradient(value) for value in (values.unbind() if isinstance(values, Tensor) else values)
        ]
        return self.average(torch.stack(rows))

    def _gradient(self, value: Tensor) -> Tensor:
        trained = list(self.parameters.values())
        if not value.requires_grad:
            return torch.cat([torch.zeros_like(p).flatten() for p in trained])
        found = torch.autograd.grad(value, trained, retain_graph=True, allow_unused=True)
        parts = zip(found, trained, strict=True)
        return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in parts]).detach()

    def average(self, values: Tensor) -> Tensor:
        """The mean over the processes of a detached tensor, which all must ask for; itself with one process.

        Weights that are calculated from the losses of one process would differ between processes.
        """
        return self.world.mean(values.detach())


def bin_means(values: Tensor, bins: Tensor, count: int) -> Tensor:
    """Mean of a per-sample loss in each bin, ``(count,)``; 0 in a bin without samples.

    Args:
        values: Losses, ``(B,)``.
        bins: Bin of each sample, ``(B,)`` int64 in [0, count): its task, or ``torch.bucketize(t, edges)``.
        count: Number of bins.
    """
    totals = values.new_zeros(count).index_add(0, bins, values)
    return totals / bin_sizes(values, bins, count).clamp_min(1)


def bin_sizes(values: Tensor, bins: Tensor, count: int) -> Tensor:
    """Number of samples in each bin, ``(count,)``, of the type of the losses; see :func:`bin_means`."""
    return values.new_zeros(count).index_add(0, bins, torch.ones_like(values))


class Aggregation:
    """The aggregate of a run, with its state and its identity.

    Args:
        aggregate: ``aggregate(losses)``, or with a parameter ``context`` for a `StepContext`, -> scalar.
        context: Makes the context of a step from its number and its batch.

    Attributes:
        keeps_state: Whether there is a state to store.
        wants_context: Whether it sees a `StepContext`.
        identity: What a resumed run must have in common with this one: the name of the class or function, and what
            its attribute ``about`` says of its settings.
    """

    def __init__(self, aggregate: Aggregate, context: Callable[[int, Any], StepContext]) -> None:
        self._aggregate, self._context = aggregate, context
        self.wants_context = has_parameter(aggregate, "context")
        self._keeper: KeepsState | None = aggregate if isinstance(aggregate, KeepsState) else None
        self.keeps_state = self._keeper is not None
        kind = getattr(aggregate, "__qualname__", type(aggregate).__qualname__)
        self.identity: dict[str, Any] = {"kind": kind, "about": dict(getattr(aggregate, "about", {}))}

    def __call__(self, losses: Losses, step: int, batch: Any) -> Tensor:
        """The scalar to minimise."""
        if self.wants_context:
            return self._aggregate(losses, context=self._context(step, batch))
        return self._aggregate(losses)

    def numbers(self) -> dict[str, float]:
        """Numbers of the aggregate to log for the last step; empty if it logs nothing."""
        return dict(self._aggregate.numbers()) if isinstance(self._aggregate, TellsNumbers) else {}

    def state(self) -> dict[str, Any]:
        """A copy of the state; empty where there is none."""
        found = {} if self._keeper is None else self._keeper.state_dict()
        return {key: _copied(value) for key, value in found.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put a state back."""
        if self._keeper is not None:
            self._keeper.load_state_dict({key: _copied(value) for key, value in state.items()})


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value)


def check_total(total: Any) -> None:
    """Check that an aggregate returned a scalar tensor."""
    if not (isinstance(total, Tensor) and total.ndim == 0):
        raise invalid("fit", "aggregate must return a scalar tensor", getattr(total, "shape", total))
