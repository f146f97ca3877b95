"""Fields brought to the grid of others: variables, axes and points in their order, where names and coordinates tell it.

Letters: N cases, M members, C variables, G axes of the grid.
"""

from dataclasses import replace

import torch
from torch import Tensor

from interpolants.data.gridded import LATITUDES, LONGITUDES, Grid, Gridded, tolerance
from interpolants.foundations.tell import AssumptionWarning, tell


def aligned(fields: Gridded, grid: Grid, who: str, name: str) -> Gridded:
    """Fields with the variables, axes and points of a grid in its order; what cannot be told by names is refused.

    Variables are chosen by name, axes are swapped where their names come in another order, and points where the same
    coordinates do: latitudes that go down instead of up, longitudes from -180 to 180 instead of 0 to 360.

    Args:
        fields: The fields.
        grid: The grid that they shall have.
        who: Name of the caller, used in error messages.
        name: Name of the fields for errors.

    Raises:
        InvalidInputError: If variables, their units, sizes or coordinates are others.
    """
    found = _with_variables(fields, grid)
    if found.grid.is_plain and len(found.grid.variables) == len(grid.variables):
        found = replace(found, grid=replace(found.grid, variables=grid.variables, units=grid.units))
    found = _with_axes(found, grid)
    _tell_unknown(found.grid, grid, who, name)
    if found.grid.sizes == grid.sizes:
        for k in range(len(grid.dims)):
            found = _with_points(found, grid, k)
    found.grid.checked_like(grid, who, name)
    return found


def _tell_unknown(own: Grid, grid: Grid, who: str, name: str) -> None:
    """Tell of axes without coordinates where the grid has some: whether they run the same way cannot be seen."""
    lost = [
        own.dims[k]
        for k, axis in enumerate(grid.dims)
        if axis in grid.coords and own.dims[k] not in own.coords
    ]
    if lost and not own.is_plain:
        told = f"{who}: {name} has no coordinates of {' and '.join(lost)}"
        tell(AssumptionWarning, f"{told}; its points are taken in the order of the fit.")


def _with_variables(fields: Gridded, grid: Grid) -> Gridded:
    own = fields.grid
    if own.variables == grid.variables or not set(grid.variables) <= set(own.variables):
        return fields
    places = [own.variables.index(one) for one in grid.variables]
    units = tuple(own.units[k] for k in places) if own.units else ()
    changed = replace(own, variables=grid.variables, units=units)
    return replace(fields, values=fields.values[:, :, places], grid=changed)


def _with_axes(fields: Gridded, grid: Grid) -> Gridded:
    """Axes of the same names in the order of the grid."""
    own = fields.grid
    here, wanted = (tuple(map(_known_as, one.dims)) for one in (own, grid))
    if here == wanted or sorted(here) != sorted(wanted):
        return fields
    order = [here.index(name) for name in wanted]
    dims, sizes = tuple(own.dims[k] for k in order), tuple(own.sizes[k] for k in order)
    changed = replace(own, dims=dims, sizes=sizes)
    return replace(fields, values=fields.values.permute(0, 1, 2, *(3 + k for k in order)), grid=changed)


def _known_as(axis: str) -> str:
    """The name of an axis, those of geography in one spelling."""
    lower = axis.lower()
    return next((names[0] for names in (LATITUDES, LONGITUDES) if lower in names), axis)


def _with_points(fields: Gridded, grid: Grid, k: int) -> Gridded:
    """Points of an axis in the order of the grid, where they have its coordinates in another one."""
    axis = fields.grid.dims[k]
    own, wanted = fields.grid.coords.get(axis), grid.coords.get(grid.dims[k])
    if own is None or wanted is None or torch.equal(own, wanted):
        return fields
    order = _order(own, wanted, period=360.0 if axis.lower() in LONGITUDES else 0.0)
    if order is None:
        return fields
    words = {**fields.grid.words}
    if grid.dims[k] in grid.words:
        words[axis] = grid.words[grid.dims[k]]
    changed = replace(fields.grid, coords={**fields.grid.coords, axis: wanted}, words=words)
    return replace(fields, values=fields.values.index_select(3 + k, order), grid=changed)


def _order(own: Tensor, wanted: Tensor, period: float) -> Tensor | None:
    """Places of the wanted coordinates among the own ones, each once; None where some are others."""
    gap = own[None] - wanted[:, None]
    gap = gap - period * (gap / period).round() if period else gap
    least, order = gap.abs().min(1)
    found = bool((least <= tolerance(wanted)).all()) and len(set(order.tolist())) == len(own)
    return order if found else None
