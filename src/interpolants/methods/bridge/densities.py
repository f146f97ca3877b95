"""The density of rho0 in the units of a bridge's network."""

from typing import Any

import torch
from torch import Tensor

from interpolants.framework.frames import Frame


class FramedDensity:
    """A density given in data units, as one in the units of a frame.

    Args:
        density: Has ``log_prob``, ``(B, *D)`` -> ``(B,)`` in nats, of data.
        frame: From data to the network.
    """

    def __init__(self, density: Any, frame: Frame) -> None:
        self.density, self.frame = density, frame

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of states in the network's units, ``(B,)``."""
        rows = self.frame.decode(x)
        value = torch.as_tensor(self.density.log_prob(rows))
        value = value.reshape(x.shape[0], -1).sum(1) if value.ndim > 1 else value
        return value.to(x) - self.frame.log_volume(rows)
