"""Ensembles on grids as roles: cases by members by variables by points, with coordinates that answers keep."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from interpolants.data.arrays import Kind as Given
from interpolants.data.grid_alignment import aligned
from interpolants.data.gridded import Grid, Gridded
from interpolants.data.gridded_files import MEMBERS, WRITES, gridded_of, read_gridded, write_gridded
from interpolants.foundations.errors import invalid
from interpolants.foundations.records import record, settings_of
from interpolants.framework.answers import Ensemble
from interpolants.framework.role import Reading, Role


@record("gridded_container", parts=lambda kind: settings_of(kind.named(), "index"))
@dataclass(frozen=True)
class OnGrid(Given):
    """Form in which fields were passed.

    Attributes:
        grid: Grid and variables.
        named_axes: Whether axes and variables came with names.
    """

    grid: Grid | None = None
    named_axes: bool = False

    @property
    def headings(self) -> tuple[str, ...]:
        """Names of the variables."""
        return () if self.grid is None else tuple(self.grid.variables)


@dataclass
class GriddedKind:
    """A role of gridded fields; the canonical value is a :class:`~interpolants.data.gridded.Gridded`.

    Attributes:
        inner: Names of the axis after the cases: members of an ensemble, or times of a sequence.
        has_rows: True: the rows are the cases.
        writes: File extensions that answers of such roles can be written to.
    """

    inner: tuple[str, ...] = MEMBERS
    has_rows: bool = True
    writes: tuple[str, ...] = WRITES

    def read(self, value: Any, role: Role, reading: Reading) -> tuple[Gridded, Given]:
        """From xarray, arrays ``(N, M, *F)`` or files; variables come in the order of the fit, on its grid.

        Raises:
            InvalidInputError: If axes cannot be determined, values are missing, or the grid differs.
        """
        if isinstance(value, str | Path):
            value = self.read_file(str(value), role)
        found = gridded_of(value, reading.who, role.name, inner=self.inner)
        if (grid := getattr(reading.before, "grid", None)) is not None:
            found = aligned(found, grid, reading.who, role.name)
        if not role.gaps:
            check_seen(found, reading.who, role.name)
        named = hasattr(value, "dims") or isinstance(value, Gridded)
        dtype = str(found.values.dtype)
        return found, OnGrid("torch", dtype, grid=found.grid, named_axes=named)

    def numbers(self, value: Gridded) -> Tensor:
        """Variables of all cases and members."""
        return value.values.flatten(0, 1)

    def read_file(self, text: str, role: Role, key: str | None = None) -> Gridded:
        """From NetCDF, Zarr, GRIB or NumPy files."""
        found: Gridded = read_gridded(text, f"--{role.name}", role.name, key, inner=self.inner)
        return found


def check_seen(fields: Gridded, who: str, name: str) -> None:
    """Raise an error for missing values, with variable, case and member.

    Raises:
        InvalidInputError: With the first of them.
    """
    missing = ~fields.values.isfinite()
    if bool(missing.any()):
        case, member, variable, *_ = missing.nonzero()[0].tolist()
        place = f"{fields.grid.variables[variable]} of case {case}, member {member}"
        message = f"{int(missing.sum())} missing or infinite values, the first in {place}"
        raise invalid(who, f"{name} must have no gaps", message, "Fill them, or leave those cases out.")


@record("gridded_ensemble", skip=("given",))
@dataclass(frozen=True, kw_only=True, eq=False)
class GriddedEnsemble(Ensemble):
    """Members on a grid, ``x (B, M, C, *G)``, with the coordinates of the request.

    Attributes:
        asked: The fields that came in: their cases, grid and variables are those of the answer.
    """

    asked: Gridded | None = None
    writes: ClassVar[Sequence[str]] = WRITES

    def rows(self, rows: slice) -> "GriddedEnsemble":
        """Return the ensemble of the selected cases."""
        cut = super().rows(rows)
        return replace(
            self, x=cut.x, status=cut.status, asked=None if self.asked is None else self.asked[rows]
        )

    def dataset(self) -> Any:
        """An ``xarray.Dataset`` with one variable each, on the axes and coordinates of what came in."""
        if self.asked is None:
            raise invalid("GriddedEnsemble.dataset", "the context must have coordinates", "none")
        return self.asked.dataset(self.x, torch.arange(self.x.shape[1]))

    def table(self) -> Any:
        """A DataFrame with one row per case, member and point."""
        return self.dataset().to_dataframe()

    def write_file(self, out: Path) -> None:
        """Write NetCDF or Zarr, according to the file extension."""
        write_gridded(self.dataset(), out)


def gridded_ensemble(x: Tensor, asked: Gridded) -> GriddedEnsemble:
    """Members ``(B, M, C, *G)`` in the type of the fields that came in."""
    columns = asked.grid.variables if x.ndim == 3 else ()
    dims = ("variable", *asked.grid.dims)
    return GriddedEnsemble(x=x.to(asked.values.dtype), dims=dims, columns=columns, asked=asked)
