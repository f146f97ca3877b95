"""Posterior of one task's weights given a prior ``N(m0, S)``: by linearising the network, or by a few steps.

Everything is for E tasks at once, in standardised values with one output. Letters as in `normal_inverse_wishart`;
``J`` derivative of the values with respect to the weights at m0.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.foundations.errors import invalid
from interpolants.sciml.bayes.mcmc.langevin import langevin_moments
from interpolants.sciml.bayes.nets.weight_vectors import WeightVectors
from interpolants.sciml.bayes.normal_inverse_wishart import local_posterior, log_marginal

# Curvatures from the moments of a short chain are kept between these.
_LEAST_CURVATURE, _MOST_CURVATURE = 1e-3, 1e6

Prior = Mapping[str, Tensor]


def jacobian(net: WeightVectors, w: Tensor, x: Tensor) -> Tensor:
    """Derivatives of the output at points ``(N, D)`` with respect to one vector ``w (P,)``: ``(N, P)``."""

    def value(w: Tensor, x: Tensor) -> Tensor:
        return net(w[None], x[None, None])[0, 0, 0]

    found: Tensor = torch.func.vmap(torch.func.grad(value), (None, 0))(w, x)
    return found


@dataclass(frozen=True)
class Linearised:
    """The network linearised at m0, with weights scaled so that their prior is standard.

    Attributes:
        value: Values at m0, ``(E, n)``.
        slope: ``J S^(1/2)``, ``(E, n, P)``.
    """

    value: Tensor
    slope: Tensor

    @classmethod
    def of(cls, net: WeightVectors, prior: Prior, x: Tensor) -> "Linearised":
        """At points ``(E, n, D)``."""
        flat = x.flatten(0, 1)
        value = net(prior["mean"][None], flat)[0, :, 0].reshape(x.shape[:2])
        slope = jacobian(net, prior["mean"], flat) * (0.5 * prior["log_s"]).exp()
        return cls(value, slope.reshape(*x.shape[:2], -1))

    def covariance(self, noise: Tensor) -> Tensor:
        """Of the noisy values, ``(E, n, n)``."""
        eye = torch.eye(self.slope.shape[1], dtype=self.slope.dtype, device=self.slope.device)
        return self.slope @ self.slope.mT + noise * eye


def evidence(net: WeightVectors, prior: Prior, x: Tensor, y: Tensor) -> Tensor:
    """Log marginal likelihood of each task, ``(E,)``: minus the bound ``f_i + g_i / 2`` of its exact local solution."""
    line = Linearised.of(net, prior, x)
    return log_marginal((y - line.value)[..., None], line.covariance(prior["log_noise"].exp()))[0]


def losses(net: WeightVectors, w: Tensor, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
    """Summed negative log-likelihood of each task at its own weights ``(E, P)``, ``(E,)``, without its constant."""
    error = net(w, x)[..., 0] - y
    each: Tensor = 0.5 * (error.square() / noise + noise.log())
    return each.sum(1)


@dataclass(frozen=True)
class Descent:
    """Settings of local solutions by descent from m0.

    Attributes:
        steps: Steps.
        lr: Step in units of the mean squared error, so that it suits any noise and number of rows.
        burn_in: Steps that are left out of the moments of a chain.
        noise: Langevin noise: curvature from the spread of the chain; else from the slopes at its end.
    """

    steps: int
    lr: float
    burn_in: int = 0
    noise: bool = False

    def quadratic(
        self, net: WeightVectors, prior: Prior, x: Tensor, y: Tensor, generator: Generator | None
    ) -> tuple[Tensor, Tensor]:
        """``mbar`` and diagonal ``Abar`` of each task, ``(E, P)``, without a graph: memory is that of one step."""
        noise = prior["log_noise"].detach().exp()

        def gradient(w: Tensor) -> Tensor:
            w = w.detach().requires_grad_()
            with torch.enable_grad():
                total = losses(net, w, x, y, noise).sum()
            return torch.autograd.grad(total, w)[0]

        start = prior["mean"].detach().expand(len(x), -1)
        size = 2 * self.lr * float(noise) / x.shape[1]
        burn_in = self.burn_in if self.noise else self.steps - 1
        mean, variance = langevin_moments(
            start, gradient, size, self.steps, burn_in=burn_in, noise=self.noise, generator=generator
        )
        if self.noise:
            return mean, (1 / variance.clamp_min(1e-30)).clamp(_LEAST_CURVATURE, _MOST_CURVATURE)
        # The diagonal of the Gauss-Newton matrix at each task's weights.
        rows = [jacobian(net, one, at).square().sum(0) for one, at in zip(mean, x, strict=True)]
        return mean, torch.stack(rows) / noise

    def posterior(
        self, net: WeightVectors, prior: Prior, x: Tensor, y: Tensor, generator: Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Mean and variance of q_i of each task, ``(E, P)``, differentiable in the prior."""
        mbar, abar = self.quadratic(net, prior, x, y, generator)
        return local_posterior(mbar, abar, prior["mean"], prior["log_s"].exp())


def descend(net: WeightVectors, w: Tensor, x: Tensor, y: Tensor, steps: int, lr: float) -> Tensor:
    """Weights ``(E, P)`` after steps of descent on half the mean squared error of each task, without a graph.

    Raises:
        InvalidInputError: If the descent diverges.
    """
    for _ in range(steps):
        w = w.detach().requires_grad_()
        with torch.enable_grad():
            loss = 0.5 * (net(w, x)[..., 0] - y).square().mean(1).sum()
        w = w.detach() - lr * torch.autograd.grad(loss, w)[0]
    if not bool(torch.isfinite(w).all()):
        raise invalid("descend", "the inner steps must not diverge", f"inner_lr {lr}", "Lower inner_lr.")
    return w.detach()
