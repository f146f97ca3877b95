"""Windows of series for models of a path: values on one grid, with what was seen of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.tell import FitWarning, OutsideWarning, tell
from interpolants.framework.series import Series

# Median gaps of times that differ by more than this are likely to be in different units.
_OTHER_UNIT = 30.0


@dataclass(frozen=True)
class Units:
    """Units of values: ``(value - shift) / unit``.

    Attributes:
        shift: In units of the values.
        unit: Root mean square of increments of levels, standard deviation of increments.
        spread: Standard deviation of the standardised values.
    """

    shift: float
    unit: float
    spread: float

    @classmethod
    def of(cls, many: Sequence[Series], *, increments: bool) -> "Units":
        """Of all series together."""
        values = torch.cat([one.values[one.seen] for one in many])
        shift, spread = float(values.mean()), float(values.std(correction=0))
        gaps = torch.cat([one.values[one.seen].diff() for one in many])
        unit = spread if increments or not len(gaps) else float(gaps.square().mean().sqrt())
        unit = unit if unit > 0 else 1.0
        return cls(shift, unit, spread / unit)


# Hurst indices, and steps of the state in units of the noise of values, outside of which a fit is warned about.
_LOW, _HIGH, _LEAST_SHARE = 0.03, 0.98, 0.02


def check_series(many: Sequence[Series], fewest: int) -> None:
    """Refuse series of several columns, of too few values, and constant ones.

    Raises:
        InvalidInputError: If a series is one of these.
    """
    for k, one in enumerate(many):
        where = f"series {k}" if len(many) > 1 else "the series"
        if one.values.shape[1] != 1:
            remedy = (
                "Pass each column as a series: [table[[name]] for name in table], or each = true in a recipe."
            )
            raise invalid(f"{where} must have one column", one.values.shape[1], remedy)
        values = one.values[one.seen]
        if len(values) < fewest:
            raise invalid(f"at least {fewest} values of {where} must be seen", len(values))
        if fewest > 1 and bool((values == values[0]).all()):
            raise invalid(f"{where} must vary", f"{float(values[0])} throughout", "It tells no roughness.")


def warn_at_edge(hurst: float, share: float, values: str, remedy: str = "") -> None:
    """Tell that a Hurst index is none of the series: it stopped near 0 or 1, or there is next to nothing but noise.

    Args:
        hurst: The index.
        share: Steps of the state in units of the noise of values.
        values: What the series was taken for, ``"levels"`` or ``"increments"``.
        remedy: What else to try.
    """
    if _LOW < hurst < _HIGH and share > _LEAST_SHARE:
        return
    other = "increments" if values == "levels" else "levels"
    noise = f"noise {1 / max(share, 1e-300):.2g} times the steps of the state"
    told = f"H = {hurst:.3f} and {noise} describe no fractional motion"
    asked = f"Is the series one of {other}? values={other!r} takes it so."
    tell(FitWarning, f"{who()}: {told}. {asked} {remedy}".rstrip())


def median_gap(times: Tensor | None) -> float:
    """The unit of a process on a clock of its own; NaN for a regular clock."""
    return math.nan if times is None else float(times.flatten().double().diff().median())


def check_times(
    times: Tensor | None, many: Sequence[Series], gap: float, *, increments: bool = False
) -> Tensor | None:
    """Times ``(T,)`` of one series, from 0, in units of a gap; None for a regular clock.

    Args:
        times: Times, if there are some.
        many: The series.
        gap: The median gap of the times of the fit; NaN for a fit without.
        increments: Whether values are increments, which have no times of their own.

    Raises:
        InvalidInputError: If they are missing or not wanted, do not increase, or there are several series.
    """
    if times is None:
        if not math.isnan(gap):
            rule = "times must be passed, since the process was fitted with times"
            raise invalid(rule, "none", "Pass times=..., in the unit of the fit.")
        return None
    if increments:
        remedy = "Pass levels, such as the running sum."
        raise invalid("increments must be evenly spaced", "times", remedy)
    if len(many) > 1:
        remedy = "Put series on one clock with gaps, or fit them one by one."
        raise invalid("times go with one series", f"{len(many)} series", remedy)
    flat = times.flatten().double()
    gaps = flat.diff()
    if len(flat) != len(many[0]) or not bool((gaps > 0).all()):
        rule = f"times must be {len(many[0])} numbers that increase"
        raise invalid(rule, f"{len(flat)} numbers" if len(flat) != len(many[0]) else "some that do not")
    if len(gaps) and not 1 / _OTHER_UNIT < float(gaps.median()) / gap < _OTHER_UNIT:
        told = f"{who()}: the median gap of times is {float(gaps.median()):.4g}, in the fit it was {gap:.4g}"
        tell(OutsideWarning, f"{told}; are they in the same unit?")
    return (flat - flat[0]) / gap


def windows_of(many: Sequence[Series], length: int) -> tuple[Tensor, Tensor]:
    """Values and what was seen of windows that follow each other, ``(W, length)``; the last of a series is padded."""
    values, seen = [], []
    for one in many:
        for first in range(0, len(one), length):
            part = slice(first, first + length)
            mask = one.seen[part, 0]
            if int(mask.sum()) < 2:
                continue
            missing = length - len(mask)
            values.append(torch.nn.functional.pad(one.values[part, 0], (0, missing)))
            seen.append(torch.nn.functional.pad(mask, (0, missing)))
    return torch.stack(values), torch.stack(seen)


def on_steps(values: Tensor, seen: Tensor, every: int, *, increments: bool) -> tuple[Tensor, Tensor]:
    """The same at the states of a chain with ``every`` steps from one value to the next, ``(W, N + 1)``.

    Levels are those of the first state and of every few after it; increments have no first.
    """
    if increments:
        return torch.nn.functional.pad(values, (1, 0)), torch.nn.functional.pad(seen, (1, 0))
    count = (values.shape[1] - 1) * every + 1
    wide, mask = values.new_zeros(len(values), count), seen.new_zeros(len(seen), count)
    wide[:, ::every], mask[:, ::every] = values, seen
    return wide, mask


@dataclass(frozen=True, eq=False)
class WindowBatches:
    """Windows of each step, all of them where they fit into a batch."""

    values: Tensor
    seen: Tensor
    size: int

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> Mapping[str, Tensor]:
        """``y`` and ``seen``, ``(size, N + 1)``."""
        if len(self.values) <= self.size * world:
            index = torch.arange(rank, len(self.values), world)
        else:
            index = torch.randperm(len(self.values), generator=generator)[: self.size]
        return {"y": self.values[index], "seen": self.seen[index]}
