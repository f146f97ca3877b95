"""From one hand-drawn shape to another.

Points are drawn inside a letter A and inside a letter B. The bridge learns a map between the two clouds,
without pairs.
"""

import torch
from matplotlib import colormaps
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath

import interpolants as itp
from gallery.common import figure, main, plain_axes

METHOD = "docs/howto.md"


def inside(letter: str, n: int, seed: int) -> torch.Tensor:
    """``n`` points spread evenly inside a letter about 6 units tall, ``(n, 2)``. Any closed outlines would do."""
    outline = TextPath((0, 0), letter, size=8, prop=FontProperties(weight="bold"))
    low, high = torch.tensor(outline.get_extents().get_points(), dtype=torch.float32)
    source = torch.Generator().manual_seed(seed)
    points = low + (high - low) * torch.rand(4 * n, 2, generator=source)
    rings = [Path(polygon).contains_points(points) for polygon in outline.to_polygons()]
    return (
        points[torch.from_numpy(sum(rings) % 2 == 1)][:n] - (low + high) / 2
    )  # what lies in two rings is a hole


def draw(quick: bool) -> object:
    """Fit, and stop on the way."""
    x0, x1 = inside("A", 20_000, seed=0), inside("B", 20_000, seed=1)
    bridge = itp.Bridge(
        path={"kind": "linear", "envelope": {"kind": "zero"}},
        coupling="minibatch_ot",
        net={"kind": "mlp", "width": 128, "depth": 4},
        seed=0,
    )
    bridge.fit(x0, x1, steps=40 if quick else 2500, batch_size=256, progress=False)

    start = inside("A", 200 if quick else 3500, seed=2)
    path = bridge.transport(start, n_steps=100, details=True, return_path=True).path
    colours = colormaps["viridis"]((start[:, 1].numpy() + 3) / 6)
    made = figure(760, 520)
    for axes, t in zip(made.subplots(2, 3).flat, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), strict=True):
        axes.scatter(*path[round(100 * t)].T, s=1.6, c=colours, linewidths=0)
        plain_axes(axes, 3.6, f"t = {t}")
    return made


if __name__ == "__main__":
    main(draw)
