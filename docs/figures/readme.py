"""Draw the figures of the README and the docs: ``python docs/figures/readme.py`` writes ``docs/images/*.png``.

Everything is computed from closed-form fields; nothing is trained.
"""

from pathlib import Path

import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from interpolants.dynamics import sample
from interpolants.paths import EncoderDecoder, Linear, ZeroEnvelope
from interpolants.paths import Path as BridgePath
from interpolants.problems import EightGaussians, GaussianMixture, GaussianMixtureBridge, Moons

IMAGES = Path(__file__).parents[1] / "images"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"


def ends() -> tuple[GaussianMixture, GaussianMixture]:
    """Two half moons, shrunk to a mixture of some dozen modes, and eight Gaussians on a circle."""
    angle = torch.linspace(0, torch.pi, 12, dtype=torch.float64)
    upper = torch.stack([angle.cos() - 0.5, angle.sin() - 0.25], 1)
    lower = torch.stack([0.5 - angle.cos(), 0.25 - angle.sin()], 1)
    means = 2.0 * torch.cat([upper, lower])
    moons = GaussianMixture(torch.ones(24).double() / 24, means, torch.full((24,), 0.15**2).double())
    ring = torch.arange(8, dtype=torch.float64) * torch.pi / 4
    circle = 4.0 * torch.stack([ring.cos(), ring.sin()], 1)
    return moons, GaussianMixture(torch.ones(8).double() / 8, circle, torch.full((8,), 0.35**2).double())


def hero() -> Figure:
    """One bridge, three noise levels: the same start points by ODE and SDE, forwards."""
    rho0, rho1 = ends()
    fields = GaussianMixtureBridge(rho0, rho1).fields(Linear())
    start = rho0.sample(1500, generator=torch.Generator().manual_seed(1))
    figure = Figure(figsize=(12, 4.9), layout="constrained")
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    for axis, eps in zip(axes, (0.0, 0.3, 1.5), strict=True):
        done = sample(fields, start, eps=eps, seed=3, n_steps=200, return_path=True)
        paths = done.path[:, :60].numpy()
        lines = LineCollection(list(paths.transpose(1, 0, 2)), colors=GREY, linewidths=0.5, alpha=0.55)
        axis.add_collection(lines)
        axis.scatter(*start.T.numpy(), s=4, color=BLUE, alpha=0.5, linewidths=0, label="start, rho0")
        axis.scatter(*done.x.T.numpy(), s=4, color=ORANGE, alpha=0.5, linewidths=0, label="end, rho1")
        name = "eps = 0: the ODE" if eps == 0 else f"eps = {eps:g}: the SDE"
        axis.set(title=name, aspect="equal", xlim=(-5.5, 5.5), ylim=(-5.5, 5.5), xlabel="x")
    axes[0].set_ylabel("y")
    axes[0].legend(loc="upper left", markerscale=3, frameon=False, fontsize=9)
    figure.suptitle("One bridge between two distributions, three noise levels chosen afterwards", fontsize=13)
    return figure


def marginals() -> Figure:
    """What the latent noise does: densities of x_t for three paths at five times."""
    rho0, rho1 = ends()
    paths: dict[str, BridgePath] = {
        "linear, gamma = 0": Linear(envelope=ZeroEnvelope()),
        "linear, gamma = sqrt(t(1-t))": Linear(),
        "encoder-decoder": EncoderDecoder(),
    }
    times = (0.0, 0.25, 0.5, 0.75, 1.0)
    side = torch.linspace(-5.5, 5.5, 160, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    figure = Figure(figsize=(12, 7.4), layout="constrained")
    axes = figure.subplots(len(paths), len(times), sharex=True, sharey=True)
    for row, (name, path) in zip(axes, paths.items(), strict=True):
        for axis, t in zip(row, times, strict=True):
            density = (
                GaussianMixtureBridge(rho0, rho1).marginal(path, t).log_prob(grid).exp().reshape(160, 160)
            )
            shade = np.sqrt(density.T.numpy())
            axis.imshow(shade, origin="lower", extent=(-5.5, 5.5, -5.5, 5.5), cmap="cividis", vmin=0)
            axis.set(xticks=(), yticks=())
        row[0].set_ylabel(name, fontsize=10)
    for axis, t in zip(axes[0], times, strict=True):
        axis.set_title(f"t = {t:g}")
    figure.suptitle(
        "The distribution of x_t from two moons to eight Gaussians (square root of the density)", fontsize=13
    )
    return figure


def toys() -> Figure:
    """Problems that carry their exact density, and samples."""
    from interpolants.problems import Checkerboard, Funnel, Pinwheel, Rings, SwissRoll

    problems = [Checkerboard(), Moons(), Rings(), SwissRoll(), EightGaussians(), Funnel(), Pinwheel()]
    figure = Figure(figsize=(12, 2.3), layout="constrained")
    for axis, problem in zip(figure.subplots(1, len(problems)), problems, strict=True):
        x = problem.sample(3000, generator=torch.Generator().manual_seed(0))[:, :2].numpy()
        axis.scatter(*x.T, s=1.5, color=BLUE, alpha=0.5, linewidths=0)
        axis.set(title=type(problem).__name__, xticks=(), yticks=())
        axis.title.set_fontsize(9)
    return figure


def main() -> None:
    """Write every figure."""
    IMAGES.mkdir(exist_ok=True)
    for draw in (hero, marginals, toys):
        draw().savefig(IMAGES / f"{draw.__name__}.png", dpi=110)
        print(f"wrote docs/images/{draw.__name__}.png")


if __name__ == "__main__":
    main()
