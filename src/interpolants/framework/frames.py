"""Frames: the units in which a method works, learnt from the training rows and stored with the method.

A frame is an invertible map of the rows of a role, which may depend on the condition of each row: the climatology of
its day, the last value of its window.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from interpolants.fields.protocol import Fields
from interpolants.foundations.records import record
from interpolants.foundations.row_access import Rows, each, pieces
from interpolants.foundations.shrinkage import shrunk_correlation

# Relative size, in units of the type's rounding, of differences that are rounding: up to four units in the last place.
_ROUNDING = 2


class Frame(Protocol):
    """Invertible units of a role, with their numbers: a class says for itself how they are found."""

    def encode(self, x: Tensor, cond: Any = None) -> Tensor:
        """Data units to the method's."""
        ...

    def decode(self, x: Tensor, cond: Any = None) -> Tensor:
        """The method's units to those of the data."""
        ...

    def push(self, velocity: Tensor, x: Tensor) -> Tensor:
        """A velocity of encoded states as one of the states ``x``: the Jacobian of ``decode`` times it."""
        ...

    def log_volume(self, x: Tensor, cond: Any = None) -> Tensor:
        """``log |d encode / dx|`` per row, ``(B,)``, nats."""
        ...

    def outside(self, x: Tensor) -> Tensor:
        """Rows that no state decodes to, ``(B,)``."""
        ...


@runtime_checkable
class LinearFrame(Frame, Protocol):
    """Affine units: means go through them, and a score by one matrix for all states."""

    def pull(self, score: Tensor) -> Tensor:
        """The score of encoded states as one of the states: the transposed Jacobian of ``encode`` times it."""
        ...


@runtime_checkable
class FramedFields(Protocol):
    """A method whose learnt fields have their own units.

    Attributes:
        fields: The fields.
        frame: From data units to those of the fields.
    """

    @property
    def fields(self) -> Fields: ...  # noqa: D102

    @property
    def frame(self) -> Frame: ...  # noqa: D102


def widened(x: Tensor, dtype: torch.dtype) -> Tensor:
    """States of a network in float64 where the data are, so that decoding keeps what single precision rounds away.

    Args:
        x: States ``(B, *D)``.
        dtype: Type of the data.
    """
    return x.double() if dtype == torch.float64 else x


@record("standard_frame")
@dataclass(frozen=True, eq=False)
class Standard:
    """``(x - shift) / scale`` with mean 0 and standard deviation 1: per column for vectors, overall for images.

    A column that does not vary at all keeps its scale.

    Attributes:
        shift: Number or tensor that broadcasts against the event, in data units, float64.
        scale: Scale of each entry, positive.
    """

    shift: Tensor | float = 0.0
    scale: Tensor | float = 1.0

    def fit(self, x: Rows, cond: Any = None) -> "Standard":
        """Pooled mean and standard deviation of the rows ``(N, *D)``, in float64 and one pass; NaN is ignored."""
        found = _Moments.of(x)
        flat = _is_flat(found.low, found.high, x.dtype)
        return replace(self, shift=found.mean, scale=torch.where(flat, torch.ones_like(found.std), found.std))

    def encode(self, x: Tensor, cond: Any = None) -> Tensor:
        """Data units to standard ones; the difference is taken in float64."""
        return ((x.double() - self.shift) / self.scale).to(x)

    def decode(self, x: Tensor, cond: Any = None) -> Tensor:
        """Standard units to those of the data, float64 in, float64 out."""
        return (x.double() * self.scale + self.shift).to(x)

    def push(self, velocity: Tensor, x: Tensor) -> Tensor:
        """``scale`` times a velocity of encoded states."""
        return (velocity.double() * self.scale).to(velocity)

    def pull(self, score: Tensor) -> Tensor:
        """The score of encoded states as one of the states: the transposed Jacobian of ``encode`` times it."""
        return (score.double() / self.scale).to(score)

    def log_volume(self, x: Tensor, cond: Any = None) -> Tensor:
        """The same for all rows."""
        scale = torch.as_tensor(self.scale, dtype=torch.float64)
        repeats = math.prod(x.shape[1:]) / max(scale.numel(), 1)
        return (-scale.log().sum() * repeats).expand(len(x)).to(x)

    def outside(self, x: Tensor) -> Tensor:
        """Rows that no state decodes to, ``(B,)``: none."""
        return torch.zeros(len(x), dtype=torch.bool, device=x.device)


