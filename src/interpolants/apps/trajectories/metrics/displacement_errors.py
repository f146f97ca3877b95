"""Displacement errors of forecast tracks: distances between where nodes were forecast and where they went.

Letters: B cases, M members, S frames ahead, N nodes, D dimensions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid


@dataclass(frozen=True, eq=False)
class Displacement:
    """Errors by case, ``(B,)``, in the unit of the positions; NaN for a case of which nothing came.

    Attributes:
        average: ADE: mean distance over frames and nodes, averaged over members.
        final: FDE: the same in the last frame that was seen of each node.
        least_average: The least ADE of a member.
        least_final: The least FDE of a member.
        by_frame: Mean distance over nodes and members in each frame, ``(B, S)``.
        energy: Energy score of whole tracks, ``E |x - y| - E |x - x'| / 2`` in its fair form with root mean square
            distances over frames and nodes: least for the true distribution, as the other errors are not.
    """

    average: Tensor
    final: Tensor
    least_average: Tensor
    least_final: Tensor
    by_frame: Tensor
    energy: Tensor


def displacement(members: Tensor, truth: Tensor, seen: Tensor | None = None) -> Displacement:
    """Average and final displacement errors of ensembles of tracks.

    Args:
        members: Forecasts, ``(B, M, S, N, D)``.
        truth: What came, ``(B, S, N, D)``.
        seen: What of it was seen, ``(B, S, N)``; all if None.

    Raises:
        InvalidInputError: If shapes do not fit, or a forecast is missing where something came.

    Source: Alahi et al. (2016), CVPR, 961-971; least errors of several samples: Gupta et al. (2018), arXiv:1803.10892.
    """
    if members.ndim != 5 or members[:, 0].shape != truth.shape:
        shapes = f"{tuple(members.shape)} and {tuple(truth.shape)}"
        raise invalid("displacement", "shapes must be (B, M, S, N, D) and (B, S, N, D)", shapes)
    there = torch.ones(truth.shape[:-1], dtype=torch.bool) if seen is None else seen
    gap = (members - truth[:, None]).double().norm(dim=-1)
    if bool(gap.isnan().logical_and(there[:, None]).any()):
        rule = "every node that came must have a forecast"
        raise invalid("displacement", rule, "NaN", "Leave out nodes that the context did not show.")
    mask = there[:, None].to(gap)
    gap = torch.where(there[:, None], gap, 0.0)
    average = gap.sum((2, 3)) / mask.sum((2, 3))
    last = torch.where(there, torch.arange(1, there.shape[1] + 1)[None, :, None], 0).argmax(1)
    ends = there.any(1).to(gap)
    at_end = gap.gather(2, last[:, None, None].expand(-1, gap.shape[1], 1, -1))[:, :, 0]
    final = (at_end * ends[:, None]).sum(-1) / ends.sum(-1)[:, None]
    by_frame = gap.sum((1, 3)) / mask.sum(3)[:, 0] / gap.shape[1]
    energy = _energy(members, truth, there)
    return Displacement(average.mean(1), final.mean(1), average.amin(1), final.amin(1), by_frame, energy)


def _energy(members: Tensor, truth: Tensor, there: Tensor) -> Tensor:
    mask = there[:, None, ..., None]
    count = there.flatten(1).sum(1)[:, None].sqrt()
    x = torch.where(mask, members.double(), 0.0).flatten(2)
    y = torch.where(mask[:, 0], truth.double(), 0.0).flatten(1)
    near = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    apart = near.sum((1, 2)) / max(x.shape[1] * (x.shape[1] - 1), 1)
    found: Tensor = ((x - y[:, None]).norm(dim=-1) / count).mean(1) - 0.5 * apart / count[:, 0]
    return found
