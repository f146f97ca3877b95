"""Requirement of samplers and guidance: a path from a Gaussian base, with one schedule for all entries."""

from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths.path import Path, SpatiallyLinearPath


def gaussian_path(caller: str, path: Path | None) -> tuple[SpatiallyLinearPath, Gaussian]:
    """A one-sided path with its base.

    Raises:
        InvalidInputError: If the path is another, its base is not Gaussian, or it has one schedule per coordinate.
    """
    if (
        not isinstance(path, SpatiallyLinearPath)
        or not isinstance(path.base, Gaussian)
        or path.basis is not None
    ):
        rule = "the path must start from a Gaussian base by one schedule for all entries"
        raise invalid(caller, rule, type(path).__name__, "For example, use paths.VP() or OneSidedLinear().")
    return path, path.base
