"""Reference flows of weighted samplers: the free vector field, whose divergence is the only one needed.

The closer l is to the experts' common motion, the smaller the spread of the weights.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.fields.protocol import weighted_sum
from interpolants.foundations import asked
from interpolants.foundations.checked import Checked
from interpolants.foundations.derivatives import exact_divergence, probed_divergence
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.guidance.experts import Expert
from interpolants.paths.path import SpatiallyLinearPath

Moment = float | Tensor


class Reference(ABC):
    """A field l and its divergence; abstract."""

    # Whether the divergence is the same everywhere, so that its integral is added once, at the end.
    uniform: bool = False

    @abstractmethod
    def at(
        self, x: Tensor, t: Tensor, velocities: Sequence[Tensor], betas: Sequence[float]
    ) -> tuple[Tensor, Tensor | None]:
        """``l (B, *D)`` and ``div l (B,)``, None where it is uniform or not needed."""

    def integral(self, start: float, stop: float, event: torch.Size) -> float:
        """``int div l dt`` of a uniform divergence."""
        return 0.0

    def narrow(self, experts: Sequence[Expert]) -> "Reference":
        """The same for some of the particles, whose experts these are."""
        return self


class LinearDrift(Reference):
    """``l = (beta'/beta) x`` about the base's mean: the noising process of a one-sided path, without its noise."""

    uniform = True

    def __init__(self, path: SpatiallyLinearPath) -> None:
        self.path = path

    def at(
        self, x: Tensor, t: Tensor, velocities: Sequence[Tensor], betas: Sequence[float]
    ) -> tuple[Tensor, Tensor | None]:
        """The drift; its divergence is uniform."""
        path, base = self.path, self.path.base
        assert isinstance(base, Gaussian)
        rate = path.signal_rate(t)
        drift = rate.to(x.dtype) * x
        if not base.is_centred:
            drift = drift + (path.alpha_dot(t) - rate * path.alpha(t)).to(x.dtype) * base.mean_like(x)
        return drift, None

    def integral(self, start: float, stop: float, event: torch.Size) -> float:
        """``D log(beta(stop)/beta(start))``."""
        ends = self.path.beta(torch.tensor([start, stop], dtype=torch.float64)).log()
        return event.numel() * float(ends[1] - ends[0])


class LinearFlow(Reference):
    """The flow of a Gaussian with known moments: ``l = m' + (v'/2v)(x - m)``.

    ``m = alpha m0 + beta m1`` and ``v = alpha^2 v0 + beta^2 v1 + gamma^2``, entry by entry.
    """

    uniform = True

    def __init__(
        self, path: SpatiallyLinearPath, means: tuple[Tensor, Tensor], stds: tuple[Tensor, Tensor]
    ) -> None:
        self.path, self.means = path, means
        self.variances = (stds[0].square(), stds[1].square())
        # Where the means vanish an infinite rate of alpha does no harm.
        self.moving = bool(means[0].any()) or bool(means[1].any())

    def at(
        self, x: Tensor, t: Tensor, velocities: Sequence[Tensor], betas: Sequence[float]
    ) -> tuple[Tensor, Tensor | None]:
        """The flow; its divergence is uniform."""
        path = self.path
        mixed = _between(path.alpha_alpha_dot(t), path.beta(t) * path.beta_dot(t), self.variances)
        rate = (mixed + path.envelope.gamma_gamma_dot(t)) / self._variance(t)
        if not self.moving:
            return rate.to(x.dtype) * x, None
        mean = _between(path.alpha(t), path.beta(t), self.means)
        shift = _between(path.alpha_dot(t), path.beta_dot(t), self.means)
        return shift.to(x.dtype) + rate.to(x.dtype) * (x - mean.to(x.dtype)), None

    def integral(self, start: float, stop: float, event: torch.Size) -> float:
        """``sum log(v(stop)/v(start)) / 2`` over the entries."""
        ends = [self._variance(torch.tensor(t, dtype=torch.float64)).log() for t in (start, stop)]
        return 0.5 * float((ends[1] - ends[0]).expand(event).sum())

    def _variance(self, t: Tensor) -> Tensor:
        mixed = _between(self.path.alpha(t).square(), self.path.beta(t).square(), self.variances)
        return mixed + self.path.envelope.gamma(t).square()


@dataclass(frozen=True)
class GaussianFlow(Checked):
    """A transport: the flow of a Gaussian with the moments of the ends, for one-sided and two-sided paths.

    It needs no divergence of a field, and is finite at both ends. For one Gaussian expert with these moments the
    weights are constant.

    Raises:
        InvalidInputError: If a standard deviation is not finite and positive.
    """

    std1: Moment
    """Standard deviation of x1: a number, or one per entry ``(*D)``."""
    mean1: Moment = 0.0
    """Mean of x1."""
    std0: Moment | None = None
    """Standard deviation of x0; that of the base on a one-sided path whose base has one."""
    mean0: Moment | None = None
    """Mean of x0; that of the base on a one-sided path."""

    def check_settings(self) -> None:
        """Refuse standard deviations of which one is not positive."""
        for name in ("std1", "std0"):
            value = getattr(self, name)
            if value is None:
                continue
            tensor = torch.as_tensor(value)
            if not bool((torch.isfinite(tensor) & (tensor > 0)).all()):
                raise asked.invalid(f"{name} must be finite and > 0", value)

    def on(self, who: str, path: SpatiallyLinearPath) -> LinearFlow:
        """The flow on a path."""
        mean0, std0, base = self.mean0, self.std0, path.base
        if isinstance(base, Gaussian):
            mean0 = base.mean_like(torch.zeros(1, dtype=torch.float64)) if mean0 is None else mean0
            std0 = base.std if std0 is None else std0
        if std0 is None:
            remedy = "A two-sided path, or a base whose entries differ, does not determine it."
            raise invalid(who, "GaussianFlow needs std0 here", "None", remedy)
        means = (_tensor(0.0 if mean0 is None else mean0), _tensor(self.mean1))
        return LinearFlow(path, means, (_tensor(std0), _tensor(self.std1)))


class MeanVelocity(Reference):
    """``l = sum beta_i b_i / B``.

    Args:
        experts: The experts.
        probes: Draws the signs of Hutchinson's estimate, ``(B, *D)`` each; None for the exact divergence.
        needed: Whether the divergence is needed: not where B = 1.
    """

    def __init__(
        self,
        experts: Sequence[Expert],
        probes: Callable[[], list[Tensor]] | None = None,
        *,
        needed: bool = True,
    ) -> None:
        self.experts, self.probes, self.needed = experts, probes, needed
        found = [expert.fields.divergence_of(expert.cond) for expert in experts]
        self.closed = [both for both in found if both is not None]

    def narrow(self, experts: Sequence[Expert]) -> "Reference":
        """The same for some of the particles."""
        assert self.probes is None  # they belong to all particles together
        return MeanVelocity(experts, needed=self.needed)

    def at(
        self, x: Tensor, t: Tensor, velocities: Sequence[Tensor], betas: Sequence[float]
    ) -> tuple[Tensor, Tensor | None]:
        """The mean velocity and its divergence."""
        shares = [beta / math.fsum(betas) for beta in betas]
        mean = weighted_sum(list(zip(velocities, shares, strict=True)))
        if not self.needed:
            return mean, None
        if len(self.closed) == len(self.experts):
            parts = [both(x, t)[1] for both in self.closed]
            return mean, weighted_sum(list(zip(parts, shares, strict=True)))
        inner = [expert.fields.velocity_of(expert.cond) for expert in self.experts]

        def function(y: Tensor) -> Tensor:
            return weighted_sum(
                [(velocity(y, t), share) for velocity, share in zip(inner, shares, strict=True)]
            )

        if self.probes is None:
            return mean, exact_divergence(function, x)[1]
        return mean, probed_divergence(function, x, self.probes())[1].mean(1)


def _between(a: Tensor, b: Tensor, parts: tuple[Tensor, Tensor]) -> Tensor:
    """``a p0 + b p1``."""
    return a * parts[0].to(a) + b * parts[1].to(b)


def _tensor(value: Moment) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64).cpu()
