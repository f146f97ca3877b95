"""Requirements of guidance on a path: a Gaussian base, so that the score determines velocity and denoised."""

from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths.path import Path, SpatiallyLinearPath


def gaussian_path(who: str, path: Path | None) -> tuple[SpatiallyLinearPath, Gaussian]:
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
        raise invalid(who, rule, type(path).__name__, "E.g. paths.VP() or OneSidedLinear().")
    return path, path.base
