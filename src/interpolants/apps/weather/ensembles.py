"""What methods and questions of ensembles share: their verb, their role, and the check of seeds."""

from itertools import combinations

import torch
from torch import Tensor

from interpolants.data.grid_alignment import aligned
from interpolants.data.gridded import Gridded
from interpolants.foundations.errors import invalid
from interpolants.foundations.tell import DataWarning, tell
from interpolants.framework.capabilities import verb
from interpolants.framework.role import Role

verb("emulate", "seeds")


def ensemble_role() -> Role:
    """Ensembles of forecasts."""
    about = "ensembles: cases by members by points, as xarray, an array (N, M, *F), or a NetCDF, Zarr or GRIB file"
    return Role(name="ensemble", kind="ensemble", axis="case", about=about)


def analysis_role() -> Role:
    """The truth as far as it is known, for methods that correct a forecast model."""
    about = "members of the analysis of the same cases"
    return Role(name="analysis", kind="ensemble", axis="case", optional=True, about=about)


def checked_seeds(who: str, seeds: Gridded, count: int) -> Tensor:
    """The seeds' values, if there are as many as the fit had.

    Raises:
        InvalidInputError: If there are more or fewer.
    """
    if not len(seeds):
        raise invalid(who, "at least one case is required", "none")
    found = seeds.values.shape[1]
    if found != count:
        remedy = "Select members, e.g. data.isel(number=slice(2)); or fit with another n_seeds."
        raise invalid(who, f"each case must have {count} seeds", found, remedy)
    for first, second in combinations(range(found), 2):
        if torch.equal(seeds.values[:, first], seeds.values[:, second]):
            told = f"{who}: seeds {first} and {second} are the same member: their spread tells nothing"
            tell(DataWarning, f"{told}.")
    return seeds.values


def of_same_cases(who: str, members: Gridded, other: Gridded, name: str) -> Gridded:
    """Other fields of the cases of an ensemble, brought to its grid.

    Args:
        who: Name of the caller, used in error messages.
        members: The ensemble.
        other: The fields, such as its analysis.
        name: Name of these for errors.

    Raises:
        InvalidInputError: If they are on another grid, in other units, or of other dates or cases.
    """
    first, second = members.cases, other.cases
    if members.dated == other.dated and len(first) == len(second) > 0 and not torch.equal(first, second):
        what = "dates" if members.dated else "cases"
        sets = torch.equal(first.sort().values, second.sort().values)
        found = f"the same {what} in another order" if sets else f"other {what}"
        remedy = f"Bring both to one order: {name}.sel(...) with the coordinate of the ensemble."
        raise invalid(who, f"members and {name} must be of the same {what}", found, remedy)
    return aligned(other, members.grid, who, name)
