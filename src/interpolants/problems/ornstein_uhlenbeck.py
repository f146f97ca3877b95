"""The Ornstein-Uhlenbeck process, whose transitions are Gaussian and known."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import sum_event
from interpolants.problems.gaussian_mixture import GaussianMixture


@dataclass(frozen=True)
class Transition:
    """A Gaussian transition: ``mean (B, D)`` and ``std`` ``(D,)`` or ``(B, D)``, in data units."""

    mean: Tensor
    std: Tensor


class OrnsteinUhlenbeck:
    """``dX = -theta (X - mu) dt + sigma dW``, independently in each coordinate.

    ``X_{s+h} | X_s ~ N(mu + exp(-theta h) (X_s - mu), sigma^2 (1 - exp(-2 theta h)) / (2 theta))``.

    Args:
        theta: Rate of return, 1/time; number or ``(D,)``, positive.
        mu: Centre, in data units; number or ``(D,)``.
        sigma: Noise, data units per root of time; number or ``(D,)``, positive.
        dim: Number of coordinates D; read from the parameters when one of them has it.

    Raises:
        InvalidInputError: If a rate or a noise is not positive, or shapes disagree.

    Source: Uhlenbeck & Ornstein (1930).
    """

    def __init__(
        self,
        theta: Tensor | float = 1.0,
        mu: Tensor | float = 0.0,
        sigma: Tensor | float = 2**0.5,
        dim: int | None = None,
    ) -> None:
        given = {"theta": theta, "mu": mu, "sigma": sigma}
        values = {name: torch.as_tensor(value, dtype=torch.float64) for name, value in given.items()}
        sizes = [value.shape[0] for value in values.values() if value.ndim == 1]
        size = dim if dim is not None else (sizes[0] if sizes else 1)
        for name, value in values.items():
            if value.ndim > 1 or (value.ndim == 1 and value.shape[0] != size):
                raise invalid(
                    "OrnsteinUhlenbeck",
                    f"{name} must be a number or have shape ({size},)",
                    tuple(value.shape),
                )
            if not bool(torch.isfinite(value).all()) or (name != "mu" and not bool((value > 0).all())):
                rule = "finite" if name == "mu" else "finite and > 0"
                raise invalid("OrnsteinUhlenbeck", f"{name} must be {rule}", value.tolist())
        self.theta, self.mu, self.sigma = (value.expand(size) for value in values.values())

    @property
    def event_shape(self) -> tuple[int]:
        """``(D,)``."""
        return (self.theta.shape[0],)

    def transition(self, x: Tensor, h: float | Tensor) -> Transition:
        """The distribution of the state a time ``h >= 0`` after ``x (B, D)``; ``h`` a number or ``(B,)``.

        Raises:
            InvalidInputError: If ``h`` is negative.
        """
        time = torch.as_tensor(h, dtype=torch.float64, device=x.device)
        if bool((time < 0).any()):
            raise invalid("OrnsteinUhlenbeck.transition", "h must be >= 0", float(time.min()))
        theta, mu, sigma = (value.to(x.device) for value in (self.theta, self.mu, self.sigma))
        lag = theta * time[..., None]
        mean = mu + torch.exp(-lag) * (x - mu)
        std = sigma * (-torch.expm1(-2 * lag) / (2 * theta)).sqrt()
        return Transition(mean.to(x.dtype), std.to(x.dtype))

    def step(self, x: Tensor, h: float | Tensor, *, generator: Generator | None = None) -> Tensor:
        """Draw the state a time ``h`` later, exactly."""
        distribution = self.transition(x, h)
        z = torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)
        return distribution.mean + distribution.std * z

    def sample_path(self, x: Tensor, times: Tensor, *, generator: Generator | None = None) -> Tensor:
        """Draw the states at ascending ``times (T,)`` of processes that are at ``x (B, D)`` at time 0: ``(B, T, D)``.

        Raises:
            InvalidInputError: If the times are negative or not ascending.
        """
        steps = torch.diff(times, prepend=times.new_zeros(1))
        if times.ndim != 1 or bool((steps < 0).any()):
            remedy = "Sort them; the process starts at time 0."
            raise invalid(
                "OrnsteinUhlenbeck.sample_path", "times must be >= 0 and ascending", times.tolist(), remedy
            )
        states = []
        for h in steps:
            x = self.step(x, h, generator=generator)
            states.append(x)
        return torch.stack(states, 1)

    def log_transition(self, y: Tensor, x: Tensor, h: float | Tensor) -> Tensor:
        """Log density in nats of moving from ``x`` to ``y`` in a time ``h > 0``; ``(B, D)`` -> ``(B,)``."""
        distribution = self.transition(x, h)
        z = (y - distribution.mean) / distribution.std
        log_norm = distribution.std.log().expand(y.shape).sum(1) + 0.5 * y.shape[1] * math.log(2 * math.pi)
        return -0.5 * sum_event(z.square()) - log_norm

    def log_path(self, x: Tensor, states: Tensor, times: Tensor) -> Tensor:
        """Log density in nats of the states ``(B, T, D)`` at ``times (T,)``, given ``x (B, D)`` at time 0; ``(B,)``."""
        steps = torch.diff(times, prepend=times.new_zeros(1))
        before = torch.cat([x[:, None], states[:, :-1]], 1)
        parts = [self.log_transition(states[:, k], before[:, k], h) for k, h in enumerate(steps)]
        return torch.stack(parts).sum(0)

    def stationary(self) -> GaussianMixture:
        """The stationary distribution ``N(mu, sigma^2 / 2 theta)``, a mixture of one mode."""
        variance = self.sigma.square() / (2 * self.theta)
        return GaussianMixture(self.mu.new_ones(1), self.mu[None], variance[None])

    def marginal(self, start: GaussianMixture, h: float) -> GaussianMixture:
        """The distribution a time ``h`` after the distribution ``start``."""
        distribution = self.transition(start.means.double(), h)
        shrink = torch.exp(-self.theta * h)
        if start.is_diagonal:
            return GaussianMixture(
                start.weights,
                distribution.mean,
                shrink.square() * start.variances + distribution.std.square(),
            )
        shrunk = shrink[:, None] * start.covariances.double() * shrink
        return GaussianMixture(start.weights, distribution.mean, shrunk + distribution.std.square().diag())

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw ``(n, D)`` from the stationary distribution."""
        return self.stationary().sample(n, generator=generator)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of the stationary distribution in nats; ``(B, D)`` -> ``(B,)``."""
        return self.stationary().log_prob(x)

    def score(self, x: Tensor) -> Tensor:
        """Score of the stationary distribution, in 1/data."""
        return self.stationary().score(x)
