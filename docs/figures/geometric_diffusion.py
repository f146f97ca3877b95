"""Draw ``docs/images/geometric_diffusion.png`` from runs of its recipes.

::

    interpolants run --config geometric_diffusion_storms --out runs/storms
    interpolants run --config geometric_diffusion --out runs/charges
    python docs/figures/geometric_diffusion.py runs/storms runs/charges
"""

import sys
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

import interpolants
from interpolants.apps.trajectories.problems.charged_particles import ChargedParticles
from interpolants.data import load

IMAGES = Path(__file__).parents[1] / "images"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#5a6470"


def geometric_diffusion(storms: str, charges: str) -> Figure:
    """Three storms on their map, and the particles of one trajectory, beside what came."""
    figure = Figure(figsize=(11.5, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    tracks = load("atlantic_storms", "test").x
    whole = tracks[torch.isfinite(tracks[:, :30, 0, 0]).all(1)]
    for storm in whole[[8, 21, 33]]:
        ahead = interpolants.load(storms).forecast(storm[None, :10], members=12, seed=1).x[0, :, :, 0]
        draw(left, storm[:10, 0], ahead, storm[10:30, 0])
    left.set(title="Atlantic storms, five days ahead", xlabel="km east of 60 W", ylabel="km north of 30 N")
    particles = ChargedParticles().sample(8, generator=torch.Generator().manual_seed(77))[2:3]
    ahead = interpolants.load(charges).forecast(particles.frames(0, 10), members=10, seed=1).x[0]
    for node in range(5):
        draw(right, particles.x[0, :10, node], ahead[:, :, node], particles.x[0, 10:, node])
    right.set(title="Charged particles (two of three dimensions)", xlabel="x", ylabel="y")
    for axes in (left, right):
        axes.set_aspect("equal", adjustable="datalim")
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw(axes: Axes, given: Tensor, ahead: Tensor, truth: Tensor) -> None:
    """Frames given, members ``(M, S, D)``, and what came, in the first two dimensions."""
    axes.plot(given[:, 0], given[:, 1], color=GREY, linewidth=2)
    for member in ahead:
        line = torch.cat([given[-1:].double(), member.double()])
        axes.plot(line[:, 0], line[:, 1], color=BLUE, linewidth=0.6, alpha=0.5)
    axes.plot(truth[:, 0], truth[:, 1], ".", color=ORANGE, markersize=3.5)


if __name__ == "__main__":
    geometric_diffusion(*sys.argv[1:3]).savefig(IMAGES / "geometric_diffusion.png", dpi=90)
