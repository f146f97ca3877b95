"""Random masks that hide n tokens of a sequence, as on the way of the first-hitting sampler.

Give every position a level, uniform on (0, 1), and hide the n lowest: a uniformly random subset. The n-th lowest level
is then a draw of ``1 - kappa`` from Beta(n, L - n + 1), independent of the subset, which is just how the hidden share
is distributed when n masks are left. So one draw gives a training state and the time that belongs to it.
"""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from interpolants.foundations.errors import invalid


class Hidden(NamedTuple):
    """Hidden positions ``(B, L)``, and the share ``1 - kappa`` that belongs to them, ``(B,)`` float64."""

    where: Tensor
    share: Tensor


def stratified(rows: int, *, generator: Generator | None, device: torch.device) -> Tensor:
    """One uniform in each of ``rows`` equal cells of [0, 1), ``(rows,)`` float64: low discrepancy over the batch."""
    u = torch.rand(rows, dtype=torch.float64, device=device, generator=generator)
    return (torch.arange(rows, dtype=torch.float64, device=device) + u) / rows


def hide(
    n: Tensor, length: int, *, generator: Generator | None = None, levels: Tensor | None = None
) -> Hidden:
    """Hide n random positions in each row.

    Args:
        n: ``(B,)`` numbers of masks, 1 ... L.
        length: L.
        generator: Source of the levels, on the device of ``n``.
        levels: The levels themselves, ``(B, L)`` uniform float64, instead.

    Raises:
        InvalidInputError: If a number is outside 1 ... L; values are read on the CPU only.
    """
    low, high = (int(n.min()), int(n.max())) if n.is_cpu else (1, 1)
    if low < 1 or high > length:
        found = low if low < 1 else high
        remedy = "With no mask there is nothing to predict."
        raise invalid("hide", f"the number of masks must lie in 1 ... {length}", found, remedy)
    if levels is None:
        levels = torch.rand(len(n), length, dtype=torch.float64, device=n.device, generator=generator)
    order = levels.argsort(1)
    rank = torch.empty_like(order).scatter_(
        1, order, torch.arange(length, device=n.device).expand(len(n), -1)
    )
    where = rank < n[:, None]
    share = levels.gather(1, order).gather(1, n[:, None] - 1)[:, 0]
    return Hidden(where, share)


def hide_share(
    share: Tensor, length: int, *, generator: Generator | None = None, levels: Tensor | None = None
) -> Hidden:
    """Hide each position by itself with the probability ``share (B,)``; there may be none."""
    if levels is None:
        levels = torch.rand(len(share), length, dtype=torch.float64, device=share.device, generator=generator)
    return Hidden(levels < share[:, None], share)
