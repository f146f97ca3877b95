"""What lies beyond the edges of a grid: the other end of a circle, the far side of a pole, the border itself."""

from collections.abc import Sequence
from typing import Annotated, Literal, get_args

import torch
from torch import Tensor

from interpolants.data.gridded import Grid
from interpolants.foundations.asked import who
from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Remedy

Edge = Literal["periodic", "border", "pole", "pole_row"]
EDGES = get_args(Edge)
# As a setting: one word for each axis, or what the coordinates tell.
Edges = Annotated[
    Literal["auto"] | tuple[Edge, ...], Remedy('Or a word for each axis, e.g. ("pole", "periodic").')
]


def edges_of(grid: Grid, edges: Edges) -> tuple[str, ...]:
    """A word for each axis of a grid: those that are given, or what its coordinates tell.

    Raises:
        InvalidInputError: As :func:`check_edges`.
    """
    return grid.edges() if isinstance(edges, str) else check_edges(who(), edges, grid.sizes)


def check_edges(who: str, edges: Sequence[str], sizes: Sequence[int]) -> tuple[str, ...]:
    """One word for each axis of a grid.

    Raises:
        InvalidInputError: If a word is unknown, there is not one for each axis, or poles have no circle beside them.
    """
    found = tuple(one_of(who, "edges", word, EDGES) for word in edges)
    if len(found) != len(sizes):
        raise invalid(who, f"edges must name one kind for each of {len(sizes)} axes", list(found))
    if any(word.startswith("pole") for word in found):
        round_it = len(found) == 2 and found[0].startswith("pole") and found[1] == "periodic"
        if not round_it or sizes[1] % 2:
            rule = "poles must be the ends of latitudes beside an even number of longitudes around the globe"
            remedy = "Use 'border' for latitudes that end elsewhere."
            raise invalid(who, rule, f"{list(found)}, sizes {list(sizes)}", remedy)
    return found


def beyond_edges(x: Tensor, reach: int, edges: Sequence[str]) -> Tensor:
    """Fields with ``reach`` further points at both ends of each axis: ``(B, C, *G)`` -> ``(B, C, *(G + 2 reach))``.

    Args:
        x: Fields on a grid of one or two axes.
        reach: Further points, at most as many as the axis has.
        edges: A word for each axis. ``"periodic"``: the other end. ``"border"``: the last value again. ``"pole"``: the
            meridian on the far side, half way round the last axis, for latitudes that stop half a step before the pole;
            ``"pole_row"``: the same where the first and last row lie at the poles.
    """
    for k, word in enumerate(edges):
        x = _longer(x, 2 + k, reach, word)
    return x


def _longer(x: Tensor, axis: int, reach: int, word: str) -> Tensor:
    n = x.shape[axis]
    if word == "periodic":
        before, after = x.narrow(axis, n - reach, reach), x.narrow(axis, 0, reach)
    elif word == "border":
        shape = [reach if k == axis else -1 for k in range(x.ndim)]
        before, after = x.narrow(axis, 0, 1).expand(shape), x.narrow(axis, n - 1, 1).expand(shape)
    else:
        skip = int(word == "pole_row")  # a row at the pole is its own mirror image
        far = x.roll(x.shape[-1] // 2, -1)
        before = far.narrow(axis, skip, reach).flip(axis)
        after = far.narrow(axis, n - reach - skip, reach).flip(axis)
    return torch.cat([before, x, after], axis)
