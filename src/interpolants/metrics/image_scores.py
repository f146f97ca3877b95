"""Scores of images: signal to noise, structural similarity, overlap of labels, and errors of displacement fields."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from interpolants.foundations.checks import positive, whole
from interpolants.foundations.errors import invalid

# Constants and window of structural similarity, as in its paper.
_K1, _K2, _SIGMA = 0.01, 0.03, 1.5


def _same_shape(who: str, x: Tensor, y: Tensor) -> None:
    if x.shape != y.shape or x.ndim < 2:
        raise invalid(who, "both must have one shape (N, *D)", f"{tuple(x.shape)} and {tuple(y.shape)}")


def psnr(x: Tensor, truth: Tensor, *, span: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio of each row, ``10 log10(span^2 / mean |x - truth|^2)``, ``(N,)`` in dB.

    Args:
        x: Images ``(N, *D)``.
        truth: What they should be.
        span: Largest value less the smallest one that an image may have; not those of these images.

    Raises:
        InvalidInputError: If shapes differ, or the span is not positive.
    """
    _same_shape("psnr", x, truth)
    positive("psnr", "span", span)
    error = (x.double() - truth.double()).flatten(1).square().mean(1)
    return 10 * torch.log10(span**2 / error)


def ssim(x: Tensor, truth: Tensor, *, span: float = 1.0, window: int = 11) -> Tensor:
    """Structural similarity of each image, ``(N,)`` in [-1, 1], with Gaussian weights; the mean over channels.

    Args:
        x: Images ``(N, C, H, W)``.
        truth: What they should be.
        span: As in :func:`psnr`.
        window: Side of the window in pixels, odd, at most that of the image.

    Raises:
        InvalidInputError: If shapes differ, or an argument is out of range.

    Source: Wang, Bovik, Sheikh & Simoncelli (2004), IEEE Transactions on Image Processing 13, 600-612.
    """
    _same_shape("ssim", x, truth)
    if x.ndim != 4:
        raise invalid("ssim", "images must have shape (N, C, H, W)", tuple(x.shape))
    whole("ssim", "window", window, at_least=3, at_most=min(x.shape[-2:]))
    if window % 2 == 0:
        raise invalid("ssim", "window must be odd", window)
    positive("ssim", "span", span)
    line = torch.arange(window, dtype=torch.float64) - window // 2
    line = torch.exp(-0.5 * (line / _SIGMA).square())
    line = line / line.sum()

    def local(z: Tensor) -> Tensor:
        kernel = line.to(z.device)
        rows = functional.conv2d(z, kernel[None, None, :, None])
        return functional.conv2d(rows, kernel[None, None, None, :])

    a, b = (z.double().flatten(0, 1)[:, None] for z in (x, truth))
    mean_a, mean_b = local(a), local(b)
    var_a, var_b = local(a * a) - mean_a.square(), local(b * b) - mean_b.square()
    both = local(a * b) - mean_a * mean_b
    c1, c2 = (_K1 * span) ** 2, (_K2 * span) ** 2
    top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    found = top / ((mean_a.square() + mean_b.square() + c1) * (var_a + var_b + c2))
    return found.flatten(1).mean(1).reshape(x.shape[:2]).mean(1)


def dice(labels: Tensor, truth: Tensor, label: int) -> Tensor:
    """Overlap ``2 |A and B| / (|A| + |B|)`` of one label in each image, ``(N,)``; NaN where neither has it.

    Args:
        labels: Whole numbers ``(N, *D)``.
        truth: What they should be.
        label: The label.

    Raises:
        InvalidInputError: If shapes differ, or labels are no whole numbers.

    Source: Dice (1945), Ecology 26, 297-302.
    """
    _same_shape("dice", labels, truth)
    if labels.is_floating_point() or truth.is_floating_point():
        remedy = "Pass the most likely class, e.g. probabilities.argmax(1)."
        raise invalid("dice", "labels must be whole numbers", f"{labels.dtype} and {truth.dtype}", remedy)
    a, b = ((z == label).flatten(1).double() for z in (labels, truth))
    total = a.sum(1) + b.sum(1)
    return torch.where(total > 0, 2 * (a * b).sum(1) / total, math.nan)


def end_point_error(shift: Tensor, truth: Tensor, where: Tensor | None = None) -> Tensor:
    """Mean length of the error of displacements in each image, ``(N,)`` in their unit.

    Args:
        shift: Displacements ``(N, D, *spatial)``, one channel for each axis.
        truth: What they should be.
        where: Points that count, ``(N, *spatial)`` bool; all if None.

    Raises:
        InvalidInputError: If shapes do not fit, or no point of an image counts.
    """
    _same_shape("end_point_error", shift, truth)
    gap = (shift.double() - truth.double()).norm(dim=1)
    mask, count = _counted("end_point_error", where, gap)
    return torch.where(mask, gap, 0.0).flatten(1).sum(1) / count


def folding(shift: Tensor, where: Tensor | None = None) -> Tensor:
    """Share of points where ``p -> p + shift(p)`` folds over, ``det(Id + grad shift) <= 0``, ``(N,)``.

    Args:
        shift: Displacements ``(N, 2, H, W)`` in pixels: along rows, then along columns.
        where: Points that count, ``(N, H, W)`` bool; all if None.

    Raises:
        InvalidInputError: If a shape is another, or no point of an image counts.
    """
    if shift.ndim != 4 or shift.shape[1] != 2 or min(shift.shape[2:]) < 2:
        raise invalid("folding", "shift must have shape (N, 2, H, W)", tuple(shift.shape))
    down, right = torch.gradient(shift.double(), dim=(2, 3))
    det = (1 + down[:, 0]) * (1 + right[:, 1]) - down[:, 1] * right[:, 0]
    mask, count = _counted("folding", where, det)
    found: Tensor = ((det <= 0) & mask).flatten(1).double().sum(1) / count
    return found


def _counted(who: str, where: Tensor | None, values: Tensor) -> tuple[Tensor, Tensor]:
    """Points that count, of the shape of the values ``(N, *spatial)``, and their number in each image ``(N,)``."""
    mask = torch.ones_like(values, dtype=torch.bool) if where is None else where
    if mask.shape != values.shape:
        raise invalid(who, f"where must have shape {tuple(values.shape)}", tuple(mask.shape))
    count = mask.flatten(1).sum(1)
    if not bool((count > 0).all()):
        raise invalid(who, "some point of each image must count", "an image without one")
    return mask, count
