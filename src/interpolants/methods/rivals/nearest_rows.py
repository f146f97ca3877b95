"""Nearest rows: gaps of a row are copied from one of the training rows that are nearest in the known entries."""

from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count
from interpolants.foundations.randomness import BlockNoise
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run


class NearestRows(Method):
    """Draws of hidden entries from the ``k`` training rows nearest in the known entries, each with chance ``1 / k``.

    The distance is Euclidean, with each column in units of its standard deviation. Without known entries all training
    rows are as near.

    Source: hot-deck imputation, Andridge & Little (2010), International Statistical Review 78, 40-64.
    """

    k: Count = 5
    """Number of rows that a draw is made from."""

    def roles(self) -> tuple[Role, ...]:
        """Return the role of the rows."""
        return (Role(name="x1", axis="x1"),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Store the rows and the standard deviation of each column."""
        x = data["x1"].double()
        if len(x) < self.k:
            raise invalid(
                "NearestRows.fit", f"x1 must have at least k={self.k} rows", len(x), "Use a smaller k."
            )
        std = x.flatten(1).std(0, correction=0)
        return {"x": x, "std": torch.where(std > 0, std, 1.0)}

    @capability(reads={"x": Role(name="x", like="x1", gaps=True)}, like="x")
    def complete(self, x: Tensor, *, seed: int = 0, first_index: int = 0) -> Tensor:
        """Fill in the entries of rows that are NaN.

        Args:
            x: Rows ``(n, *D)``, NaN for entries to fill in.
            seed: Seed of the draws.
            first_index: Index of the first row in a larger job.
        """
        rows, std = self.state["x"].flatten(1), self.state["std"]
        draws = BlockNoise.like(
            x[:, :1].flatten(1).double(), seed, "nearest rows", first=first_index
        ).uniform()[:, 0]
        filled = x.double().flatten(1).clone()
        for row, u in zip(filled, draws.tolist(), strict=True):
            mask = ~row.isnan()
            distance = ((rows[:, mask] - row[mask]) / std[mask]).square().sum(1)
            k = self.k if bool(mask.any()) else len(rows)
            nearest = distance.sort(stable=True).indices[:k]
            row[~mask] = rows[nearest[int(u * k)], ~mask]
        return filled.reshape(x.shape).to(x)
