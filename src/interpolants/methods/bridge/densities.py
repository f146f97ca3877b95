"""The density of rho0 in the units of a bridge's network."""

from typing import Any

import torch
from torch import Tensor

from interpolants.fields.error_growth import growing_errors
from interpolants.fields.preconditioned import Preconditioned
from interpolants.foundations.tell import SettingWarning, tell
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


def warn_of_errors_at_data(bridge: Any, verb: str, harm: str) -> None:
    """Warn where the velocity divides a network's error by a noise that vanishes at t = 1.

    The ODE from the base ends in the learnt denoiser and is right all the same.

    Args:
        bridge: A fitted bridge.
        verb: Its capability.
        harm: What can be wrong, and by how much.
    """
    path, heads = bridge.fitted_path, tuple(bridge.heads)
    if not path.is_one_sided or isinstance(bridge.network, Preconditioned):
        return
    grows = any(1 in ends for ends in growing_errors(path, heads, "velocity").values())
    if not grows and heads != ("denoised",):
        return
    if float(path.noise_scale(torch.ones((), dtype=torch.float64)).max()) > _LITTLE_NOISE:
        return
    told = (
        f"Bridge.{verb}: the velocity follows from heads={list(heads)}, whose error it divides by the noise that "
        f"vanishes at t=1; {harm}. Fit with precondition=True, or heads=['denoised', 'noise']."
    )
    tell(SettingWarning, told)
