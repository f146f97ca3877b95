"""Priors of simulator parameters: products of one-dimensional distributions with known densities and bounds."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Generator, Tensor
from typing_extensions import override

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import Check
from interpolants.methods.parts.choices import member

KIND = "prior"


def _numbers(caller: str, values: Any) -> tuple[float, ...]:
    """Finite numbers, one per parameter."""
    tensor = torch.as_tensor(values, dtype=torch.float64)
    if tensor.ndim > 1 or not tensor.numel() or not bool(torch.isfinite(tensor).all()):
        raise invalid("every parameter must have one finite number", repr(values), "For example, [0.0, 1.0].")
    return tuple(tensor.reshape(-1).tolist())


Numbers = Annotated[Any, Check(_numbers)]


class Prior(Checked, ABC):
    """Distribution of D independent parameters; D is ``dim``."""

    @property
    def dim(self) -> int:
        """Number D of parameters of the distribution."""
        return self.bounds.shape[1]

    @property
    @abstractmethod
    def bounds(self) -> Tensor:
        """Lower and upper bound of each parameter, ``(2, D)`` float64; infinite without a bound."""

    @abstractmethod
    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw parameters ``(n, D)``, float64."""

    @abstractmethod
    def log_prob(self, theta: Tensor) -> Tensor:
        """Log density ``(B,)`` in nats of parameters ``(B, D)``; -inf outside of the bounds."""

    @abstractmethod
    def levels(self, theta: Tensor) -> Tensor:
        """Probability of a smaller value of each parameter, ``(B, D)``; uniform for draws of the prior."""

    @abstractmethod
    def quantiles(self, levels: Tensor) -> Tensor:
        """Parameters below which the prior has these probabilities, ``(B, D)``; the inverse of :meth:`levels`."""

    def inside(self, theta: Tensor) -> Tensor:
        """Return True for each row of ``theta (B, D)`` that lies within the bounds."""
        low, high = self.bounds
        inside: Tensor = ((theta >= low) & (theta <= high)).all(1)
        return inside


def _equal(first: Sequence[float], second: Sequence[float], names: str) -> None:
    if len(first) != len(second):
        raise invalid(f"{names} must have the same length", f"{len(first)} and {len(second)}")


@dataclass(frozen=True)
class Box(Prior):
    """Uniform distribution between bounds."""

    low: Numbers
    """Lower bounds, one per parameter."""
    high: Numbers
    """Upper bounds, each above its lower bound."""

    def check_settings(self) -> None:
        """Check that every lower bound is below its upper bound."""
        _equal(self.low, self.high, "low and high")
        for low, high in zip(self.low, self.high, strict=True):
            if not low < high:
                raise invalid("low must lie below high", f"{low:g} and {high:g}")

    @property
    @override
    def bounds(self) -> Tensor:
        return torch.tensor([self.low, self.high], dtype=torch.float64)

    @override
    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        return self.quantiles(torch.rand(n, self.dim, generator=generator, dtype=torch.float64))

    @override
    def log_prob(self, theta: Tensor) -> Tensor:
        low, high = self.bounds
        constant = theta.new_full((len(theta),), -float((high - low).log().sum()))
        return constant.masked_fill(~self.inside(theta), -math.inf)

    @override
    def levels(self, theta: Tensor) -> Tensor:
        low, high = self.bounds
        levels: Tensor = ((theta - low) / (high - low)).clamp(0, 1)
        return levels

    @override
    def quantiles(self, levels: Tensor) -> Tensor:
        low, high = self.bounds
        theta: Tensor = low + (high - low) * levels
        return theta


@dataclass(frozen=True)
class _Spread(Prior):
    """Distributions with a mean and a standard deviation per parameter."""

    mean: Numbers
    """Means, one per parameter; of the logarithms for a log-normal distribution."""
    std: Numbers
    """Standard deviations, positive; of the logarithms for a log-normal distribution."""

    def check_settings(self) -> None:
        """Check that standard deviations are positive."""
        _equal(self.mean, self.std, "mean and std")
        if not min(self.std) > 0:
            raise invalid("std must be positive", repr(min(self.std)))


