"""Negative transfer of an interval of times: what sharing one network with the other times cost the samples.

Samples are drawn with a shared model, and with it except inside [first, last), where a model answers that was trained
on that interval alone. The gap is the distance of the latter to the data minus that of the former: below 0 the interval
suffers from sharing.

Source: Go et al. (2023), arXiv:2306.00354, section 3 (observation 2; there the distance is FID).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics.modifiers import Modifier, Work
from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import Fields
from interpolants.foundations.clock import ROUNDING
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import expand_like
from interpolants.foundations.types import Condition
from interpolants.paths.path import Path, SpatiallyLinearPath

_WHO = "negative_transfer_gap"


@dataclass(frozen=True)
class TransferGap:
    """Distances to the data, and what sharing cost.

    Attributes:
        shared: Distance of samples of the shared model.
        mixed: Distance of samples with the other model inside the interval.
        shared_x: Samples of the shared model, ``(B, *D)``.
        mixed_x: Samples with the other model, from the same starts and noise, ``(B, *D)``.
    """

    shared: float
    mixed: float
    shared_x: Tensor
    mixed_x: Tensor

    @property
    def gap(self) -> float:
        """``mixed - shared``, in the units of the distance; below 0 the interval suffers from sharing."""
        return self.mixed - self.shared


def negative_transfer_gap(
    shared: Fields,
    alone: Fields,
    interval: tuple[float, float],
    x: Tensor,
    distance: Callable[[Tensor], Any],
    **options: Any,
) -> TransferGap:
    """Compare a shared model with one that was trained on an interval of times alone, inside that interval.

    ::

        loop = {"path": "vp", "heads": ("noise",), "seed": 0}
        shared = Bridge(**loop).fit(x1=x).fields
        alone = Bridge(**loop, times={"kind": "uniform", "interval": (0.6, 0.8)}).fit(x1=x).fields
        found = negative_transfer_gap(shared, alone, (0.6, 0.8), z, lambda made: frechet_distance(made, held_out),
                                      method="ddim")

    Args:
        shared: Fields that were trained on all times.
        alone: Fields that were trained on the interval, in the same units and along the same path.
        interval: First and last time, rising, in [0, 1]; a step that begins at the last one is the shared model's.
        x: Starts at t = 0, ``(B, *D)``, in the units of the fields.
        distance: Distance of samples ``(B, *D)`` to the data: a number, or what has a ``value``, as metrics return.
        **options: Options of ``dynamics.sample``: ``n_steps``, ``method``, ``cond``, ``seed`` ...

    Raises:
        InvalidInputError: If the interval does not rise within [0, 1], or the fields have different paths.
    """
    inside = _Inside(alone, interval)
    if not _is_one_path(shared.path, alone.path):
        raise invalid(_WHO, "both models must have one path", f"{shared.path} and {alone.path}")
    options.setdefault("seed", 0)
    runs = [sample(shared, x, modifiers=modifiers, **options).x for modifiers in ((), inside)]
    found = [distance(made) for made in runs]
    values = [float(getattr(value, "value", value)) for value in found]
    return TransferGap(values[0], values[1], runs[0], runs[1])


def _is_one_path(path: Path | None, other: Path | None) -> bool:
    """Whether two paths are of one kind, with the same weights of both ends where these depend on time alone."""
    if not isinstance(path, SpatiallyLinearPath) or not isinstance(other, SpatiallyLinearPath):
        return type(path) is type(other)
    t = torch.linspace(0.05, 0.95, 7, dtype=torch.float64)
    return all(bool(torch.allclose(getattr(path, f)(t), getattr(other, f)(t))) for f in ("alpha", "beta"))


@dataclass(frozen=True, eq=False)
class _Inside(Modifier):
    """Other fields inside an interval of times."""

    fields: Fields
    interval: tuple[float, float]

    def __post_init__(self) -> None:
        first, last = self.interval
        if not 0 <= first < last <= 1:
            raise invalid(_WHO, "interval must be two rising times in [0, 1]", self.interval)

    def begin(self, x: Tensor, index: int, times: Tensor) -> Work:
        """At work on a chunk."""
        return _Asking(self)


class _Asking(Work):
    def __init__(self, settings: _Inside) -> None:
        self.settings = settings

    def evaluate(
        self, inner: Fields, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition
    ) -> dict[str, Tensor]:
        first, last = self.settings.interval
        is_late = t >= last - ROUNDING if last < 1 else torch.zeros_like(t, dtype=torch.bool)
        inside = (t >= first - ROUNDING) & ~is_late
        if not bool(inside.any()):
            return inner.evaluate(x, t, want, cond)
        other = self.settings.fields.evaluate(x, t, want, cond)
        if bool(inside.all()):
            return other
        own = inner.evaluate(x, t, want, cond)
        return {name: torch.where(expand_like(inside, x), other[name], own[name]) for name in want}
