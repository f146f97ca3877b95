"""Loss of the denoised state at one time per entry: what conditional distributions under all masks are learnt by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from interpolants.foundations.ops import expand_like, sum_event
from interpolants.foundations.types import Condition, Field
from interpolants.paths.path import SpatiallyLinearPath


@dataclass(frozen=True)
class MaskedLoss:
    """``|w (f(x_t, t) - x1)|^2`` with ``x_t = alpha(t) x0 + beta(t) x1`` entry by entry, ``t (B, *D)``.

    A row has one time for all entries (chance 1/2), or a random mask: its known entries have t = 1 and the others the
    time of the row. Known entries do not enter the loss. It is a sum over the other entries, not their mean: else
    masks that hide one entry would count as much as those that hide all.

    With ``levels``, each known entry of a third of the rows has noise (chance 1/2): its time is uniform between that of
    the row and 1. Two thirds of the rows then have a mask.

    Attributes:
        path: A one-sided path, exact at t = 1.
        weight: ``weight(x_t, t)["denoised"]``, ``(B, *D)``.
        levels: Whether known entries have noise in some rows.

    Source: Negrel, Coeurdoux, Albergo & Vanden-Eijnden (2025), arXiv:2508.04605; the distribution of masks is ours.
    """

    heads: ClassVar[tuple[str, ...]] = ("denoised",)

    path: SpatiallyLinearPath
    weight: Callable[[Tensor, Tensor], Mapping[str, Tensor]]
    levels: bool = False

    def __call__(
        self,
        field: Field,
        *,
        x0: Tensor | None = None,
        x1: Tensor,
        t: Tensor,
        cond: Condition = None,
        generator: Generator | None = None,
    ) -> dict[str, Tensor]:
        """Losses per row, ``(B,)``; ``t (B,)`` is the time of each row, and a given ``x0`` its start."""
        times = entry_times(t, x1, levels=self.levels, generator=generator)
        if x0 is None:
            assert self.path.base is not None
            noise = self.path.base.noise(x1.shape, generator=generator, dtype=x1.dtype, device=x1.device)
            x0 = self.path.base.color(noise)
        x_t = self.path.interpolate(times, x0, x1)
        error = (field(x_t, times, cond) - x1).square() * self.weight(x_t, times)["denoised"]
        return {"denoised": sum_event(torch.where(times < 1, error, 0.0))}


def entry_times(t: Tensor, x: Tensor, *, levels: bool, generator: Generator | None = None) -> Tensor:
    """Times of entries, ``(B, *D)``, from those of rows ``t (B,)``; see :class:`MaskedLoss`."""
    kind, chance, form = (expand_like(u, x) for u in _uniform(3, x, generator, rows=True))
    times = expand_like(t, x).to(x.dtype)
    observed = _uniform(1, x, generator)[0] < chance
    if x.ndim > 2:
        observed = torch.where(form < 0.5, _boxes(x, generator), observed)
    at = torch.ones_like(x)
    if levels:
        coin, fraction = _uniform(2, x, generator)
        at = torch.where((kind < 1 / 3) & (coin < 0.5), torch.lerp(times, at, fraction), at)
    masked = kind < (2 / 3 if levels else 1 / 2)
    return torch.where(masked & observed, at, times)


def _boxes(x: Tensor, generator: Generator | None) -> Tensor:
    """Boxes of known entries, or of hidden ones, ``(B, *D)``.

    Along each axis a box is an interval or (chance 1/2) the whole axis. Images need them: masks by single pixels
    contain no large hole.
    """
    inside = torch.ones_like(x, dtype=torch.bool)
    for axis in range(1, x.ndim):
        a, b, coin = (expand_like(u, x) for u in _uniform(3, x, generator, rows=True))
        centre = (torch.arange(x.shape[axis], device=x.device) + 0.5) / x.shape[axis]
        centre = centre.reshape(-1, *(1,) * (x.ndim - 1 - axis))
        inside = inside & ((coin < 0.5) | ((centre > torch.minimum(a, b)) & (centre < torch.maximum(a, b))))
    (outside,) = _uniform(1, x, generator, rows=True)
    return inside ^ (expand_like(outside, x) < 0.5)


def _uniform(count: int, x: Tensor, generator: Generator | None, *, rows: bool = False) -> list[Tensor]:
    """Uniform numbers ``(B, *D)``, or ``(B,)`` for rows."""
    shape = x.shape[:1] if rows else x.shape
    return [torch.rand(shape, dtype=x.dtype, device=x.device, generator=generator) for _ in range(count)]
