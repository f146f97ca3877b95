"""Orthogonal bases of the states: coordinates in which a path treats each direction separately.

A basis turns a state ``x (B, *D)`` into coordinates ``u = F x`` of the same shape and back. All are real and
orthonormal, so lengths, volumes and white noise are the same in both, and a diagonal operator ``F^T diag(c) F`` is one
number per coordinate. States of half precision have coordinates in single precision.

Source: discrete Hartley transform, Bracewell (1983); type II cosine transform, Ahmed, Natarajan & Rao (1974).
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import nearest
from interpolants.foundations.kinds import Count

BASES = ("fft", "dct", "pca")


class Basis(Checked, ABC):
    """An orthogonal change of coordinates of a state, ``(B, *D) -> (B, *D)``; any leading dimensions will do."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Coordinates ``F x``, in the precision of ``x`` or in single precision."""

    @abstractmethod
    def inverse(self, u: Tensor) -> Tensor:
        """State ``F^T u``."""

    def pool(self, power: Tensor) -> Tensor:
        """Powers ``(*D)`` of the coordinates, averaged over those that a real operator must treat alike."""
        return power


@dataclass(frozen=True)
class FourierBasis(Basis):
    """Real Fourier coordinates over the last ``axes`` dimensions: the Hartley transform ``Re F x - Im F x``.

    It is its own inverse. An operator that is diagonal in the complex transform and maps real states to real states,
    so with equal numbers at f and -f, is diagonal here with the same numbers; and white noise stays white, with no
    symmetry to keep. A coordinate sits where ``torch.fft`` has its frequency.
    """

    axes: Count = 2
    """Number of trailing dimensions that are transformed; 2 for images ``(C, H, W)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Coordinates, in float64 for float64 states and else in float32."""
        u: Tensor = torch.fft.fftn(_at_least_single(x), dim=tuple(range(-self.axes, 0)), norm="ortho")
        return u.real - u.imag

    def inverse(self, u: Tensor) -> Tensor:
        """The same transform."""
        return self.forward(u)

    def pool(self, power: Tensor) -> Tensor:
        """Mean over f and -f, which is the power of the complex coefficient of either."""
        return (power + self.mirrored(power)) / 2

    def mirrored(self, values: Tensor) -> Tensor:
        """The values at -f in place of f."""
        dims = tuple(range(-self.axes, 0))
        return torch.roll(values.flip(dims), (1,) * self.axes, dims)


@dataclass(frozen=True)
class CosineBasis(Basis):
    """The orthonormal cosine transform of type II over the last ``axes`` dimensions: no wrap at the borders."""

    axes: Count = 2
    """Number of trailing dimensions that are transformed; 2 for images ``(C, H, W)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Coordinates, lowest frequency first."""
        return self._along_axes(x, transpose=False)

    def inverse(self, u: Tensor) -> Tensor:
        """State."""
        return self._along_axes(u, transpose=True)

    def _along_axes(self, x: Tensor, *, transpose: bool) -> Tensor:
        x = _at_least_single(x)
        for axis in range(-self.axes, 0):
            matrix = _cosines(x.shape[axis]).to(x)
            x = torch.movedim(torch.movedim(x, axis, -1) @ (matrix if transpose else matrix.mT), -1, axis)
        return x


@dataclass(frozen=True, eq=False)
class MatrixBasis(Basis):
    """Coordinates from an orthogonal matrix on the flattened state, such as principal axes.

    Raises:
        InvalidInputError: If it is not square and orthogonal.
    """

    matrix: Tensor
    """``(D, D)`` orthogonal; row k is the direction of coordinate k."""

    def check_settings(self) -> None:
        """Check that the matrix is orthogonal."""
        matrix = torch.as_tensor(self.matrix, dtype=torch.float64)
        object.__setattr__(self, "matrix", matrix)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise invalid("matrix must be square, (D, D)", tuple(matrix.shape))
        gap = float((matrix @ matrix.mT - torch.eye(len(matrix), dtype=matrix.dtype)).abs().max())
        if not gap <= 1e-6:
            remedy = "Orthogonalise its rows first, e.g. torch.linalg.qr(matrix.T).Q.T."
            raise invalid("matrix must be orthogonal", f"rows off by {gap:.3g}", remedy)

    @classmethod
    def principal(cls, data: Tensor) -> "MatrixBasis":
        """Eigenvectors of the second moment of ``data (N, *D)`` about zero, largest first."""
        flat = data.reshape(len(data), -1).double()
        vectors: Tensor = torch.linalg.eigh(flat.mT @ flat / len(flat)).eigenvectors
        return cls(vectors.flip(1).mT.contiguous())

    def forward(self, x: Tensor) -> Tensor:
        """Coordinates, in the shape of the state."""
        return self._apply(x, self.matrix.mT)

    def inverse(self, u: Tensor) -> Tensor:
        """State."""
        return self._apply(u, self.matrix)

    def _apply(self, x: Tensor, right: Tensor) -> Tensor:
        x = _at_least_single(x)
        if x[0].numel() != len(right):
            rule = f"a state must have {len(right)} entries"
            raise invalid(rule, f"shape {tuple(x.shape[1:])}")
        return (x.reshape(x.shape[0], -1) @ right.to(x)).reshape(x.shape)


def find_basis(basis: Basis | str, data: Tensor) -> Basis:
    """A basis by name, for states like the rows of ``data (N, *D)``: ``"fft"``, ``"dct"`` or ``"pca"``.

    The first two act on the last two dimensions of images and on the only one of vectors.

    Raises:
        InvalidInputError: If the name is unknown.
    """
    if isinstance(basis, Basis):
        return basis
    axes = min(2, data.ndim - 1)
    if basis == "fft":
        return FourierBasis(axes)
    if basis == "dct":
        return CosineBasis(axes)
    if basis == "pca":
        return MatrixBasis.principal(data)
    remedy = nearest(str(basis), BASES)
    raise invalid(f"basis must be a Basis or one of {', '.join(BASES)}", repr(basis), remedy)


def _at_least_single(x: Tensor) -> Tensor:
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


@lru_cache(maxsize=32)
def _cosines(size: int) -> Tensor:
    """``(size, size)``: row k is ``sqrt(2/size) cos(pi (n + 1/2) k / size)``, the first one constant."""
    n = torch.arange(size, dtype=torch.float64)
    matrix = math.sqrt(2 / size) * torch.cos(math.pi / size * torch.outer(n, n + 0.5))
    matrix[0] /= math.sqrt(2)
    return matrix
