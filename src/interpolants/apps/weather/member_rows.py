"""Rows to learn from ensembles: some members are the condition, another one is the target.

Letters: N cases, M members, K seeds, C variables, G axes of the grid, A members of the analysis.
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Generator, Tensor

from interpolants.foundations.records import record

# Least scale of a point, as a share of the variable's mean; and where all members of a variable are the same.
_LEAST, _SAME = 0.05, 1e-6


@record("target_units")
@dataclass(frozen=True, kw_only=True, eq=False)
class TargetUnits:
    """Anomalies of the climatology as they are, or ``(v - mean of the seeds) / scale``, seeds and targets alike.

    Attributes:
        scale: ``(C, *G)`` float32, positive; None for anomalies as they are.
    """

    scale: Tensor | None = None

    @classmethod
    def around_seeds(cls, members: Tensor, analysis: Tensor | None, seeds: int) -> Self:
        """The root mean square of what is learnt, beside the mean of K seeds, at each point.

        Args:
            members: ``(N, M, C, *G)``.
            analysis: ``(N, A, C, *G)``, whose distance from the members counts too, or None.
            seeds: K.
        """
        within = members.var(1, keepdim=True)
        square = within * (1 + 1 / seeds)
        if analysis is not None:
            square = square + (analysis.mean(1, keepdim=True) - members.mean(1, keepdim=True)).square()
        scale = square.mean((0, 1)).sqrt()
        least = (_LEAST * scale.flatten(1).mean(1)).clamp_min(_SAME).reshape(-1, *(1,) * (scale.ndim - 1))
        return cls(scale=torch.maximum(scale, least))

    def told(self, seeds: Tensor) -> Tensor:
        """Seeds ``(B, K, C, *G)`` as the network sees them."""
        return seeds if self.scale is None else (seeds - seeds.mean(1, keepdim=True)) / self.scale

    def encode(self, target: Tensor, seeds: Tensor) -> Tensor:
        """``(B, C, *G)`` beside seeds ``(B, K, C, *G)``."""
        return target if self.scale is None else (target - seeds.mean(1)) / self.scale

    def decode(self, x: Tensor, seeds: Tensor) -> Tensor:
        """Inverse of :meth:`encode`."""
        return x if self.scale is None else x * self.scale + seeds.mean(1)


@dataclass(frozen=True, kw_only=True, eq=False)
class MemberRows:
    """Random choices of seeds and target as rows of a batch.

    Each row is a case, drawn uniformly: K of its members in random order are the seeds, and the target is another
    member, never one of the seeds, from which a network would learn to copy. With an analysis the target is one of its
    members with probability ``1 - alpha``.

    Attributes:
        members: Standardised members, ``(N, M, C, *G)`` float32.
        analysis: Standardised members of the analysis, ``(N, A, C, *G)`` float32, or None.
        season: Seasonal means, ``(N, C, *G)`` float32, or None.
        units: What the targets are measured from.
        seeds: K < M.
        alpha: Probability that the target is a member of the forecast model.
    """

    members: Tensor
    analysis: Tensor | None
    season: Tensor | None
    units: TargetUnits
    seeds: int
    alpha: float

    def __call__(self, n: int, generator: Generator) -> dict[str, Any]:
        """Rows ``x1 (n, C, *G)``, and their seeds and season."""
        case = torch.randint(len(self.members), (n,), generator=generator)
        order = torch.rand(n, self.members.shape[1], generator=generator).argsort(1)
        seeds = self.members[case[:, None], order[:, : self.seeds]]
        target = self.members[case, order[:, self.seeds]]
        if self.analysis is not None:
            pick = torch.randint(self.analysis.shape[1], (n,), generator=generator)
            model = torch.rand(n, generator=generator) < self.alpha
            target = torch.where(
                model.reshape(-1, *(1,) * (target.ndim - 1)), target, self.analysis[case, pick]
            )
        told = self.units.told(seeds)
        cond = {"seeds": told} if self.season is None else {"seeds": told, "season": self.season[case]}
        return {"x1": self.units.encode(target, seeds), "cond": cond}
