"""The density of rho0 in the units of a bridge's network."""

import warnings
from typing import Any

import torch
from torch import Tensor

from interpolants.fields.preconditioned import Preconditioned
from interpolants.framework.frames import Frame

# Noise at t = 1, in standardised units, below which the denoised state determines nothing else.
_LITTLE_NOISE = 1e-2


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


def warn_of_lone_denoised(bridge: Any) -> None:
    """Say so where the velocity divides a network's error by a noise that vanishes at t = 1."""
    path = bridge.fitted_path
    if (
        not path.is_one_sided
        or tuple(bridge.heads) != ("denoised",)
        or isinstance(bridge.network, Preconditioned)
    ):
        return
    if float(path.noise_scale(torch.ones((), dtype=torch.float64)).max()) > _LITTLE_NOISE:
        return
    told = (
        "Bridge.log_prob: the velocity follows from heads='denoised' alone, whose error it divides by the noise that "
        "vanishes at t=1; the log densities can be wrong by thousands of nats. Fit with precondition=True, or "
        "heads=['denoised', 'noise']."
    )
    warnings.warn(told, stacklevel=4)
