"""Energies of entries that were seen, for guidance by :class:`~interpolants.guidance.energy.EnergyGuided`.

Letters: e1 the mean end point, y what was seen, k a level in (0, 1), ``e = y - e1``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count, NonNegative
from interpolants.foundations.ops import sum_event
from interpolants.paths.path import SpatiallyLinearPath


def seen_entries(value: Tensor, seen: Tensor, level: Tensor | None = None) -> dict[str, Tensor]:
    """What these energies compare with, one row per sample; put it into :func:`~interpolants.guidance.observed`.

    Args:
        value: What was seen, ``(B, *D)``; entries that were not seen do not count, and must be finite.
        seen: Which were, ``(B, *D)``.
        level: Level of each row, ``(B,)``, in (0, 1); for quantiles.

    Raises:
        InvalidInputError: If shapes do not fit, an entry is not finite, or a level is out of range.
    """
    who = "seen_entries"
    if seen.shape != value.shape:
        raise invalid(who, f"seen must have the shape of value, {tuple(value.shape)}", tuple(seen.shape))
    if not bool(torch.isfinite(value).all()):
        remedy = "Mark gaps in seen, and put zeros in their place: value.nan_to_num()."
        raise invalid(who, "value must be finite", "nan or inf", remedy)
    found = {"value": value, "seen": seen.to(value)}
    if level is None:
        return found
    if level.shape != value.shape[:1] or bool(((level <= 0) | (level >= 1)).any()):
        rule = f"level must hold one number in (0, 1) per row, ({len(value)},)"
        raise invalid(who, rule, f"{tuple(level.shape)} from {level.min():g} to {level.max():g}")
    return {**found, "level": level.to(value)}


def levels(members: int) -> Tensor:
    """Levels ``i / (n + 1)`` of n members, ``(n,)`` float64: guided by them, members spread over the quantiles."""
    whole("levels", "members", members, at_least=2, remedy="One member has no quantiles: take SquaredGap.")
    return torch.arange(1, members + 1, dtype=torch.float64) / (members + 1)


@dataclass(frozen=True)
class SquaredGap:
    """``E = sum over what was seen of (y - e1)^2``: Gaussian errors."""

    def __call__(self, x1: Tensor, y: Mapping[str, Tensor]) -> Tensor:
        """The energy of each row, ``(B,)``; y from :func:`seen_entries`."""
        found: Tensor = sum_event(y["seen"] * (y["value"] - x1).square())
        return found


@dataclass(frozen=True)
class QuantileGap:
    """``E = sum over what was seen of max(k e, (k - 1) e)``: asymmetric Laplace errors, with a level k for each row.

    Its slope is bounded, so that it diverges much later than :class:`SquaredGap`. Samples with levels spread over
    (0, 1), see :func:`levels`, have the right quantiles of single entries; but a sample of a low level is low
    everywhere, so that their paths are not exchangeable.

    Source: Kollovieh et al. (2023), arXiv:2307.11494, section 3.1.
    """

    def __call__(self, x1: Tensor, y: Mapping[str, Tensor]) -> Tensor:
        """The energy of each row, ``(B,)``; y from :func:`seen_entries` with levels."""
        if "level" not in y:
            remedy = "Pass seen_entries(value, seen, levels(members))."
            raise invalid("QuantileGap", "every row must have a level", "none", remedy)
        level = y["level"].reshape(-1, *(1,) * (x1.ndim - 1))
        gap = y["value"] - x1
        found: Tensor = sum_event(y["seen"] * torch.maximum(level * gap, (level - 1) * gap))
        return found


@dataclass(frozen=True)
class AncestralStrength(Checked):
    """Strength ``lambda(t)`` with which an ancestral step adds ``-scale p grad E``, p the variance of its own noise.

    ``lambda = scale rho (alpha'/alpha)^2`` with ``rho = beta/beta'``, where dashes mark the next time: nearly constant,
    but for the last steps, and 0 in the very last. A constant strength gives the deterministic (DDIM) rule.

    Source: Kollovieh et al. (2023), arXiv:2307.11494, algorithm 1; in terms of alpha and beta derived anew.
    """

    path: SpatiallyLinearPath
    """A one-sided path."""
    n_steps: Count
    """Steps of the uniform grid from 0 to 1."""
    scale: NonNegative = 1.0
    """s."""

    def __call__(self, t: Tensor) -> Tensor:
        """The strength at times of the grid, of the shape of t; that of the last step at t = 1, where none begins."""
        step = (t.double() * self.n_steps).round().clamp(max=self.n_steps - 1)
        now, then = step / self.n_steps, (step + 1) / self.n_steps
        rho = self.path.beta(now) / self.path.beta(then)
        share = self.path.alpha(then) / self.path.alpha(now)
        return (self.scale * rho * share.square()).to(t)
