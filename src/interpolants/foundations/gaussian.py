"""A Gaussian distribution with its sampler, density, score and square root; the usual base of one-sided paths."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Generator, Tensor

from interpolants.foundations.elliptical import Elliptical


class Gaussian(Elliptical):
    """``N(mean, L L^T)`` over states of shape ``event_shape``, or over any shape when none is given.

    ``L`` is a number, a diagonal of the event's shape, or a lower Cholesky factor ``(D, D)`` of the flattened event.

    Args:
        event_shape: Shape of one sample; ``None`` takes the shape of whatever it is compared with.
        mean: Number or tensor of the event's shape, in data units.
        scale: Standard deviation: number or tensor of the event's shape, positive.
        covariance: ``(D, D)`` positive definite, instead of ``scale``.

    Raises:
        InvalidInputError: If ``scale`` is not positive, or ``covariance`` is not positive definite, or shapes disagree.
    """

    is_gaussian: ClassVar[bool] = True
    kind: ClassVar[str] = "gaussian"

    def __init__(
        self,
        event_shape: Sequence[int] | None = None,
        *,
        mean: Tensor | float = 0.0,
        scale: Tensor | float = 1.0,
        covariance: Tensor | None = None,
    ) -> None:
        super().__init__(event_shape, mean=mean, scale=scale, matrix=covariance, matrix_name="covariance")

    @property
    def std(self) -> float | None:
        """The standard deviation that all entries share, in data units; None where they differ or are correlated."""
        return self.shared_scale

    def noise(
        self,
        shape: Sequence[int],
        *,
        generator: Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw standard normal rows ``(B, *D)``."""
        return torch.randn(*shape, generator=generator, dtype=dtype, device=device)

    def log_radial(self, squared: Tensor, size: int) -> Tensor:
        """``-|z|^2/2 - (size/2) log 2 pi``."""
        return -0.5 * squared - 0.5 * size * math.log(2 * math.pi)

    def pull(self, squared: Tensor, size: int) -> Tensor:
        """Pull towards the centre, ``-grad log q(z) / z``: 1 for a standard normal q."""
        return torch.ones_like(squared)

    def score_at(self, z: Tensor) -> Tensor:
        """Score at the standardised state z, ``-L^-T z``."""
        return -self.inverse_root_transpose(z)
