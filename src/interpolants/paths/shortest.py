"""Shortest path from white noise to data of a given spectrum, in the Fisher-Rao metric.

Letters: ``D`` power of each coordinate of the data, ``l = log D``; ``a, b`` coefficients of the data and of the noise
in that coordinate, so that ``a^2 D + b^2`` is its power at time t.

Between zero-mean Gaussians with commuting covariances the metric is ``ds^2 = 1/2 sum_f (d log power_f)^2``: geodesics
are straight lines in the log powers. From white noise to D that is ``power = D^t``, of length ``sqrt(sum l^2 / 2)``.
It is realised with ``a^2 + b^2 = 1``:

    ``a^2 = (1 - D^t) / (1 - D)``, with the limit ``t`` at D = 1.

Where ``D > 1`` a rises late, where ``D < 1`` early; the signal still stands out more where D is large: at t = 1/2 the
ratio of powers ``a^2 D / b^2`` is the root of D.

Source: Das et al. (2023), arXiv:2306.00501; derived anew, in our time (their tau is 1 - t).
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.paths.bases import Basis, FourierBasis, find_basis
from interpolants.paths.path import SpatiallyLinearPath, Unmix
from interpolants.paths.spectral import SpectralPath
from interpolants.paths.spectrum import check_spectrum, fit_power_law, measured_spectrum, power_law

# log D is kept this far from 0, where the formulas are 0/0; expm1 makes them right to rounding so close to it.
_FLAT = 1e-12
# Times whose powers a length holds at once.
_CHUNK = 500


@dataclass(frozen=True, eq=False)
class ShortestPath(SpectralPath):
    """``x_t = F^T [b(t) * F x0 + a(t) * F x1]`` with ``a^2 = (1 - D^t)/(1 - D)``, ``b^2 = 1 - a^2`` per coordinate.

    For data with powers D about zero, x_t has powers ``D^t``. There is no schedule to choose. The rate of a is infinite
    at t = 0 and that of b at t = 1, so learn ``noise`` (``NoiseLoss``) or ``denoised`` (``EndpointLoss``), not
    the velocity.

    Raises:
        InvalidInputError: If a power is not finite and positive, or a Fourier spectrum differs at f and -f.

    Source: Das, Fotiadis, Batra, Nabiei, Liao, Vakili, Shiu & Bernacchia (2023), arXiv:2306.00501.
    """

    formula: ClassVar[str] = "x_t = α(t) x0 + β(t) x1; in every coordinate of the basis"

    basis: Basis = field()  # without this, the class attribute of all paths would be its default
    """The coordinates; each is treated as independent of the others."""
    spectrum: Tensor
    """``(*D)`` powers ``E u^2`` of the coordinates of the data, in data units squared, > 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "spectrum", check_spectrum("ShortestPath", self.basis, self.spectrum))
        object.__setattr__(self, "event_shape", tuple(self.spectrum.shape))
        object.__setattr__(self, "_logs", {})

    @classmethod
    def fit(
        cls, data: Tensor, basis: Basis | str = "fft", *, floor: float = 1e-6, radial: bool = False
    ) -> "ShortestPath":
        """The shortest path to data.

        Args:
            data: ``(N, *D)`` samples, in the units in which the path will be used.
            basis: A ``Basis``, or ``"fft"``, ``"dct"``, ``"pca"``.
            floor: Powers below this fraction of the largest are raised to it, in [0, 1).
            radial: Replace the measured powers by a power law of the frequency, ``c1 / (|f| + c2)^m``.

        Raises:
            InvalidInputError: If the data are not finite, vary in no direction, or no falling power law fits them.
        """
        coordinates = find_basis(basis, data)
        spectrum = measured_spectrum(data, coordinates, floor=floor)
        return cls(coordinates, fit_power_law(spectrum, coordinates) if radial else spectrum)

    @classmethod
    def power_law(
        cls, event_shape: tuple[int, ...], *, c1: float = 1.59, c2: float = 0.0086, m: float = 2.0
    ) -> "ShortestPath":
        """Fourier powers ``c1 / (|f| + c2)^m`` with f in cycles per image; the defaults are the authors' for CIFAR-10.

        Args:
            event_shape: ``(C, H, W)`` or ``(H, W)`` of even, equal sides.
            c1: In data units squared, > 0.
            c2: In cycles per image, > 0.
            m: Exponent, > 0.
        """
        return cls(FourierBasis(2), power_law(event_shape, c1, c2, m))

    @property
    def length(self) -> float:
        """Fisher-Rao length of the path, ``sqrt(sum_f log^2 D_f / 2)``, without unit."""
        return math.sqrt(0.5 * float(self.spectrum.log().square().sum()))

    def alpha(self, t: Tensor) -> Tensor:
        """Coefficient of x0, ``b = sqrt(1 - a^2)``."""
        time, logs = self._at(t)
        return (torch.exp(time * logs) * torch.expm1((1 - time) * logs) / torch.expm1(logs)).sqrt()

    def beta(self, t: Tensor) -> Tensor:
        """Coefficient of x1, ``a``."""
        return self._signal(t).sqrt()

    def alpha_dot(self, t: Tensor) -> Tensor:
        """Rate of b; minus infinity at t = 1."""
        return -self.beta_beta_dot(t) / self.alpha(t)

    def beta_dot(self, t: Tensor) -> Tensor:
        """Rate of a; infinite at t = 0."""
        return self.beta_beta_dot(t) / self.beta(t)

    def alpha_alpha_dot(self, t: Tensor) -> Tensor:
        """Minus half the rate of ``a^2``."""
        return -self.beta_beta_dot(t)

    def beta_beta_dot(self, t: Tensor) -> Tensor:
        """Half the rate of ``a^2``: ``l D^t / (2 (D - 1))``; finite on [0, 1]."""
        time, logs = self._at(t)
        return 0.5 * logs * torch.exp(time * logs) / torch.expm1(logs)

    def signal_rate(self, t: Tensor) -> Tensor:
        """``a'/a``, which is half of g squared; infinite at t = 0 only."""
        return self.beta_beta_dot(t) / self._signal(t)

    def unmix(self, t: Tensor) -> Unmix:
        """Closed form from ``a^2 + b^2 = 1``: nothing in it is infinite."""
        alpha, beta, half_rate = self.alpha(t), self.beta(t), self.beta_beta_dot(t)
        return Unmix(alpha, -alpha * beta.square() / half_rate, beta, alpha.square() * beta / half_rate)

    def _signal(self, t: Tensor) -> Tensor:
        """``a^2``."""
        time, logs = self._at(t)
        return torch.expm1(time * logs) / torch.expm1(logs)

    def _at(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Times that broadcast against the logarithms of D, and these in the precision and on the device of ``t``."""
        known: dict[tuple[torch.dtype, torch.device], Tensor] = self._logs  # type: ignore[attr-defined]
        time = t if t.dtype in (torch.float32, torch.float64) else t.float()
        place = (time.dtype, time.device)
        if place not in known:
            logs = self.spectrum.log()
            logs = torch.where(logs.abs() < _FLAT, torch.full_like(logs, _FLAT), logs)
            known[place] = logs.to(time)
        return time.reshape(*time.shape, *(1,) * len(self.event_shape)), known[place]


def fisher_rao_length(path: SpatiallyLinearPath, spectrum: Tensor, *, n_steps: int = 20_000) -> float:
    """Length of a one-sided path from white noise to Gaussian data with powers ``spectrum``, in the Fisher-Rao metric.

    ``sum_k sqrt(1/2 sum_f (log power_f(t_(k+1)) - log power_f(t_k))^2)`` over a uniform grid, from below. No path to
    the same data is shorter than ``ShortestPath``.

    Args:
        path: A one-sided path; one with a basis must have schedules of the spectrum's shape.
        spectrum: ``(*D)`` powers of the data's coordinates.
        n_steps: Steps of the grid, >= 1.

    Raises:
        InvalidInputError: If the path is not one-sided, or shapes differ.
    """
    who = "fisher_rao_length"
    if path.base is None or not path.base.is_standard:
        raise invalid(who, "path must start from standard normal noise", type(path).__name__)
    power = torch.as_tensor(spectrum, dtype=torch.float64)
    times = torch.linspace(0, 1, n_steps + 1, dtype=torch.float64)
    total, last = 0.0, None
    for first in range(0, len(times), _CHUNK):
        t = times[first : first + _CHUNK]
        signal, noise = (_like_power(k(t).square(), power, who) for k in (path.beta, path.alpha))
        logs = (signal * power + noise).log().flatten(1)
        logs = logs if last is None else torch.cat([last, logs])
        total += float((0.5 * logs.diff(dim=0).square().sum(1)).sqrt().sum())
        last = logs[-1:]
    return total


def _like_power(values: Tensor, power: Tensor, who: str) -> Tensor:
    if values.ndim == 1:
        return values.reshape(-1, *(1,) * power.ndim)
    if values.shape[1:] != power.shape:
        rule = f"spectrum must have the shape of the path's schedules, {tuple(values.shape[1:])}"
        raise invalid(who, rule, tuple(power.shape))
    return values
