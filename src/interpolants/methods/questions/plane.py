"""Plane in which rows are drawn: their two columns, or two principal components in standard units."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_ROWS = 2000  # enough to find the main directions, few enough for data of many thousand coordinates


@dataclass(frozen=True)
class Plane:
    """Points (N, *D) -> (N, 2).

    Attributes:
        names: What the two axes are called.
        center: Subtracted, (D,).
        directions: (D, 2): columns of the data, or orthonormal directions over the columns' standard deviations.
        is_exact: Whether nothing is lost, i.e. D = 2.
    """

    names: tuple[str, str]
    center: Array
    directions: Array
    is_exact: bool

    def __call__(self, points: Any) -> Array:
        """Project the last axes; leading axes beyond the first are kept when ``points`` was raveled before."""
        flat = np.asarray(points).reshape(len(points), -1)
        found: Array = (flat - self.center) @ self.directions
        return found

    def trajectory(self, points: Any) -> Array:
        """(T, N, *D) -> (T, N, 2)."""
        flat = self(np.asarray(points).reshape(-1, *points.shape[2:]))
        return flat.reshape(*points.shape[:2], 2)

    @property
    def told(self) -> str:
        """What a caption says of it; nothing where rows are shown as they are."""
        if self.is_exact:
            return ""
        return f" Shown are the two main directions of {len(self.center)} columns in standard units."


def fit_plane(real: Any, names: Sequence[str] = ()) -> Plane:
    """The plane itself for two coordinates, else the two directions in which standardised real data vary most.

    Args:
        real: Real rows ``(N, *D)``.
        names: Names of the columns, if they have some.
    """
    flat = np.asarray(real).reshape(len(real), -1).astype(np.float64)
    size = flat.shape[1]
    if size == 2:
        first, second = tuple(names) if len(names) == 2 else ("x₁", "x₂")
        return Plane((first, second), np.zeros(2), np.eye(2), True)
    head = flat[:_ROWS][np.isfinite(flat[:_ROWS]).all(1)]
    center = head.mean(0) if len(head) else np.zeros(size)
    if len(head) < 2 or size < 2:
        return Plane(("direction 1", "direction 2"), center, np.eye(size, 2), False)
    deviation = head.std(0)
    scale = np.where(deviation > 0, deviation, 1.0)
    _, spread, directions = np.linalg.svd((head - center) / scale, full_matrices=False)
    main = np.zeros((size, 2))
    found = directions[:2]
    # The sign of a direction is free: the largest entry is made positive, so that a redrawn figure looks alike.
    signs = np.sign(found[np.arange(len(found)), np.abs(found).argmax(1)])
    main[:, : len(found)] = (found * np.where(signs == 0, 1, signs)[:, None]).T / scale[:, None]
    share = spread**2 / max(float((spread**2).sum()), 1e-300)
    axes = [f"PC {i + 1} ({100 * share[i]:.0f} %)" if i < len(share) else f"PC {i + 1}" for i in (0, 1)]
    return Plane((axes[0], axes[1]), center, main, False)
