"""The density of rho0 in the units of a bridge's network."""

from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
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
        """Log density of states in the network's units, ``(B,)``.

        Raises:
            InvalidInputError: If the density returns neither one value per row nor one per entry of the rows.
        """
        rows = self.frame.decode(x)
        value = torch.as_tensor(self.density.log_prob(rows))
        if value.ndim > 1:  # independent entries, such as those of torch's Normal
            if value.shape not in (rows.shape, (len(rows), 1)):
                rule = f"log_prob must return one value per row, ({len(rows)},)"
                raise invalid(
                    "density", rule, f"shape {tuple(value.shape)}", "Sum or mix the components first."
                )
            value = value.flatten(1).sum(1)
        return value.to(x) - self.frame.log_volume(rows)
