"""Motion of patterns between frames, and frames that are carried along it.

Letters: B sequences, P frames, C variables, H rows, W columns, v motion in cells per frame along rows and columns.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from interpolants.apps.weather.nets.grid_edges import beyond_edges

# Smoothing of the frames in cells, and weight of the whole field beside the window, round by round: first the one
# motion of the whole field, from smooth frames to sharp ones, then that of each place.
_PLAN = ((4.0, 1e3), (4.0, 1e3), (2.0, 1e3), (1.0, 1e3), (1.0, 2.0), (1.0, 2.0))
_TINY = 1e-12


def motion(frames: Tensor, edges: Sequence[str], *, window: float = 6.0) -> Tensor:
    """One motion for all steps of a sequence, at each cell: ``(B, P, C, H, W)`` -> ``(B, 2, H, W)`` in cells per frame.

    Least squares of ``I_t + v . grad I = 0`` in a Gaussian window around each cell, over all steps and variables, with
    a small weight on the motion of the whole field, which fills places where nothing moves. The second frame of each
    pair is carried back by what was found, from smooth frames to sharp ones, until little is left.

    Args:
        frames: Frames in units of one size; NaN where nothing is known.
        edges: What lies beyond rows and columns, see ``nets.grid_edges.beyond_edges``.
        window: Deviation of the window, in cells.

    Source: Lucas & Kanade (1981). Ours: the plan from the whole field to places.
    """
    seen = frames.isfinite()
    x = torch.where(seen, frames, 0.0)
    both = (seen[:, :-1] & seen[:, 1:]).to(x)
    v = x.new_zeros(len(x), 2, *x.shape[-2:])
    for scale, shared in _PLAN:
        v = v + _step(smoothed(x, scale, edges), both, v, edges, window, shared)
    return v


def _step(x: Tensor, both: Tensor, v: Tensor, edges: Sequence[str], window: float, shared: float) -> Tensor:
    """What is to be added to the motion, ``(B, 2, H, W)``."""
    first, second = x[:, :-1], carried(x[:, 1:], -v, edges)
    middle = (first + second) / 2
    down, across = (_slope(middle, axis, edges) for axis in (-2, -1))
    change = second - first
    products = [down * down, down * across, across * across, down * change, across * change]
    sums = torch.stack([(both * one).sum((1, 2)) for one in products], 1)  # over steps and variables
    near, whole = smoothed(sums, window, edges), sums.mean((-2, -1), keepdim=True)
    a, b, c, p, q = (near + shared * whole).unbind(1)
    least = _TINY + 1e-3 * shared * (whole[:, 0] + whole[:, 2])
    a, c = a + least, c + least
    found = torch.stack([b * q - c * p, b * p - a * q], 1) / (a * c - b * b)[:, None]
    return found.clamp(-4, 4)


def _slope(x: Tensor, axis: int, edges: Sequence[str]) -> Tensor:
    """Central differences, ``(B, ..., H, W)``."""
    wide = beyond_edges(x.flatten(1, -3), 1, edges)
    rows, columns = (slice(1, -1) if k != axis else slice(None) for k in (-2, -1))
    wide = wide[..., rows, columns]
    size = wide.shape[axis]
    return ((wide.narrow(axis, 2, size - 2) - wide.narrow(axis, 0, size - 2)) / 2).reshape(x.shape)


def smoothed(x: Tensor, scale: float, edges: Sequence[str]) -> Tensor:
    """Fields ``(B, ..., H, W)`` under a Gaussian of so many cells."""
    flat = x.flatten(1, -3)
    reach = min(round(2.5 * scale) + 1, *x.shape[-2:])
    at = torch.arange(-reach, reach + 1, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (at / scale).square())
    kernel = (kernel / kernel.sum())[None, None]
    wide = beyond_edges(flat, reach, edges)
    shape = wide.shape
    wide = conv2d(wide.reshape(-1, 1, *shape[-2:]), kernel[..., None])
    return conv2d(wide, kernel[..., None, :]).reshape(x.shape)


def carried(x: Tensor, shift: Tensor, edges: Sequence[str]) -> Tensor:
    """Fields where a shift in cells has carried them: ``x(place - shift)``, linear between cells.

    Args:
        x: ``(B, ..., H, W)``.
        shift: ``(B, 2, H, W)``, at the cells of arrival, along rows and columns.
        edges: ``"periodic"`` axes close; beyond others is the last cell.
    """
    sizes = x.shape[-2:]
    grid = torch.stack(torch.meshgrid(*(torch.arange(n, dtype=x.dtype) for n in sizes), indexing="ij"))
    place = grid - shift
    low = place.floor()
    part = place - low
    flat = x.flatten(1, -3).flatten(2)
    total = torch.zeros_like(flat)
    for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
        down, across = (_index(low[:, k] + corner[k], sizes[k], edges[k]) for k in (0, 1))
        index = (down * sizes[1] + across).flatten(1)[:, None].expand(-1, flat.shape[1], -1)
        share = [part[:, k] if corner[k] else 1 - part[:, k] for k in (0, 1)]
        total = total + (share[0] * share[1]).flatten(1)[:, None] * flat.gather(2, index)
    return total.reshape(x.shape)


def _index(x: Tensor, size: int, edge: str) -> Tensor:
    return (x % size if edge == "periodic" else x.clamp(0, size - 1)).long()


def extrapolated(frames: Tensor, v: Tensor, ahead: int, edges: Sequence[str]) -> Tensor:
    """Frames carried to each of the times that follow the last one, ``(B, P, C, H, W)`` -> ``(B, ahead, P, C, H, W)``.

    Motion is taken to be steady: frame p is carried over ``P - 1 - p + k`` steps to the time of lead k.
    """
    count = frames.shape[1]
    return torch.stack(
        [
            torch.stack([carried(frames[:, p], (count - 1 - p + k) * v, edges) for p in range(count)], 1)
            for k in range(1, ahead + 1)
        ],
        1,
    )
