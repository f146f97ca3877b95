"""Long spectra in pieces that overlap, and pieces blended into one spectrum."""

from collections.abc import Sequence

import torch
from torch import Tensor


def length_of(n: int, most: int, overlap: int) -> int:
    """Frames of each of the fewest pieces that cover n frames: n, or at most ``most``."""
    count = max(1, -(-(n - overlap) // (most - overlap)))
    return n if count == 1 else -(-(n + (count - 1) * overlap) // count)


def starts(n: int, length: int, overlap: int) -> list[int]:
    """Where pieces of ``length`` frames begin that cover n frames, each two sharing about ``overlap``."""
    count = max(1, -(-(n - overlap) // (length - overlap)))
    return [round(k * (n - length) / max(1, count - 1)) for k in range(count)]


def pieces(x: Tensor, most: int, overlap: int) -> list[Tensor]:
    """Pieces ``(..., N')`` of ``(..., N)``, all as long, at most ``most`` frames."""
    length = length_of(x.shape[-1], most, overlap)
    return [x[..., first : first + length] for first in starts(x.shape[-1], length, overlap)]


def joined(parts: Sequence[Tensor], n: int, overlap: int) -> Tensor:
    """The whole ``(..., n)`` of its :func:`pieces`: where two overlap one fades into the other.

    Args:
        parts: The pieces in order.
        n: Frames of the whole.
        overlap: As it was cut.
    """
    if len(parts) == 1:
        return parts[0]
    length = parts[0].shape[-1]
    whole = parts[0].new_zeros(*parts[0].shape[:-1], n)
    end = 0
    for part, first in zip(parts, starts(n, length, overlap), strict=True):
        shared = end - first if end else 0
        fade = torch.linspace(0, 1, shared + 2).to(part)[1:-1]
        whole[..., first:end] = (1 - fade) * whole[..., first:end] + fade * part[..., :shared]
        whole[..., max(first, end) : first + length] = part[..., shared:]
        end = first + length
    return whole
