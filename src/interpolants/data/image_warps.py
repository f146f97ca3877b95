"""Warps of images, and smooth random fields to make them from."""

import math
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional

from interpolants.foundations.checks import one_of, positive
from interpolants.foundations.errors import invalid


def smooth_fields(
    count: int, channels: int, size: int, *, width: float, generator: Generator | None = None
) -> Tensor:
    """Gaussian noise smoothed by a Gaussian, each channel scaled so that its largest size is 1.

    Args:
        count: Number of fields.
        channels: Channels of each.
        size: Pixels along each axis.
        width: Standard deviation of the Gaussian in pixels, > 0.
        generator: Source of the noise.

    Returns:
        ``(count, channels, size, size)`` float32.
    """
    positive("smooth_fields", "width", width)
    reach = math.ceil(3 * width)
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float32) / width).square())
    line = (line / line.sum()).flatten()
    wide = size + 2 * reach  # so that no edge is smoothed less than the middle
    noise = torch.randn(count * channels, 1, wide, wide, generator=generator)
    found = functional.conv2d(functional.conv2d(noise, line[None, None, :, None]), line[None, None, None, :])
    return (found / found.abs().amax((2, 3), keepdim=True)).reshape(count, channels, size, size)


def warped(images: Tensor, shift: Tensor, *, outside: str = "border") -> Tensor:
    """Images read at displaced points, ``found(p) = image(p + shift(p))``, bilinear; ``(N, C, H, W)``.

    Args:
        images: ``(N, C, H, W)``.
        shift: Displacements in pixels, ``(N, 2, H, W)``: along rows, then along columns.
        outside: ``"border"`` repeats the edge, ``"zeros"`` puts zeros beyond it.

    Raises:
        InvalidInputError: If shapes do not fit.
    """
    one_of("warped", "outside", outside, ("border", "zeros"))
    n, _, height, width = images.shape
    if shift.shape != (n, 2, height, width):
        raise invalid("warped", f"shift must have shape {(n, 2, height, width)}", tuple(shift.shape))
    places: Any = torch.meshgrid(
        torch.arange(height, dtype=images.dtype), torch.arange(width, dtype=images.dtype), indexing="ij"
    )
    rows, columns = (places[k] + shift[:, k].to(images) for k in range(2))
    # grid_sample counts from -1 to 1 between the middles of the first and the last pixel, columns first.
    grid = torch.stack([2 * columns / max(width - 1, 1) - 1, 2 * rows / max(height - 1, 1) - 1], -1)
    found: Tensor = functional.grid_sample(
        images, grid, mode="bilinear", padding_mode=outside, align_corners=True
    )
    return found
