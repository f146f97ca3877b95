"""Batches and losses: of the autoencoder over packs of points, and of the transformer over latents.

Letters: N simulations, B of a batch, M points of a mesh, T times, d coordinates, C channels, L words, F frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.apps.simulation.data.mesh_fields import MeshField
from interpolants.apps.simulation.mesh_autoencoder import MeshAutoencoder
from interpolants.apps.simulation.nets.point_packs import PointPack
from interpolants.foundations.asked import invalid
from interpolants.foundations.records import record

# Share of a mesh that the encoder sees in training, at least: it then learns to fill in what lies between.
_FEWEST = 0.5
_SLACK, _WIDENED = 1e-6, 0.01


@record("simulation_units")
@dataclass(frozen=True, eq=False)
class SimulationUnits:
    """Box of space and time as ``[0, 1]^(1 + d)``, and channels with mean 0 and deviation 1.

    Attributes:
        low: Smallest time and coordinates, ``(1 + d,)`` float64.
        high: Largest ones.
        mean: Mean of each channel, ``(C,)``.
        std: Its deviation.
    """

    low: Tensor
    high: Tensor
    mean: Tensor
    std: Tensor

    @classmethod
    def fit(cls, fields: Sequence[MeshField], box: Any) -> "SimulationUnits":
        """From training simulations.

        Args:
            fields: The simulations; each weighs alike, whatever its mesh.
            box: Lowest and highest coordinates of space; from the meshes, slightly widened, when None.

        Raises:
            InvalidInputError: If a channel does not vary.
        """
        times = torch.cat([one.times for one in fields])
        points = torch.cat([one.points for one in fields])
        ends = points.amin(0), points.amax(0)
        room = _WIDENED * (ends[1] - ends[0])
        low, high = (ends[0] - room, ends[1] + room) if box is None else _box(box, points.shape[1])
        if not bool((high > low).all()) or not bool(times.amax() > times.amin()):
            raise invalid("meshes and times must extend along every axis", "a flat one")
        mean = torch.stack([one.values.double().mean((0, 1)) for one in fields]).mean(0)
        squares = torch.stack([(one.values.double() - mean).square().mean((0, 1)) for one in fields])
        std = squares.mean(0).sqrt()
        least = torch.stack([one.values.amin((0, 1)) for one in fields]).amin(0)
        most = torch.stack([one.values.amax((0, 1)) for one in fields]).amax(0)
        if flat := (least == most).nonzero().flatten().tolist():
            raise invalid("every channel must vary", f"channels {flat}", "Leave it out.")
        return cls(torch.cat([times.amin()[None], low]), torch.cat([times.amax()[None], high]), mean, std)

    def places(self, cloud: Tensor) -> Tensor:
        """Times and coordinates ``(P, 1 + d)`` in units of the box, float32.

        Raises:
            InvalidInputError: If they have another number of coordinates, or lie outside.
        """
        if cloud.shape[1] != len(self.low):
            raise invalid(f"points must have {len(self.low) - 1} coordinates", cloud.shape[1] - 1)
        found = (cloud - self.low) / (self.high - self.low)
        for k in range(found.shape[1]):
            outside = (found[:, k] < -_SLACK) | (found[:, k] > 1 + _SLACK)
            if bool(outside.any()):
                what = "times" if k == 0 else f"coordinate {k} of the points"
                ends = f"{float(self.low[k]):.6g} to {float(self.high[k]):.6g}"
                rule = f"{what} must lie in the box of the training, {ends}"
                worst = cloud[:, k][outside]
                raise invalid(rule, f"{float(worst[worst.abs().argmax()]):.6g}", "Fit with a larger box=.")
        return found.clamp(0, 1).float()

    def values(self, values: Tensor) -> Tensor:
        """Values ``(..., C)`` in units of the network, float32."""
        if values.shape[-1] != len(self.mean):
            raise invalid(f"simulations must have {len(self.mean)} channels", values.shape[-1])
        return ((values.double() - self.mean) / self.std).float()

    def cloud(self, one: MeshField) -> tuple[Tensor, Tensor]:
        """All points at all times with their values, in units of the network."""
        cloud, values = one.cloud()
        return self.places(cloud), self.values(values)


def _box(box: Any, space: int) -> tuple[Tensor, Tensor]:
    ends = torch.as_tensor(box, dtype=torch.float64)
    if tuple(ends.shape) != (2, space):
        rule = f"box must be the lowest and the highest of {space} coordinates"
        raise invalid(rule, tuple(ends.shape), "For example, use [[0, 0], [1, 1]].")
    return ends[0], ends[1]


class CloudBatches:
    """The batch of a step: packs of what the encoder sees, and of points anywhere of which it is asked.

    Args:
        fields: Training simulations.
        units: Units of points and values.
        size: B.
        queries: Points of each simulation that are asked for.
    """

    def __init__(self, fields: Sequence[MeshField], units: SimulationUnits, size: int, queries: int) -> None:
        self.clouds = [units.cloud(one) for one in fields]
        self.meshes = [(len(one.times), len(one.points)) for one in fields]
        self.size, self.queries = size, queries

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> dict[str, Any]:
        """The share of this process in the batch of ``step``."""
        pick = torch.randint(len(self.clouds), (max(1, self.size // world),), generator=generator)
        parts = [self._one(int(k), generator) for k in pick]
        names = ("cloud", "values", "asked", "truth")
        return {name: PointPack.of([part[k] for part in parts]) for k, name in enumerate(names)}

    def _one(self, k: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        (frames, size), (cloud, values) = self.meshes[k], self.clouds[k]
        fewest = min(size, max(1, round(_FEWEST * size)))
        kept = int(torch.randint(fewest, size + 1, (), generator=generator))
        nodes = torch.randperm(size, generator=generator)[:kept]
        rows = (torch.arange(frames)[:, None] * size + nodes).flatten()
        asked = torch.randint(len(cloud), (self.queries,), generator=generator)
        return cloud[rows], values[rows], cloud[asked], values[asked]


class CloudLoss:
    """``|u - u_hat|`` over the points asked for, and ``kl_weight KL(q(z) | N(0, 1))``: one of each a simulation.

    Args:
        kl_weight: Weight of the divergence, in nats.
    """

    def __init__(self, kl_weight: float) -> None:
        self.kl_weight = kl_weight

    def __call__(
        self, net: MeshAutoencoder, batch: dict[str, Any], generator: Generator
    ) -> dict[str, Tensor]:
        """Losses ``(B,)``."""
        mean, log_variance = net.encode(batch["cloud"], batch["values"].rows)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
        channels = net.decode(mean + (0.5 * log_variance).exp() * noise)
        gap = (net.at(channels, batch["asked"]) - batch["truth"].rows).abs().mean(1)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1)
        return {
            "reconstruction": PointPack(gap, batch["asked"].sizes).means(),
            "divergence": self.kl_weight * divergence,
        }


@dataclass(frozen=True, eq=False)
class LatentRows:
    """Latents as rows of a batch, and of their prompts and frames as much as a row is told in a step.

    Attributes:
        latents: ``(N, Z, *grid)``, scaled.
        words: Tokens of the prompts, ``(N, L, E)``, NaN where there are none.
        guesses: Latents that they let expect, ``(N, Z, *grid)``, NaN for rows without a prompt.
        frames: First frames on the nodes, ``(N, F, K, *nodes)``.
        silent: Share of rows without their prompt.
        blind: Share of rows without frames; the others have 1 to F of them.
    """

    latents: Tensor
    words: Tensor
    guesses: Tensor
    frames: Tensor
    silent: float
    blind: float

    def __call__(self, n: int, generator: Generator) -> dict[str, Any]:
        """Rows ``x1 (n, Z, *grid)``, and what they are told."""
        pick = torch.randint(len(self.latents), (n,), generator=generator)
        spoken = torch.rand(n, generator=generator, dtype=torch.float32) >= self.silent
        seeing = torch.rand(n, generator=generator, dtype=torch.float32) >= self.blind
        most = self.frames.shape[1]
        known = torch.where(seeing, torch.randint(1, most + 1, (n,), generator=generator), 0)
        shown = torch.arange(most) < known[:, None]
        cond = {
            "words": _kept(self.words[pick], spoken),
            "guess": _kept(self.guesses[pick], spoken),
            "frames": _kept(self.frames[pick], shown),
        }
        return {"x1": self.latents[pick], "cond": cond}


def _kept(values: Tensor, kept: Tensor) -> Tensor:
    """Values where ``kept``, which has their first axes; NaN elsewhere."""
    return torch.where(kept.reshape(*kept.shape, *(1,) * (values.ndim - kept.ndim)), values, torch.nan)
