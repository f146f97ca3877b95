"""Densities of rho0 in the units of a bridge's network, and the leg that learns one."""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from interpolants.framework.frames import Standard

if TYPE_CHECKING:
    from interpolants.methods.bridge.bridge import Bridge


class FramedDensity:
    """A density given in data units, as one in the units of a frame.

    Args:
        density: Has ``log_prob``, ``(B, *D)`` -> ``(B,)`` in nats, of data.
        frame: From data to the network.
    """

    def __init__(self, density: Any, frame: Standard) -> None:
        self.density, self.frame = density, frame

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of states in the network's units, ``(B,)``."""
        value = torch.as_tensor(self.density.log_prob(self.frame.decode(x)))
        value = value.reshape(x.shape[0], -1).sum(1) if value.ndim > 1 else value
        return value.to(x) - self.frame.log_volume(x)


def train_leg(bridge: "Bridge", settings: Mapping[str, Any], progress: bool) -> "Bridge":
    """A Gaussian -> rho0 bridge, learnt from the rows of x0 that a bridge keeps.

    Args:
        bridge: A fitted bridge between two sample sets.
        settings: Settings that differ from its own.
        progress: Show a progress bar.

    Warns:
        UserWarning: Always, since its error adds to the log densities.
    """
    rows = bridge.state["pool0"].x
    warnings.warn(
        "Bridge.log_prob: rho0 was given by samples and has no density, so a Gaussian -> rho0 bridge is trained on "
        f"{len(rows)} of them first; its error adds to log_prob. Pass leg=... to bring or tune your own.",
        stacklevel=6,
    )
    with torch.enable_grad():
        template: Bridge = bridge.leg_template({"seed": bridge.seed + 1, **settings})
        return template.fit(x1=bridge.frame.decode(rows), progress=progress)
