"""Base distributions: the distribution of x0 on a one-sided path."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from interpolants.foundations.errors import invalid


class BaseDistribution(ABC):
    """A distribution of ``x0 = color(z)`` with a noise z that knows nothing of x1.

    Velocity, endpoints and the mean noise ``E[z|x_t]`` follow from each other whatever the distribution. The score
    does not: it is the mean of ``score(x0) / alpha`` given x_t, which is a multiple of the mean noise (Tweedie's
    formula) for a Gaussian distribution alone. What relies on that asks :attr:`is_gaussian`.
    """

    is_gaussian: ClassVar[bool] = False
    # Moments of an order below this exist.
    moments: float = math.inf

    @property
    @abstractmethod
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""

    @abstractmethod
    def noise(
        self,
        shape: Sequence[int],
        *,
        generator: Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw z, ``(B, *D)``."""

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """Log density in nats; ``(B, *D)`` -> ``(B,)``."""

    @abstractmethod
    def score(self, x: Tensor) -> Tensor:
        """Gradient of the log density, in 1/data; ``(B, *D)`` -> ``(B, *D)``."""

    @property
    def title(self) -> str:
        """Name of the distribution."""
        return type(self).__name__

    @property
    def is_standard(self) -> bool:
        """Whether x0 and z are the same."""
        return True

    @property
    def is_centred(self) -> bool:
        """Whether x0 is a linear function of z."""
        return True

    @property
    def shared_scale(self) -> float | None:
        """The number by which every entry of z is multiplied in x0; None where they differ or mix."""
        return 1.0

    def color(self, z: Tensor) -> Tensor:
        """Noise to a sample of this distribution; ``(B, *D)`` -> ``(B, *D)``."""
        return z

    def whiten(self, x: Tensor) -> Tensor:
        """The noise of a sample, the inverse of :meth:`color`."""
        return x

    def score_at(self, z: Tensor) -> Tensor:
        """The score at ``color(z)``; ``(B, *D)`` -> ``(B, *D)``."""
        return self.score(self.color(z))

    def steepness(self, size: int) -> float:
        """The largest slope of the score over events of ``size`` entries, in 1/data squared.

        It limits the steps of an SDE near the data; 1, as for a standard normal distribution, where nothing else is
        known.
        """
        return 1.0

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw n samples, ``(n, *event_shape)``."""
        return self.color(self.noise((n, *self.event_shape), generator=generator))

    def describe(self) -> dict[str, Any]:
        """The JSON-able ``{"kind": id, **settings}`` that makes an equal distribution.

        Raises:
            InvalidInputError: If the distribution is user-defined, which a file cannot store.
        """
        remedy = "Files hold names and numbers, no code: pass the object again when you load."
        raise invalid(
            "describe", "only distributions with a card can be written to a file", type(self).__name__, remedy
        )
