"""Training of a Gaussian field by the residual of its samples, and of a posterior of parameters by its draws."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from interpolants.pde.evolution import Jet
from interpolants.sciml.pinn.low_rank import entropy, log_density
from interpolants.sciml.pinn.pde.family import PDEFamily, to_unit
from interpolants.sciml.pinn.taylor import Bundle, Orders, of_function, product

# Share of the cases whose sensors stand in clusters, and the clusters of each.
_CLUSTERED, _CLUSTERS, _CLUSTER_WIDTH = 0.5, 3, 0.25


@dataclass(frozen=True)
class FamilyField:
    """The field ``u = boundary + distance v`` of a family, with v given by a network.

    Attributes:
        family: The family.
        orders: Derivatives that its residual reads.
    """

    family: PDEFamily
    orders: Orders

    def parameters(self, z: Tensor, w: Tensor) -> Tensor:
        """Both in units of [-1, 1], ``(N, Z + W)``."""
        return torch.cat([self.unit_unknown(z), self.unit_known(w)], 1)

    def unit_unknown(self, z: Tensor) -> Tensor:
        """Z in units of [-1, 1]."""
        return to_unit(z, list(self.family.unknown.values()))

    def unit_known(self, w: Tensor) -> Tensor:
        """W in units of [-1, 1]."""
        return to_unit(w, list(self.family.known.values()))

    def moments(self, net: Any, points: Tensor, z: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of u at points ``(N, d)``, ``(N,)`` each."""
        mean, std, factor = net(points, self.parameters(z, w))
        distance = self.family.distance_at(points)[:, 0]
        centre = self.family.boundary_at(points, w)[:, 0] + distance * mean
        return centre, distance * (std.square() + factor.square().sum(1)).sqrt()

    def draw(self, net: Any, points: Tensor, z: Tensor, w: Tensor, source: Generator) -> Tensor:
        """One draw of u at points ``(B, N, d)`` of B cases, ``(B, N)``."""
        flat, (z, w), (white, common) = _flat(points), _each(points, z, w), _noise(net, points, source)
        mean, std, factor = net(flat, self.parameters(z, w))
        v = mean + std * white[:, 0] + (factor * common).sum(1)
        u = self.family.boundary_at(flat, w)[:, 0] + self.family.distance_at(flat)[:, 0] * v
        drawn: Tensor = u.reshape(points.shape[:2])
        return drawn

    def residual(self, v: Bundle, points: Tensor, z: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """The values u and the residual of v, given with its Taylor coefficients, ``(N, 1)`` each."""
        distance = of_function(self.family.distance_at, points, self.orders)
        boundary = of_function(lambda at: self.family.boundary_at(at, w), points, self.orders)
        u = [a + b for a, b in zip(boundary, product(distance, v, self.orders), strict=True)]
        return u[0], self.family.residual_at(points, Jet(self.orders.derivatives(u)), z, w)

    def residual_of_mean(self, net: Any, points: Tensor, z: Tensor, w: Tensor) -> Tensor:
        """The residual of the mean, ``(N, 1)``."""
        mean, _, _ = net.bundles(points, self.parameters(z, w), self.orders)
        return self.residual(mean, points, z, w)[1]


@dataclass(frozen=True)
class FamilyBatches:
    """Parameters of the cases of a step, and points of each.

    Attributes:
        family: The family.
        cases: Cases B.
        least: Fewest points of a case.
        most: Most points.
        grid: The same points ``(N, d)`` for all cases and steps; None to draw them.
        clustered: Whether some cases have their points in clusters.
    """

    family: PDEFamily
    cases: int
    least: int
    most: int
    grid: Tensor | None = None
    clustered: bool = False

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> dict[str, Tensor]:
        """A function of the generator alone."""
        z, w = self.family.draw(self.cases, generator)
        n = int(torch.randint(self.least, self.most + 1, (), generator=generator))
        points = self._points(n, generator) if self.grid is None else self.grid.expand(self.cases, -1, -1)
        return {"z": z.float(), "w": w.float(), "points": points.float()}

    def _points(self, n: int, source: Generator) -> Tensor:
        uniform = self.family.points(self.cases * n, source).reshape(self.cases, n, -1)
        if not self.clustered:
            return uniform
        centres = self.family.points(self.cases * _CLUSTERS, source).reshape(self.cases, _CLUSTERS, -1)
        own = torch.randint(_CLUSTERS, (self.cases, n), generator=source)
        low, high = (torch.tensor([side[i] for side in self.family.box.values()]).double() for i in (0, 1))
        spread = _CLUSTER_WIDTH * (high - low) / 2
        near = centres[torch.arange(self.cases)[:, None], own] + spread * torch.randn(
            uniform.shape, generator=source, dtype=torch.float64
        )
        inside = ((near > low) & (near < high)).all(-1, keepdim=True)
        chosen = (torch.rand(self.cases, 1, 1, generator=source, dtype=torch.float64) < _CLUSTERED) & inside
        return torch.where(chosen, near, uniform)


@dataclass(frozen=True)
class FieldLoss:
    """Minus the bound ``E[log p(r = 0 | u) + log p(z | u)] + entropy`` of a case, times ``eps^2 / N``.

    So it is the mean squared residual over 2, less ``eps^2`` times the entropy per point. Residuals are those of
    samples, with their noise held fixed under differentiation in x.

    Attributes:
        field: The field of the family.
        eps: Tolerance of the residual at the first and at the last step; geometric between them.
        steps: Steps of the training.
        joint: Whether the posterior of the parameters is part of the bound.
    """

    field: FamilyField
    eps: tuple[float, float]
    steps: int
    joint: bool

    def __call__(
        self, nets: nn.Module, batch: Mapping[str, Tensor], generator: Generator, step: int
    ) -> dict[str, Tensor]:
        """Losses per case."""
        points = batch["points"]
        flat, (z, w) = _flat(points), _each(points, batch["z"], batch["w"])
        net: Any = nets.field
        mean, std, factor = net.bundles(flat, self.field.parameters(z, w), self.field.orders)
        white, common = _noise(net, points, generator)
        v = [
            m + s * white + (c * common).sum(1, keepdim=True)
            for m, s, c in zip(mean, std, factor, strict=True)
        ]
        u, residual = self.field.residual(v, flat, z, w)
        shape = points.shape[:2]
        square = self.tolerance(step) ** 2
        spread = entropy(std[0].reshape(shape), factor[0].reshape(*shape, -1))
        losses = {
            "residual": residual.reshape(shape).square().mean(1) / 2,
            "spread": -square * spread / shape[1],
        }
        if self.joint:
            known = self.field.unit_known(batch["w"])
            found = posterior(nets.posterior, self.field, points, u.reshape(shape), known, batch["z"])
            losses["recovery"] = -square * found / shape[1]
        return losses

    def tolerance(self, step: int) -> float:
        """Eps at a step."""
        first, last = self.eps
        tolerance: float = first * (last / first) ** min(1.0, step / self.steps)
        return tolerance


@dataclass(frozen=True)
class PosteriorLoss:
    """Minus the log density of parameters given draws of their field with noise.

    Attributes:
        field: The field of the family.
        net: Its network, trained.
        noise: Standard deviation of the noise in the values.
    """

    field: FamilyField
    net: nn.Module
    noise: float

    def __call__(
        self, nets: nn.Module, batch: Mapping[str, Tensor], generator: Generator
    ) -> dict[str, Tensor]:
        """Loss per case."""
        points, z, w = batch["points"], batch["z"], batch["w"]
        with torch.no_grad():
            u = self.field.draw(self.net, points, z, w, generator)
            u = u + self.noise * torch.randn(u.shape, generator=generator, dtype=u.dtype)
        found = posterior(nets, self.field, points, u, self.field.unit_known(w), z)
        return {"recovery": -found}


def posterior(net: Any, field: FamilyField, points: Tensor, u: Tensor, known: Tensor, z: Tensor) -> Tensor:
    """Log density of the parameters given values at points, ``(B,)``, in units of [-1, 1]."""
    where = to_unit(points, list(field.family.box.values()))
    mean, std, factor = net(where, u, known)
    return log_density(field.unit_unknown(z) - mean, std, factor)


def fixed_grid(family: PDEFamily, n: int) -> Tensor:
    """Regular points inside of the box, at least n, ``(N, d)``."""
    side = math.ceil(n ** (1 / len(family.box)) - 1e-9)
    lines = [
        low + (high - low) * (torch.arange(side).double() + 0.5) / side for low, high in family.box.values()
    ]
    return torch.cartesian_prod(*lines).reshape(-1, len(lines))


def _flat(points: Tensor) -> Tensor:
    return points.reshape(-1, points.shape[-1])


def _each(points: Tensor, z: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Parameters of every point."""
    n = points.shape[1]
    return z.repeat_interleave(n, 0), w.repeat_interleave(n, 0)


def _noise(net: Any, points: Tensor, source: Generator) -> tuple[Tensor, Tensor]:
    """Noise of every point, and of every case along the factors."""
    cases, n = points.shape[:2]
    white = torch.randn(cases * n, 1, generator=source, dtype=points.dtype)
    common = torch.randn(cases, net.rank, generator=source, dtype=points.dtype)
    return white, common.repeat_interleave(n, 0)
