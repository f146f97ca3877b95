"""The logistic map, and a map to its distribution.

Iterates of x → 4x(1 - x) have the density 1/(π √(x(1 - x))). A flow from the uniform distribution learns
it. In one dimension the flow's map is known: sin²(πu/2).
"""

import torch

import interpolants as itp
from gallery.common import HUES, figure, label, main

METHOD = "docs/choose.md"


def draw(quick: bool) -> object:
    """Chaotic iterates, the distribution, and the map."""
    source = torch.Generator().manual_seed(0)
    orbits = torch.rand(1000, dtype=torch.float64, generator=source)
    seen = []
    for _ in range(120):
        orbits = 4 * orbits * (1 - orbits)
        seen.append(orbits)
    x1 = torch.cat(seen[100:])[:, None].float()  # 20,000 states after a hundred iterations
    x0 = torch.rand(20_000, 1, generator=source)
    bridge = itp.Bridge("linear", net={"kind": "mlp", "width": 96, "depth": 3}, seed=0)
    bridge.fit(x0, x1, steps=60 if quick else 2000, batch_size=256, progress=False)

    u = torch.linspace(0.001, 0.999, 40 if quick else 200)[:, None]
    path = bridge.transport(u, n_steps=100, details=True, return_path=True).path[..., 0]
    made = figure(760, 420)
    axes = made.subplot_mosaic([["orbit", "orbit"], ["distribution", "map"]], height_ratios=(1, 1.7))
    axes["orbit"].plot(torch.stack(seen)[:100, 0], color=HUES[0], linewidth=0.9, marker="o", markersize=2.5)
    label(axes["orbit"], title="one orbit", x="iteration", y="x")

    arrived = bridge.sample(400 if quick else 10_000, seed=1)[:, 0]
    line = torch.linspace(0.002, 0.998, 500)
    axes["distribution"].hist(
        arrived,
        bins=66,
        range=(-0.05, 1.05),
        density=True,
        color="#9cc9e3",
        label="10,000 samples of the flow",
    )
    axes["distribution"].plot(
        line, 1 / (torch.pi * (line * (1 - line)).sqrt()), color=HUES[1], label="exact density"
    )
    label(axes["distribution"], title="the distribution", x="x", y="density")
    axes["distribution"].set_ylim(0, 4)
    axes["distribution"].legend(frameon=False, fontsize=8, loc="upper center")

    axes["map"].plot(
        u, torch.sin(torch.pi * u / 2) ** 2, color=HUES[1], linewidth=3, label="exact: sin²(πu/2)"
    )
    axes["map"].plot(u, path[-1], color=HUES[0], linewidth=1.2, linestyle="--", label="learnt")
    label(axes["map"], title="where the flow takes u", x="u, uniform", y="x")
    axes["map"].legend(frameon=False, fontsize=8, loc="upper left")
    return made


if __name__ == "__main__":
    main(draw)
