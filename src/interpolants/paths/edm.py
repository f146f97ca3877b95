"""EDM and PFGM++ paths: data plus growing noise, with the noise level as the clock."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.foundations.base import BaseDistribution
from interpolants.foundations.checks import positive
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths.ends import Ends
from interpolants.paths.envelopes import Envelope, ZeroEnvelope
from interpolants.paths.path import SpatiallyLinearPath
from interpolants.paths.student_t import StudentT


@dataclass(frozen=True)
class EDM(SpatiallyLinearPath):
    """``x_t = x1 + sigma z``, ``sigma = smax (1 - t)``, with z normal or Student-t with ``df`` degrees of freedom.

    With normal noise this is the diffusion of Karras et al.; with Student-t noise the Poisson flow in ``D = df`` extra
    dimensions (PFGM++), at ``r = sigma sqrt(D)``: the flow is ``dx/dsigma = (x - E[x1|x]) / sigma`` for both, only the
    distribution of the noise differs. Few degrees of freedom are robust, many are easy to learn; ``df = 1`` is the
    first Poisson flow.

    Time is linear in sigma, so that a solver in t is one in sigma. Samplers step through :meth:`own_grid`, dense where
    sigma is small. As a path: ``alpha = 1 - t``, ``beta = 1`` and a base of scale ``smax``. The data are reached at
    t = 1; at t = 0 they are still there, below the noise.

    Args:
        df: Degrees of freedom D of the noise, finite and > 0, or ``"inf"`` for normal noise.
        smax: Noise of the base, in data units; well above the spread of the data.
        smin: Least noise above zero that a sampler visits, in data units.
        rho: The grid is even in ``sigma^(1/rho)``.

    Raises:
        InvalidInputError: If ``df`` is neither finite and > 0 nor ``"inf"``, or another number is out of range.

    Source: Karras et al. (2022), arXiv:2206.00364, for schedule and grid; Xu et al. (2023), arXiv:2302.04265, for the
    Student-t noise.
    """

    formula: ClassVar[str] = "x_t = x1 + σ(t) z; σ = smax (1 - t)"

    df: float | str = "inf"
    smax: float = 80.0
    smin: float = 0.002
    rho: float = 7.0
    base: BaseDistribution = field(init=False, compare=False)
    envelope: Envelope = field(default_factory=ZeroEnvelope, init=False)

    def __post_init__(self) -> None:
        positive("EDM", "smin", self.smin, remedy="The papers take 0.002.")
        if not (math.isfinite(self.smax) and self.smax > self.smin):
            remedy = "The papers take 80 for data of standard deviation 0.5."
            raise invalid("EDM", f"smax must be finite and > smin = {self.smin:g}", self.smax, remedy)
        positive("EDM", "rho", self.rho, remedy="The papers take 7.")
        object.__setattr__(self, "base", _noise(self.df, self.smax))
        if self.base.is_gaussian:
            object.__setattr__(self, "df", "inf")  # a word that JSON has too

    @property
    def ends(self) -> Ends:
        """The data in the noise of the base at t = 0, and the data alone at t = 1."""
        return Ends(x1_at_0=1.0)

    @property
    def margin(self) -> float:
        """A tenth of the time that is left below ``smin``."""
        return 0.1 * self.smin / self.smax

    def alpha(self, t: Tensor) -> Tensor:
        """``1 - t``."""
        return 1 - t

    def beta(self, t: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(t)

    def alpha_dot(self, t: Tensor) -> Tensor:
        """-1."""
        return torch.full_like(t, -1.0)

    def beta_dot(self, t: Tensor) -> Tensor:
        """0."""
        return torch.zeros_like(t)

    def time_at_log_snr(self, value: Tensor) -> Tensor:
        """``1 - exp(-value/2) / smax``, within [0, 1]."""
        return (1 - torch.exp(-0.5 * value.double()) / self.smax).clamp(0, 1)

    def own_grid(self, n_steps: int) -> list[float]:
        """Noise levels from ``smax`` to ``smin``, even in ``sigma^(1/rho)``, and then zero; as times."""
        if n_steps == 1:
            return [0.0, 1.0]
        high, low = self.smax ** (1 / self.rho), self.smin ** (1 / self.rho)
        share = torch.linspace(0, 1, n_steps, dtype=torch.float64)
        times = 1 - (high + share * (low - high)) ** self.rho / self.smax
        times[0] = 0.0
        return [*times.tolist(), 1.0]

    @property
    def own_solver(self) -> str:
        """Heun's method: the last steps are short enough for the field at their ends."""
        return "heun"


def _noise(df: float | str, scale: float) -> BaseDistribution:
    if df == "inf" or df == math.inf:
        return Gaussian(scale=scale)
    if isinstance(df, bool) or not isinstance(df, int | float) or not (math.isfinite(df) and df > 0):
        raise invalid("EDM", "df must be finite and > 0, or 'inf' for normal noise", repr(df))
    return StudentT(df, scale=scale)
