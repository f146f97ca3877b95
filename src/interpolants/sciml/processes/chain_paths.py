"""Paths of a directed chain: windows of series to learn from, and the step from one link to the next.

Letters: N paths, T times of a path, C columns, m Brownian motions of a path. Time runs from 0 to 1 over a path.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.data.windows import all_windows, interpolated
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import whole
from interpolants.foundations.kinds import Count, Positive
from interpolants.framework.series import Series
from interpolants.sciml.processes.state_noise import integrate_state_noise

# Time (), state (B, C), neighbour's state (B, C) or None -> (B, C) or (B, C, m).
Coefficient = Callable[[Tensor, Tensor, Any], Tensor]


@dataclass(frozen=True)
class Windows:
    """Paths to learn from.

    Attributes:
        values: ``(N, T, C)`` float64, in the order of series and time.
        apart: Paths whose places in that order differ by at least so many do not overlap.
    """

    values: Tensor
    apart: int


def windows_of(many: Sequence[Series], length: int | None, stride: int, gaps: str) -> Windows:
    """Whole series as paths, or windows of them.

    Args:
        many: The series.
        length: T of windows; None for the series themselves, which must be equally long.
        stride: Times from the start of one window to that of the next.
        gaps: ``"refuse"``; ``"linear"`` fills them by straight lines; ``"skip"`` leaves paths with gaps out.

    Raises:
        InvalidInputError: If lengths do not fit, gaps are refused, or too few paths are left.
    """
    if gaps == "refuse":
        _refuse_gaps(many)
    if length is None:
        length, stride = _common_length(many), 1
    if longest := length > max(len(one) for one in many):
        raise invalid(
            f"a series must have at least {length} times",
            max(len(one) for one in many),
            "Use a shorter window." if longest else "",
        )
    parts = []
    for one in many:
        if len(one) < length:
            continue
        values = interpolated(one.values, one.seen) if gaps == "linear" else one.values
        whole_ones = all_windows(one.seen, length)[::stride].flatten(1).all(1) | (gaps == "linear")
        parts.append(all_windows(values, length)[::stride][whole_ones])
    found = torch.cat(parts).contiguous()
    apart = -(-length // stride) if any(len(one) > length for one in many) else 1
    if len(found) < max(2, 2 * apart):
        rule = f"at least {max(2, 2 * apart)} paths are required, so that each has one that it does not overlap with"
        raise invalid(rule, len(found), "Pass a longer series, or use shorter windows or a longer stride.")
    return Windows(found, apart)


def _refuse_gaps(many: Sequence[Series]) -> None:
    for k, one in enumerate(many):
        if count := int((~one.seen).sum()):
            remedy = "gaps='linear' fills them by straight lines, gaps='skip' leaves paths with gaps out."
            raise invalid(f"series {k} must have no gaps", f"{count} values that are not seen", remedy)


def _common_length(many: Sequence[Series]) -> int:
    lengths = sorted({len(one) for one in many})
    if len(many) < 2 or len(lengths) > 1 or lengths[0] < 2:
        found = "one series" if len(many) < 2 else f"lengths {lengths[:5]}"
        rule = "without window at least two series of the same length, at least 2, must be passed"
        raise invalid(rule, found, "For example, use window=24 to cut paths of 24 times.")
    return lengths[0]


def other_paths(index: Tensor, windows: int, apart: int, generator: Generator) -> Tensor:
    """For each path another one that does not overlap with it, ``(B,)``: all of those are equally likely.

    A path must not begin where its own neighbour does: it would learn to copy the neighbour.
    """
    shift = torch.randint(apart, windows - apart + 1, index.shape, generator=generator)
    found: Tensor = (index + shift) % windows
    return found


def next_link(
    drift: Coefficient,
    strength: Coefficient,
    neighbour: Tensor | None,
    start: Tensor,
    noise: Iterable[Tensor],
    length: int,
) -> Tensor:
    """Paths ``(B, T, C)`` of ``dX = V_0(t, X, X~) dt + V(t, X, X~) dB``, given those of their neighbours X~.

    Args:
        drift: V_0.
        strength: V, the strength of each Brownian motion in each column.
        neighbour: ``(B, T, C)``; None for an equation without.
        start: ``(B, C)``, independent of the neighbours.
        noise: Standard normal draws ``(B, m)``, one per step.
        length: T.
    """
    times = torch.linspace(0, 1, length, dtype=torch.float64)
    size = (length - 1) ** -0.5

    def beside(t: Tensor) -> Tensor | None:
        return None if neighbour is None else neighbour[:, round(float(t) * (length - 1))]

    done = integrate_state_noise(
        lambda x, t: drift(t, x, beside(t)),
        lambda x, t: strength(t, x, beside(t)),
        start,
        times,
        ((size * draw, None) for draw in noise),
        return_path=True,
    )
    assert done.path is not None
    return done.path.transpose(0, 1)


@dataclass(frozen=True, kw_only=True)
class DirectedChain(Checked):
    """Chain of ``dX = V_0(t, X, X~) dt + V(t, X, X~) dB`` with a drift and a noise of one's own; nothing is learnt.

    ::

        chain = DirectedChain(
            drift=lambda t, x, beside: beside - x, strength=lambda t, x, beside: torch.ones_like(x)[..., None]
        )
        links = chain.walk(paths, 3, generator=g)      # three links after paths (B, T, C), each (B, T, C)

    Paths are in data units, at T evenly spaced times from 0 to ``duration``. Steps are Euler's (Ito), one between two
    times. If the law of the links is that of the paths they follow, it is a fixed point of the chain.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    drift: Coefficient
    """V_0, a function of time ``()``, state ``(B, C)`` and neighbour ``(B, C)`` that returns ``(B, C)``, per unit of
    time."""
    strength: Coefficient
    """V, a function of the same that returns ``(B, C, m)``, per root of a unit of time."""
    noise: Count = 1
    """Number m of Brownian motions."""
    duration: Positive = 1.0
    """Last time."""

    def follow(self, paths: Tensor, start: Tensor, *, generator: Generator) -> Tensor:
        """The next link ``(B, T, C)``.

        Args:
            paths: Neighbours ``(B, T, C)``, T >= 2.
            start: First values ``(B, C)``, independent of the neighbours.
            generator: Source of the noise.

        Raises:
            InvalidInputError: If shapes do not fit.
        """
        if paths.ndim != 3 or paths.shape[1] < 2 or start.shape != paths[:, 0].shape:
            shapes = f"paths {tuple(paths.shape)}, start {tuple(start.shape)}"
            raise invalid("paths must have shape (B, T, C), T >= 2, start (B, C)", shapes)
        length, span = paths.shape[1], self.duration
        shape = (length - 1, len(paths), self.noise)
        noise = torch.randn(shape, dtype=paths.dtype, generator=generator)
        return next_link(
            lambda t, x, beside: span * self.drift(span * t, x, beside),
            lambda t, x, beside: span**0.5 * self.strength(span * t, x, beside),
            paths,
            start,
            noise.unbind(0),
            length,
        )

    def walk(self, paths: Tensor, links: int, *, generator: Generator) -> list[Tensor]:
        """Each of the links that follow paths ``(B, T, C)``; a link begins where **another** path does.

        Args:
            paths: Paths ``(B, T, C)``, B >= 2.
            links: Number of links, at least 1.
            generator: Source of starts and noise.

        Raises:
            InvalidInputError: If there is one path alone: its link would begin where it does, and could copy it.
        """
        whole(who(), "links", links, at_least=1)
        if len(paths) < 2:
            raise invalid("at least two paths are required", len(paths))
        found, first = [], paths[:, 0]
        for _ in range(links):
            others = other_paths(torch.arange(len(paths)), len(paths), 1, generator)
            paths = self.follow(paths, first[others], generator=generator)
            found.append(paths)
        return found


def resampled(paths: Tensor, length: int, asked: bool) -> Tensor:
    """Paths ``(B, S, C)`` at ``length`` times, by straight lines if that was asked for.

    Raises:
        InvalidInputError: If the number of times is another, and it was not.
    """
    if paths.shape[1] == length:
        return paths
    if not asked:
        remedy = "resample=True puts them at the times of the model by straight lines."
        raise invalid(f"paths must have the {length} times of the model", paths.shape[1], remedy)
    whole(who(), "times of a path", paths.shape[1], at_least=2)
    wide = torch.nn.functional.interpolate(paths.mT, size=length, mode="linear", align_corners=True)
    return wide.mT.contiguous()
