"""Losses as the training loop takes them: named, per sample or per batch, told the step where they want it."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Generator, Tensor, nn

from interpolants.foundations.errors import invalid

Losses = Mapping[str, Tensor]
Loss = Callable[..., Losses]
Batches = Callable[[int, Generator, int, int], Any]


def sum_of_means(losses: Losses) -> Tensor:
    """The default aggregate: the batch mean of each loss, summed over the losses."""
    means = [values.mean() for values in losses.values()]
    return means[0] if len(means) == 1 else torch.stack(means).sum()


def has_parameter(function: Any, name: str) -> bool:
    """Whether a function, a callable object or a module's ``forward`` has a parameter of this name."""
    called = function.forward if isinstance(function, nn.Module) else function
    try:
        return name in inspect.signature(called).parameters
    except (TypeError, ValueError):  # a builtin without a signature
        return False


def with_step(loss: Loss) -> Callable[[Any, Any, Generator, int], Losses]:
    """The loss as ``loss(modules, batch, generator, step)``, whether or not it has a parameter ``step``."""
    if has_parameter(loss, "step"):
        return lambda modules, batch, generator, step: loss(modules, batch, generator, step=step)
    return lambda modules, batch, generator, step: loss(modules, batch, generator)


def check_losses(losses: Any) -> None:
    """Check that losses are named real tensors, ``(B,)`` per sample or ``()`` per batch."""
    if not isinstance(losses, Mapping) or not losses:
        raise invalid("fit", "loss must return a dict of named losses", type(losses).__name__)
    for name, values in losses.items():
        if not isinstance(values, Tensor) or values.ndim > 1 or not values.is_floating_point():
            shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            rule = f"loss {name!r} must be real, (B,) per sample or () for the batch"
            raise invalid("fit", rule, shape, "Average over all dimensions but the first.")