@record("whitened_frame")
@dataclass(frozen=True, eq=False)
class Whitened:
    """``C^(-1/2) (x - shift) / scale``: mean 0, standard deviation 1 and no correlation, so N(0, I) is a Gaussian fit.

    C is the correlation of the columns of the flattened rows, shrunk towards the identity by as much as rows that are
    left out of it ask for. The root is the symmetric one, which turns columns as little as possible.

    Attributes:
        units: Mean and standard deviation of each column.
        root: ``C^(1/2)``, ``(D, D)`` float64.
        inverse: ``C^(-1/2)``, ``(D, D)`` float64.
        log_root: ``log det C^(1/2)``, nats.
    """

    units: Standard = Standard()
    root: Tensor | None = None
    inverse: Tensor | None = None
    log_root: float = 0.0

    def fit(self, x: Rows, cond: Any = None) -> "Whitened":
        """From rows ``(N, *D)`` without gaps."""
        flat = each(x, lambda rows: rows.flatten(1).double())
        units = Standard().fit(flat)
        values, vectors = shrunk_correlation(each(flat, units.encode))
        root, inverse = ((vectors * values**power) @ vectors.T for power in (0.5, -0.5))
        shape = x.shape[1:]
        standard = Standard(*(torch.as_tensor(part).reshape(shape) for part in (units.shift, units.scale)))
        return Whitened(standard, root.contiguous(), inverse.contiguous(), 0.5 * float(values.log().sum()))

    def turned(self, matrix: Tensor) -> "Whitened":
        """The same, with coordinates along the columns of an orthogonal matrix ``(D, D)``."""
        assert self.root is not None
        assert self.inverse is not None
        return replace(self, root=self.root @ matrix, inverse=matrix.T @ self.inverse)

    def encode(self, x: Tensor, cond: Any = None) -> Tensor:
        """Data units to uncorrelated ones, in float64."""
        return _turned(self.units.encode(x.double()), self.inverse).to(x)

    def decode(self, x: Tensor, cond: Any = None) -> Tensor:
        """Uncorrelated units to those of the data, float64 in, float64 out."""
        return self.units.decode(_turned(x.double(), self.root)).to(x)

    def push(self, velocity: Tensor, x: Tensor) -> Tensor:
        """A velocity of encoded states as one of the states."""
        return self.units.push(_turned(velocity.double(), self.root), x).to(velocity)

    def pull(self, score: Tensor) -> Tensor:
        """The score of encoded states as one of the states."""
        turned = _turned(score.double(), None if self.inverse is None else self.inverse.T)
        return self.units.pull(turned).to(score)

    def log_volume(self, x: Tensor, cond: Any = None) -> Tensor:
        """The same for all rows."""
        return self.units.log_volume(x) - self.log_root

    def outside(self, x: Tensor) -> Tensor:
        """Rows that no state decodes to, ``(B,)``: none."""
        return self.units.outside(x)


def _turned(x: Tensor, matrix: Tensor | None) -> Tensor:
    """``matrix @ row`` of flattened rows, column by column: a row has the same bits in every batch."""
    if matrix is None:
        return x
    flat = x.reshape(-1, len(matrix))
    turned = torch.zeros_like(flat)
    for k, column in enumerate(matrix.T):
        turned = turned + flat[:, k : k + 1] * column
    return turned.reshape(x.shape)


@record("varying_frame")
@dataclass(frozen=True, eq=False)
class Varying:
    """The columns that vary, in the units of another frame; constant ones are dropped, and are restored exactly.

    Attributes:
        inner: Units of the columns that vary.
        at: Where they are, ``(K,)``.
        fixed: Values of the constant columns; anything elsewhere, ``(D,)``, float64.
        slack: How far a constant column may be from its value by rounding; infinite elsewhere, ``(D,)``.
    """

    inner: Standard | Whitened
    at: Tensor
    fixed: Tensor
    slack: Tensor

    @classmethod
    def of(cls, x: Rows, inner: Standard | Whitened) -> "Varying":
        """From rows ``(N, D)`` some of whose columns are constant; ``inner`` is unfitted if it can be fitted."""
        flat = constant_columns(x)
        fixed = x[:1][0].double()
        near = _ROUNDING * torch.finfo(x.dtype).eps * fixed.abs()
        return cls(inner, (~flat).nonzero().flatten(), fixed, torch.where(flat, near, math.inf))

    def fit(self, x: Rows, cond: Any = None) -> "Varying":
        """The units of the columns that vary, from rows ``(N, D)``."""
        return replace(self, inner=self.inner.fit(each(x, lambda rows: rows[:, self.at])))

    def encode(self, x: Tensor, cond: Any = None) -> Tensor:
        """``(..., D)`` data units to ``(..., K)``."""
        return self.inner.encode(x[..., self.at])

    def decode(self, x: Tensor, cond: Any = None) -> Tensor:
        """``(..., K)`` to ``(..., D)`` in data units."""
        whole = self.fixed.to(x).expand(*x.shape[:-1], -1)
        return torch.index_copy(whole, -1, self.at, self.inner.decode(x))

    def push(self, velocity: Tensor, x: Tensor) -> Tensor:
        """A velocity of encoded states as one of the states ``(..., D)``: constant columns rest."""
        return self._among_zeros(self.inner.push(velocity, x[..., self.at]))

    def pull(self, score: Tensor) -> Tensor:
        """The score of encoded states as one of the states ``(..., D)``: 0 along constant columns."""
        return self._among_zeros(self.inner.pull(score))

    def _among_zeros(self, varying: Tensor) -> Tensor:
        zeros = varying.new_zeros(len(self.fixed)).expand(*varying.shape[:-1], -1)
        return torch.index_copy(zeros, -1, self.at, varying)

    def log_volume(self, x: Tensor, cond: Any = None) -> Tensor:
        """Log volume of the frame of the varying columns."""
        return self.inner.log_volume(x[:, self.at])

    def outside(self, x: Tensor) -> Tensor:
        """Rows ``(B,)`` with another value in a constant column."""
        wide = x.detach().double()
        near = _ROUNDING * torch.finfo(x.dtype).eps * self.fixed.abs()
        return ((wide - self.fixed).abs() > torch.maximum(self.slack, near)).any(1)


