"""Gaussian noise becomes a checkerboard, and the density is learnt with it.

The flow of one network draws samples and computes their log-likelihood. Both are compared with the exact
density, which is known here.
"""

import torch

import interpolants as itp
from gallery.common import HUES, draws, figure, label, main, plain_axes
from interpolants.problems import Checkerboard

METHOD = "docs/methods/likelihood.md"


def draw(quick: bool) -> object:
    """Samples, the learnt density, and how it compares along one line."""
    distribution = Checkerboard()
    bridge = itp.Bridge("one_sided_linear", net={"kind": "mlp", "width": 128, "depth": 4}, lr=5e-3, seed=0)
    bridge.fit(x1=draws(distribution, 50_000), steps=60 if quick else 4000, batch_size=256, progress=False)

    made = figure(760, 520)
    parts = made.add_gridspec(2, 2, height_ratios=(2, 1))
    axes = made.add_subplot(parts[0, 0])
    arrived = bridge.sample(300 if quick else 6000, seed=1)
    axes.scatter(*arrived.T, s=1.2, color=HUES[0], linewidths=0)
    plain_axes(axes, 4.4, "6,000 samples")

    side = 24 if quick else 96
    line = torch.linspace(-4.4, 4.4, side)
    density = bridge.log_prob(torch.cartesian_prod(line, line), method="heun", n_steps=24).exp()
    axes = made.add_subplot(parts[0, 1])
    seen = axes.imshow(
        density.reshape(side, side).T.numpy(),
        origin="lower",
        extent=(-4.4, 4.4) * 2,
        cmap="cividis",
        vmin=0,
        vmax=0.04,
    )
    axes.axhline(1.0, color="white", linewidth=0.9, linestyle="--")
    plain_axes(axes, 4.4, "learnt density, per unit area")
    made.colorbar(seen, ax=axes, ticks=(0, 0.02, 0.04), shrink=0.8)

    axes = made.add_subplot(parts[1, :])
    cut = torch.linspace(-4.6, 4.6, 60 if quick else 400)
    points = torch.stack([cut, torch.full_like(cut, 1.0)], 1)
    axes.plot(cut, distribution.log_prob(points).exp(), color=HUES[1], linewidth=1.2, label="exact")
    learnt = bridge.log_prob(points, method="heun", n_steps=40).exp()
    axes.plot(cut, learnt, color=HUES[0], linewidth=1.2, label="learnt")
    label(axes, title="along the dashed line", x="first coordinate", y="density")
    axes.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
    axes.set_ylim(0, 0.055)
    return made


if __name__ == "__main__":
    main(draw)
