"""Kernel integral layer: from values at scattered points to values at any other points.

Letters: P points, Q queries, d coordinates, E pairs of a query and a point near it, C channels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from interpolants.apps.simulation.nets.point_packs import neighbours, sum_by
from interpolants.foundations.checks import one_of, whole

RULES = ("average", "mean")
_LEAST = 1e-3  # of a kernel before its window, so that its sum is never 0


@dataclass(frozen=True, eq=False)
class Pairs:
    """Queries with the points near them.

    Attributes:
        query: Index of the query of each pair, ``(E,)``.
        point: Index of its point, ``(E,)``.
        offset: ``(point - query) / radius``, ``(E, d)``, within the unit ball.
        queries: Q.
    """

    query: Tensor
    point: Tensor
    offset: Tensor
    queries: int

    @classmethod
    def near(
        cls,
        points: Tensor,
        queries: Tensor,
        radius: float,
        *,
        point_item: Tensor | None = None,
        query_item: Tensor | None = None,
    ) -> "Pairs":
        """All pairs of one item within a radius; as in ``neighbours``."""
        query, point = neighbours(points, queries, radius, point_item=point_item, query_item=query_item)
        return cls(query, point, (points[point] - queries[query]) / radius, len(queries))

    @property
    def found(self) -> Tensor:
        """Which queries have a point near them, ``(Q,)``."""
        return torch.bincount(self.query, minlength=self.queries) > 0


def area_weights(points: Tensor, radius: float, item: Tensor | None = None) -> Tensor:
    """One over the number of points within a radius of each, itself included, ``(P,)``: about the size of its cell.

    Means with these weights do not count a region more because its mesh is finer.

    Args:
        points: ``(P, d)``.
        radius: Distance within which points are counted.
        item: Item of each point, ``(P,)``; all belong together when None.
    """
    query, _ = neighbours(points, points, radius, point_item=item, query_item=item)
    return 1 / torch.bincount(query, minlength=len(points)).to(points)


class KernelIntegral(nn.Module):
    """``e(q) = sum_p w_p K(p - q) * W u(p) / sum_p w_p`` over the points p within a radius of q; 0 without any.

    K is a perceptron of the offset with one value a channel, W is linear, the product is by channel. The rule
    ``"mean"`` is that formula. With the rule ``"average"`` kernels are positive, vanish at the radius, and are divided
    by their own sum: a constant field stays constant on any mesh, and what a point gives goes to 0 as it leaves.

    Args:
        dimension: d.
        inputs: Channels of u.
        outputs: C.
        hidden: Width of the perceptron.
        rule: ``"average"`` or ``"mean"``.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Zhou, Li, Schneier, Buchanan & Barati Farimani (2025), arXiv:2410.01153, after Li et al. (2020),
    arXiv:2003.03485. Ours: the kernel reads the offset alone, its sum is one, and points may have weights.
    """

    def __init__(
        self, dimension: int, inputs: int, outputs: int, *, hidden: int = 32, rule: str = "average"
    ) -> None:
        super().__init__()
        sizes = {"dimension": dimension, "inputs": inputs, "outputs": outputs, "hidden": hidden}
        for name, value in sizes.items():
            whole("KernelIntegral", name, value, at_least=1)
        self.rule = one_of("KernelIntegral", "rule", rule, RULES)
        self.lift = nn.Linear(inputs, outputs)
        self.inner = nn.Linear(dimension + 1, hidden)
        self.outer = nn.Linear(hidden, outputs)

    def kernel(self, offset: Tensor) -> Tensor:
        """Values of the kernel at offsets ``(E, d)`` in units of the radius, ``(E, C)``."""
        square = offset.square().sum(1, keepdim=True)
        raw: Tensor = self.outer(functional.silu(self.inner(torch.cat([offset, square], 1))))
        if self.rule == "mean":
            return raw
        return (functional.softplus(raw) + _LEAST) * (1 - square).clamp(min=0) + 1e-6

    def forward(self, values: Tensor, pairs: Pairs, weight: Tensor | None = None) -> Tensor:
        """Values ``(P, inputs)`` at the points to ``(Q, C)`` at the queries.

        Args:
            values: u at the points.
            pairs: Which points are near which queries.
            weight: Weights of the points, ``(P,)``, such as their cells' areas; all alike when None.
        """
        kernel = self.kernel(pairs.offset)
        weight = values.new_ones(len(values)) if weight is None else weight.to(values)
        parts = kernel * (self.lift(values) * weight[:, None])[pairs.point]
        total = kernel if self.rule == "average" else torch.ones_like(kernel[:, :1])
        under = sum_by(total * weight[pairs.point][:, None], pairs.query, pairs.queries)
        return sum_by(parts, pairs.query, pairs.queries) / torch.where(under > 0, under, 1.0)
