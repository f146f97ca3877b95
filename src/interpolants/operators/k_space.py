"""Lines of k-space: what a Cartesian magnetic resonance scan measures of an image."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.operators.measurement import Operator


class KSpaceLines(Operator):
    """Some rows of the two-dimensional Fourier transform of real images, real and imaginary parts.

    ``(B, C, H, W)`` -> ``(B, C, M, W, 2)``. The transform is unitary, so that noise of one size in the measurement is
    noise of that size in the image. ``pinv`` is the shortest real image that fits: frequencies that were not measured
    are zero, but for those that follow from measured ones, as the transform of a real image is Hermitian.

    Args:
        lines: Numbers of the measured rows, the frequency zero in the middle: at ``size // 2``.
        size: H, all rows.

    Raises:
        InvalidInputError: If lines are no rows, are there twice, or leave out the one in the middle.
    """

    is_linear = True

    def __init__(self, lines: Sequence[int], size: int) -> None:
        who = "KSpaceLines"
        self.size = whole(who, "size", size, at_least=2)
        self.lines = tuple(whole(who, "every line", line, at_most=size - 1) for line in lines)
        if len(set(self.lines)) < len(self.lines):
            raise invalid(who, "lines must be different", list(self.lines))
        if size // 2 not in self.lines:
            remedy = "Without it the mean of the image is unknown; measure some lines around it."
            raise invalid(who, f"lines must contain the central one, {size // 2}", list(self.lines), remedy)
        # In the order of the transform, whose first row has the frequency zero.
        self._rows = torch.tensor([(line - size // 2) % size for line in self.lines])

    def describe(self) -> dict[str, Any]:
        """Words from which an equal one is made."""
        return {"kind": "k_space_lines", "lines": list(self.lines), "size": self.size}

    def __call__(self, x: Tensor) -> Tensor:
        """The measured rows.

        Raises:
            InvalidInputError: If images have other rows.
        """
        if x.ndim != 4 or x.shape[2] != self.size:
            raise invalid("KSpaceLines", f"images must have shape (B, C, {self.size}, W)", tuple(x.shape))
        if not len(x):  # of which some builds of the transform make an error
            return x.new_zeros(0, x.shape[1], len(self.lines), x.shape[3], 2)
        seen = torch.fft.fft2(x, norm="ortho")[:, :, self._rows.to(x.device)]
        return torch.view_as_real(seen)

    def pinv(self, y: Tensor) -> Tensor:
        """The shortest real image that fits."""
        shape = (*y.shape[:2], self.size, y.shape[3])
        if not len(y):
            return y.new_zeros(shape)
        full = torch.zeros(shape, dtype=torch.view_as_complex(y[:1].contiguous()).dtype, device=y.device)
        full[:, :, self._rows.to(y.device)] = torch.view_as_complex(y.contiguous())
        known = torch.zeros(self.size, 1, dtype=y.dtype, device=y.device)
        known[self._rows.to(y.device)] = 1
        count = (known + _mirrored(known, (0,))).clamp_min(1)
        both = (full + _mirrored(full, (2, 3)).conj()) / count
        found: Tensor = torch.fft.ifft2(both, norm="ortho").real
        return found


def _mirrored(z: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Values at the opposite frequencies."""
    return z.flip(axes).roll((1,) * len(axes), axes)
