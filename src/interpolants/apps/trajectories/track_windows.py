"""Windows of tracks: frames that are given, frames that follow, and the units in which a network sees them.

Letters: R windows, C frames given, S frames that follow, N nodes, D dimensions.
"""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from interpolants.apps.trajectories.data.tracks import Tracks
from interpolants.apps.trajectories.zero_mean import mean_point
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.records import record
from interpolants.foundations.tell import OutsideWarning, tell


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of tracks.

    Attributes:
        given: ``(R, C, N, D)`` float64; where a node was not seen, the straight line between the frames around.
        present: Where it was seen, ``(R, C, N)`` bool.
        future: ``(R, S, N, D)`` float64, zero where nothing was seen.
        seen: What of it was seen, of nodes that the given frames show, ``(R, S, N)`` bool.
        types: ``(R, N)``.
    """

    given: Tensor
    present: Tensor
    future: Tensor
    seen: Tensor
    types: Tensor

    def __len__(self) -> int:
        return len(self.given)


def all_windows(tracks: Tracks, context: int, horizon: int) -> Windows:
    """Every window of ``context + horizon`` frames of which some of both parts was seen.

    With ``context=0`` only windows that were seen wholly count: a distribution of whole trajectories has no padding.

    Raises:
        InvalidInputError: If tracks are shorter, or no window is left.
    """
    length = context + horizon
    if tracks.x.shape[1] < length:
        rule = f"tracks must have at least {length} frames, {context} given and {horizon} that follow"
        raise invalid(rule, tracks.x.shape[1], "Use a shorter context or horizon.")
    if (stride := tracks.stride) > 1:
        rule = "frames must be counted by ones, so that some are seen one after the other"
        told = f"one in {stride} of every case, and nothing between"
        raise invalid(rule, told, f"Divide them: table['frame'] // {stride}, or x[:, ::{stride}].")
    x = tracks.x.unfold(1, length, 1).flatten(0, 1).permute(0, 3, 1, 2)  # (windows, L, N, D)
    seen = tracks.seen.unfold(1, length, 1).flatten(0, 1).transpose(1, 2)
    types = tracks.types.repeat_interleave(tracks.x.shape[1] - length + 1, 0)
    given, present = x[:, :context], seen[:, :context]
    known = present.any(1, keepdim=True) if context else torch.ones_like(seen[:, :1])
    after = seen[:, context:] & known
    some = after.flatten(1)
    kept = some.any(1) if context else some.all(1)
    if context:  # the last given frame is there: a window begins where its track is
        kept &= present[:, -1].any(1)
    if not bool(kept.any()):
        raise invalid(f"at least one window of {length} frames must have an observed position", "none")
    future = x[:, context:] * after[..., None]
    parts = (filled_frames(given, present), present, future, after, types)
    return Windows(*(part[kept] for part in parts))


def last_frames(tracks: Tracks, context: int) -> Tracks:
    """The last ``context`` frames of every case, up to the last in which a node was seen; not seen before its first.

    Raises:
        InvalidInputError: If nothing of a case was seen.
    """
    some = tracks.seen.any(2)
    if not bool(some.any(1).all()):
        row = int((~some.any(1)).nonzero()[0])
        raise invalid("some of every case must be seen", f"nothing of case {row}")
    last = torch.where(some, torch.arange(1, some.shape[1] + 1), 0).amax(1)
    place = last[:, None] - context + torch.arange(context)
    inside, place = place >= 0, place.clamp_min(0)
    rows = torch.arange(len(tracks))[:, None]
    seen = tracks.seen[rows, place] & inside[..., None]
    _warn_if_short(seen)
    return replace(tracks, x=tracks.x[rows, place] * seen[..., None], seen=seen)


def _warn_if_short(seen: Tensor) -> None:
    """Warn of cases and nodes ``(B, C, N)`` that begin within the context: they count as standing still before."""
    frames = seen.shape[1]
    shown = torch.where(
        seen.any(1), frames - seen.long().argmax(1), frames
    )  # nodes never seen have no forecast
    of_case = torch.where(seen.any(1), shown, 0).amax(1)
    short = of_case < frames
    late = (shown < frames) & ~short[:, None]
    remedy = f"Pass at least {frames} frames of each, or leave them out"
    if bool(short.any()):
        told = f"{int(short.sum())} of {len(seen)} cases begin within the {frames} frames that are needed"
        least = int(of_case.argmin())
        words = f"case {least} shows its last {int(of_case[least])}, and is taken to have stood still before"
        tell(OutsideWarning, f"{who()}: {told}; {words}. {remedy}.")
    if bool(late.any()):
        told = f"{int(late.sum())} nodes begin within the {frames} frames that are needed"
        case, node = (int(k) for k in late.nonzero()[0])
        words = f"node {node} of case {case} shows its last {int(shown[case, node])}, and is taken to have stood still"
        tell(OutsideWarning, f"{who()}: {told}; {words} before. {remedy}.")


def filled_frames(x: Tensor, seen: Tensor) -> Tensor:
    """Frames ``(R, C, N, D)`` with straight lines between those seen, constant before the first and after the last.

    Averages of positions, so that they move with them. Nodes that were never seen are zero.
    """
    if not x.shape[1] or bool(seen.all()):
        return x
    frames = torch.arange(x.shape[1])[None, :, None]
    before = torch.where(seen, frames, -1).cummax(1).values
    after = torch.where(seen, frames, x.shape[1]).flip(1).cummin(1).values.flip(1)
    left, right = torch.where(before < 0, after, before), torch.where(after == x.shape[1], before, after)
    left, right = (place.clamp(0, x.shape[1] - 1) for place in (left, right))
    share = (frames - left).to(x) / (right - left).clamp_min(1).to(x)
    wide = (-1, -1, -1, x.shape[-1])
    first, second = (x.gather(1, place[..., None].expand(wide)) for place in (left, right))
    lines = first + share[..., None] * (second - first)
    return torch.where(seen[..., None], x, lines) * seen.any(1, keepdim=True)[..., None]


def continued_frames(x: Tensor, seen: Tensor) -> Tensor:
    """As :func:`filled_frames`, but nodes go on after the last frame that shows them, with their last step.

    A node that one frame alone shows stays there.
    """
    filled, frames = filled_frames(x, seen), torch.arange(x.shape[1])[None, :, None]
    last = torch.where(seen, frames, -1).amax(1, keepdim=True)
    before = torch.where(seen & (frames < last), frames, -1).amax(1, keepdim=True)
    wide = (-1, -1, -1, x.shape[-1])
    ends = (filled.gather(1, place.clamp_min(0)[..., None].expand(wide)) for place in (last, before))
    step = torch.sub(*ends) / (last - before).to(x)[..., None]
    further = torch.where(before >= 0, (frames - last).clamp_min(0), 0).to(x)
    return filled + further[..., None] * step


@record("track_units")
@dataclass(frozen=True)
class TrackUnits:
    """Units of a network: positions about the mean of the last given frame, in one length for all dimensions.

    Attributes:
        scale: The length, in data units.
        home: Mean position of the training part, ``(D,)``: what networks without symmetry are told places about.
    """

    scale: float = 1.0
    home: Tensor | None = None

    @classmethod
    def fit(cls, windows: Windows, context: int) -> Self:
        """Root mean square of positions about their centre, over what was seen of the windows.

        Of given frames that all lie at their centre, such as one frame of one node, that of the frames that follow.
        """
        x, seen = (windows.given, windows.present) if context else (windows.future, windows.seen)
        centre = mean_point(x, seen)
        home = x[seen].mean(0)
        scale = _size(x - centre, seen) or _size(windows.future - centre, windows.seen)
        return cls(scale if scale > 0 else 1.0, home)

    def centre(self, given: Tensor, present: Tensor) -> Tensor:
        """Centres ``(R, 1, 1, D)``, in data units: the mean of all nodes in their last given frame."""
        there = present.any(1, keepdim=True)
        return mean_point(given[:, -1:], there)

    def encode(self, x: Tensor, centre: Tensor) -> Tensor:
        """Data units to those of the network."""
        return (x - centre) / self.scale

    def decode(self, x: Tensor, centre: Tensor) -> Tensor:
        """The network's units to those of the data."""
        return x.double() * self.scale + centre


