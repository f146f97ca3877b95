"""Brownian increments on a grid: the same path whatever the number of steps.

Notation: ``h`` length of a step, ``W`` increment over it, ``H`` its space-time Levy area,
``H = (1/h) int_s^t (W_r - W_s - (r - s)/h W) dr``, so that ``W ~ N(0, h)`` and ``H ~ N(0, h/12)`` are
independent. ``h, W, H`` belong to an interval, ``h1, W1, H1`` and ``h2, W2, H2`` to its two parts.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt
from torch import Tensor

from interpolants.foundations.errors import invalid

# Steps are walked ahead of their use, as many as make no more than so many numbers (8 MiB). Between two evaluations
# of a network every small operation finds the processor's caches cold and takes some three times as long.
_MOST_AHEAD = 2**21
T = TypeVar("T", bound=tuple[Tensor, Tensor | None])


class NormalSource(Protocol):
    """A stream of standard normal draws of one fixed shape ``(B, *D)``, such as ``BlockNoise``."""

    def normal(self, scale: float = 1.0) -> Tensor:
        """The next draw times ``scale``, in memory that the caller may keep and overwrite."""
        ...


@runtime_checkable
class Prepared(Protocol):
    """A source that is quicker when it knows how many draws will come."""

    def expect(self, draws: int) -> None:
        """Told once, before the first draw."""
        ...


class BrownianPath:
    """Increments of one Brownian path over the steps of a grid, reproducible under refinement.

    A grid of ``n = m 2^k`` steps (m odd) is a row of ``m`` coarse intervals, each halved ``k`` times by step
    index. The source of level 0 draws the increments of the coarse intervals in order; the source of level
    ``l`` draws, in order, how the intervals of level ``l - 1`` split in two, given their increments. Grids
    with n, 2n, 4n, ... steps, each holding the times of the one before, share the levels they have in common
    and hence see the same path. The intervals are walked depth first, so that ``O(log n)`` tensors are alive
    at a time (small paths are kept whole), and each step costs one draw (two with ``levy_area``).

    Iterating yields ``(W, H)`` per step, in the order of ``times``; ``H`` is ``None`` unless ``levy_area``.
    Each iteration asks the factory for new sources and so repeats the same path. The tensors are the
    caller's to overwrite. On a decreasing grid the path is one in running time: ``W ~ N(0, |h|)``.

    Args:
        times: Grid ``(n + 1,)``, strictly increasing or strictly decreasing; need not be uniform.
        noise: Called with a level 0, 1, 2, ... ; returns that level's source, at the start of its stream.
        levy_area: Also give the space-time Levy area, which schemes of strong order 1.5 need. The path
            differs from the one without.

    Raises:
        InvalidInputError: If ``times`` is not such a grid.

    Source: Gaussian conditioning; for the pair (W, H) on halved intervals see Foster, Lyons & Oberhauser
    (2020), arXiv:1908.02546.
    """

    def __init__(
        self,
        times: npt.ArrayLike,
        noise: Callable[[int], NormalSource],
        *,
        levy_area: bool = False,
    ) -> None:
        self.times = check_grid("BrownianPath", times)
        self.levy_area = levy_area
        n = len(self.times) - 1
        self.levels = (n & -n).bit_length() - 1
        self._noise = noise
        elapsed = np.abs(self.times - self.times[0])
        # Level l has the intervals between every 2^(levels - l)-th time.
        self._lengths = [np.diff(elapsed[:: 1 << (self.levels - level)]) for level in range(self.levels + 1)]
        rule = _pair_splits if levy_area else _splits
        self._rules = [rule(h[0::2], h[1::2]) for h in self._lengths[1:]]

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.times) - 1

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Walk the steps in order; see the class for what is yielded."""
        sources = [self._noise(level) for level in range(self.levels + 1)]
        for source, intervals in zip(sources, [self._lengths[0], *self._rules], strict=True):
            if isinstance(source, Prepared):
                source.expect(len(intervals) * (2 if self.levy_area else 1))
        walk = self._walk_pairs(sources) if self.levy_area else self._walk(sources)
        return _ahead(walk)

    def _walk(self, sources: Sequence[NormalSource]) -> Iterator[tuple[Tensor, None]]:
        deepest, position = self.levels, [0] * len(sources)
        for h in self._lengths[0].tolist():
            stack = [(0, sources[0].normal(h**0.5))]
            while stack:
                level, w = stack.pop()
                if level == deepest:
                    yield w, None
                    continue
                mean, spread = self._rules[level][position[level]]
                position[level] += 1
                level += 1
                first = sources[level].normal(spread).add_(w, alpha=mean)
                stack.append((level, w.sub_(first)))
                stack.append((level, first))

    def _walk_pairs(self, sources: Sequence[NormalSource]) -> Iterator[tuple[Tensor, Tensor]]:
        deepest, position = self.levels, [0] * len(sources)
        for h in self._lengths[0].tolist():
            root = sources[0].normal(h**0.5), sources[0].normal((h / 12) ** 0.5)
            stack = [(0, *root)]
            while stack:
                level, w, area = stack.pop()
                if level == deepest:
                    yield w, area
                    continue
                rule = self._rules[level][position[level]]
                position[level] += 1
                level += 1
                first, second = _split_pair(w, area, sources[level], rule)
                stack.append((level, *second))
                stack.append((level, *first))


