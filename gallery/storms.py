"""Storms on the globe: where they are and where they head.

Positions on the sphere, headings on the circle, and wind in knots are learnt together by the heat path, without a seam
at north. The generated storms follow the arc of the real ones, and turn from west to northeast on their way.
"""

import math

import torch

import interpolants as itp
from gallery.common import HUES, figure, label, legend, main, plain_axes
from interpolants.data import load
from interpolants.methods.questions.globe import globe_panel
from interpolants.spaces import LatitudeLongitude

METHOD = "docs/methods/geodesic_bridge.md"
BANDS = (("south of 20 N", 0, 20), ("north of 35 N", 35, 90))


def draw(quick: bool) -> object:
    """Two globes, coloured by wind, and headings by latitude."""
    storms = load("storm_motions", "train").x[:, [0, 1, 2, 4]]
    noise = torch.rand(storms.shape, generator=torch.Generator().manual_seed(0), dtype=storms.dtype) - 0.5
    storms = storms + noise * torch.tensor([0.1, 0.1, 6.0, 5.0])  # what rounding took away
    storms[:, 2] = storms[:, 2].remainder(360)

    net = {"kind": "mlp", "width": 128, "depth": 4}
    bridge = itp.GeodesicBridge(path="heat", space={"0, 1": "sphere", "2": "circle"}, net=net, seed=0)
    bridge.fit(storms, steps=40 if quick else 3000, batch_size=512, progress=False)
    new = bridge.sample(8000, eps=1, seed=1)

    canvas = figure(900, 330)
    axes = canvas.subplots(1, 4, gridspec_kw={"width_ratios": [1.25, 1.25, 1, 1]})
    pick = torch.randperm(len(storms), generator=torch.Generator().manual_seed(1))[:8000]
    for axis, (title, rows) in zip(axes, {"real": storms[pick], "generated": new}.items(), strict=False):
        globe(axis, title, rows, storms)
    for axis, (title, low, high) in zip(axes[2:], BANDS, strict=True):
        for (name, rows), hue in zip(
            {"real": storms, "generated": new}.items(), ("#9aa3ad", HUES[0]), strict=True
        ):
            band = rows[(rows[:, 0] > low) & (rows[:, 0] < high), 2]
            fraction = (torch.histc(band, 24, 0, 360) / len(band)).sqrt()  # equal areas for equal numbers
            turn = torch.arange(25) * 2 * math.pi / 24 + math.pi / 24
            radius = torch.cat([fraction, fraction[:1]])
            axis.plot(radius * turn.sin(), radius * turn.cos(), color=hue, linewidth=2, label=name)
        axis.plot(0, 0, "+", color="#5b6470")
        plain_axes(axis, 0.6, f"heading, {title}")
        axis.text(0, 0.52, "N", ha="center", va="center", fontsize=9, color="#5b6470")
    legend(axes[2], loc="lower right")
    return canvas


def globe(axis: object, title: str, rows: torch.Tensor, facing: torch.Tensor) -> None:
    """Positions on the side of the globe that storms lie on, strong winds above weak ones."""
    code = LatitudeLongitude(unit="degrees")
    rows = rows[rows[:, 3].argsort()]
    points, centre = code.encode(rows[:, :2]), code.encode(facing[:, :2])
    is_visible = points @ centre.mean(0) > 0  # a panel shows one side
    rows, panel = rows[is_visible], globe_panel(title, points[is_visible], centre)
    *lines, dots = panel.series
    for line in lines:
        axis.plot(line.arrays["x"], line.arrays["y"], color="#c9ced6", linewidth=0.7)
    axis.scatter(dots.arrays["x"], dots.arrays["y"], s=2, c=rows[:, 3], cmap="viridis", vmin=20, vmax=140)
    label(axis, title=f"{title}, strong winds in yellow")
    axis.set(xlim=(-1.02, 1.02), ylim=(-1.02, 1.02), aspect="equal")
    axis.set_axis_off()


if __name__ == "__main__":
    main(draw)
