"""Training and sampling of a nowcaster: windows as rows, and runs for some cases.

Letters: B cases, M members, P past and K future frames, C variables, H rows, W columns.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.apps.weather.nowcast_net import ToldFrames
from interpolants.apps.weather.precision_weight import PrecisionWeight
from interpolants.apps.weather.sequences import Windows
from interpolants.dynamics.sample import Samples
from interpolants.foundations.randomness import key
from interpolants.foundations.registry import build
from interpolants.guidance.classifier_free import ClassifierFree
from interpolants.methods.parts.conditional_flow import ConditionalFlow


class NowcastRuns:
    """Runs of a sampler for some cases.

    Args:
        flow: The flow to the frames.
        state: Network and units.
        before: Past frames, ``(B, P, C, H, W)`` float32.
        motions: Their motion.
        n_steps: Steps.
        eps: Noise of the sampler.
    """

    def __init__(
        self,
        flow: ConditionalFlow,
        state: Mapping[str, Any],
        before: Tensor,
        motions: Tensor,
        n_steps: int,
        eps: float,
    ) -> None:
        self.flow, self.told, self.n_steps, self.eps = flow, state["told"], n_steps, eps
        self.cond = self.told.fields(before, motions)
        self.seen = self.told.seen(before)
        self.fields = flow.fields(state["net"])
        self.shape = (self.told.future * before.shape[2], *before.shape[-2:])

    def precision(self, settings: Mapping[str, Any]) -> PrecisionWeight:
        """A precision weight that leaves out cells which were not seen."""
        return replace(precision_weight(settings), counted=self.told.counted)

    def member(self, m: int, seed: int, first: int, weight: Any) -> Samples:
        """Member m of every case, ``x (B, K C, H, W)`` in the method's units.

        Args:
            m: Number of the member.
            seed: Seed of the noise.
            first: Index of the first case in a larger job.
            weight: A number, or settings of a precision weight, which reports how the estimate fluctuated.
        """
        by_number = isinstance(weight, int | float)
        return self.flow.drawn(
            ClassifierFree(self.fields, weight) if by_number and weight != 1 else self.fields,
            self.shape, len(self.cond), seed=key(seed, "nowcast member", m) >> 33, first=first, cond=self.cond,
            eps=self.eps, n_steps=self.n_steps, method="euler_maruyama" if self.eps else "heun",
            finish="mean" if self.eps else "step", modifiers=() if by_number else (self.precision(weight),),
        )  # fmt: skip

    def frames(self, x: Tensor) -> Tensor:
        """``(B, M, K C, H, W)`` -> ``(B, M, K, C, H, W)``."""
        return x.reshape(*x.shape[:2], self.told.future, -1, *x.shape[3:])

    def unseen(self, x: Tensor) -> Tensor:
        """``(B, M, K, C, H, W)`` with NaN where nothing was seen."""
        return torch.where(self.seen[:, None, None], x, torch.nan)


def precision_weight(settings: Mapping[str, Any]) -> PrecisionWeight:
    """A weight from its settings, of which a misspelt one is refused with the nearest."""
    made = build("modifier", "precision_weight", **settings)
    assert isinstance(made, PrecisionWeight)
    return made


@dataclass(frozen=True)
class WindowRows:
    """Random windows as rows of a batch.

    What is not seen in the future does not count where it was seen before; what is outside of the radar's reach is
    learnt as the mean, so that a run finds there what the network knows.

    Attributes:
        windows: Windows to draw from.
        motions: Their motion, ``(n, 2, H, W)``.
        told: What the network is told.
    """

    windows: Windows
    motions: Tensor
    told: ToldFrames

    def __call__(self, n: int, generator: Generator) -> dict[str, Any]:
        """Rows ``x1`` and ``known`` ``(n, K C, H, W)``, and their condition."""
        pick = torch.randint(len(self.windows), (n,), generator=generator)
        before, after = self.windows.some(pick)
        known = after.isfinite() | ~self.told.seen(before)[:, None]
        cond = self.told.fields(before, self.motions[pick])
        return {"x1": torch.nan_to_num(after).flatten(1, 2), "known": known.flatten(1, 2), "cond": cond}


def motions_of(told: ToldFrames, windows: Windows, held: Windows | None) -> dict[str, Tensor]:
    """Motion of the past frames of all windows, ``(n, 2, H, W)``, learnt from and held out."""
    found = {"train": _of_windows(told, windows), "held": torch.zeros(0)}
    if held is not None:
        found["held"] = _of_windows(told, held)
    return found


def _of_windows(told: ToldFrames, windows: Windows) -> Tensor:
    parts = torch.split(torch.arange(len(windows)), 256)
    return torch.cat([told.motion(windows.some(rows)[0]) for rows in parts])
