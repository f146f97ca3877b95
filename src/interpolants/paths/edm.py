"""EDM and PFGM++ paths: data plus growing noise, with the noise level as the clock."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Gt
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.base import BaseDistribution
from interpolants.foundations.checks import is_among
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.kinds import Check, Remedy
from interpolants.paths.ends import Ends
from interpolants.paths.envelopes import Envelope, ZeroEnvelope
from interpolants.paths.path import SpatiallyLinearPath
from interpolants.paths.student_t import StudentT


def _degrees(who: str, df: Any) -> float | str:
    """Degrees of freedom; infinitely many as a word, which JSON has too."""
    if is_among(df, ("inf", math.inf)):
        return "inf"
    if isinstance(df, bool) or not isinstance(df, int | float) or not (math.isfinite(df) and df > 0):
        raise invalid("df must be finite and > 0, or 'inf' for normal noise", repr(df))
    return df


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

    Raises:
        InvalidInputError: If ``df`` is neither finite and > 0 nor ``"inf"``, or another number is out of range.

    Source: Karras et al. (2022), arXiv:2206.00364, for schedule and grid; Xu et al. (2023), arXiv:2302.04265, for the
    Student-t noise.
    """

    formula: ClassVar[str] = "x_t = x1 + σ(t) z; σ = smax (1 - t)"

    df: Annotated[Literal["inf"] | float, Check(_degrees, 'number > 0 | "inf"')] = "inf"
    """Degrees of freedom D of the noise, or ``"inf"`` for normal noise."""
    smax: Annotated[float, Gt(0), Remedy("The papers take 80 for data of standard deviation 0.5.")] = 80.0
    """Noise of the base, in data units; well above the spread of the data."""
    smin: Annotated[float, Gt(0), Remedy("The papers take 0.002.")] = 0.002
    """Least noise above zero that a sampler visits, in data units."""
    rho: Annotated[float, Gt(0), Remedy("The papers take 7.")] = 7.0
    """The grid is even in ``sigma^(1/rho)``."""
    base: BaseDistribution = field(init=False, compare=False)
    envelope: Envelope = field(default_factory=ZeroEnvelope, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        noise = Gaussian(scale=self.smax) if isinstance(self.df, str) else StudentT(self.df, scale=self.smax)
        object.__setattr__(self, "base", noise)

    def check_settings(self) -> None:
        """Check that the base has noise."""
        super().check_settings()
        if not self.smax > self.smin:
            remedy = "The papers take 80 for data of standard deviation 0.5."
            raise invalid(f"smax must be > smin = {self.smin:g}", self.smax, remedy)

    @property
    def ends(self) -> Ends:
        """The data in the noise of the base at t = 0, and the data alone at t = 1."""
        return Ends(x1_at_0=1.0)

    @property
    def margin(self) -> float:
        """A tenth of the time that is left below ``smin``."""
        return 0.1 * self.smin / self.smax

    def alpha(self, t: Tensor) -> Tensor:
        """Coefficient of x0, ``1 - t``."""
        return 1 - t

    def beta(self, t: Tensor) -> Tensor:
        """Coefficient of x1, 1."""
        return torch.ones_like(t)

    def alpha_dot(self, t: Tensor) -> Tensor:
        """Time derivative of alpha, -1."""
        return torch.full_like(t, -1.0)

    def beta_dot(self, t: Tensor) -> Tensor:
        """Time derivative of beta, 0."""
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
