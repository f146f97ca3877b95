"""Preconditioned network for the denoised state at one time per entry, plus the denoiser of a Gaussian."""

import torch
from torch import Tensor, nn

from interpolants.fields.preconditioned import Preconditioned
from interpolants.foundations.ops import expand_like
from interpolants.foundations.types import Condition
from interpolants.nets.entry_times import EntryTimes
from interpolants.paths.path import Path

# Signal below which the ratio of noise to signal is that of noise alone.
_FLOOR = 1e-6


class EntryPreconditioned(Preconditioned, id="entry_preconditioned"):
    """``E[x1 | x_t] = mean(x, t) + out F(x / sqrt(V), clock)`` for times ``t (B, *D)``.

    ``out`` and V are those of :class:`Preconditioned`, entry by entry. The clock is ``1 / (1 + noise / signal)``,
    which is t on the straight path. The mean is ``skip x``, or with a covariance C of the data the denoiser of N(0, C),
    ``C B (B C B + A^2)^-1 x`` with diagonal A and B of the noise and the signal of each entry: a network that
    returns 0 then has the conditional distributions of a Gaussian under every mask.

    Args:
        net: The network F for event shape ``(2 D_1, D_2, ...)``, as
            :class:`~interpolants.nets.entry_times.EntryTimes` calls it.
        path: A one-sided spatially linear path whose base is centred, with one scale for all entries.
        data_std: sd, the standard deviation of the data about zero, over all entries; finite and > 0.
        covariance: C, ``(D, D)`` positive definite, of data of vectors with mean 0; None for images.

    Raises:
        InvalidInputError: As :class:`Preconditioned`.

    Source: Negrel, Coeurdoux, Albergo & Vanden-Eijnden (2025), arXiv:2508.04605, for the denoised state of
    operators; the preconditioning is derived here.
    """

    def __init__(self, net: nn.Module, path: Path, data_std: float, covariance: Tensor | None = None) -> None:
        super().__init__(EntryTimes(net), path, ("denoised",), data_std)
        self.covariance: Tensor | None
        self.register_buffer("covariance", None if covariance is None else covariance.float().clone())

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """The denoised state at ``x (B, *D)``, ``t`` 0-d, ``(B,)`` or ``(B, *D)``."""
        at = self._level(x, t)
        clock = 1 / (1 + at.s / (at.beta * self.data_std).clamp_min(_FLOOR))
        output = self.net(x / at.total.sqrt(), clock.expand_as(x), cond)
        skip, out = self._coefficients("denoised", at, t, x)
        mean = skip * x if self.covariance is None else self._gaussian_mean(x, t, self.covariance)
        return torch.addcmul(mean, out, output)

    def weight(self, x: Tensor, t: Tensor) -> dict[str, Tensor]:
        """``1 / out^2``, ``(B, *D)``: what makes the squared error of the denoised state that of the network."""
        _, out = self._coefficients("denoised", self._level(x, t), t, x)
        return {"denoised": out.square().reciprocal().expand_as(x)}

    def _gaussian_mean(self, x: Tensor, t: Tensor, covariance: Tensor) -> Tensor:
        """In float64: the covariance of x_t is nearly singular where noise is small."""
        times = expand_like(t, x).double().expand_as(x)
        alpha, beta, covariance = (
            self.path.alpha(times) * self._scale,
            self.path.beta(times),
            covariance.double(),
        )
        total = beta[..., None] * covariance * beta[..., None, :] + torch.diag_embed(alpha.square())
        mean: Tensor = (beta * torch.linalg.solve(total, x.double())) @ covariance
        return mean.to(x.dtype)
