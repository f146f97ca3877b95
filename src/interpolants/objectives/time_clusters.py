"""Clusters of times: [0, 1] in a few intervals that are trained as tasks, cut by dynamic programming.

The best cut of n grid times into k intervals minimises ``sum_i C(l_i, r_i)``. An interval costs the sum of the
distances of its times to its centre, the lower of the two middle ones where its length is even. Distances are those of
times, of log SNR, or minus the affinity of the gradients.

Source: Go et al. (2023), arXiv:2306.00354, section 4; the recursion is the textbook one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self

import torch
from torch import Generator, Tensor

from interpolants.foundations import asked
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import number, one_of, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Real
from interpolants.objectives.times import Margin, Times, TimeSampler
from interpolants.paths.path import Path, SpatiallyLinearPath

_GRID = 200


@dataclass(frozen=True)
class TimeClusters(Checked):
    """Intervals of [0, 1].

    Raises:
        InvalidInputError: If they do not rise within (0, 1).
    """

    edges: tuple[Real, ...] = ()
    """Inner edges, rising, in (0, 1); none for one cluster."""

    def check_settings(self) -> None:
        """Refuse edges that do not rise."""
        cut = [0.0, *self.edges, 1.0]
        if any(not low < high for low, high in pairwise(cut)):
            raise asked.invalid("edges must be strictly increasing within (0, 1)", self.edges)

    @property
    def count(self) -> int:
        """Number of clusters."""
        return len(self.edges) + 1

    def of(self, t: Tensor) -> Tensor:
        """Cluster of each time, ``(B,)`` int64."""
        return torch.bucketize(t, torch.tensor(self.edges, dtype=t.dtype, device=t.device), right=True)

    @classmethod
    def from_time(cls, count: int, *, smallest: int = 1, largest: int | None = None) -> Self:
        """Intervals of about one length; sizes as in :meth:`from_costs`, of 200 grid times."""
        return cls._cut(_midpoints(), count, centre_costs(_midpoints()), smallest, largest)

    @classmethod
    def from_log_snr(cls, path: Path, count: int, *, smallest: int = 1, largest: int | None = None) -> Self:
        """Intervals within which the ratio of signal to noise changes little.

        Args:
            path: A one-sided spatially linear path.
            count: Number of clusters.
            smallest: As in :meth:`from_costs`, of 200 grid times.
            largest: Likewise.

        Raises:
            InvalidInputError: If the path is another.
        """
        if not isinstance(path, SpatiallyLinearPath) or not path.is_one_sided or path.basis is not None:
            rule, remedy = "clusters by log SNR need a one-sided path", "Use by='time'."
            raise invalid("TimeClusters", rule, type(path).__name__, remedy)
        return cls._cut(_midpoints(), count, centre_costs(path.log_snr(_midpoints())), smallest, largest)

    @classmethod
    def from_affinity(
        cls, times: Tensor, affinity: Tensor, count: int, *, smallest: int = 1, largest: int | None = None
    ) -> Self:
        """Intervals whose gradients agree with that of their centre; see ``diagnostics.task_affinity``.

        Args:
            times: Times ``(n,)``, rising.
            affinity: Cosines ``(n, n)``.
            count: Number of clusters.
            smallest: As in :meth:`from_costs`.
            largest: Likewise.

        Raises:
            InvalidInputError: If the matrix is no symmetric, finite one for these times.
        """
        if affinity.shape != (len(times), len(times)) or not bool(torch.isfinite(affinity).all()):
            raise invalid(
                "TimeClusters", f"affinity must be finite, {(len(times),) * 2}", tuple(affinity.shape)
            )
        if not torch.allclose(affinity, affinity.T, atol=1e-5):
            raise invalid("TimeClusters", "affinity must be symmetric", "another matrix")
        return cls._cut(times, count, affinity_costs(affinity), smallest, largest)

    @classmethod
    def _cut(cls, times: Tensor, count: int, costs: Tensor, smallest: int, largest: int | None) -> Self:
        starts = best_cut(costs, count, smallest=smallest, largest=largest)
        return cls(tuple(float(times[start - 1] + times[start]) / 2 for start in starts[1:]))


def _midpoints() -> Tensor:
    return (torch.arange(_GRID, dtype=torch.float64) + 0.5) / _GRID


def centre_costs(values: Tensor) -> Tensor:
    """``C(l, r) = sum_{i=l}^{r} |f_i - f_c|`` with the centre c of the interval, ``(n, n)``; infinite for r < l."""
    n = len(values)
    costs = torch.full((n, n), torch.inf, dtype=torch.float64)
    for left in range(n):
        right = torch.arange(left, n)
        centre = values[(left + right) // 2].double()
        apart = (values[left:].double()[None, :] - centre[:, None]).abs()
        costs[left, left:] = apart.cumsum(1).diagonal()
    return costs


def affinity_costs(affinity: Tensor) -> Tensor:
    """``C(l, r) = -sum_{i=l}^{r} A_ci``, ``(n, n)``; infinite for r < l."""
    n, sums = len(affinity), torch.nn.functional.pad(affinity.double().cumsum(1), (1, 0))
    left, right = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    centre = (left + right) // 2
    costs = -(sums[centre, right + 1] - sums[centre, left])
    return costs.masked_fill(right < left, torch.inf)


def best_cut(costs: Tensor, count: int, *, smallest: int = 1, largest: int | None = None) -> list[int]:
    """First places of the ``count`` intervals with the least sum of costs, by dynamic programming.

    Args:
        costs: Cost of the interval from l to r, both included, ``(n, n)``.
        count: Number of intervals, 1 to n.
        smallest: Fewest places of an interval.
        largest: Most places; None for any number.

    Raises:
        InvalidInputError: If no such cut exists.
    """
    n = len(costs)
    whole("best_cut", "count", count, at_least=1, at_most=n)
    whole("best_cut", "smallest", smallest, at_least=1)
    most = n if largest is None else whole("best_cut", "largest", largest, at_least=smallest)
    if not count * smallest <= n <= count * most:
        rule = f"{count} intervals of {smallest} to {most} must cover {n} places"
        raise invalid("best_cut", rule, "sizes that cannot", "Change the sizes or the count.")
    left, right = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    size = right - left + 1
    costs = costs.double().masked_fill((size < smallest) | (size > most), torch.inf)
    best, choices = costs[0].clone(), []
    for _ in range(count - 1):
        before = torch.cat([best.new_full((1,), torch.inf), best[:-1]])  # cost of all up to l - 1
        best, choice = (before[:, None] + costs).min(0)
        choices.append(choice)
    starts, end = [], n - 1
    for choice in reversed(choices):
        starts.append(int(choice[end]))
        end = starts[-1] - 1
    return [0, *reversed(starts)]


def choose_clusters(
    who: str, clusters: int | Sequence[float] | TimeClusters, by: str, path: Path | None
) -> TimeClusters:
    """Clusters from themselves, their inner edges, or their number.

    Args:
        who: Name of the caller, used in error messages.
        clusters: What was asked for.
        by: ``"log_snr"`` or ``"time"``, for a number.
        path: The path, for ``"log_snr"``.

    Raises:
        InvalidInputError: If ``by`` is unknown, or ``"log_snr"`` without a path; if the path is none, or the clusters
            are no number and no edges.
    """
    if path is not None and not isinstance(path, Path):
        raise invalid(who, "path must be a path", repr(path), "For example, use paths.VP().")
    if isinstance(clusters, TimeClusters):
        return clusters
    if isinstance(clusters, int):
        whole(who, "clusters", clusters, at_least=1, at_most=_GRID)
        one_of(who, "by", by, ("log_snr", "time"))
        if by == "time" or clusters == 1:
            return TimeClusters.from_time(clusters)
        if path is None:
            rule, remedy = "by='log_snr' needs a path", "Pass path=, or use by='time'."
            raise invalid(who, rule, "no path", remedy)
        return TimeClusters.from_log_snr(path, clusters, smallest=max(1, _GRID // (10 * clusters)))
    try:
        edges = tuple(clusters)
    except TypeError:
        rule = "clusters must be a whole number, inner edges or TimeClusters"
        raise invalid(who, rule, repr(clusters), "For example, use 5, or (0.25, 0.5, 0.75).") from None
    return TimeClusters(tuple(number(who, "an edge", edge, above=0, below=1) for edge in edges))


@dataclass(frozen=True)
class ClusterBalancedTimes(Checked, TimeSampler):
    """As many times in each cluster, uniform within, in random order; a remainder falls on clusters at random.

    This is another distribution of times than the uniform one, and changes what is learnt even by plain training:
    compare with plain training under the same times.
    """

    clusters: int | Sequence[float] | TimeClusters = 5
    """Number of clusters, inner edges, or :class:`TimeClusters`."""
    by: Literal["log_snr", "time"] = "time"
    """What a number of clusters is cut by: ``"log_snr"`` of the path, or ``"time"``."""
    path: Path | None = None
    """The path, for ``"log_snr"``."""
    margin: Margin = 1e-5
    """Distance kept from both ends."""

    def check_settings(self) -> None:
        """Cut the times."""
        found = choose_clusters(asked.who(), self.clusters, self.by, self.path)
        object.__setattr__(self, "cut", found)

    cut: TimeClusters = TimeClusters()

    def sample(self, n: int, *, generator: Generator | None = None) -> Times:
        """Draw n times."""
        edges = torch.tensor([self.margin, *self.cut.edges, 1 - self.margin], dtype=torch.float32)
        count = self.cut.count
        shares = torch.randperm(count, generator=generator).repeat(-(-n // count))[:n]
        mixed = shares[torch.randperm(n, generator=generator)]
        u = torch.rand(n, generator=generator, dtype=torch.float32)
        t = edges[mixed] + (edges[mixed + 1] - edges[mixed]) * u
        return Times(t.clamp(1e-7, 1 - 1e-7), torch.ones(n, dtype=torch.float32))