@dataclass(frozen=True)
class Normal(_Spread):
    """Normal distribution with independent parameters."""

    @property
    @override
    def bounds(self) -> Tensor:
        return torch.tensor([[-math.inf], [math.inf]], dtype=torch.float64).expand(2, len(self.mean))

    @override
    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        mean, std = torch.tensor([self.mean, self.std], dtype=torch.float64)
        z = torch.randn(n, self.dim, generator=generator, dtype=torch.float64)
        theta: Tensor = mean + std * z
        return theta

    @override
    def log_prob(self, theta: Tensor) -> Tensor:
        mean, std = torch.tensor([self.mean, self.std], dtype=theta.dtype)
        terms = 0.5 * ((theta - mean) / std).square() + std.log() + 0.5 * math.log(2 * math.pi)
        log_density: Tensor = -terms.sum(1)
        return log_density

    @override
    def levels(self, theta: Tensor) -> Tensor:
        mean, std = torch.tensor([self.mean, self.std], dtype=theta.dtype)
        levels: Tensor = torch.special.ndtr((theta - mean) / std)
        return levels

    @override
    def quantiles(self, levels: Tensor) -> Tensor:
        mean, std = torch.tensor([self.mean, self.std], dtype=levels.dtype)
        theta: Tensor = mean + std * torch.special.ndtri(levels)
        return theta


@dataclass(frozen=True)
class LogNormal(_Spread):
    """Log-normal distribution with independent positive parameters."""

    @property
    @override
    def bounds(self) -> Tensor:
        return torch.tensor([[0.0], [math.inf]], dtype=torch.float64).expand(2, len(self.mean))

    @property
    def _logs(self) -> Normal:
        """Distribution of the logarithms."""
        return Normal(self.mean, self.std)

    @override
    def inside(self, theta: Tensor) -> Tensor:
        return (theta > 0).all(1)

    @override
    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        return self._logs.sample(n, generator=generator).exp()

    @override
    def log_prob(self, theta: Tensor) -> Tensor:
        positive = self.inside(theta)
        logs = torch.where(positive[:, None], theta, 1.0).log()
        density = self._logs.log_prob(logs) - logs.sum(1)
        return density.masked_fill(~positive, -math.inf)

    @override
    def levels(self, theta: Tensor) -> Tensor:
        return self._logs.levels(theta.clamp_min(0).log())

    @override
    def quantiles(self, levels: Tensor) -> Tensor:
        return self._logs.quantiles(levels).exp()


def choose_prior(caller: str, prior: Any) -> Prior:
    """A prior from an object, an id with settings, or a distribution of PyTorch.

    Args:
        caller: Name of the caller, used in error messages.
        prior: A ``Prior``, a table ``{"kind": id, **settings}``, or ``Uniform``, ``Normal`` or ``LogNormal`` of
            ``torch.distributions``, also within ``Independent``.

    Raises:
        InvalidInputError: If it is something else.
    """
    if isinstance(prior, torch.distributions.Distribution):
        return _from_torch(prior)
    prior_object = prior if isinstance(prior, Prior) else member(caller, KIND, prior)
    assert isinstance(prior_object, Prior)
    return prior_object


def optional_prior(caller: str, prior: Any) -> Any:
    """Return None for None, else what :func:`choose_prior` returns."""
    return None if prior is None else choose_prior(caller, prior)


def _from_torch(prior: Any) -> Prior:
    """The prior of this library that equals a distribution of PyTorch."""
    inner = prior.base_dist if isinstance(prior, torch.distributions.Independent) else prior
    kinds = torch.distributions
    if isinstance(inner, kinds.Uniform):
        return Box(inner.low, inner.high)
    if isinstance(inner, kinds.LogNormal):
        return LogNormal(inner.loc, inner.scale)
    if isinstance(inner, kinds.Normal):
        return Normal(inner.loc, inner.scale)
    rule = "prior must be Uniform, Normal or LogNormal, if it is a distribution of PyTorch"
    raise invalid(rule, type(inner).__name__, "Pass prior=None to fit without a density of the prior.")
