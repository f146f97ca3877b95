"""The butterfly as a density.

Log density of the Lorenz system's invariant distribution, learnt from 40,000 states, next to the histogram
of a run a hundred times as long.
"""

import torch

import interpolants as itp
from gallery.common import figure, label, main
from interpolants.problems import NoisyLorenz

METHOD = "docs/methods/likelihood.md"


def visited(starts: int, steps: int, seed: int) -> torch.Tensor:
    """First and third coordinate of states along runs on the attractor, ``(starts * steps, 2)``."""
    system = NoisyLorenz(lag=0.07, kick=0.0)
    state = system.spin_up(starts, generator=torch.Generator().manual_seed(seed))
    for _ in range(150):
        state = system.flow(state)
    seen = []
    for _ in range(steps):
        state = system.flow(state)
        seen.append(state[:, [0, 2]])
    return torch.cat(seen).float()


def draw(quick: bool) -> object:
    """The learnt map and the histogram, in the same colours."""
    bridge = itp.Bridge("one_sided_linear", net={"kind": "mlp", "width": 128, "depth": 4}, seed=0)
    few = visited(2000, 20, seed=0)
    bridge.fit(x1=few, steps=60 if quick else 3000, batch_size=256, progress=False)

    x, z = torch.linspace(-21, 21, 20 if quick else 105), torch.linspace(2, 50, 20 if quick else 120)
    learnt = bridge.log_prob(torch.cartesian_prod(x, z), method="heun", n_steps=24).reshape(len(x), len(z))
    many = visited(20_000, 10 if quick else 200, seed=1)
    counts = torch.histogramdd(many.double(), [len(x), len(z)], range=[-21, 21, 2, 50], density=True).hist
    maps = {"learnt log density, 40,000 states": learnt, "log counts, 4,000,000 states": counts.log()}

    made = figure(760, 420)
    for axes, (title, values) in zip(made.subplots(1, 2, sharey=True), maps.items(), strict=True):
        seen = axes.imshow(
            values.T.numpy(),
            origin="lower",
            extent=(-21, 21, 2, 50),
            cmap="inferno",
            vmin=-12,
            vmax=-4.5,
            aspect="auto",
        )
        label(axes, title=title, x="x", y="z" if values is learnt else "")
        axes.patch.set(facecolor="black", alpha=1)
    made.colorbar(seen, ax=made.axes, label="log density, nats", extend="min", shrink=0.9)
    return made


if __name__ == "__main__":
    main(draw)
