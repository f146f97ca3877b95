"""Series of known chaotic flows, as data sets."""

from interpolants.data.bundled import DataInfo, Dataset, Split, check_split
from interpolants.foundations.checks import number, whole
from interpolants.foundations.randomness import generator
from interpolants.sciml.chaos.problems.chaotic_systems import ChaoticSystem

_TRAIN = 5 / 6


def load_chaotic_series(
    split: Split = "train",
    *,
    system: str = "Lorenz",
    points: int = 1200,
    per_period: float = 15,
    coordinates: int = 1,
    transient: float = 0.0,
    noise: float = 0.0,
    seed: int = 0,
) -> Dataset:
    """The first coordinates of a chaotic flow at evenly spaced times, from the system's annotated start.

    Args:
        split: ``train`` (the first five sixths of the times), ``test`` or ``all``.
        system: Its name; ``problems.chaotic_systems.chaotic_systems()`` lists them.
        points: Times in all, at least 12.
        per_period: Times per dominant period: 15 is coarse, 100 fine.
        coordinates: How many coordinates; 0 for all.
        transient: Periods to go before the first time.
        noise: Standard deviation of independent noise, as a share of that of each coordinate.
        seed: Seed of the noise.

    Returns:
        ``x`` (points, coordinates) float64.

    Raises:
        MissingExtraError: If dysts is not installed.
        InvalidInputError: If the system is unknown, a number out of range, or for an unknown split.

    Source: Gilpin (2021), arXiv:2110.05266.
    """
    who = "load_chaotic_series"
    check_split(who, split)
    whole(who, "points", points, at_least=12), number(who, "noise", noise, at_least=0)
    flow = ChaoticSystem(system)
    whole(who, "coordinates", coordinates, at_least=0, at_most=flow.dim)
    source = generator(seed, "chaotic series")
    path = flow.trajectory(points, per_period=per_period, transient=transient, noise=noise, generator=source)
    cut = round(_TRAIN * points)
    kept = {"train": path[:cut], "test": path[cut:], "all": path}[split]
    x = kept[:, : coordinates or None].contiguous()
    info = DataInfo(
        name="chaotic_series",
        shape=tuple(x.shape),
        split=split,
        source=f"{system}, integrated from the equations of dysts",
        licence="equations: Apache-2.0",
        sha256={},
        columns=tuple(f"u{k + 1}" for k in range(x.shape[1])),
    )
    return Dataset(x, None, info)
