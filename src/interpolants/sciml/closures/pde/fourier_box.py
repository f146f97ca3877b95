"""Fourier modes on a periodic rectangle, and implicit-explicit steps for stiff equations in them.

``v_t = L v + N(v)``: L, diagonal in the modes, is taken at the new time, N is extrapolated to it. Source: Ascher, Ruuth
and Wetton (1995), the scheme SBDF2.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import positive, whole
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.kinds import Positive
from interpolants.foundations.records import record


@record("fourier_box")
@dataclass(frozen=True)
class FourierBox(Checked):
    """Equally spaced points of a periodic rectangle ``[0, length)^2``, and the modes of real fields on them.

    Fields are ``(..., n, n)``, x along the first of the two axes; modes ``(..., n, n/2 + 1)``.
    """

    n: Annotated[int, Ge(4)]
    """Points of a side, even."""
    length: Positive = 2 * math.pi
    """Length of a side."""

    def check_settings(self) -> None:
        """Refuse an odd number of points."""
        if self.n % 2:
            raise invalid("n must be even", self.n)

    @property
    def points(self) -> Tensor:
        """The points, ``(n, n, 2)`` float64."""
        line = self.length / self.n * torch.arange(self.n, dtype=torch.float64)
        return torch.stack(torch.meshgrid(line, line, indexing="ij"), -1)

    @property
    def wavenumbers(self) -> tuple[Tensor, Tensor]:
        """Wavenumbers of the modes along x ``(n, 1)`` and y ``(1, n/2 + 1)``, in radians per unit of length."""
        unit = 2 * math.pi / self.length
        along = unit * torch.fft.fftfreq(self.n, 1 / self.n, dtype=torch.float64)
        across = unit * torch.fft.rfftfreq(self.n, 1 / self.n, dtype=torch.float64)
        return along[:, None], across[None]

    @property
    def laplacian(self) -> Tensor:
        """Symbol of the Laplacian, ``(n, n/2 + 1)``, <= 0."""
        kx, ky = self.wavenumbers
        return -(kx.square() + ky.square())

    def modes(self, field: Tensor) -> Tensor:
        """Modes of real fields."""
        found: Tensor = torch.fft.rfft2(field)
        return found

    def field(self, modes: Tensor) -> Tensor:
        """Real fields of modes."""
        found: Tensor = torch.fft.irfft2(modes, s=(self.n, self.n))
        return found

    def slopes(self, modes: Tensor) -> tuple[Tensor, Tensor]:
        """Modes of the derivatives in x and y; unpaired modes, whose slope is not determined, have none."""
        kx, ky = (torch.where(k.abs() < k.abs().max(), k, 0.0) for k in self.wavenumbers)
        return 1j * kx * modes, 1j * ky * modes

    def inverse_laplacian(self, modes: Tensor) -> Tensor:
        """Modes of the field of mean 0 that has this Laplacian, whose own mean is left out."""
        symbol = self.laplacian
        return torch.where(symbol < 0, modes / torch.where(symbol < 0, symbol, 1.0), 0.0)

    def spectrum(self, field: Tensor) -> Tensor:
        """Mean square of real fields by shells ``|k| L / 2 pi`` in ``[m - 1/2, m + 1/2)``, ``(..., n / 2)``.

        Shells from 0 on; the corners beyond the last one are left out.
        """
        kx, ky = self.wavenumbers
        shell = (self.length / (2 * math.pi) * (kx.square() + ky.square()).sqrt()).round().long().flatten()
        twice = torch.full((self.n // 2 + 1,), 2.0, dtype=torch.float64)
        twice[[0, -1]] = 1.0  # the others stand for their conjugates too
        power = (twice * self.modes(field).abs().square() / self.n**4).flatten(-2)
        found = power.new_zeros(*power.shape[:-1], int(shell.max()) + 1)
        return found.index_add(-1, shell, power)[..., : self.n // 2]

    def dealiased(self, modes: Tensor) -> Tensor:
        """Modes without the highest third along each axis: products of two such fields have no aliases."""
        kx, ky = self.wavenumbers
        most = 2 * math.pi / self.length * self.n / 3
        return torch.where((kx.abs() < most) & (ky.abs() < most), modes, 0.0)


def imex_bdf2(
    start: Tensor,
    symbol: Tensor,
    nonlinear: Callable[[Tensor], Tensor],
    *,
    end: float,
    steps: int,
    every: int = 1,
) -> Tensor:
    """Integrate modes in equal steps of second order: L implicit, N explicit.

    ``(3 v_{k+1} - 4 v_k + v_{k-1}) / 2h = L v_{k+1} + 2 N_k - N_{k-1}``; the first step is one of first order.

    Args:
        start: Modes at time 0, any shape.
        symbol: L of each mode, of a shape that broadcasts.
        nonlinear: N, modes to modes.
        end: Last time.
        steps: Number of steps, a multiple of ``every``.
        every: Keep every so many steps.

    Returns:
        Modes at the kept times, the start and the end among them, ``(steps / every + 1, *shape)``.

    Raises:
        DivergedError: If a mode is not finite.
    """
    positive("imex_bdf2", "end", end)
    whole("imex_bdf2", "steps", steps, at_least=1)
    if steps % whole("imex_bdf2", "every", every, at_least=1):
        raise invalid("steps must be a multiple of every", (steps, every))
    h, kept = end / steps, [start]
    before, pull_before = start, nonlinear(start)
    now = (start + h * pull_before) / (1 - h * symbol)
    for k in range(1, steps + 1):
        if k % every == 0:
            kept.append(now)
        pull = nonlinear(now)
        ahead = (4 * now - before + 2 * h * (2 * pull - pull_before)) / (3 - 2 * h * symbol)
        before, pull_before, now = now, pull, ahead
    found = torch.stack(kept)
    if not bool(torch.isfinite(found.abs()).all()):
        raise DivergedError(f"imex_bdf2: a mode became NaN or infinite in {steps} steps. Use more steps.")
    return found