def _ahead(walk: Iterator[T]) -> Iterator[T]:
    """The same steps, walked some way ahead."""
    for first in walk:
        yield from [first, *islice(walk, _MOST_AHEAD // max(1, first[0].numel()))]


def check_grid(who: str, times: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Times as a float64 vector, checked: at least two, finite, strictly monotone."""
    raw = (
        times.detach().cpu().double().numpy()
        if isinstance(times, Tensor) and not times.is_complex()
        else times
    )
    grid = np.array(raw, dtype=np.float64)
    if grid.ndim != 1 or len(grid) < 2:
        remedy = "Pass the start, the end and the times in between."
        raise invalid(who, "times must be a vector of at least two", f"shape {grid.shape}", remedy)
    steps = np.diff(grid)
    if not (np.isfinite(grid).all() and ((steps > 0).all() or (steps < 0).all())):
        remedy = "Sort them and drop repeats."
        raise invalid(
            who, "times must be finite and strictly increasing or strictly decreasing", grid, remedy
        )
    return grid


def _splits(h1: npt.NDArray[np.float64], h2: npt.NDArray[np.float64]) -> list[list[float]]:
    """Brownian bridge: ``W1 | W ~ N(h1/h W, h1 h2/h)``, as (h1/h, standard deviation) per interval."""
    h = h1 + h2
    rows: list[list[float]] = np.stack([h1 / h, np.sqrt(h1 * h2 / h)], axis=1).tolist()
    return rows


def _pair_splits(h1: npt.NDArray[np.float64], h2: npt.NDArray[np.float64]) -> list[list[float]]:
    """Dependence of (W1, H1) on (W, H) and two fresh normals, and H2 on all of them, per interval.

    A priori ``u = (W1, H1, W2, H2)`` has independent entries. Observed is ``y = (W, h H) = A u`` with
    ``W = W1 + W2`` and ``h H = h1 (H1 + W1/2) + h2 (W1 + H2 + W2/2) - h (W1 + W2)/2``. Conditioning gives
    mean ``K y`` and covariance ``P - K A P``; the second part then follows from the two constraints.
    Row: K for W1, K for H1, the Cholesky factor of the covariance of (W1, H1), and the weights of
    H, H1, W1, W in H2.
    """
    h, zero, one = h1 + h2, np.zeros_like(h1), np.ones_like(h1)
    sums = np.stack([one, zero, one, zero], axis=-1)
    areas = np.stack([(h1 - h) / 2 + h2, h1, (h2 - h) / 2, h2], axis=-1)
    observe = np.stack([sums, areas], axis=-2)
    prior = np.stack([h1, h1 / 12, h2, h2 / 12], axis=-1)
    cross = prior[..., None] * np.swapaxes(observe, -1, -2)
    gain = np.swapaxes(np.linalg.solve(observe @ cross, np.swapaxes(cross, -1, -2)), -1, -2)
    covariance = prior[..., None] * np.eye(4) - gain @ np.swapaxes(cross, -1, -2)
    factor = np.linalg.cholesky(covariance[..., :2, :2])
    columns = [gain[..., 0, 0], gain[..., 0, 1] * h, gain[..., 1, 0], gain[..., 1, 1] * h]
    columns += [factor[..., 0, 0], factor[..., 1, 0], factor[..., 1, 1]]
    columns += [h / h2, -h1 / h2, -h / (2 * h2), h1 / (2 * h2)]
    rows: list[list[float]] = np.stack(columns, axis=1).tolist()
    return rows


def _split_pair(
    w: Tensor, area: Tensor, source: NormalSource, rule: list[float]
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Draw (W1, H1) given (W, H); (W2, H2) is the remainder."""
    w_w, w_a, a_w, a_a, l_ww, l_aw, l_aa, r_area, r_area1, r_w1, r_w = rule
    z1, z2 = source.normal(), source.normal()
    area1 = z2.mul_(l_aa).add_(z1, alpha=l_aw).add_(w, alpha=a_w).add_(area, alpha=a_a)
    w1 = z1.mul_(l_ww).add_(w, alpha=w_w).add_(area, alpha=w_a)
    area2 = area.mul_(r_area).add_(area1, alpha=r_area1).add_(w1, alpha=r_w1).add_(w, alpha=r_w)
    return (w1, area1), (w.sub_(w1), area2)
