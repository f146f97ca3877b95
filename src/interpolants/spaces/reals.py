"""Flat space."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor
from typing_extensions import override

from interpolants.foundations.checked import Checked
from interpolants.spaces.space import Space


@dataclass(frozen=True)
class Reals(Checked, Space):
    """``R^n``: straight lines, and a standard normal base."""

    n: Annotated[int, Ge(1)] = 1
    """Dimension."""

    @override
    @property
    def dim(self) -> int:
        return self.n

    @override
    @property
    def size(self) -> int:
        return self.n

    @override
    @property
    def injectivity_radius(self) -> float:
        return math.inf

    @override
    @property
    def rms_distance(self) -> float:
        return math.sqrt(2 * self.n)

    @override
    def project(self, x: Tensor) -> Tensor:
        return x

    @override
    def tangent(self, x: Tensor, v: Tensor) -> Tensor:
        return v

    @override
    def geodesic(self, x: Tensor, v: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor]:
        return x + t * v, v

    @override
    def log(self, x: Tensor, y: Tensor) -> Tensor:
        return y - x

    @override
    def norm(self, v: Tensor) -> Tensor:
        length: Tensor = torch.linalg.vector_norm(v, dim=-1)
        return length

    @override
    def carry(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        return v

    @override
    def base(self, z: Tensor) -> Tensor:
        return z

    @override
    def base_log_prob(self, x: Tensor) -> Tensor:
        return -0.5 * x.square().sum(-1) - 0.5 * self.n * math.log(2 * math.pi)

    @override
    def log_contraction(self, x: Tensor, x1: Tensor, t: Tensor) -> Tensor:
        return -self.n * torch.log1p(-t) + torch.zeros_like((x + x1)[..., 0])

    @override
    @property
    def spectral_gap(self) -> float:
        return 1.0

    @override
    def diffuse(self, x: Tensor, z: Tensor, tau: Tensor) -> Tensor:
        time = tau[..., None]
        return torch.exp(-time) * x + (-torch.expm1(-2 * time)).sqrt() * z

    @override
    def diffused(self, x: Tensor, x1: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
        time = tau[..., None]
        variance, error = -torch.expm1(-2 * time), x - torch.exp(-time) * x1
        ratio = 0.5 * (x.square() - error.square() / variance - variance.log())
        return ratio.sum(-1), x - error / variance
