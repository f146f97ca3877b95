"""A Gaussian with the mean and covariance of the data: what costs nothing to learn."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from interpolants.foundations.checks import whole
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import BLOCK, by_block
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.roles import Role
from interpolants.framework.stages import Run


class GaussianFit(Method):
    """Samples and densities of ``N(mean, covariance)`` of the rows of x1; a small ridge keeps constant columns finite.

    Args:
        ridge: Added to the diagonal of the covariance, as a share of its mean.
    """

    noun: ClassVar[str] = "Gaussian fit"

    ridge: float = 1e-3

    def roles(self) -> tuple[Role, ...]:
        """Samples."""
        return (Role(name="x1", axis="x1"),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Two moments."""
        x = data["x1"].flatten(1).double()
        covariance = torch.cov(x.T).reshape(x.shape[1], x.shape[1])
        ridge = self.ridge * float(covariance.diagonal().mean()) + 1e-300
        return {"mean": x.mean(0), "covariance": covariance + ridge * torch.eye(x.shape[1], dtype=x.dtype)}

    def _gaussian(self) -> Gaussian:
        return Gaussian(mean=self.state["mean"], covariance=self.state["covariance"])

    @capability(like="x1")
    def sample(self, n: int, *, seed: int = 0, first_index: int = 0) -> Tensor:
        """Draws ``(n, *D)``; draw i belongs to (seed, i)."""
        whole("GaussianFit.sample", "n", n, at_least=1)
        width = len(self.state["mean"])

        def draw(source: torch.Generator) -> Tensor:
            return torch.randn(BLOCK, width, dtype=torch.float64, generator=source)

        noise = by_block(draw, seed, ("gaussian fit",), first=first_index, count=n)
        return self._gaussian().color(noise).reshape(n, *self.shapes["x1"])

    @capability(reads={"x": "x1"}, like="x")
    def log_prob(self, x: Tensor) -> Tensor:
        """Log densities ``(B,)`` in nats."""
        return self._gaussian().log_prob(x.flatten(1).double())
