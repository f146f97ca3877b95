"""Baselines for posteriors: the nearest simulations, and linear regression with Gaussian residuals."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from interpolants.foundations.asked import invalid
from interpolants.foundations.kinds import Count
from interpolants.foundations.randomness import BlockNoise
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run


def simulation_roles() -> tuple[Role, Role]:
    """Roles of parameters and simulations."""
    x = Role(name="x", kind="condition", about="simulations of these parameters (N, C)")
    return Role(name="theta", about="parameters (N, D)"), x


class _OfSimulations(Method):
    """Baselines with simulations in standard units."""

    learns_rows: ClassVar[bool] = False

    @override
    def roles(self) -> tuple[Role, ...]:
        return simulation_roles()

    def _columns(self, data: dict[str, Any]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Parameters, simulations in standard units, and these units; float64."""
        theta, x = data["theta"].flatten(1).double(), data["x"].flatten(1).double()
        units = {"mean": x.mean(0), "std": x.std(0).clamp_min(1e-300)}
        return theta, (x - units["mean"]) / units["std"], units

    def _standard(self, x: Tensor | None) -> Tensor:
        """Observations in the units of the fit."""
        assert x is not None
        at: Tensor = (x.double().flatten(1) - self.state["mean"]) / self.state["std"]
        return at


class NearestSimulations(_OfSimulations):
    """Rejection ABC: the parameters of the simulations that are nearest to the observation.

    Distances are in standard deviations per column of x. Draws are the accepted parameters, drawn with replacement.

    Source: Beaumont, Zhang & Balding (2002), Genetics 162, 2025-2035.
    """

    accepted: Count = 100
    """Number of simulations that are accepted for each observation."""

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Keep all simulations in standard units."""
        theta, x, units = self._columns(data)
        if len(x) < self.accepted:
            raise invalid("accepted must be at most the number of simulations", len(x))
        return {"theta": theta, "x": x, **units}

    @capability(like="theta")
    def sample(self, /, n: Count, *, x: Tensor | None = None, seed: int = 0, first_index: int = 0) -> Any:
        """Draw parameters of accepted simulations, ``(n, D)``.

        Args:
            n: Number of draws.
            x: One observation for all draws, or one per draw.
            seed: Seed of the draws.
            first_index: Index of the first draw within a larger job.
        """
        state = self.state
        different, index = torch.unique(self._standard(x), dim=0, return_inverse=True)
        neighbours = (
            torch.cdist(different, state["x"]).topk(self.accepted, largest=False, sorted=True).indices
        )
        noise = BlockNoise.like(torch.zeros(n, 1, dtype=torch.float64), seed, "accepted", first=first_index)
        picks = (noise.uniform()[:, 0] * self.accepted).long().clamp_max(self.accepted - 1)
        theta: Tensor = state["theta"][neighbours[index, picks]]
        return theta.to(self.given["theta"].torch_dtype)


class LinearPosterior(_OfSimulations):
    """Linear regression of theta on x, with the covariance of its residuals: ``N(a + x W, S)``.

    It is the posterior if parameters and simulations are jointly Gaussian.
    """

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Least squares in float64, and the Cholesky factor of the residuals' covariance."""
        theta, x, units = self._columns(data)
        design = torch.cat([torch.ones(len(x), 1, dtype=torch.float64), x], 1)
        gram = design.T @ design + 1e-12 * len(x) * torch.eye(design.shape[1], dtype=torch.float64)
        weights = torch.linalg.solve(gram, design.T @ theta)
        cov = torch.cov((theta - design @ weights).T).reshape(theta.shape[1], -1)
        ridge = 1e-12 * cov.diagonal().mean().clamp_min(1e-300) * torch.eye(len(cov), dtype=torch.float64)
        return {"weights": weights, "root": torch.linalg.cholesky(cov + ridge), **units}

    @capability(like="theta")
    def sample(self, /, n: Count, *, x: Tensor | None = None, seed: int = 0, first_index: int = 0) -> Any:
        """Draw parameters from the Gaussian, ``(n, D)``.

        Args:
            n: Number of draws.
            x: One observation for all draws, or one per draw.
            seed: Seed of the draws.
            first_index: Index of the first draw within a larger job.
        """
        weights = self.state["weights"]
        mean = weights[0] + self._standard(x) @ weights[1:]
        z = BlockNoise.like(mean, seed, "linear posterior", first=first_index).normal()
        theta: Tensor = (mean + z @ self.state["root"].T).to(self.given["theta"].torch_dtype)
        return theta
