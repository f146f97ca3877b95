"""Draw ``docs/images/geometric_diffusion.png`` from runs of its recipes.

::

    interpolants run --config geometric_diffusion_storms --out runs/storms
    interpolants run --config geometric_diffusion --out runs/charges
    python docs/figures/geometric_diffusion.py runs/storms runs/charges
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

import interpolants
from interpolants.apps.trajectories.problems.charged_particles import ChargedParticles
from interpolants.data import load
from interpolants.framework.figures import Axis, Figure, Panel, Series, cloud, curve, trails
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"


def geometric_diffusion(storms: str, charges: str) -> Figure:
    """Three storms on their map, and the particles of one trajectory, beside what came."""
    tracks = load("atlantic_storms", "test").x
    whole = tracks[torch.isfinite(tracks[:, :30, 0, 0]).all(1)]
    model, left = interpolants.load(storms), []
    for storm in whole[[8, 21, 33]]:
        ahead = model.forecast(storm[None, :10], members=12, seed=1).x[0, :, :, 0]
        left += drawn(storm[:10, 0], ahead, storm[10:30, 0])
    particles = ChargedParticles().sample(8, generator=torch.Generator().manual_seed(77))[2:3]
    ahead = interpolants.load(charges).forecast(particles.frames(0, 10), members=10, seed=1).x[0]
    right = []
    for node in range(5):
        right += drawn(particles.x[0, :10, node], ahead[:, :, node], particles.x[0, 10:, node])
    words = {"title": "Atlantic storms, five days ahead", "width": 1.5}
    axes = {"x": Axis(label="km east of 60 W"), "y": Axis(label="km north of 30 N")}
    first = Panel(series=tuple(left), equal=True, **words, **axes)
    title, axes = "Charged particles (two of three dimensions)", {"x": Axis(label="x"), "y": Axis(label="y")}
    second = Panel(series=tuple(right), equal=True, title=title, **axes)
    panels = (first, second)
    return Figure(name="geometric_diffusion", panels=panels, width=1035, height=420, legend_columns=3)


def drawn(given: Tensor, ahead: Tensor, truth: Tensor) -> tuple[Series, ...]:
    """Frames given, members ``(M, S, D)``, and what came, in the first two dimensions."""
    ways = torch.cat([given[-1:].expand(len(ahead), 1, -1).double(), ahead.double()], 1).transpose(0, 1)
    members = replace(trails(ways, hue=0, alpha=0.5), name="members of the forecast")
    came = cloud(truth, "what came", 1, size=6)
    return curve(given[:, 0], given[:, 1], "frames given", "muted", size=2.0), members, came


if __name__ == "__main__":
    save([geometric_diffusion(*sys.argv[1:3])], IMAGES, dpi=100)
