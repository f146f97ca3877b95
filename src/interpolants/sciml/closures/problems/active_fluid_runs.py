"""Runs of the kinetic theory of active fluids, from nearly isotropic starts: what closures learn from and are held to.

Letters: R runs, T frames, K moments that are kept, n points of a side.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.foundations.checks import number, positive, whole
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.sciml.closures.pde.active_fluid import ActiveFluid, complex_moments, uniform_start
from interpolants.sciml.closures.pde.fourier_box import FourierBox
from interpolants.sciml.closures.pde.orientation_tensors import check_moments

# Runs that are stepped together, and how large the last moment may be beside c.
_TOGETHER, _TAIL = 16, 0.02


@dataclass(frozen=True, kw_only=True)
class ActiveFluidRuns:
    """Suspensions in a periodic square, each with parameters of its own.

    Args:
        alpha: Lowest and highest strength of the dipoles, drawn evenly.
        beta: Likewise the effective volume.
        zeta: Likewise the alignment.
        translation: d_T.
        rotation: d_R.
        length: Side of the square.
        points: n, even.
        moments: Moments z_1 .. z_N of the simulation.
        kept: K, those that are given out.
        end: Last time.
        frames: T, from the time ``begin`` to the last.
        begin: Time of the first frame.
        dt: Longest step of time.
        size: Root mean square of ``|z_1|`` at time 0.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    alpha: Sequence[float] = (-1.0, -1.0)
    beta: Sequence[float] = (0.8, 0.8)
    zeta: Sequence[float] = (0.5, 0.5)
    translation: float = 0.05
    rotation: float = 0.05
    length: float = 10.0
    points: int = 48
    moments: int = 10
    kept: int = 2
    end: float = 24.0
    frames: int = 61
    begin: float = 0.0
    dt: float = 0.04
    size: float = 0.1

    def __post_init__(self) -> None:
        who = "ActiveFluidRuns"
        for name in ("alpha", "beta", "zeta"):
            pair = [number(who, name, value) for value in getattr(self, name)]
            if len(pair) != 2 or not pair[0] <= pair[1]:
                raise invalid(who, f"{name} must be a lowest and a highest value", tuple(pair))
        for name in ("translation", "rotation"):
            number(who, name, getattr(self, name), at_least=0)
        for name in ("length", "end", "dt", "size"):
            positive(who, name, getattr(self, name))
        number(who, "begin", self.begin, at_least=0)
        whole(who, "frames", self.frames, at_least=2), whole(who, "moments", self.moments, at_least=2)
        whole(who, "kept", self.kept, at_least=1)
        if self.kept > self.moments or self.begin >= self.end:
            raise invalid(
                who, "kept must be <= moments and begin < end", (self.kept, self.moments, self.begin)
            )

    @property
    def box(self) -> FourierBox:
        """The square."""
        return FourierBox(self.points, self.length)

    def sample(self, n: int, *, generator: Generator | None = None) -> dict[str, Tensor]:
        """Fields ``(n, T, 2 K + 1, points, points)`` and parameters ``(n, 5)``, float64.

        Raises:
            InvalidInputError: If z_2 leaves what densities can have: take more points.
            DivergedError: If z_1 does, or the last moment is not small: take more points, or more moments.
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
            raise DivergedError(f"ActiveFluidRuns: {told}. Take more.")
        return found[:, :, : 2 * self.kept + 1].clone()
