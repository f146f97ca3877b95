"""Ragged packs: items with different numbers of points in one tensor, without padding.

Letters: B items, P points of all items, Q queries of all items, d coordinates, E pairs of a query and a point near it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from interpolants.foundations.checks import positive
from interpolants.foundations.errors import invalid


@dataclass(frozen=True, eq=False)
class PointPack:
    """Rows of B items, one item after the other.

    Attributes:
        rows: ``(P, *D)``.
        sizes: Rows of each item, ``(B,)`` int64.
    """

    rows: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, parts: Sequence[Tensor]) -> Self:
        """Pack items ``(n_i, *D)``.

        Raises:
            InvalidInputError: If there are none, or their rows differ in shape.
        """
        shapes = {tuple(part.shape[1:]) for part in parts}
        if len(shapes) != 1:
            raise invalid("PointPack", "items must have rows of one shape", sorted(shapes) or "no items")
        sizes = torch.tensor([len(part) for part in parts], device=parts[0].device)
        return cls(torch.cat([*parts]), sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def item(self) -> Tensor:
        """The item of each row, ``(P,)``."""
        return torch.arange(len(self), device=self.sizes.device).repeat_interleave(self.sizes)

    def parts(self) -> list[Tensor]:
        """The items again, ``(n_i, *D)`` each."""
        return list(torch.split(self.rows, self.sizes.tolist()))

    def means(self) -> Tensor:
        """Mean over the rows of each item, ``(B, *D)``: every item weighs alike, however many rows it has."""
        return mean_by(self.rows, self.item, len(self))


def sum_by(values: Tensor, index: Tensor, n: int) -> Tensor:
    """Sums of ``values (E, *D)`` that share an index ``(E,)``, ``(n, *D)``; 0 where there are none."""
    return values.new_zeros(n, *values.shape[1:]).index_add(0, index, values)


def mean_by(values: Tensor, index: Tensor, n: int) -> Tensor:
    """Means of ``values (E, *D)`` that share an index ``(E,)``, ``(n, *D)``; 0 where there are none."""
    counts = torch.bincount(index, minlength=n).clamp(min=1)
    return sum_by(values, index, n) / counts.reshape(-1, *(1,) * (values.ndim - 1)).to(values)


def neighbours(
    points: Tensor,
    queries: Tensor,
    radius: float,
    *,
    point_item: Tensor | None = None,
    query_item: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """All pairs of a query and a point of the same item within a radius, by a list of cells of that size.

    The cost is that of sorting the points and of the pairs in neighbouring cells, not of all P Q pairs.

    Args:
        points: ``(P, d)``.
        queries: ``(Q, d)``.
        radius: Largest distance, in the units of the coordinates; positive.
        point_item: Item of each point, ``(P,)``; all belong together when None.
        query_item: Item of each query, ``(Q,)``.

    Returns:
        Indices of queries and of points, ``(E,)`` each, in no particular order.

    Raises:
        InvalidInputError: If coordinates are not finite or differ in number, or the radius is not positive.
    """
    positive("neighbours", "radius", radius)
    if points.ndim != 2 or queries.ndim != 2 or points.shape[1] != queries.shape[1]:
        shapes = f"{tuple(points.shape)} and {tuple(queries.shape)}"
        raise invalid("neighbours", "points and queries must be (P, d) and (Q, d)", shapes)
    if not bool(points.isfinite().all() and queries.isfinite().all()):
        raise invalid("neighbours", "coordinates must be finite", "NaN or infinity")
    if not len(points) or not len(queries):
        none = torch.zeros(0, dtype=torch.long, device=points.device)
        return none, none
    keys, asked, steps = _cells(points, queries, radius, point_item, query_item)
    order = keys.argsort(stable=True)
    query, point = _in_ranges(keys[order], asked, steps)
    point = order[point]
    near = (points[point] - queries[query]).square().sum(1) <= radius**2
    return query[near], point[near]


def _cells(
    points: Tensor, queries: Tensor, radius: float, point_item: Tensor | None, query_item: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Numbers of the cells of points and queries, and the steps to the rows of cells around one.

    Cells along the last axis have numbers that follow each other, so that three of them are one range.
    """
    low = torch.minimum(points.amin(0), queries.amin(0))
    cells = [((x - low) / radius).floor().long() + 1 for x in (points, queries)]
    size = torch.maximum(cells[0].amax(0), cells[1].amax(0)) + 2
    stride = torch.cat([size.flip(0).cumprod(0).flip(0), size.new_ones(1)])
    items = [
        cell.new_zeros(len(cell)) if item is None else item
        for item, cell in zip((point_item, query_item), cells, strict=True)
    ]
    numbers = [item * stride[0] + (cell * stride[1:]).sum(1) for item, cell in zip(items, cells, strict=True)]
    around = torch.cartesian_prod(*[torch.arange(-1, 2, device=low.device)] * max(len(size) - 1, 1))
    around = around.reshape(-1, max(len(size) - 1, 1))
    steps = (around * stride[1:-1]).sum(1) if len(size) > 1 else stride.new_zeros(1)
    return numbers[0], numbers[1], steps


def _in_ranges(keys: Tensor, asked: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and places in the sorted keys that lie within one cell of them along the last axis, for each step."""
    middle = asked + steps[:, None]  # (S, Q)
    first = torch.searchsorted(keys, middle - 1)
    counts = (torch.searchsorted(keys, middle + 1, right=True) - first).flatten()
    query = torch.arange(len(asked), device=keys.device).repeat(len(steps)).repeat_interleave(counts)
    start = (first.flatten() - (counts.cumsum(0) - counts)).repeat_interleave(counts)
    return query, start + torch.arange(len(query), device=keys.device)
