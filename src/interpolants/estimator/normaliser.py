"""One affine map for both ends of a bridge: units that networks like, and one noise level for all features."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Normaliser:
    """``x -> (x - shift) / scale``; the same map at both ends, so that the geometry between them stays.

    Attributes:
        shift: Number or tensor that broadcasts against the event, in data units.
        scale: Likewise, positive.
    """

    shift: Tensor
    scale: Tensor

    @classmethod
    def identity(cls) -> "Normaliser":
        """Leaves everything as it is."""
        return cls(torch.zeros(()), torch.ones(()))

    @classmethod
    def of(cls, *sets: Tensor) -> "Normaliser":
        """Pooled mean and standard deviation of some sets ``(N, *D)``.

        Vectors get one pair per feature (columns of a table differ in units); images one pair in all (pixels do not).
        A feature that does not vary keeps its scale.
        """
        pooled = torch.cat([x.double() for x in sets])
        if pooled.ndim > 2:
            shift, scale = pooled.mean(), pooled.std()
        else:
            shift, scale = pooled.mean(0), pooled.std(0)
        flat = scale < 1e-6 * torch.maximum(shift.abs(), torch.ones_like(shift))
        scale = torch.where(flat, torch.ones_like(scale), scale)
        return cls(shift.float(), scale.float())

    def encode(self, x: Tensor) -> Tensor:
        """Data units to the network's."""
        return (x - self.shift.to(x)) / self.scale.to(x)

    def decode(self, x: Tensor) -> Tensor:
        """The network's units to data units."""
        return x * self.scale.to(x) + self.shift.to(x)

    def log_volume(self, event_shape: tuple[int, ...]) -> float:
        """``log |d encode / dx|`` in nats: what a log density gains by going to the network's units, negated."""
        scale = self.scale.double()
        repeats = math.prod(event_shape) / max(scale.numel(), 1)
        return float(-scale.log().sum() * repeats)


class InNetworkUnits:
    """A density given in data units, as a density in the network's units.

    Args:
        law: Has ``log_prob``, ``(B, *D)`` -> ``(B,)`` in nats, of data.
        normaliser: From data to the network.
        shape: Event shape.
    """

    def __init__(self, law: Any, normaliser: Normaliser, shape: tuple[int, ...]) -> None:
        self.law, self.normaliser = law, normaliser
        self.volume = normaliser.log_volume(shape)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of states in the network's units, ``(B,)``."""
        value = torch.as_tensor(self.law.log_prob(self.normaliser.decode(x)))
        value = value.reshape(x.shape[0], -1).sum(1) if value.ndim > 1 else value
        return value.to(x) - self.volume