def constant_columns(x: Rows) -> Tensor:
    """Mask of the columns of ``(N, D)`` that do not vary beyond rounding, ``(D,)``; 0-d for ``(N,)``. NaN is ignored.

    The test is relative to the values: small units, or a large offset, do not make a column constant.
    """
    ends = [_ends(piece) for piece in pieces(x)]
    low, high = torch.stack([low for low, _ in ends]).amin(0), torch.stack([high for _, high in ends]).amax(0)
    return _is_flat(low, high, x.dtype)


def constants_of(x: Tensor) -> Tensor | None:
    """Values of the columns of vectors ``(N, D)`` that do not vary, NaN for others; None for images, or without one."""
    if x.ndim != 2 or not bool((flat := constant_columns(x)).any()):
        return None
    first = torch.nan_to_num(x.double(), nan=-math.inf).amax(0)
    return torch.where(flat, first, torch.nan)


def with_constants(x: Tensor, fixed: Tensor | None) -> Tensor:
    """Rows ``(..., D)`` in which columns that never varied have their constant values."""
    return x if fixed is None else torch.where(fixed.isnan(), x, fixed.to(x))


def _ends(x: Tensor) -> tuple[Tensor, Tensor]:
    low, high = (torch.where(x.isnan(), end, x) for end in (math.inf, -math.inf))
    return low.amin(0).double(), high.amax(0).double()


def _is_flat(low: Tensor, high: Tensor, dtype: torch.dtype) -> Tensor:
    size = torch.maximum(low.abs(), high.abs())
    return ~(high - low > _ROUNDING * torch.finfo(dtype).eps * size)


@dataclass(frozen=True)
class _Moments:
    """Mean, standard deviation and range of the observed values, per column for vectors."""

    n: Tensor
    mean: Tensor
    std: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, x: Rows) -> "_Moments":
        """Compute the moments of rows ``(N, *D)`` in pieces; over all entries unless the rows are vectors."""
        found = None
        for piece in pieces(x):
            now = cls._of_piece(piece if piece.ndim <= 2 else piece.reshape(-1))
            found = now if found is None else found._with(now)
        assert found is not None
        return found

    @classmethod
    def _of_piece(cls, x: Tensor) -> "_Moments":
        low, high = _ends(x)
        x = x.double()
        seen = torch.isfinite(x)
        x = torch.where(seen, x, 0.0)
        unit, n = _unit(x.abs().amax(0)), seen.sum(0, dtype=x.dtype)
        x = x / unit
        mean = x.sum(0) / n.clamp_min(1)
        spread = torch.where(seen, x - mean, 0.0).square().sum(0) / (n - 1).clamp_min(1)
        return cls(n, mean * unit, spread.sqrt() * unit, low, high)

    def _with(self, more: "_Moments") -> "_Moments":
        """Return the moments of both sets of rows together (Chan, Golub & LeVeque 1983)."""
        unit = _unit(torch.stack([self.std, more.std, self.mean.abs(), more.mean.abs()]).amax(0))
        n, step = (self.n + more.n).clamp_min(1), (more.mean - self.mean) / unit
        within = [(one.std / unit).square() * (one.n - 1).clamp_min(0) for one in (self, more)]
        between = step.square() * (self.n / n * more.n)
        std = ((sum(within) + between) / (n - 1).clamp_min(1)).sqrt() * unit
        low, high = torch.minimum(self.low, more.low), torch.maximum(self.high, more.high)
        mean = self.mean + step * unit * (more.n / n)
        return _Moments(self.n + more.n, mean, std, low, high)


def _unit(size: Tensor) -> Tensor:
    """A power of two near a size: squares in it neither vanish nor overflow, and nothing is rounded."""
    return torch.ldexp(torch.ones_like(size), torch.frexp(size).exponent)
