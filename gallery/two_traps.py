"""The free energy between two traps that share no samples.

A bridge between the samples carries each set towards the other. The log weights of forward and backward paths
cross at the difference of the free energies, which bounds from both sides enclose.
"""

import math

import torch

import interpolants as itp
from gallery.common import HUES, figure, label, legend, main
from interpolants.framework.task import Task

METHOD = "docs/methods/free_energies.md"
PLACE, WIDTH = torch.tensor([0.0, 4.0]), 0.5


def ring(x: torch.Tensor) -> torch.Tensor:
    """Log density of a particle held near a circle of radius 2, up to its constant."""
    return -8 * (x.norm(dim=1) - 2).square()


def well(x: torch.Tensor) -> torch.Tensor:
    """Log density in a small well above it."""
    return -((x - PLACE) / WIDTH).square().sum(1) / 2


def draw(quick: bool) -> object:
    """Samples on the left, weights of the paths on the right."""
    n = 300 if quick else 4000
    source = torch.Generator().manual_seed(0)
    angle = 2 * math.pi * torch.rand(n, generator=source)
    radius = torch.linspace(0.01, 4, 4000)
    density = radius * (-8 * (radius - 2).square()).exp()  # of the radius: the circle's length grows with it
    radius = radius[torch.multinomial(density, n, replacement=True, generator=source)]
    x0 = torch.stack([radius * angle.cos(), radius * angle.sin()], 1)
    x1 = PLACE + WIDTH * torch.randn(n, 2, generator=source)
    exact = math.log(WIDTH**2) - math.log(float(density.sum()) * 3.99 / 3999)  # both constants over 2 pi

    bridge = itp.Bridge("linear", heads=["velocity", "noise"], seed=0, steps=40 if quick else 1500)
    task = Task.of(bridge.roles(), {"x0": x0, "x1": x1})
    answer = task.fit(bridge, progress=False).ask("free_energy", task, log_densities=(ring, well))
    estimate = answer["log_ratio"]

    picture = figure(760, 330)
    positions, weights = picture.subplots(1, 2)
    edges = torch.linspace(exact - 3, exact + 3, 61)
    for k, (x, direction) in enumerate(((x0, "forward"), (x1, "backward"))):
        positions.scatter(*x.T, s=1, color=HUES[k], linewidths=0)
        paths = answer.arrays[direction].flatten().numpy()
        weights.hist(paths, edges.numpy(), density=True, color=HUES[k], alpha=0.5, label=f"{direction} paths")
    weights.axvline(exact, color="black", linewidth=1, label="exact difference")
    positions.set_aspect("equal")
    label(positions, title="samples of a ring and of a well")
    title = f"estimate {estimate.value:.3f} ± {estimate.error:.3f}, exact {exact:.3f}"
    label(weights, title=title, x="log weight of a path, nats")
    legend(weights)
    return picture


if __name__ == "__main__":
    main(draw)
