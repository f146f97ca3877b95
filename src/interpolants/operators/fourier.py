"""Fourier measurements: blur, and magnitudes without phases."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import number, positive
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import NonNegative
from interpolants.operators.blocks import spatial
from interpolants.operators.measurement import Operator


class Blur(Operator):
    """Convolution with a kernel along the spatial axes, on a torus: what leaves on one side enters on the other.

    ``pinv`` divides by the kernel's transform where that is larger than ``smallest`` times its greatest value, and puts
    zero elsewhere: the shortest state that fits, up to the frequencies that were cut.

    Args:
        kernel: One axis for each spatial axis of the states, its middle at the middle entry.
        smallest: Relative size below which a frequency counts as lost, in [0, 1).

    Raises:
        InvalidInputError: If the kernel is not finite, or ``smallest`` not within its range.
    """

    is_linear = True

    def __init__(self, kernel: Tensor | list[Any], *, smallest: float = 1e-3) -> None:
        self.kernel = (
            torch.tensor(kernel, dtype=torch.float64) if isinstance(kernel, list) else torch.as_tensor(kernel)
        )
        if not self.kernel.is_floating_point() or not bool(torch.isfinite(self.kernel).all()):
            raise invalid("Blur", "kernel must be finite and floating point", str(self.kernel.dtype))
        if self.kernel.ndim < 1 or self.kernel.numel() == 0:
            raise invalid("Blur", "kernel must have entries", tuple(self.kernel.shape))
        number("Blur", "smallest", smallest, at_least=0, below=1)
        self.smallest = smallest

    @classmethod
    def gaussian(cls, width: float, axes: int = 2, *, smallest: float = 1e-3) -> "Blur":
        """A Gaussian kernel.

        Args:
            width: Its standard deviation in entries, > 0.
            axes: Number of spatial axes.
            smallest: As for the class.
        """
        positive("Blur.gaussian", "width", width)
        reach = math.ceil(3 * width)
        line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / width) ** 2)
        kernel = torch.ones((), dtype=torch.float64)
        for _ in range(axes):
            kernel = kernel[..., None] * line
        return cls(kernel / kernel.sum(), smallest=smallest)

    def describe(self) -> dict[str, Any]:
        """Words from which an equal one is made."""
        return {"kind": "blur", "kernel": self.kernel.tolist(), "smallest": self.smallest}

    def __call__(self, x: Tensor) -> Tensor:
        """Blurred states, of the same shape."""
        sizes, axes = self._axes(x)
        return _multiplied(x, self._transform(sizes, x), sizes, axes)

    def pinv(self, y: Tensor) -> Tensor:
        """The shortest state whose blur is y, as far as the frequencies are there."""
        sizes, axes = self._axes(y)
        transform = self._transform(sizes, y)
        size = transform.abs()
        kept = size > self.smallest * size.max()
        inverse = torch.where(kept, 1 / torch.where(kept, transform, 1), 0)
        return _multiplied(y, inverse, sizes, axes)

    def _axes(self, x: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
        sizes = spatial("Blur", x)
        if len(sizes) != self.kernel.ndim:
            rule = f"kernel must have one axis for each of the {len(sizes)} spatial axes"
            raise invalid("Blur", rule, tuple(self.kernel.shape))
        return sizes, tuple(range(x.ndim - len(sizes), x.ndim))

    def _transform(self, sizes: tuple[int, ...], like: Tensor) -> Tensor:
        """Transform of the kernel laid on the torus, its middle at the origin; a long one wraps around."""
        torus = torch.zeros(sizes, dtype=self.kernel.dtype)
        places = [
            (torch.arange(length) - length // 2) % size
            for length, size in zip(self.kernel.shape, sizes, strict=True)
        ]
        torus.index_put_(tuple(torch.meshgrid(*places, indexing="ij")), self.kernel.cpu(), accumulate=True)
        transform: Tensor = torch.fft.rfftn(torus.to(like))
        return transform


@dataclass(frozen=True)
class PhaseRetrieval(Checked, Operator):
    """Magnitudes of the Fourier transform along the spatial axes, ``|F(x, padded with zeros)|``; no phases.

    A state, its mirror image through the origin and its negative give the same magnitudes; without padding so do its
    shifts on the torus. There is no pseudo-inverse.
    """

    pad: NonNegative = 1.0
    """Zeros added behind each axis, as a share of its size; from 1 on the magnitudes determine almost every image up to
    these symmetries."""

    def __call__(self, x: Tensor) -> Tensor:
        """Magnitudes, ``(B, *channels, *sizes)`` with each size grown by the padding; of unit scale: Parseval's sum."""
        sizes = spatial("PhaseRetrieval", x)
        axes = tuple(range(x.ndim - len(sizes), x.ndim))
        grown = tuple(size + round(self.pad * size) for size in sizes)
        if len(x) == 0:  # which the transform of some libraries refuses
            return x.new_zeros(*x.shape[: axes[0]], *grown)
        magnitudes: Tensor = torch.fft.fftn(x, s=grown, dim=axes, norm="ortho").abs()
        return magnitudes


def _multiplied(x: Tensor, transform: Tensor, sizes: tuple[int, ...], axes: tuple[int, ...]) -> Tensor:
    if len(x) == 0:
        return x
    result: Tensor = torch.fft.irfftn(torch.fft.rfftn(x, dim=axes) * transform, s=sizes, dim=axes)
    return result
