"""A modifier of sampling: a damping with a memory of each row's own steps, begun anew in every chunk of every run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics.modifiers import Modifier, Work
from interpolants.fields.protocol import Fields


@dataclass(frozen=True, kw_only=True)
class Steady(Modifier):
    """``b -> b / (1 + strength r)``, r the length of a row's last step over the running mean of its steps."""

    strength: float = 0.1
    decay: float = 0.8

    def why_not(self, model: object) -> str:
        """Why it does not hold for a model; empty where it does."""
        return "" if isinstance(model, Fields) else "it needs fields"

    def begin(self, x: Tensor, index: int, times: Tensor) -> Work:
        """At work on a chunk."""
        return _Steadying(self, x) if self.strength else Work()


class _Steadying(Work):
    def __init__(self, settings: Steady, x: Tensor) -> None:
        self.settings, self.last = settings, x
        self.mean, self.ratio = torch.zeros(len(x)), torch.zeros(len(x))

    def evaluate(
        self, inner: Fields, x: Tensor, t: Tensor, want: Sequence[str], cond: Any
    ) -> dict[str, Tensor]:
        damping = (1 + self.settings.strength * self.ratio)[:, None]
        return {name: value / damping for name, value in inner.evaluate(x, t, want, cond).items()}

    def after(self, x: Tensor, t: Tensor, fields: Fields) -> Tensor:
        length, decay = (x - self.last).norm(dim=1), self.settings.decay
        self.mean = torch.where(self.mean == 0, length, decay * self.mean + (1 - decay) * length)
        self.ratio, self.last = length / self.mean.clamp_min(1e-12), x
        return x
