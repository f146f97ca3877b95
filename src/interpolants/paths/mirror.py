"""Mirror and diffusive paths: from a distribution to itself, and from a point to a distribution."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import torch
from annotated_types import Interval
from torch import Tensor

from interpolants.foundations.formula import with_values
from interpolants.foundations.kinds import Positive
from interpolants.paths.envelopes import BrownianEnvelope, Envelope
from interpolants.paths.path import PathSample, SpatiallyLinearPath


@dataclass(frozen=True)
class Mirror(SpatiallyLinearPath):
    """``x_t = x1 + gamma(t) z``: rho0 = rho1, and the noise alone is enough (``b = gamma' eta_z``).

    The ODE returns its input; the SDE resamples in its neighbourhood.

    Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section 3.3.
    """

    formula: ClassVar[str] = "x_t = x1"

    envelope: Envelope = field(default_factory=BrownianEnvelope)
    """The latent term."""

    @property
    def is_static(self) -> bool:
        """Always: dI/dt = 0."""
        return True

    @property
    def is_mixing(self) -> bool:
        """Never: x0 is absent."""
        return False

    @property
    def _needs_x0(self) -> bool:
        return False

    def alpha(self, t: Tensor) -> Tensor:
        """Coefficient of x0, 0."""
        return torch.zeros_like(t)

    def beta(self, t: Tensor) -> Tensor:
        """Coefficient of x1, 1."""
        return torch.ones_like(t)

    def alpha_dot(self, t: Tensor) -> Tensor:
        """Time derivative of alpha, 0."""
        return torch.zeros_like(t)

    def beta_dot(self, t: Tensor) -> Tensor:
        """Time derivative of beta, 0."""
        return torch.zeros_like(t)

    def _draw(self, t: Tensor, x0: Tensor | None, x1: Tensor, z: Tensor) -> PathSample:
        return super()._draw(t, x1 if x0 is None else x0, x1, z)


@dataclass(frozen=True)
class Diffusive(SpatiallyLinearPath):
    """``x_t = I(t, x0, x1) + sqrt(2 a) B_t`` with a Brownian bridge B, so ``gamma = sqrt(2 a t (1 - t))``.

    ``I`` leaves x0 with zero rate, ``alpha = 1 - s^2``, ``beta = s^2``, ``s = max(t - hold, 0)/(1 - hold)``, so that
    the drift of the SDE with eps = a stays finite at t = 0 and the process can start from a single point.

    Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section 3.4.
    """

    formula: ClassVar[str] = "x_t = I(t, x0, x1) + √(2 scale) B(t); B the Brownian bridge"

    scale: Positive = 1.0
    """Diffusivity ``a``, in data units squared."""
    hold: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    """Fraction of time during which I rests at x0."""
    envelope: Envelope = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "envelope", BrownianEnvelope(scale=2 * self.scale))

    @property
    def formulas(self) -> tuple[str, ...]:
        """The formula, which has the latent term in it."""
        return (with_values(self.formula, self),)

    @property
    def is_mixing(self) -> bool:
        """Only without a hold; during it the end point is absent."""
        return False

    def alpha(self, t: Tensor) -> Tensor:
        """Coefficient of x0, ``1 - s^2``."""
        return 1 - self.beta(t)

    def beta(self, t: Tensor) -> Tensor:
        """Coefficient of x1, ``s^2``."""
        return self._progress(t).square()

    def alpha_dot(self, t: Tensor) -> Tensor:
        """Time derivative of alpha, ``-2 s s'``."""
        return -self.beta_dot(t)

    def beta_dot(self, t: Tensor) -> Tensor:
        """Time derivative of beta, ``2 s s'``."""
        return 2 * self._progress(t) / (1 - self.hold)

    def _progress(self, t: Tensor) -> Tensor:
        return (t - self.hold).clamp_min(0) / (1 - self.hold)
