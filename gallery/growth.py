"""Two clusters move, one of them triples and the other halves: growth between two snapshots.

How much grows and how much moves depends on the length scale delta. Below it is varied over two decades: on a plateau
around the distance between the clusters the growth of each cluster is the true one, and on larger scales all rows
grow equally and mass moves across.
"""

import torch

from gallery.common import HUES, figure, label, legend, main, plain_axes
from interpolants.couplings import WassersteinFisherRao

METHOD = "docs/own_data.md"


def draw(quick: bool) -> object:
    """Masses at three times, and the growth of both clusters by delta."""
    n, source = 20 if quick else 60, torch.Generator().manual_seed(1)
    centres = torch.tensor([[-2.0, 0.0], [2.0, 0.0]]).repeat_interleave(n, 0)
    x0, x1 = (centres + 0.4 * torch.randn(2 * n, 2, generator=source) for _ in range(2))
    x1[:, 1] += 1.2
    weights = torch.tensor([3.0, 0.5]).repeat_interleave(n) / (2 * n)

    picture = figure(900, 560)
    parts = picture.add_gridspec(2, 3, height_ratios=(1, 1.1))
    plan = WassersteinFisherRao(delta=1.0, tol=1e-3).plan(x0, x1, weights=weights)
    for column, t in enumerate((0.0, 0.5, 1.0)):
        axes = picture.add_subplot(parts[0, column])
        rows, masses = plan.at(t)
        axes.scatter(*rows.T, s=1500 * masses, color=HUES[0], alpha=0.5, linewidths=0)
        plain_axes(axes, 3.4, f"t = {t:g}, mass {float(masses.sum()):.2f}")

    axes = picture.add_subplot(parts[1, :])
    deltas = torch.logspace(-0.7, 1.3, 5 if quick else 21)
    plans = [WassersteinFisherRao(delta=float(d), tol=1e-3).plan(x0, x1, weights=weights) for d in deltas]
    for k, name in enumerate(("left", "right")):
        growth = [float(plan.growth0[k * n : (k + 1) * n].mean()) for plan in plans]
        axes.semilogx(deltas, growth, color=HUES[k], marker=".", label=name)
        axes.axhline((3.0, 0.5)[k], color=HUES[k], linewidth=0.8, linestyle="--")
    label(axes, title="growth of each cluster (dashed: truth)", x="delta", y="factor")
    legend(axes)
    return picture


if __name__ == "__main__":
    main(draw)
