"""Scatter plots in the terminal, in Braille characters of eight dots."""

import numpy as np
from numpy.typing import NDArray

# Braille patterns start here; the bit of each of the 4 x 2 dots of a character.
_FIRST = 0x2800
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
# Of the points, this share at each end of each axis may fall outside: one stray point must not shrink the rest.
_CUT = 0.002


def scatter(points: NDArray[np.floating], *, columns: int = 60, rows: int = 20) -> list[str]:
    """Lines of a scatter plot with its ranges below; both axes have the same scale.

    Args:
        points: ``(n, 2)``, finite, n >= 1.
        columns: Maximum number of characters per line.
        rows: Most lines.
    """
    low, high = np.quantile(points, _CUT, axis=0), np.quantile(points, 1 - _CUT, axis=0)
    span = np.maximum(high - low, 1e-12)
    dots = np.array([2 * columns, 4 * rows])
    scale = ((dots - 1) / span).min()
    width, height = np.minimum(np.floor(span * scale).astype(int) + 1, dots)
    place = np.round((points - low) * scale).astype(int)
    across, up = place[((place >= 0) & (place < (width, height))).all(1)].T
    lit = np.zeros((-(-height // 4) * 4, -(-width // 2) * 2), dtype=int)
    lit[height - 1 - up, across] = 1
    cells = lit.reshape(lit.shape[0] // 4, 4, -1, 2)
    codes = _FIRST + np.einsum("ridj,ij->rd", cells, _BITS)
    lines = ["".join(map(chr, row)) for row in codes]
    return [*lines, f"x {low[0]:.3g} to {high[0]:.3g}, y {low[1]:.3g} to {high[1]:.3g}"]
