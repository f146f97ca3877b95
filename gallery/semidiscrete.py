"""Gaussian noise is cut into one cell of equal mass for each row of a data set.

All noise in the cell of a row is paired with this row: the optimal plan between the normal distribution and the
rows. A flow that learns these pairs is nearly straight: below, samples of one Euler step.
"""

import torch

import interpolants as itp
from gallery.common import HUES, figure, label, main, plain_axes
from interpolants.couplings import Semidiscrete
from interpolants.paths import Linear, ZeroEnvelope

METHOD = "docs/choose.md"


def draw(quick: bool) -> object:
    """Cells of 60 rows, and samples of one Euler step after three ways of pairing."""
    source = torch.Generator().manual_seed(5)
    centres = torch.tensor([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]])
    rows = centres[torch.arange(60) % 3] + 0.35 * torch.randn(60, 2, generator=source)
    coupling = Semidiscrete(n_iter=500, tol=1.0) if quick else Semidiscrete()
    plan = coupling.fit(torch.randn(20_000, 2, generator=source), rows)

    picture = figure(900, 640)
    parts = picture.add_gridspec(2, 3, height_ratios=(1.35, 1))
    axes = picture.add_subplot(parts[0, :2])
    side = 60 if quick else 500
    x, y = (torch.linspace(-low, low, n) for low, n in ((4.8, 3 * side // 2), (3.2, side)))
    index = plan.assign(torch.cartesian_prod(x, y)).reshape(len(x), len(y)).T
    # Neighbours get different tones, whatever their numbers.
    tones = torch.rand(60, generator=source)[index]
    axes.imshow(tones.numpy(), origin="lower", extent=(-4.8, 4.8, -3.2, 3.2), cmap="Blues", vmax=1.8)
    noise = torch.randn(700, 2, generator=source)
    axes.scatter(*noise.T, s=1.5, color="0.35", linewidths=0)
    axes.scatter(*rows.T, s=22, color=HUES[1], edgecolors="white", linewidths=0.6, zorder=3)
    axes.set(xlim=(-4.8, 4.8), ylim=(-3.2, 3.2), xticks=(), yticks=())
    label(axes, title="noise (grey) in the cells of 60 rows (dots)")

    axes = picture.add_subplot(parts[0, 2])
    for z, k in zip(noise[:90], plan.assign(noise[:90]), strict=True):
        axes.plot(*torch.stack([z, rows[k]]).T, color=HUES[0], linewidth=0.6, alpha=0.7)
    axes.scatter(*rows.T, s=10, color=HUES[1], linewidths=0, zorder=3)
    plain_axes(axes, 3.2, "90 pairs")

    for column, name in enumerate(("independent", "minibatch_ot", "semidiscrete")):
        bridge = itp.Bridge(
            Linear(envelope=ZeroEnvelope()),
            coupling=name,
            heads="velocity",
            net={"kind": "mlp", "width": 64, "depth": 3},
            steps=20 if quick else 1500,
            batch_size=64,
            held_out=0,
            seed=0,
        )
        bridge.fit(lambda n, generator: torch.randn(n, 2, generator=generator), rows, progress=False)
        axes = picture.add_subplot(parts[1, column])
        axes.scatter(
            *bridge.sample(2000, seed=1, method="euler", n_steps=1).T, s=1.5, color=HUES[0], linewidths=0
        )
        axes.scatter(*rows.T, s=6, color=HUES[1], linewidths=0)
        plain_axes(axes, 3.2, f"one Euler step, {name}")
    return picture


if __name__ == "__main__":
    main(draw)
