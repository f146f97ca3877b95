"""The Schrödinger bridge: the same noise, the smallest transport cost.

Both processes transport eight clouds to two moons under the same noise. The ordinary bridge pairs endpoints
at random; the Schrödinger bridge finds the pairs of smallest cost.
"""

import torch

import interpolants as itp
from gallery.common import HUES, draws, figure, main, plain_axes
from interpolants.dynamics import sample
from interpolants.generative.schrodinger import EntropicSB
from interpolants.problems import EightGaussians, Moons

METHOD = "docs/methods/schrodinger_bridges.md"
EPS = 0.1


def draw(quick: bool) -> object:
    """Forty paths of each process, coloured by the cloud they start in (dots), and all arrivals."""
    x0 = draws(EightGaussians(radius=3.2, noise=0.3), 10_000)
    x1 = draws(Moons(scale=1.6), 10_000, seed=1)
    net = {"kind": "mlp", "width": 96, "depth": 3}
    steps = 40 if quick else 1500
    ordinary = itp.Bridge("linear", net=net, heads=["velocity", "noise"], standardize=False, seed=0)
    ordinary.fit(x0, x1, steps=steps, batch_size=256, progress=False)
    train = {"steps": steps, "lr": 4e-3, "batch_size": 256}
    pairs = {"block": 128, "pairs": 1000} if quick else {"block": 512, "pairs": 20_000}
    entropic = EntropicSB(eps=EPS, net=net, **train, **pairs).fit(x0, x1)

    start = draws(EightGaussians(radius=3.2, noise=0.3), 200 if quick else 3000, seed=2)
    sector = (torch.atan2(start[:, 1], start[:, 0]) / (torch.pi / 4)).round() % 8
    made = figure(760, 420)
    models = {"an ordinary bridge": ordinary.fields, "the Schrödinger bridge": entropic.fields}
    for axes, (name, fields) in zip(made.subplots(1, 2), models.items(), strict=True):
        done = sample(
            fields,
            start,
            eps=EPS,
            n_steps=20 if quick else 200,
            time_grid="uniform",
            seed=3,
            return_path=True,
        )
        way = (done.path[-1] - start).square().sum(1).mean()
        plain_axes(axes, 4.3, f"{name}: mean squared way {way:.1f}")
        axes.scatter(*done.path[-1].T, s=1, color="#c9ced6", linewidths=0)
        for cloud in range(8):
            rows = (sector[:40] == cloud).nonzero()[:, 0]
            axes.plot(done.path[:, rows, 0], done.path[:, rows, 1], color=HUES[cloud % 4], linewidth=0.6)
        axes.scatter(*start[:40].T, s=9, color="#1d2430", linewidths=0, zorder=3)
    return made


if __name__ == "__main__":
    main(draw)
