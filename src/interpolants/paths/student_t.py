"""Multivariate Student-t distribution: a Gaussian with a random scale and heavy tails."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from interpolants.foundations.checks import positive
from interpolants.foundations.elliptical import Elliptical
from interpolants.foundations.ops import expand_like


class StudentT(Elliptical):
    """``x = mean + L z``, ``z = g sqrt(df / c)`` with ``g ~ N(0, Id)`` and one ``c ~ chi^2(df)`` for all entries.

    The density of z over N entries is
    ``Gamma((N + df)/2) / (Gamma(df/2) (pi df)^(N/2)) (1 + |z|^2/df)^(-(N + df)/2)``. There is a mean for ``df > 1``, a
    covariance ``df/(df - 2) L L^T`` for ``df > 2``; for ``df -> inf`` it is ``N(mean, L L^T)``. With ``df = D`` and
    ``scale = r / sqrt(D)`` it is the perturbation kernel of Poisson flows in D extra dimensions.

    Args:
        df: Degrees of freedom, finite and > 0, not only whole numbers.
        event_shape: Shape of one sample; ``None`` takes the shape of whatever it is compared with.
        mean: Centre: number or tensor of the event's shape, in data units.
        scale: Number or tensor of the event's shape, positive. Not the standard deviation.
        dispersion: ``L L^T``, ``(D, D)`` positive definite, instead of ``scale``.

    Raises:
        InvalidInputError: If ``df`` is not finite and > 0, ``scale`` is not positive, ``dispersion`` is not positive
            definite, or shapes disagree.

    Source: Xu et al. (2023), arXiv:2302.04265, where it is drawn as a radius and a direction.
    """

    kind: ClassVar[str] = "student_t"

    def __init__(
        self,
        df: float,
        event_shape: Sequence[int] | None = None,
        *,
        mean: Tensor | float = 0.0,
        scale: Tensor | float = 1.0,
        dispersion: Tensor | None = None,
    ) -> None:
        positive("StudentT", "df", df, remedy="For df = inf take Gaussian.")
        self.df = self.moments = float(df)
        super().__init__(event_shape, mean=mean, scale=scale, matrix=dispersion, matrix_name="dispersion")

    @property
    def title(self) -> str:
        """``"Student-t (df = 4)"``."""
        return f"Student-t (df = {self.df:g})"

    def noise(
        self,
        shape: Sequence[int],
        *,
        generator: Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw z, ``(B, *D)``: the normal rows that ``Gaussian.noise`` gives, each times its own factor.

        The factor is drawn and applied in float64: small ``c`` make the tails.
        """
        normal = torch.randn(*shape, generator=generator, dtype=dtype, device=device)
        half = torch.full((shape[0],), self.df / 2, dtype=torch.float64, device=normal.device)
        chi_squared = 2 * torch._standard_gamma(half, generator=generator)
        factor = (self.df / chi_squared).sqrt()
        return (normal.double() * expand_like(factor, normal)).to(normal.dtype)

    def log_radial(self, squared: Tensor, size: int) -> Tensor:
        """Log density of z in nats from ``|z|^2``."""
        n, df = size, self.df
        norm = _log_gamma_ratio(df / 2, n / 2) - 0.5 * n * math.log(math.pi * df)
        return norm - 0.5 * (n + df) * torch.log1p(squared / df)

    def pull(self, squared: Tensor, size: int) -> Tensor:
        """``(N + df) / (|z|^2 + df)``."""
        return (size + self.df) / (squared + self.df)

    def describe(self) -> dict[str, Any]:
        """The JSON-able arguments that make an equal distribution."""
        return {**super().describe(), "df": self.df}

    def __repr__(self) -> str:
        return f"StudentT(df={self.df:g}, event_shape={self._shape}, standard={self.is_standard})"


def _log_gamma_ratio(a: float, h: float) -> float:
    """``log(Gamma(a + h) / Gamma(a))``, where the difference of two large logarithms would lose its digits."""
    if a < 100:
        return math.lgamma(a + h) - math.lgamma(a)
    b = a + h  # Stirling's series, to 1e-14
    correction = (1 / b - 1 / a) / 12 - (1 / b**3 - 1 / a**3) / 360
    return (a - 0.5) * math.log1p(h / a) + h * (math.log(b) - 1) + correction
