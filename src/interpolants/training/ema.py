"""Exponential moving average of the weights, with a warm-up."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from interpolants.training.slices import local, put


def ema_rate(decay: float, step: int) -> float:
    """Weight of the newest parameters, ``1 - min(decay, (1 + k) / (10 + k))`` at step k = 1, 2, ...

    The second term keeps the average young at first: after n steps the initial weights count as
    O(n^-9), so that a short run is not an average with its own random start.
    """
    return 1 - min(decay, (1 + step) / (10 + step))


class Ema:
    """The average ``e <- e + rate (p - e)`` of every trainable parameter, one fused call per step.

    Args:
        modules: What is trained. Buffers and frozen parameters are not averaged.
        decay: Decay per step, in [0, 1).
    """

    def __init__(self, modules: nn.Module, decay: float) -> None:
        self.decay = decay
        self._live = {name: p for name, p in modules.named_parameters() if p.requires_grad}
        self.average = {name: p.detach().clone() for name, p in self._live.items()}
        self._from = [local(p.detach()) for p in self._live.values()]
        self._to = [local(value) for value in self.average.values()]

    @torch.no_grad()
    def update(self, step: int, accepted: Tensor | None = None) -> None:
        """Move towards the parameters; ``accepted`` (0-d, 0 or 1) switches the move off without a read."""
        rate = ema_rate(self.decay, step)
        if accepted is None:
            torch._foreach_lerp_(self._to, self._from, rate)
        else:
            torch._foreach_lerp_(self._to, self._from, [(rate * accepted).to(e.dtype) for e in self._to])

    def load(self, average: Mapping[str, Tensor]) -> None:
        """Restore a stored average."""
        for name, value in self.average.items():
            put(value, average[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average in the place of the parameters while the block runs."""
        kept = [value.clone() for value in self._from]
        torch._foreach_copy_(self._from, self._to)
        try:
            yield
        finally:
            torch._foreach_copy_(self._from, kept)
