"""Error of the mesh autoencoder between the points that it has seen, on fields of random Fourier modes."""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from benchmarks.overhead import machine
from interpolants.apps.simulation import TextToSimulation
from interpolants.apps.simulation.data.mesh_fields import MeshField

Field = Callable[[Tensor], Tensor]
TIMES = torch.linspace(0, 1, 8, dtype=torch.float64)
POINTS, SEEN, FINER = 400, 320, 1600


def run(*, seeds: int = 3, steps: int = 400, fields: int = 120, report: Callable[[str], None]) -> None:
    """Reconstruct fields at points held out, and on a mesh with twice the points along each axis."""
    report(
        f"Measured on: {machine()}. Sums of four Fourier modes of up to one wave along each axis, {POINTS} scattered"
    )
    report(
        f"points, {len(TIMES)} times; {fields} fields to learn from, {steps} steps of 4. Relative error, mean of 12.\n"
    )
    report("| seed | at points held out | their nearest neighbour | on a finer mesh |")
    report("| ---: | ---: | ---: | ---: |")
    for seed in range(seeds):
        report(f"| {seed} | " + " | ".join(f"{value:.3f}" for value in _errors(seed, steps, fields)) + " |")


def _errors(seed: int, steps: int, fields: int) -> list[float]:
    g = torch.Generator().manual_seed(seed)
    made = [_drawn(g) for _ in range(fields + 12)]
    model = TextToSimulation(
        box=[[0, 0], [1, 1]], code_steps=steps, code_batch=4, steps=1, batch_size=1, seed=seed
    ).fit([one for _, one in made[:fields]])
    parts = [_parted(model, *one, g) for one in made[fields:]]
    return [sum(part[k] for part in parts) / len(parts) for k in range(3)]


def _drawn(g: Generator) -> tuple[Field, MeshField]:
    waves = math.pi * torch.randint(-2, 3, (4, 3), generator=g).double()
    height, phase = torch.randn(4, generator=g).double(), 2 * math.pi * torch.rand(4, generator=g).double()

    def field(points: Tensor) -> Tensor:
        angle = points @ waves[:, 1:].T + TIMES[:, None, None] * waves[:, 0] + phase
        return (height * angle.cos()).sum(-1, keepdim=True)

    mesh = torch.rand(POINTS, 2, generator=g, dtype=torch.float64)
    return field, MeshField(mesh, TIMES, field(mesh).float())


def _parted(
    model: TextToSimulation, field: Field, one: MeshField, g: Generator
) -> tuple[float, float, float]:
    """Errors at the points that the encoder did not see, of their nearest neighbours, and on a finer mesh."""
    order = torch.randperm(POINTS, generator=g)
    kept, held = order[:SEEN], one.points[order[SEEN:]]
    seen = MeshField(one.points[kept], TIMES, one.values[:, kept])
    finer = torch.rand(FINER, 2, generator=g, dtype=torch.float64)
    (at_held,), (at_finer,) = (model.reconstructed([seen], [points]) for points in (held, finer))
    nearest = seen.values[:, torch.cdist(held, seen.points).argmin(1)]
    return (
        _error(at_held.values, field(held)),
        _error(nearest, field(held)),
        _error(at_finer.values, field(finer)),
    )


def _error(found: Tensor, truth: Tensor) -> float:
    return float((found.double() - truth).norm() / truth.norm())
