"""Samples of windows that are guided by what was seen of them.

Letters: R rows, T times of history and window, L of the window, C columns, k lags, M members.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.apps.timeseries.window_units import WindowUnits
from interpolants.data.windows import with_lags
from interpolants.fields.protocol import Fields
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.randomness import key
from interpolants.guidance.energy import Energy, EnergyGuided, observed
from interpolants.guidance.observation import (
    AncestralStrength,
    QuantileGap,
    SquaredGap,
    levels,
    seen_entries,
)
from interpolants.guidance.size_guard import SizeGuard
from interpolants.methods.parts.conditional_flow import ConditionalFlow

GUIDES: dict[str, Energy] = {"quantile": QuantileGap(), "mse": SquaredGap()}
# States are stopped when they are so many times larger than data and noise together may be.
_ROOM, _NOISE = 4.0, 6.0


@dataclass(frozen=True, kw_only=True)
class GuidedWindows:
    """How windows are drawn.

    Attributes:
        net: The network.
        flow: What it learnt, of which path.
        units: Units of windows.
        shape: ``(C (1 + k), L)``.
        lags: Steps back.
        largest: Largest absolute value of the training part, in units of windows.
        members: M; rows m, m + M, ... have one level.
        method: Sampler.
        guidance: ``"quantile"`` or ``"mse"``.
        strength: Of the guidance.
        at: ``"output"`` or ``"input"``.
        n_steps: Steps of the sampler.
    """

    net: nn.Module
    flow: ConditionalFlow
    units: WindowUnits
    shape: tuple[int, ...]
    lags: tuple[int, ...]
    largest: float
    members: int
    method: str
    guidance: str
    strength: float
    at: str
    n_steps: int

    def __post_init__(self) -> None:
        if self.strength and self.guidance == "quantile" and self.members < 2:
            remedy = "Use guidance='mse' for a single one."
            raise invalid("quantiles must have members >= 2", self.members, remedy)

    @property
    def fields(self) -> Fields:
        """The learnt fields, in units of windows."""
        return self.flow.fields(self.net)

    @property
    def room(self) -> float:
        """Size, in units of windows, at which something has diverged."""
        return _ROOM * (self.largest + _NOISE)

    def draw(self, values: Tensor, seen: Tensor, seed: int, first: int, block: int) -> Tensor:
        """Windows ``(R, L, C)`` in data units that agree with what was seen, up to the noise of guidance.

        Args:
            values: ``(R, T, C)`` in data units, finite; the window is its last L times.
            seen: What was seen, ``(R, T, C)``; nothing else is looked at, for the scale neither.
            seed: Seed of starts and noise.
            first: Index of the first series in a larger job.
            block: Number of the block ahead, with noise of its own.

        Raises:
            InvalidInputError: If a window has no scale: all that was seen of it is zero, or nothing was.
            DivergedError: If states outgrow the data.
        """
        values = torch.where(seen, values, 0.0)
        length = self.shape[1]
        shift, scale = self.units.of(values[:, -length:], seen[:, -length:])
        self._check_scale(scale)
        y = with_lags((values - shift) / scale, length, self.lags).float()
        mask = with_lags(seen, length, self.lags)
        level = levels(self.members).repeat(len(y) // self.members) if self.members > 1 else None
        given = seen_entries(torch.where(mask, y, 0.0), mask, level)
        x = self._sampled(len(y), observed(given), seed, first * self.members, block)
        return self._decoded(x, shift, scale)

    def free(self, n: int, seed: int, first: int) -> Tensor:
        """Windows ``(n, L, C)`` without guidance; scales are those of training windows in turn."""
        x = self._sampled(n, None, seed, first, 0)
        return self._decoded(x, *self.units.drawn(torch.arange(n) + first))

    def _sampled(self, rows: int, cond: Any, seed: int, first: int, block: int) -> Tensor:
        guided, fields = bool(self.strength) and cond is not None, self.fields
        if guided:
            strength: Any = self.strength
            if self.method == "ancestral":
                strength = AncestralStrength(self.flow.path, self.n_steps, self.strength)
            fields = EnergyGuided(fields, GUIDES[self.guidance], strength, at=self.at)
        try:
            done = self.flow.drawn(
                fields,
                self.shape,
                rows,
                seed=key(seed, "windows", block) >> 33,
                first=first,
                cond=cond if guided else None,
                method=self.method,
                n_steps=self.n_steps,
                time_grid="uniform",
                modifiers=(SizeGuard(self.room),),
            )
        except DivergedError as error:
            raise self._diverged(error, guided) from error
        return done.x

    def _diverged(self, error: DivergedError, guided: bool) -> DivergedError:
        told = f"{who()}: samples left the scale of the data. {error}."
        if not guided:
            return DivergedError(f"{told} Train for more steps.")
        how = (
            f"guidance={self.guidance!r}, strength={self.strength:g}, at={self.at!r}, n_steps={self.n_steps}"
        )
        other = "guidance='quantile', " if self.guidance == "mse" else ""
        remedy = f"Use a smaller strength, {other}more n_steps, or train for more steps."
        return DivergedError(f"{told} The samples had {how}. {remedy}")

    def _check_scale(self, scale: Tensor) -> None:
        bad = ~(scale > 0).all(2)[:, 0]
        if bool(bad.any()):
            row = int(bad.nonzero()[0])
            needed = "a value" if self.units.kind == "level" else "a value that is not zero"
            rule = f"every column must have {needed} in the window, with scale={self.units.kind!r}"
            remedy = "Use scale='standard'."
            raise invalid(rule, f"zeros or gaps alone in row {row // self.members}", remedy)

    def _decoded(self, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        columns = shift.shape[2]
        return self.units.decode(x[:, :columns].transpose(1, 2), shift, scale)
