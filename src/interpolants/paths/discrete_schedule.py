"""Path of a discrete-time diffusion from its table of signal levels, for existing checkpoints."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.foundations import errors
from interpolants.foundations.asked import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.kinds import Real
from interpolants.paths.envelopes import Envelope, ZeroEnvelope
from interpolants.paths.vp import VariancePreservingDecay

_CARE = "Pass alphabar, the product of all 1 - beta up to a step, or use from_betas."


def linear_betas(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> tuple[float, ...]:
    """The noise variances of DDPM's linear schedule, one per step."""
    return tuple(torch.linspace(first, last, steps, dtype=torch.float64).tolist())


def _alphabar(betas: Sequence[float]) -> tuple[float, ...]:
    decay = -torch.log1p(-torch.tensor(tuple(betas), dtype=torch.float64)).cumsum(0)
    return tuple(torch.exp(-decay).tolist())


@dataclass(frozen=True)
class DiscreteSchedule(VariancePreservingDecay):
    """``x_k = sqrt(alphabar_k) x1 + sqrt(1 - alphabar_k) x0`` for steps k = 0 (data) to N (noise), at ``t = 1 - k/N``.

    Between two steps ``B = -log alphabar`` is a monotone cubic in t with continuous slope. The path is a
    variance-preserving SDE whose transition over a step is exactly that of the chain, from x to
    ``N(sqrt(1 - beta_k) x, beta_k)``: it agrees with the table at every step, gives a distribution in between, and is
    smooth enough for any solver.

    Raises:
        InvalidInputError: If the table does not fall within (0, 1).

    Source: Ho, Jain & Abbeel (2020), arXiv:2006.11239, equation 4; Song et al. (2021), arXiv:2011.13456, appendix B.
    """

    formula: ClassVar[str] = "x_t = √(1 - ᾱ) x0 + √ᾱ x1; ᾱ as tabulated"

    alphabar: tuple[Real, ...] = field(default_factory=lambda: _alphabar(linear_betas()), repr=False)
    """``alphabar_1 > alphabar_2 > ... > alphabar_N`` in (0, 1); the default is DDPM's, N = 1000 and noise variances
    from 1e-4 to 0.02."""
    base: Gaussian = field(default_factory=Gaussian)
    """The Gaussian distribution of x0; standard normal by default."""
    envelope: Envelope = field(default_factory=ZeroEnvelope, init=False)

    def check_settings(self) -> None:
        """Check that the table is strictly decreasing."""
        super().check_settings()
        table = self.alphabar
        if not table:
            raise invalid("alphabar must have at least one entry", "an empty table", _CARE)
        for k, (before, level) in enumerate(zip((1.0, *table), table, strict=False), start=1):
            if not 0 < level < before:
                rule = f"alphabar must fall within (0, 1); at step {k} after {before:g}"
                raise invalid(rule, level, _CARE)

    @classmethod
    def from_betas(cls, betas: Sequence[float], *, base: Gaussian | None = None) -> "DiscreteSchedule":
        """From the variances of the noise added at each step, in (0, 1).

        Raises:
            InvalidInputError: If a variance is out of range.
        """
        for k, value in enumerate(betas, start=1):
            if not (math.isfinite(value) and 0 < value < 1):
                rule = f"every beta must lie in (0, 1); at step {k}"
                raise errors.invalid("DiscreteSchedule.from_betas", rule, value)
        return cls(_alphabar(betas), base=Gaussian() if base is None else base)

    @property
    def n_steps(self) -> int:
        """Number N of steps of the schedule."""
        return len(self.alphabar)

    def time_of(self, step: Tensor | float) -> Tensor:
        """``t = 1 - k/N`` in float64: step 0 is the data, step N the noise."""
        return 1 - torch.as_tensor(step, dtype=torch.float64) / self.n_steps

    def step_of(self, t: Tensor) -> Tensor:
        """``k = N (1 - t)``, fractional between two steps; what networks trained on steps are asked at."""
        return self.n_steps * (1 - t)

    def decay(self, t: Tensor) -> Tensor:
        """``B = -log alphabar``."""
        u, (c0, c1, c2, c3) = self._cubic(t)
        return c0 + u * (c1 + u * (c2 + u * c3))

    def decay_rate(self, t: Tensor) -> Tensor:
        """Rate of the decay, ``-dB/dt``."""
        u, (_, c1, c2, c3) = self._cubic(t)
        return self.n_steps * (c1 + u * (2 * c2 + 3 * u * c3))

    def _cubic(self, t: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Position within a step, from 0 at its cleaner end, and the coefficients of its cubic."""
        place = self.step_of(t)
        k = place.detach().floor().long().clamp(0, self.n_steps - 1)
        key = (t.dtype, t.device)
        if key not in self._cache:
            self._cache[key] = self._coefficients.to(t)
        return place - k, self._cache[key][:, k].unbind()

    @cached_property
    def _coefficients(self) -> Tensor:
        """``(4, N)``: Hermite cubics whose slopes at the nodes are harmonic means, so that B is monotone."""
        decay = torch.cat(
            [torch.zeros(1, dtype=torch.float64), -torch.tensor(self.alphabar, dtype=torch.float64).log()]
        )
        rise = decay.diff()
        before, after = torch.cat([rise[:1], rise]), torch.cat([rise, rise[-1:]])
        slope = 2 * before * after / (before + after)
        # At the two ends the harmonic sequence goes on.
        if self.n_steps > 1:
            slope[0] = 2 * rise[0] ** 2 / (rise[0] + rise[1])
            slope[-1] = 2 * rise[-1] ** 2 / (rise[-1] + rise[-2])
        left, right = slope[:-1], slope[1:]
        return torch.stack([decay[:-1], left, 3 * rise - 2 * left - right, left + right - 2 * rise])

    @cached_property
    def _cache(self) -> dict[tuple[torch.dtype, torch.device], Tensor]:
        return {}
