"""Checks of what a process of a family is asked, and what it tells of values that do not fit."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.tell import OutsideWarning, tell
from interpolants.sciml.pinn.pde.family import PDEFamily, Range

# Root mean square distance from which values misfit, and rounding at the ends of ranges.
MISFIT, SLACK = 3.0, 1e-6


def warn_of_counts(counts: Sequence[int], known: tuple[int, int]) -> None:
    """Tell of numbers of sensors that no step of the training had."""
    other = [count for count in counts if not known[0] <= count <= known[1]]
    if other:
        told = f"{who()}: fields of the training had {known[0]} to {known[1]} sensors, got {other[0]}"
        tell(OutsideWarning, f"{told}; the answer is a guess.")


def warn_of_misfit(off: Tensor) -> None:
    """Tell of values that are no field of the family."""
    if not bool((off > MISFIT).any()):
        return
    which = f"those of {int((off > MISFIT).sum())} of {len(off)} fields" if len(off) > 1 else "values"
    told = f"{who()}: {which} are up to {float(off.max()):.3g} times as far from fields of the family as noise and "
    remedy = "Look at units, known parameters and noise; these parameters must not be trusted."
    tell(OutsideWarning, f"{told}posterior allow. {remedy}")


def unit_points(points: Tensor, family: PDEFamily) -> Tensor:
    """Points in units of [-1, 1]."""
    low, high = (points.new_tensor([side[i] for side in family.box.values()]) for i in (0, 1))
    return (2 * points - low - high) / (high - low)


def check_width(name: str, rows: Tensor, columns: Sequence[str]) -> None:
    """Refuse rows of another width, and those that are not finite."""
    if rows.ndim != 2 or rows.shape[1] != len(columns):
        rule = f"{name} must have shape (N, {len(columns)}), with columns {', '.join(columns)}"
        raise invalid(rule, tuple(rows.shape))
    if not bool(torch.isfinite(rows).all()):
        raise invalid(f"{name} must be finite", "nan or inf", "Leave out what was not measured.")


def check_ranges(values: Tensor, ranges: Mapping[str, Range]) -> None:
    """Refuse values outside of the ranges of the training."""
    for column, (name, (low, high)) in zip(values.unbind(1), ranges.items(), strict=True):
        slack = SLACK * (high - low)
        outside = (column < low - slack) | (column > high + slack)
        if bool(outside.any()):
            rule = f"{name} must lie in [{low:g}, {high:g}], where the process was trained"
            raise invalid(rule, f"{float(column[outside][0]):g}")
