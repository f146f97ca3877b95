"""Runs of the kinetic theory of active fluids, from nearly isotropic starts: what closures learn from and are held to.

Letters: R runs, T frames, K moments that are kept, n points of a side.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Generator, Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.kinds import Count, NonNegative, Positive, Real
from interpolants.sciml.closures.pde.active_fluid import ActiveFluid, complex_moments, uniform_start
from interpolants.sciml.closures.pde.fourier_box import FourierBox
from interpolants.sciml.closures.pde.orientation_tensors import check_moments

# Runs that are stepped together, and how large the last moment may be beside c.
_TOGETHER, _TAIL = 16, 0.02
_Span = tuple[Real, Real]


@dataclass(frozen=True, kw_only=True)
class ActiveFluidRuns(Checked):
    """Suspensions in a periodic square, each with parameters of its own.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    alpha: _Span = (-1.0, -1.0)
    """Lowest and highest strength of the dipoles, drawn evenly."""
    beta: _Span = (0.8, 0.8)
    """Likewise the effective volume."""
    zeta: _Span = (0.5, 0.5)
    """Likewise the alignment."""
    translation: NonNegative = 0.05
    """Diffusion d_T in space."""
    rotation: NonNegative = 0.05
    """Diffusion d_R in angle."""
    length: Positive = 10.0
    """Side of the square."""
    points: int = 48
    """n, even."""
    moments: Annotated[int, Ge(2)] = 10
    """Moments z_1 .. z_N of the simulation."""
    kept: Count = 2
    """K, those that are given out."""
    end: Positive = 24.0
    """Last time."""
    frames: Annotated[int, Ge(2)] = 61
    """T, from the time ``begin`` to the last."""
    begin: NonNegative = 0.0
    """Time of the first frame."""
    dt: Positive = 0.04
    """Longest step of time."""
    size: Positive = 0.1
    """Root mean square of ``|z_1|`` at time 0."""

    def check_settings(self) -> None:
        """Refuse spans the wrong way round, more moments than are simulated, and a first frame after the end."""
        for name in ("alpha", "beta", "zeta"):
            low, high = getattr(self, name)
            if low > high:
                raise invalid(f"{name} must be a lowest and a highest value", (low, high))
        if self.kept > self.moments or self.begin >= self.end:
            raise invalid("kept must be <= moments and begin < end", (self.kept, self.moments, self.begin))

    @property
    def box(self) -> FourierBox:
        """The square."""
        return FourierBox(self.points, self.length)

    def sample(self, n: int, *, generator: Generator | None = None) -> dict[str, Tensor]:
        """Fields ``(n, T, 2 K + 1, points, points)`` and parameters ``(n, 5)``, float64.

        Raises:
            InvalidInputError: If z_2 is outside the range that is possible for densities; use more points.
            DivergedError: If z_1 is, or the last moment is not small; use more points or more moments.
        """
        draws = torch.rand(n, 3, dtype=torch.float64, generator=generator)
        sides = [torch.tensor(pair, dtype=torch.float64) for pair in (self.alpha, self.beta, self.zeta)]
        drawn = [low + (high - low) * draws[:, k] for k, (low, high) in enumerate(sides)]
        fixed = [torch.full((n,), value, dtype=torch.float64) for value in (self.translation, self.rotation)]
        parameters = torch.stack([*drawn, *fixed], 1)
        start = uniform_start(n, self.box, self.moments, size=self.size, source=generator)
        parts = zip(torch.split(parameters, _TOGETHER), torch.split(start, _TOGETHER), strict=True)
        return {"fields": torch.cat([self._run(*part) for part in parts]), "parameters": parameters}

    def _run(self, parameters: Tensor, start: Tensor) -> Tensor:
        fluid, first = ActiveFluid(parameters, self.box), start
        if self.begin:
            steps = math.ceil(self.begin / self.dt - 1e-9)
            first = fluid.run(start, end=self.begin, steps=steps, every=steps)[:, -1]
        span = self.end - self.begin
        every = math.ceil(span / (self.frames - 1) / self.dt - 1e-9)
        found = fluid.run(first, end=span, steps=every * (self.frames - 1), every=every)
        check_moments("ActiveFluidRuns", found)
        c, z = complex_moments(found)
        tail = float((z[:, :, -1].abs() / c).max())
        if tail > _TAIL:
            told = f"|z_{self.moments}| reaches {tail:.2g} c: order is too sharp for {self.moments} moments"
            raise DivergedError(f"ActiveFluidRuns: {told}. Use more.")
        return found[:, :, : 2 * self.kept + 1].clone()
