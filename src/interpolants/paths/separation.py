"""Data separation: how well data are told apart under noise, which sets the kinetic energy of a path.

Letters: ``x1`` normalised so that ``E|x1|^2 = d``; ``z`` white; ``rho`` ratio of signal to noise, ``th`` its angle,
``rho = tan th``; ``e = E[x1 | rho x1 + z]``; ``mmse = E|x1 - e|^2 / d``, ``lambda = 1 - mmse``;
``G = 1 - mmse / cos^2 th``, in [0, 1]: the part of the best linear estimate's error that the best estimate avoids.

The best linear estimate ``sin th (sin th x1 + cos th z)`` has the error ``cos^2 th`` whatever the data, and its error
on the same draws is subtracted: for Gaussian data the difference is zero draw by draw, and nothing is divided by the
small cosine near ``th = pi/2``.

Source: Shaul et al. (2023), arXiv:2306.06626, the data separation function; G and its estimate are ours.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from torch import Tensor

from interpolants.foundations import asked
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import finite, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.kinds import Positive, Real, Remedy, Share
from interpolants.foundations.row_times import by_row
from interpolants.paths.curves import Curve
from interpolants.paths.path import SpatiallyLinearPath

_RIGHT = math.pi / 2
# Entries of the matrix of distances that are held at once.
_ENTRIES = 1 << 22
# Standard errors beyond which lambda below 0 is no accident.
_SURE = 5.0

Denoiser = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class DataSeparation(Checked):
    """``lambda(rho) = E|E[x1 | rho x1 + z]|^2 / d`` of a data set, as a table over the angle of rho.

    Raises:
        InvalidInputError: If the angles do not increase from 0 to pi/2, or a gain lies outside [0, 1].
    """

    angles: tuple[Real, ...]
    """Increasing from 0 to pi/2."""
    gains: Annotated[
        tuple[Share, ...],
        Remedy("lambda must lie between rho^2 / (1 + rho^2), that of Gaussian data, and 1."),
    ]
    """G at these angles."""
    scale: Positive = 1.0
    """Root mean square of the data's entries, in data units."""

    def check_settings(self) -> None:
        """Check that the table leads from 0 to pi/2."""
        if len(self.angles) < 2 or self.angles[0] != 0 or abs(self.angles[-1] - _RIGHT) > 1e-12:
            raise asked.invalid(
                "the grid of angles must lead from 0 to pi/2", (*self.angles[:1], *self.angles[-1:])
            )
        self.gain(torch.zeros(1))  # builds the table, which refuses a grid that does not increase

    @cached_property
    def _curve(self) -> Curve:
        return Curve(self.angles, self.gains, who="DataSeparation")

    def gain(self, angle: Tensor) -> Tensor:
        """G at angles of rho."""
        return self._curve(angle).clamp(0, 1)

    def mmse(self, rho: Tensor) -> Tensor:
        """Mean squared error per entry of the best estimate of normalised data; any shape."""
        angle = torch.atan(rho)
        return (1 - self.gain(angle)) * torch.cos(angle).square()

    def __call__(self, rho: Tensor) -> Tensor:
        """Lambda."""
        return 1 - self.mmse(rho)


def data_separation(
    data: Tensor,
    *,
    denoiser: Denoiser | None = None,
    path: SpatiallyLinearPath | None = None,
    normalise: bool = True,
    n_angles: int = 160,
    draws: int = 4,
    seed: int = 0,
) -> DataSeparation:
    """Estimate the separation of data from noise.

    Args:
        data: ``(N, *D)``. Without a denoiser their empirical distribution is taken, of which each point can be told
            from the others: a model that learns it by heart.
        denoiser: ``E[x1 | x_t = x]`` as ``f(x, t)``, such as ``fields.denoised``; then ``path`` must be given too.
        path: The one-sided path of the denoiser, with a standard normal base.
        normalise: Divide the data by their root mean square; else it must be 1 within one per cent.
        n_angles: Angles at which the error is measured.
        draws: Noises for every point and angle, a power of two; quasi-random.
        seed: Of the noises.

    Raises:
        InvalidInputError: If the data are not finite, do not vary or are not normalised, or the denoiser is worse than
            the mean of the data.
    """
    flat, scale = _normalised(data, normalise)
    _check_settings(denoiser, path, n_angles, draws)
    angles = (torch.arange(n_angles, dtype=torch.float64) + 0.5) * (_RIGHT / n_angles)
    noise = _noise(flat, draws, seed)
    x1 = flat.repeat_interleave(draws, 0)
    gains = []
    for angle in angles.tolist():
        cos, sin = math.cos(angle), math.sin(angle)
        if denoiser is None or path is None:
            end = _posterior_mean(sin * x1 + cos * noise, flat, sin, cos)
        else:
            end = _denoised(denoiser, path, data, sin * x1 + cos * noise, angle, scale)
        avoided = ((cos * x1 - sin * noise).square() - ((x1 - end) / cos).square()).mean(1)
        gains.append(_mean_gain(avoided, angle))
    gain_0 = float(flat.mean(0).square().mean())  # the mean alone avoids this much
    last = 1.0 if denoiser is None else gains[-1]
    table = torch.tensor([gain_0, *gains, last], dtype=torch.float64)
    grid = torch.cat(
        [torch.zeros(1, dtype=torch.float64), angles, torch.full((1,), _RIGHT, dtype=torch.float64)]
    )
    return DataSeparation(tuple(grid.tolist()), tuple(_monotone(grid, table).tolist()), scale)


