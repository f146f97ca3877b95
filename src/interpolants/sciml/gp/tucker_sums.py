"""Sums over the entries of a tensor that its multilinear model needs, with a full core or a diagonal one.

Letters: ``N`` entries, ``K`` modes with ranks ``R_k``, ``D = prod R_k``; ``m_k (N, R_k)`` and ``M_k (N, R_k, R_k)`` are
first and second moments of the latent functions at each entry; ``v_n`` is the product over all modes but one. A
*paired* tensor has the axes ``(R_1, R_1, R_2, R_2, ...)``: second moments of a Kronecker product are then products of
those of its factors. Nothing of size ``N D^2`` is held: entries are taken in chunks.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Numbers held at once by a chunk of entries.
_BUDGET = 2**22

Moments = Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Entries:
    """Observed entries.

    Attributes:
        index: Place of each entry in each mode, ``(N, K)`` int64.
        values: ``(N,)``, standardised.
        sizes: Number of places of each mode.
    """

    index: Tensor
    values: Tensor
    sizes: tuple[int, ...]

    def chunks(self, width: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Index and values in chunks that hold ``width`` numbers an entry."""
        size = max(1, _BUDGET // max(width, 1))
        return zip(torch.split(self.index, size), torch.split(self.values, size), strict=True)

    def scattered(self, mode: int, index: Tensor, parts: Tensor, into: Tensor) -> None:
        """Add ``parts (n, ...)`` of a chunk to the places of one mode."""
        into.index_add_(0, index[:, mode], parts)


@dataclass(frozen=True, kw_only=True, eq=False)
class Core:
    """Moments of the core.

    Attributes:
        mean: ``(R_1, ..., R_K)``; None for the diagonal core of ones.
        second: ``E[W W]``, paired; None for the diagonal core.
    """

    mean: Tensor | None = None
    second: Tensor | None = None


def products(parts: Sequence[Tensor], *, diagonal: bool) -> Tensor:
    """Row by row Kronecker products ``(n, prod R)`` of ``(n, R_k)``, the first index slowest; or plain products."""
    found = parts[0]
    for part in parts[1:]:
        found = found * part if diagonal else (found[:, :, None] * part[:, None, :]).flatten(1)
    return found


def messages(
    entries: Entries, moments: Moments, core: Core, mode: int, noise_precision: float
) -> tuple[Tensor, Tensor]:
    """What all other factors tell about one mode: ``Lambda (S, R, R)`` and ``eta (S, R)`` for each of its places."""
    others = [k for k in range(len(moments)) if k != mode]
    r = moments[mode][0].shape[1]
    diagonal = core.mean is None
    precision = torch.zeros(entries.sizes[mode], r * r, dtype=torch.float64)
    shift = torch.zeros(entries.sizes[mode], r, dtype=torch.float64)
    first, second = _unfolded(core, mode)
    width = r * r if second is None else len(second)
    for index, values in entries.chunks(width + r * r):
        one = [torch.ones(len(index), 1, dtype=torch.float64)]
        v = products([moments[k][0][index[:, k]] for k in others] or one, diagonal=diagonal)
        vv = products([moments[k][1][index[:, k]].flatten(1) for k in others] or one, diagonal=diagonal)
        a = v.expand(-1, r) if first is None else v @ first
        aa = vv.expand(-1, r * r) if second is None else vv @ second
        entries.scattered(mode, index, noise_precision * aa, precision)
        entries.scattered(mode, index, noise_precision * values[:, None] * a, shift)
    return precision.reshape(-1, r, r), shift


def _unfolded(core: Core, mode: int) -> tuple[Tensor | None, Tensor | None]:
    """The core's moments with one mode as the last axis: ``(D / R, R)`` and ``((D / R)^2, R^2)``."""
    if core.mean is None or core.second is None:
        return None, None
    mean = core.mean.movedim(mode, -1)
    second = core.second.movedim((2 * mode, 2 * mode + 1), (-2, -1))
    r = mean.shape[-1]
    return mean.reshape(-1, r), second.reshape(-1, r * r)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sums:
    """Sums over all entries.

    Attributes:
        cross: ``sum_n y_n E[x_n]``, ``(D,)``, or a number for a diagonal core.
        gram: ``sum_n E[x_n x_n^T]``, paired and flat, ``(D^2,)``, or a number for a diagonal core.
        squares: ``sum_n y_n^2``.
    """

    cross: Tensor
    gram: Tensor
    squares: float

    def squared_error(self, core: Core) -> float:
        """``sum_n E[(y_n - w^T x_n)^2]``."""
        mean = torch.ones((), dtype=torch.float64) if core.mean is None else core.mean.flatten()
        second = torch.ones((), dtype=torch.float64) if core.second is None else core.second.flatten()
        return float(self.squares - 2 * (mean * self.cross).sum() + (second * self.gram).sum())


def sums(entries: Entries, moments: Moments, *, diagonal: bool) -> Sums:
    """Sums over all entries for given latent functions."""
    ranks = [mean.shape[1] for mean, _ in moments]
    head, last = math.prod(ranks[:-1]), ranks[-1]
    cross = torch.zeros((), dtype=torch.float64) if diagonal else torch.zeros(head, last, dtype=torch.float64)
    gram = torch.zeros_like(cross) if diagonal else torch.zeros(head**2, last**2, dtype=torch.float64)
    for index, values in entries.chunks(head**2 + last**2):
        first = [mean[index[:, k]] for k, (mean, _) in enumerate(moments)]
        second = [square[index[:, k]].flatten(1) for k, (_, square) in enumerate(moments)]
        if diagonal:
            cross += values @ products(first, diagonal=True).sum(1)
            gram += products(second, diagonal=True).sum()
            continue
        one = [torch.ones(len(index), 1, dtype=torch.float64)]
        cross += (values[:, None] * products(first[:-1] or one, diagonal=False)).T @ first[-1]
        gram += products(second[:-1] or one, diagonal=False).T @ second[-1]
    squares = float(entries.values.square().sum())
    return Sums(
        cross=cross.flatten() if cross.ndim else cross,
        gram=gram.flatten() if gram.ndim else gram,
        squares=squares,
    )


def paired(matrix: Tensor, ranks: Sequence[int]) -> Tensor:
    """``(D, D)`` -> paired."""
    k = len(ranks)
    order = [axis for i in range(k) for axis in (i, k + i)]
    return matrix.reshape(*ranks, *ranks).permute(order).contiguous()


def unpaired(tensor: Tensor, ranks: Sequence[int]) -> Tensor:
    """The inverse of :func:`paired`."""
    k, d = len(ranks), math.prod(ranks)
    order = [2 * i for i in range(k)] + [2 * i + 1 for i in range(k)]
    axes = [r for r in ranks for _ in range(2)]
    return tensor.reshape(axes).permute(order).reshape(d, d)


def contracted(first: Sequence[Tensor], second: Sequence[Tensor], core: Core) -> tuple[Tensor, Tensor]:
    """``E[f]`` and ``E[f^2]``, each ``(B,)``, for moments of the latent functions at B points, row by row."""
    flat = [part.flatten(1) for part in second]
    if core.mean is None or core.second is None:
        return products(first, diagonal=True).sum(1), products(flat, diagonal=True).sum(1)
    return _contracted(first, core.mean), _contracted(flat, core.second)


def _contracted(parts: Sequence[Tensor], tensor: Tensor) -> Tensor:
    """Contract a tensor with one vector a mode, ``(B, width_k)``, mode by mode."""
    found = parts[0] @ tensor.reshape(parts[0].shape[1], -1)
    for part in parts[1:]:
        found = (part[:, :, None] * found.reshape(len(part), part.shape[1], -1)).sum(1)
    return found[:, 0]
