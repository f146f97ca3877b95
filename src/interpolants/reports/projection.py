"""Projection of data to the plane: as they are, or on their two principal components."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_ROWS = 2000  # enough to find the main directions, few enough for data of many thousand coordinates


@dataclass(frozen=True)
class Projection:
    """Points (N, *D) -> (N, 2).

    Attributes:
        names: What the two axes are called.
        center: Subtracted, (D,).
        directions: (D, 2), orthonormal.
        is_exact: Whether nothing is lost, i.e. D = 2.
    """

    names: tuple[str, str]
    center: Array
    directions: Array
    is_exact: bool

    def __call__(self, points: Array) -> Array:
        """Project the last axes; leading axes beyond the first are kept when ``points`` was raveled before."""
        return (points.reshape(len(points), -1) - self.center) @ self.directions

    def trajectory(self, points: Array) -> Array:
        """(T, N, *D) -> (T, N, 2)."""
        flat = self(points.reshape(-1, *points.shape[2:]))
        return flat.reshape(*points.shape[:2], 2)


def fit_projection(real: Array) -> Projection:
    """The plane itself for two coordinates, else the two directions in which real data vary most."""
    flat = real.reshape(len(real), -1).astype(np.float64)
    size = flat.shape[1]
    if size == 2:
        return Projection(("x₁", "x₂"), np.zeros(2), np.eye(2), True)
    head = flat[:_ROWS][np.isfinite(flat[:_ROWS]).all(1)]
    center = head.mean(0) if len(head) else np.zeros(size)
    if len(head) < 2 or size < 2:
        return Projection(("direction 1", "direction 2"), center, np.eye(size, 2), False)
    _, spread, directions = np.linalg.svd(head - center, full_matrices=False)
    main = np.zeros((size, 2))
    found = directions[:2]
    # The sign of a direction is free: the largest entry is made positive, so that a redrawn figure looks alike.
    signs = np.sign(found[np.arange(len(found)), np.abs(found).argmax(1)])
    main[:, : len(found)] = (found * np.where(signs == 0, 1, signs)[:, None]).T
    share = spread**2 / max(float((spread**2).sum()), 1e-300)
    names = [f"PC {i + 1} ({100 * share[i]:.0f} %)" if i < len(share) else f"PC {i + 1}" for i in (0, 1)]
    return Projection((names[0], names[1]), center, main, False)
