"""Kinetic-optimal path: least kinetic energy among all paths ``a x1 + m x0`` from white noise, in closed form.

Letters: ``a, m`` coefficients of data and noise, ``a = r sin th``, ``m = r cos th``; ``G(th)`` the gain of
``DataSeparation``; ``phi = int_0^th sqrt(G)``, ``Phi = phi(pi/2)``.

Per entry of normalised data the energy is

    ``KE = int_0^1 E|b|^2 / d dt = int_0^1 r'^2 + r^2 G(th) th'^2 dt``,

in ``(r, phi)`` the energy of a curve in the plane in polar coordinates. The best curve is the chord from (1, 0) to
(1, Phi) at constant speed: ``KE = b = 2 (1 - cos Phi)``, ``r^2 = 1 - b t + b t^2``, ``phi = atan2(t sin Phi,
1 - t + t cos Phi)``. With G = 1 it is the linear path, with G = 0 (Gaussian data) nothing moves.

Source: Shaul, Chen, Nickel, Le & Lipman (2023), arXiv:2306.06626; the closed form in place of their numerical
minimisation is ours.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.foundations import asked
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.kinds import Real
from interpolants.paths.curves import Curve
from interpolants.paths.envelopes import Envelope, ZeroEnvelope
from interpolants.paths.path import SpatiallyLinearPath
from interpolants.paths.separation import DataSeparation, Denoiser, data_separation

# Angles at which phi is tabulated, dense at both ends; its integral is right to the square of their distance.
_NODES = 4001
# Gains below this make no difference to the energy, and a division by their root would.
_SMALLEST_GAIN = 1e-12
# Rates are taken this far from the ends, where they may be infinite.
_HAIR = 1e-10


@dataclass(frozen=True)
class KineticOptimal(SpatiallyLinearPath):
    """``x_t = m(t) x0 + a(t) x1`` with the schedules of least kinetic energy for given data.

    For centred data a starts like the root of t: learn ``denoised`` and ``noise`` rather than the velocity, whose
    target then has no variance at t = 0. ``denoised`` alone does for samples in few steps; for densities it must be
    preconditioned, as its error is divided by m in the velocity.

    Raises:
        InvalidInputError: If the table is not one of a ``DataSeparation``, or the entries of the base differ.

    Source: Shaul, Chen, Nickel, Le & Lipman (2023), arXiv:2306.06626.
    """

    formula: ClassVar[str] = "x_t = α(t) x0 + β(t) x1; of least kinetic energy for these data"

    angles: tuple[Real, ...]
    """Angles of the ratio of signal to noise, increasing from 0 to pi/2."""
    gains: tuple[Real, ...]
    """G at these, from ``data_separation``."""
    base: Gaussian = field(default_factory=Gaussian)
    """The distribution of x0: Gaussian with the standard deviation of the data's root mean square."""
    envelope: Envelope = field(default_factory=ZeroEnvelope, init=False)

    def check_settings(self) -> None:
        """Refuse a table of no separation, and entries of the base that differ."""
        super().check_settings()
        DataSeparation(self.angles, self.gains)
        if not isinstance(self.base, Gaussian) or self.base.shared_scale is None or not self.base.is_centred:
            rule = "base must be a centred Gaussian with one standard deviation"
            raise asked.invalid(rule, repr(self.base))

    @classmethod
    def fit(
        cls,
        data: Tensor | DataSeparation,
        *,
        denoiser: Denoiser | None = None,
        path: SpatiallyLinearPath | None = None,
        normalise: bool = True,
        n_angles: int = 160,
        draws: int = 4,
        seed: int = 0,
    ) -> "KineticOptimal":
        """The path of least energy to data, in their units.

        Args:
            data: ``(N, *D)`` samples, or their separation if it is known; then the rest does not matter.
            denoiser: As in ``data_separation``, e.g. ``fields.denoised``.
            path: Of the denoiser, e.g. ``fields.path``.
            normalise: As in ``data_separation``, like the rest.
            n_angles: Angles at which the error is measured.
            draws: Noises for every point and angle.
            seed: Of the noises.

        Raises:
            InvalidInputError: As ``data_separation``.
        """
        found = data
        if not isinstance(found, DataSeparation):
            found = data_separation(
                found,
                denoiser=denoiser,
                path=path,
                normalise=normalise,
                n_angles=n_angles,
                draws=draws,
                seed=seed,
            )
        return cls(found.angles, found.gains, Gaussian(scale=found.scale))

    @property
    def energy(self) -> float:
        """The kinetic energy per entry of normalised data, ``2 (1 - cos Phi)``; 2 if nothing is known of the data."""
        return 4 * math.sin(self._reach / 2) ** 2

    @property
    def is_steep_at_0(self) -> bool:
        """Whether a starts like the root of t, as for centred data."""
        return float(self.beta_dot(torch.zeros((), dtype=torch.float64))) > 1e3

    def alpha(self, t: Tensor) -> Tensor:
        """``m = r cos th``, exact at both ends."""
        length, angle = self._polar(t.double())
        # cos(pi/2) is not zero in floating point
        value = torch.where(t >= 1, 0.0, length * torch.sin(_QUARTER - angle))
        return value.to(t.dtype)

    def beta(self, t: Tensor) -> Tensor:
        """``a = r sin th``, exact at both ends."""
        length, angle = self._polar(t.double())
        return torch.where(t >= 1, 1.0, torch.where(t <= 0, 0.0, length * torch.sin(angle))).to(t.dtype)

    def alpha_dot(self, t: Tensor) -> Tensor:
        """Rate of m; at the ends that of just inside."""
        length, angle, length_dot, angle_dot = self._rates(t)
        return (length_dot * torch.cos(angle) - length * torch.sin(angle) * angle_dot).to(t.dtype)

    def beta_dot(self, t: Tensor) -> Tensor:
        """Rate of a; at the ends that of just inside."""
        length, angle, length_dot, angle_dot = self._rates(t)
        return (length_dot * torch.sin(angle) + length * torch.cos(angle) * angle_dot).to(t.dtype)

    def alpha_alpha_dot(self, t: Tensor) -> Tensor:
        """Half the rate of m squared."""
        return (self.alpha(_inside(t)) * self.alpha_dot(t).double()).to(t.dtype)

    def beta_beta_dot(self, t: Tensor) -> Tensor:
        """Half the rate of a squared."""
        return (self.beta(_inside(t)) * self.beta_dot(t).double()).to(t.dtype)

    @property
    def _reach(self) -> float:
        return self._table[0]

    @cached_property
    def _table(self) -> tuple[float, Curve]:
        """``Phi``, and th against ``s`` with ``phi = Phi sin^2(pi s / 2)``: in s it is smooth where G vanishes."""
        u = torch.linspace(0, 1, _NODES, dtype=torch.float64)
        angle = _QUARTER * u.square() * (3 - 2 * u)
        root = DataSeparation(self.angles, self.gains).gain(angle).clamp_min(_SMALLEST_GAIN).sqrt()
        pieces = angle.diff() * (root[1:] + root[:-1]) / 2
        below = torch.cat([angle.new_zeros(1), pieces.cumsum(0)])
        above = torch.cat([pieces.flip(0).cumsum(0).flip(0), angle.new_zeros(1)])
        s = 2 / math.pi * torch.atan2(below.sqrt(), above.sqrt())
        # dth/ds = (dphi/ds) / sqrt(G); the ends are 0/0
        slopes = math.pi / 2 * float(below[-1]) * torch.sin(math.pi * s) / root
        slopes[0] = _end_slope(angle[1], s[1], slopes[1])
        slopes[-1] = _end_slope(_QUARTER - angle[-2], 1 - s[-2], slopes[-2])
        return float(below[-1]), Curve(s, angle, slopes, who="KineticOptimal")

    def _share(self, t: Tensor) -> Tensor:
        """``phi / Phi``."""
        reach = self._reach
        return (torch.atan2(t * math.sin(reach), 1 - t + t * math.cos(reach)) / reach).clamp(0, 1)

    def _polar(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """R and th."""
        s = 2 / math.pi * torch.asin(self._share(t).sqrt())
        return (1 - self.energy * t * (1 - t)).sqrt(), self._table[1](s)

    def _rates(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """r, th and their rates."""
        t = _inside(t)
        length, angle = self._polar(t)
        share = self._share(t)
        s = 2 / math.pi * torch.asin(share.sqrt())
        share_dot = math.sin(self._reach) / (self._reach * length.square())
        s_dot = share_dot / (math.pi * (share * (1 - share)).clamp_min(1e-300).sqrt())
        return length, angle, self.energy * (t - 0.5) / length, self._table[1].rate(s) * s_dot


_QUARTER = math.pi / 2


def _end_slope(angle: Tensor, s: Tensor, slope: Tensor) -> Tensor:
    """Of th at an end, from the first node inside: that of a line if th goes like s, zero if like s^2 (G > 0)."""
    return angle / s if float(slope * s / angle) < 1.1 else torch.zeros_like(s)


def _inside(t: Tensor) -> Tensor:
    return t.double().clamp(_HAIR, 1 - _HAIR)


def kinetic_energy(path: SpatiallyLinearPath, separation: DataSeparation, *, n_steps: int = 20_000) -> float:
    """``int_0^1 E|b|^2 / d dt`` of a path to normalised data, from the separation of the data alone.

    The mean square of the probability flow's velocity, per entry and without a factor 1/2; never below
    ``KineticOptimal.fit(separation).energy``. Midpoint rule in a time that is dense at the ends. Where the noise
    vanishes like the root of 1 - t (variance-preserving paths) the energy to a finite set of points is infinite, and
    the sum grows with the logarithm of ``n_steps``.

    Args:
        path: A one-sided path with a Gaussian base, whose standard deviation is taken as the unit of the data.
        separation: Of the data, e.g. from ``data_separation``.
        n_steps: Nodes of the quadrature.

    Raises:
        InvalidInputError: If the path's base is not a centred Gaussian with one standard deviation.
    """
    base = path.base
    if (
        not isinstance(base, Gaussian)
        or base.shared_scale is None
        or not base.is_centred
        or path.basis is not None
    ):
        rule = "path must be one-sided from a centred Gaussian with one standard deviation"
        raise invalid("kinetic_energy", rule, f"{type(path).__name__} with base {base!r}")
    u = (torch.arange(n_steps, dtype=torch.float64) + 0.5) / n_steps
    t, weight = u.square() * (3 - 2 * u), 6 * u * (1 - u) / n_steps
    m, a, m_dot, a_dot = path.alpha(t), path.beta(t), path.alpha_dot(t), path.beta_dot(t)
    squared = a.square() + m.square()
    radial = (a * a_dot + m * m_dot).square() / squared
    angular = separation.gain(torch.atan2(a, m)) * (a_dot * m - a * m_dot).square() / squared
    return float(((radial + angular) * weight).sum())
