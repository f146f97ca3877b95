"""Rivals for series from their last values: linear autoregression, and the most similar past."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.foundations.kinds import Count, Positive
from interpolants.framework.stages import Run
from interpolants.methods.parts.delays import Delayed, delay_vectors


class Autoregression(Delayed):
    """Each next value is a linear function of the last ``lags`` values of all columns, by ridge regression.

    Raises:
        InvalidInputError: If a setting is out of range, or a series has gaps.
    """

    lags = 30
    ridge: Positive = 1e-6
    """Weight of the penalty per row, in standardised units."""

    def taught(self, many: Sequence[Tensor], lags: int, run: Run, stage: str) -> dict[str, Any]:
        """The weights ``(L C + 1, C)``."""
        x, y = delay_vectors(many, lags)
        x = _with_one(x)
        penalty = self.ridge * len(x) * torch.eye(x.shape[1], dtype=x.dtype)
        weights = torch.linalg.solve(x.T @ x + penalty, x.T @ y[:, 0])
        return {"weights": weights.contiguous()}  # as it is read back, to the last bit

    def told(self, taught: dict[str, Any], known: Tensor, source: Generator) -> Tensor:
        """One value."""
        found: Tensor = (_with_one(known) @ taught["weights"])[:, None]
        return found


class Analogue(Delayed):
    """What followed the most similar ``lags`` values of the past, value by value (Lorenz's method of analogues).

    Raises:
        InvalidInputError: If a setting is out of range, or a series has gaps.

    Source: Lorenz (1969), Journal of the Atmospheric Sciences 26, 636-646.
    """

    lags = 10
    neighbours: Count = 1
    """Similar pasts whose next values are averaged."""

    def taught(self, many: Sequence[Tensor], lags: int, run: Run, stage: str) -> dict[str, Any]:
        """The past itself."""
        x, y = delay_vectors(many, lags)
        return {"past": x.flatten(1).contiguous(), "next": y[:, 0].contiguous()}

    def told(self, taught: dict[str, Any], known: Tensor, source: Generator) -> Tensor:
        """One value."""
        apart = torch.cdist(known.flatten(1), taught["past"], compute_mode="donot_use_mm_for_euclid_dist")
        near = apart.topk(min(self.neighbours, apart.shape[1]), largest=False).indices
        found: Tensor = taught["next"][near].mean(1, keepdim=True)
        return found


def _with_one(x: Tensor) -> Tensor:
    """Delay vectors ``(N, L, C)`` as rows with a last column of ones."""
    return torch.cat([x.flatten(1), x.new_ones(len(x), 1)], 1)
