"""A Gaussian plume that drifts and spreads: fields on random meshes with an exact solution, and sentences about them.

Letters: N plumes, M points, T times, D diffusivity; a plume is ``(x, y, v_x, v_y, s, A)``: place, velocity, width and
height at time 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Generator, Tensor

from interpolants.apps.simulation.data.mesh_fields import MeshField
from interpolants.apps.simulation.problems.plume_prompts import HELD_OUT, NAMES, PHRASINGS, sentence
from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import NonNegative, Positive, Real, Share

_ROUNDS = 60
_DAMPING, _LEAST_WIDTH = 1e-3, 1e-2
# Steps end where one gains less than this share, or where the damping leaves none.
_ENOUGH, _STIFF = 1e-9, 1e12

_AtLeastOne = Annotated[float, Ge(1)]


@dataclass(frozen=True)
class FittedPlume:
    """A plume that was fitted to a field.

    Attributes:
        plume: ``(x, y, v_x, v_y, s, A)``, ``(6,)``.
        residual: Norm of what it leaves, relative to the field's norm.
    """

    plume: Tensor
    residual: float


@dataclass(frozen=True, kw_only=True)
class GaussianPlume(Checked):
    """``u(p, t) = A s^2 / (s^2 + 4 D t) exp(-|p - p0 - v t|^2 / (s^2 + 4 D t))``: a Gaussian, carried and diffused.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    points: tuple[_AtLeastOne, _AtLeastOne] = (150, 250)
    """Fewest and most points of a mesh, drawn uniformly in the unit square."""
    frames: Annotated[int, Ge(2)] = 12
    """T, evenly from 0 to 1."""
    place: tuple[Real, Real] = (0.25, 0.75)
    """Lowest and highest coordinate of p0."""
    speed: tuple[Real, Real] = (0.1, 0.35)
    """Lowest and highest speed ``|v|``; directions are uniform."""
    width: tuple[Positive, Positive] = (0.1, 0.18)
    """Lowest and highest s."""
    diffusivity: NonNegative = 0.003
    """D."""
    held_out: Share = 0.1
    """Share of plumes that are told of in a phrasing kept for tests."""

    def check_settings(self) -> None:
        """Refuse pairs in the wrong order."""
        for name in ("points", "place", "speed", "width"):
            low, high = getattr(self, name)
            if low > high:
                raise invalid(f"{name} must be a lowest and a highest value", (low, high))

    @property
    def times(self) -> Tensor:
        """``(T,)``."""
        return torch.linspace(0, 1, self.frames, dtype=torch.float64)

    def plumes(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Plumes ``(n, 6)`` of height 1."""
        draws = torch.rand(n, 5, generator=generator, dtype=torch.float64)
        place = _between(self.place, draws[:, :2])
        speed, angle = _between(self.speed, draws[:, 2]), 2 * math.pi * draws[:, 3]
        velocity = speed[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
        return torch.cat(
            [place, velocity, _between(self.width, draws[:, 4:]), torch.ones_like(draws[:, :1])], 1
        )

    def solution(self, plume: Tensor, points: Tensor, times: Tensor) -> Tensor:
        """The field of one plume ``(6,)`` at points ``(M, 2)`` and times ``(T,)``, ``(T, M, 1)``."""
        place = plume[:2] + times[:, None] * plume[2:4]
        square = plume[4].square() + 4 * self.diffusivity * times[:, None]
        distance = (points[None] - place[:, None]).square().sum(2)
        return (plume[5] * plume[4].square() / square * torch.exp(-distance / square))[..., None]

    def sample(self, n: int, *, generator: Generator | None = None) -> dict[str, list[object]]:
        """Simulations on meshes of their own, a prompt for each, and which phrasing it has.

        Returns:
            ``fields``: `MeshField`; ``prompt``: sentences; ``phrasing``: names, such as ``"held out 1"``.
        """
        plumes, times = self.plumes(n, generator=generator), self.times
        low, high = (int(value) for value in self.points)
        sizes = torch.randint(low, high + 1, (n,), generator=generator).tolist()
        meshes = [torch.rand(size, 2, generator=generator, dtype=torch.float64) for size in sizes]
        fields = [
            MeshField(mesh, times, self.solution(plume, mesh, times).float())
            for plume, mesh in zip(plumes, meshes, strict=True)
        ]
        held = torch.rand(n, generator=generator, dtype=torch.float32) < self.held_out
        known = torch.randint(len(PHRASINGS), (n,), generator=generator)
        other = len(PHRASINGS) + torch.randint(len(HELD_OUT), (n,), generator=generator)
        kinds: list[int] = torch.where(held, other, known).tolist()
        told = [sentence(kind, plume[:5].tolist()) for kind, plume in zip(kinds, plumes, strict=True)]
        return {"fields": [*fields], "prompt": [*told], "phrasing": [NAMES[kind] for kind in kinds]}

    def fit(self, field: MeshField) -> FittedPlume:
        """The plume nearest to a field in squares, over all its frames (two at least), with D as it is known here.

        Levenberg-Marquardt steps from the field's moments.

        Raises:
            InvalidInputError: If there is a single frame, from which no velocity can be computed.
        """
        if len(field.times) < 2:
            raise invalid(
                "field must have at least two frames, from which the velocity is computed", len(field.times)
            )
        points, times, u = field.points, field.times, field.values.double()

        def misfit(plume: Tensor) -> Tensor:
            return (self.solution(plume, points, times) - u).flatten()

        plume = _moments(points, times, u[..., 0])
        damping, gap = _DAMPING, misfit(plume)
        for _ in range(_ROUNDS):
            slope = torch.func.jacfwd(misfit)(plume)
            normal = slope.T @ slope
            scaled = normal + damping * (torch.diag(normal.diagonal()) + 1e-12 * torch.eye(6, dtype=u.dtype))
            tried = plume - torch.linalg.solve(scaled, slope.T @ gap)
            left = misfit(tried)
            gain = float(gap.square().sum() - left.square().sum())
            better = gain > 0
            done = (better and gain < _ENOUGH * float(gap.square().sum())) or damping > _STIFF
            plume, gap = (tried, left) if better else (plume, gap)
            if done:
                break
            damping = damping / 3 if better else damping * 5
        sized = torch.cat([plume[:4], plume[4:5].abs(), plume[5:]])
        return FittedPlume(sized, float(gap.norm() / u.norm().clamp(min=1e-300)))


def _between(ends: Sequence[float], share: Tensor) -> Tensor:
    low, high = (float(end) for end in ends)
    return low + (high - low) * share


def _moments(points: Tensor, times: Tensor, u: Tensor) -> Tensor:
    """A first guess, ``(6,)``: mean places of what is high in the frames ``(T, M)``, a line through them, a width."""
    weight = (u - 0.2 * u.amax(1, keepdim=True)).clamp(min=0) + 1e-12
    weight = weight / weight.sum(1, keepdim=True)
    centres = weight @ points
    line = torch.stack([torch.ones_like(times), times], 1)
    start, velocity = torch.linalg.solve(line.T @ line, line.T @ centres)
    spread = (weight[0, :, None] * (points - centres[0]).square()).sum().sqrt().clamp(min=_LEAST_WIDTH)
    return torch.cat([start, velocity, 1.3 * spread[None], u[0].amax()[None]])