def _size(x: Tensor, seen: Tensor) -> float:
    """Root mean square of numbers ``(R, T, N, D)``, over what was seen."""
    return float((x.square().sum(-1)[seen].mean() / x.shape[-1]).sqrt())


def principal_axes(given: Tensor, present: Tensor) -> Tensor:
    """Axes of the given frames that turn and mirror with them, as columns of ``(R, D, D)``, float64.

    Eigenvectors of the scatter about the centre; each points to where a moment of third order that weighs later frames
    more is positive. Noise that is drawn along them makes samples turn with their context, seed by seed; frames too
    symmetric to have such axes (all at one point, or on a line) get others, and noise has the same law in any.
    """
    mask = present[..., None].to(given)
    gap = (given - mean_point(given, present)) * mask
    flat = gap.flatten(1, 2)
    axes = torch.linalg.eigh(flat.transpose(1, 2) @ flat).eigenvectors
    along = gap.flatten(2, 2) @ axes[:, None]
    weight = torch.arange(1, gap.shape[1] + 1).to(gap)[:, None, None]
    moment = (
        weight * along.pow(3) + (weight - weight.mean()) * along * along.abs().amax((1, 2), keepdim=True) ** 2
    ).sum((1, 2))
    found: Tensor = axes * torch.where(moment < 0, -1.0, 1.0).to(axes)[:, None]
    return found