def _monotone(angles: Tensor, gains: Tensor) -> Tensor:
    """Gains whose errors do not grow with the angle."""
    squared = torch.cos(angles).square()
    errors = ((1 - gains) * squared).cummin(0).values
    return torch.where(squared > 1e-12, 1 - errors / squared.clamp_min(1e-12), gains).clamp(0, 1)


def _mean_gain(avoided: Tensor, angle: float) -> float:
    gain, error = float(avoided.mean()), float(avoided.std()) / math.sqrt(len(avoided))
    separation = 1 - (1 - gain) * math.cos(angle) ** 2
    if separation < -_SURE * error - 1e-9 or not math.isfinite(gain):
        remedy = "The denoiser is worse than the mean of the data: train it longer, or check its path."
        raise invalid("data_separation", "lambda must lie in [0, 1]", separation, remedy)
    return gain


def _normalised(data: Tensor, normalise: bool) -> tuple[Tensor, float]:
    who = "data_separation"
    if data.ndim < 2 or len(data) < 2:
        raise invalid(who, "data must be (N, *D) with N >= 2", tuple(data.shape))
    finite(who, "data", data)
    flat = data.detach().double().flatten(1)
    if not bool((flat != flat[0]).any()):
        raise invalid(who, "data must vary", "the same point everywhere")
    scale = float(flat.square().mean().sqrt())
    if normalise:
        return flat / scale, scale
    if abs(scale**2 - 1) > 0.01:
        remedy = "Set normalise=True, or divide them by their root mean square."
        raise invalid(who, "the mean square of the data's entries must be 1 within 1 %", scale**2, remedy)
    return flat, 1.0


def _check_settings(
    denoiser: Denoiser | None, path: SpatiallyLinearPath | None, n_angles: int, draws: int
) -> None:
    who = "data_separation"
    if (denoiser is None) != (path is None):
        raise invalid(who, "denoiser and path go together", "one of them")
    if path is not None and not (isinstance(path.base, Gaussian) and path.base.is_standard):
        remedy = "The formula needs x_t = a x1 + m z with white, independent z."
        raise invalid(who, "path must be one-sided with a standard normal base", repr(path.base), remedy)
    whole(who, "n_angles", n_angles, at_least=8)
    if draws < 1 or draws & (draws - 1):
        raise invalid(who, "draws must be a power of two", draws)


def _noise(flat: Tensor, draws: int, seed: int) -> Tensor:
    """White noise ``(N draws, d)``; that of one point is a net of its own, so that every point sees all of it."""
    count, size = len(flat) * draws, flat.shape[1]
    if size > torch.quasirandom.SobolEngine.MAXDIM:
        return torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    engine = torch.quasirandom.SobolEngine(size, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    uniform = engine.draw(count, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)
    noise: Tensor = torch.special.ndtri(uniform)
    return noise.to(flat.device)


def _posterior_mean(x: Tensor, points: Tensor, sin: float, cos: float) -> Tensor:
    """``E[x1 | sin x1 + cos z = x]`` for one of the points, each equally likely."""
    rows = max(1, _ENTRIES // len(points))
    squared = points.square().sum(1)
    parts = []
    for k in range(0, len(x), rows):
        log_weight = (sin * (x[k : k + rows] @ points.T) - 0.5 * sin**2 * squared) / cos**2
        parts.append(log_weight.softmax(1) @ points)
    return torch.cat(parts)


def _denoised(
    denoiser: Denoiser, path: SpatiallyLinearPath, data: Tensor, x: Tensor, angle: float, scale: float
) -> Tensor:
    """The same from a denoiser of data in their own units, at the time when its path has this ratio."""
    # beta x1 + alpha z with x1 in data units: the ratio for normalised data is beta scale / alpha.
    ratio = torch.tensor(2 * math.log(math.tan(angle) / scale), dtype=torch.float64)
    t = path.time_at_log_snr(ratio)
    length = float(torch.hypot(scale * path.beta(t), path.alpha(t)))
    state = (length * x).reshape(-1, *data.shape[1:]).to(data.dtype)
    with torch.no_grad():
        end: Tensor = by_row("KineticOptimal", denoiser)(state, t.to(data.dtype))
    return end.double().flatten(1) / scale
