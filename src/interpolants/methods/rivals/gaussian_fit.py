"""A Gaussian with the mean and covariance of the data: what costs nothing to learn."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.kinds import Count, NonNegative
from interpolants.foundations.randomness import BLOCK, BlockNoise, by_block
from interpolants.foundations.shrinkage import LEAST_VARIANCE, shrunk_correlation
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run


class GaussianFit(Method):
    """Samples and densities of ``N(mean, covariance)`` of the rows of x1.

    The correlation of the columns is shrunk towards the identity, in the columns' own units: by as much as makes rows
    likeliest that are left out of it. A constant column gets the spread of an average one, shrunk like all others.
    """

    noun: ClassVar[str] = "Gaussian fit"

    ridge: NonNegative | None = None
    """Added to the variance of each column instead, as a share of it; None for the choice by rows."""

    def roles(self) -> tuple[Role, ...]:
        """Samples."""
        return (Role(name="x1", axis="x1"),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Two moments."""
        x = data["x1"].flatten(1).double()
        if len(x) < 2:
            raise invalid("GaussianFit.fit", "x1 must have at least two rows, for a covariance", len(x))
        mean, spread = x.mean(0), x.std(0)
        spread = torch.where(spread > 0, spread, spread.square().mean().sqrt().clamp_min(1e-150))
        z = (x - mean) / spread
        return {"mean": mean, "covariance": spread[:, None] * self._correlation(z) * spread}

    def _correlation(self, z: Tensor) -> Tensor:
        if self.ridge is None:
            values, vectors = shrunk_correlation(z)
            return (vectors * values) @ vectors.T
        ridge = self.ridge * torch.eye(z.shape[1], dtype=z.dtype)
        return z.T @ z / max(len(z) - 1, 1) + ridge + torch.diag((z == 0).all(0).to(z.dtype) * LEAST_VARIANCE)

    def _gaussian(self) -> Gaussian:
        return Gaussian(mean=self.state["mean"], covariance=self.state["covariance"])

    @capability(like="x1")
    def sample(self, n: Count, *, seed: int = 0, first_index: int = 0) -> Any:
        """Draws ``(n, *D)``; draw i belongs to (seed, i)."""
        width = len(self.state["mean"])

        def draw(source: torch.Generator) -> Tensor:
            return torch.randn(BLOCK, width, dtype=torch.float64, generator=source)

        noise = by_block(draw, seed, ("gaussian fit",), first=first_index, count=n)
        return self._gaussian().color(noise).reshape(n, *self.shapes["x1"])

    @capability(reads={"x": "x1"}, like="x")
    def log_prob(self, x: Tensor) -> Tensor:
        """Log densities ``(B,)`` in nats."""
        return self._gaussian().log_prob(x.flatten(1).double())

    @capability(reads={"x": Role(name="x", like="x1", gaps=True)}, like="x")
    def complete(self, x: Tensor, *, seed: int = 0, first_index: int = 0) -> Tensor:
        """Draw the entries of rows that are NaN from their conditional Gaussian given the others.

        Args:
            x: Rows ``(n, *D)``, NaN for entries to fill in.
            seed: Seed of the draws.
            first_index: Index of the first row in a larger job.
        """
        mean, covariance, rows = self.state["mean"], self.state["covariance"], x.flatten(1).double()
        noise = BlockNoise.like(rows, seed, "gaussian completion", first=first_index).normal()
        filled = rows.clone()
        for row, z in zip(filled, noise, strict=True):  # one by one: a row has the same bits in every batch
            k = ~row.isnan()
            gain = torch.linalg.solve(covariance[k][:, k], covariance[k][:, ~k]).T
            residual = covariance[~k][:, ~k] - gain @ covariance[k][:, ~k]
            row[~k] = (
                mean[~k]
                + gain @ (row[k] - mean[k])
                + torch.linalg.cholesky((residual + residual.T) / 2) @ z[~k]
            )
        return filled.reshape(x.shape).to(x)
