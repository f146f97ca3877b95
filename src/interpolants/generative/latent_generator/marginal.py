"""Log-likelihood of a latent generator, ``p(x) = E_Z N(x; f(Z), s^2 Id)``: by quadrature, or bounded from below.

Letters: f the decoder from d to D dimensions, s the model's noise, ``q(z|x) = N(m(x), diag v(x)^2)`` the encoder's
guess of the latent behind a sample.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from interpolants.foundations import asked
from interpolants.foundations.checked import Checked
from interpolants.foundations.devices import here
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count

# A standard deviation of the encoder beyond these does no good and overflows.
_LOG_SPREAD = (-8.0, 4.0)


@dataclass(frozen=True)
class MarginalLikelihood(Checked):
    """Minus the log-likelihood of samples under a latent generator, per sample in nats.

    * ``"quadrature"``: ``log mean_k N(x; f(z_k), s^2)`` over ``points`` latents, one in each of equal parts of the
      prior, all at the same place within theirs, which is drawn at every call. For one latent dimension; exact while
      the images of neighbouring points lie closer than 2 s, and too small where they do not.
    * ``"iwae"``: ``log mean_k p(z_k) N(x; f(z_k), s^2) / q(z_k|x)`` over ``points`` draws of an encoder: below the
      log-likelihood in expectation, the tighter the more draws. Few draws smooth the objective and hide how singular
      it is.

    Raises:
        InvalidInputError: If a setting is unknown or does not fit another.

    Source: Burda, Grosse & Salakhutdinov (2016), arXiv:1509.00519, for the bound; Chae, Kim, Kim & Lin (2023),
    arXiv:2105.04046, for the estimator it serves.
    """

    latent: Count
    """Number d of latents."""
    estimator: Literal["quadrature", "iwae"] = "iwae"
    """How the likelihood is estimated, as above."""
    prior: Literal["normal", "uniform"] = "normal"
    """``"uniform"`` on ``[0, 1]^d`` is for quadrature."""
    points: Count = 8
    """Number of latents per sample."""

    def check_settings(self) -> None:
        """Refuse estimators of other latents."""
        if self.estimator == "quadrature" and self.latent > 1:
            remedy = "Use estimator='iwae' with an encoder."
            raise asked.invalid("quadrature needs one latent dimension", self.latent, remedy)
        if self.estimator == "iwae" and self.prior != "normal":
            raise asked.invalid(
                "the iwae bound needs a normal prior", repr(self.prior), "Use prior='normal'."
            )

    @property
    def meaning(self) -> str:
        """Name of the quantity that this objective measures."""
        if self.estimator == "quadrature":
            return f"log-likelihood by quadrature over {self.points} latents"
        return f"lower bound of the log-likelihood from {self.points} draws of the encoder"

    def draw_prior(
        self, n: int, *, generator: Generator | None = None, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Latents ``(n, d)`` of the prior."""
        draw = torch.rand if self.prior == "uniform" else torch.randn
        device = "cpu" if generator is None else generator.device
        return here(draw(n, self.latent, generator=generator, dtype=dtype, device=device))

    def __call__(
        self,
        decoder: Callable[[Tensor], Tensor],
        x: Tensor,
        log_s: Tensor,
        *,
        encoder: Callable[[Tensor], Tensor] | None = None,
        generator: Generator | None = None,
    ) -> Tensor:
        """Minus log-likelihoods ``(B,)``, or minus its lower bounds.

        Args:
            decoder: f, ``(M, d) -> (M, D)``.
            x: Samples, ``(B, D)``.
            log_s: Logarithm of s, 0-d.
            encoder: ``(B, D) -> (B, 2 d)``, means and log standard deviations; for ``"iwae"``.
            generator: Source of the latents.

        Raises:
            InvalidInputError: If the estimator needs an encoder and there is none.
        """
        if self.estimator == "quadrature":
            latents = self._strata(x, generator)
            squared = _squared_distances(x, decoder(latents))
            return -(self._log_normal(squared, x.shape[1], log_s).logsumexp(1) - math.log(self.points))
        if encoder is None:
            raise invalid("MarginalLikelihood", "the iwae bound needs an encoder", "None", "Pass encoder=.")
        return self._bound(decoder, encoder, x, log_s, generator)

    def _strata(self, x: Tensor, generator: Generator | None) -> Tensor:
        # One shift for all: an even grid is exact for kernels as wide as its spacing; a shift for each is not.
        u = torch.arange(self.points, dtype=x.dtype, device=x.device)[:, None]
        u = (u + torch.rand((), generator=generator, dtype=x.dtype, device=x.device)) / self.points
        if self.prior == "uniform":
            return u
        return math.sqrt(2) * torch.erfinv((2 * u - 1).clamp(-1 + 1e-6, 1 - 1e-6))

    def _bound(
        self,
        decoder: Callable[[Tensor], Tensor],
        encoder: Callable[[Tensor], Tensor],
        x: Tensor,
        log_s: Tensor,
        generator: Generator | None,
    ) -> Tensor:
        mean, log_spread = encoder(x).chunk(2, 1)
        log_spread = log_spread.clamp(*_LOG_SPREAD)
        shape = (len(x), self.points, self.latent)
        e = torch.randn(shape, generator=generator, dtype=x.dtype, device=x.device)
        z = mean[:, None] + log_spread.exp()[:, None] * e
        made = decoder(z.flatten(0, 1)).reshape(len(x), self.points, -1)
        squared = (x[:, None] - made).square().sum(2)
        # log p(z) - log q(z|x): the constants of the two normals cancel
        ratio = (0.5 * e.square() - 0.5 * z.square() + log_spread[:, None]).sum(2)
        total = self._log_normal(squared, x.shape[1], log_s) + ratio
        return -(total.logsumexp(1) - math.log(self.points))

    def _log_normal(self, squared: Tensor, size: int, log_s: Tensor) -> Tensor:
        return -0.5 * squared * torch.exp(-2 * log_s) - size * (log_s + 0.5 * math.log(2 * math.pi))


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """``(B, M)``, by differences: near the set they are small beside the points themselves."""
    return (x.T[:, :, None] - y.T[:, None]).square().sum(0)
