"""Forecasting loss: learns the drift of a process that starts from one known point."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.foundations.ops import expand_like
from interpolants.objectives.losses import Objective
from interpolants.paths.path import PathSample


@dataclass(frozen=True)
class PointSourceLoss(Objective):
    """Learns ``u = E[dI/dt - gamma / (1 - t) z | x_t, x0]``, the forward drift of a process that starts at x0.

    The field is called with a condition that tells x0 (``fields.start_at``), and what it learns is the ``drift`` of
    ``fields.PointSourceFields``. For ``gamma^2 = 2 a t (1 - t)`` the target is ``dI/dt - sqrt(2 a t / (1 - t)) z``. It
    is finite at t = 0; near t = 1 the gradient of the loss is of finite variance for pairs ``I ± gamma z``, then taken.

    Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797; Chen et al. (2024), arXiv:2403.13724.
    """

    predicts: ClassVar[str] = "forward_drift"
    needs_latent: ClassVar[bool] = True

    @property
    def is_singular(self) -> bool:
        """Whether ``gamma / (1 - t)`` is infinite at t = 1."""
        near = torch.tensor(1 - 1e-6, dtype=torch.float64)
        return float(self.path.envelope.gamma(near)) / 1e-6 > 100

    def target(self, sample: PathSample) -> Tensor:
        """The rate of I and the pull of the bridge."""
        pull = self.path.envelope.gamma(sample.t) / (1 - sample.t)
        return sample.i_dot - expand_like(pull, sample.z).to(sample.z) * sample.z
