"""Draw the figures of the README and the docs: ``python docs/figures/readme.py`` writes ``docs/images/*.png``.

Everything is computed from closed-form fields; nothing is trained.
"""

from pathlib import Path

import torch

from interpolants.dynamics import sample
from interpolants.framework.figures import Axis, Figure, Panel, cloud, shaded, trails
from interpolants.paths import EncoderDecoder, Linear, ZeroEnvelope
from interpolants.paths import Path as BridgePath
from interpolants.problems import (
    Checkerboard,
    EightGaussians,
    Funnel,
    GaussianMixture,
    GaussianMixtureBridge,
    Moons,
    Pinwheel,
    Rings,
    SwissRoll,
)
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"
EDGE = 5.5


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
    x, y = (Axis(label=name, low=-EDGE, high=EDGE) for name in "xy")
    names = ("One bridge, eps = 0: the ODE", "The same, eps = 0.3: an SDE", "The same, eps = 1.5: an SDE")
    panels = []
    for title, eps in zip(names, (0.0, 0.3, 1.5), strict=True):
        done = sample(fields, start, eps=eps, seed=3, n_steps=200, return_path=True)
        ends_ = (
            cloud(start, "start, rho0", size=4, alpha=0.5),
            cloud(done.x, "end, rho1", 1, size=4, alpha=0.5),
        )
        series = (trails(done.path[:, :60], alpha=0.55), *ends_)
        panels.append(Panel(series=series, title=title, x=x, y=y, equal=True))
    return Figure(name="hero", panels=tuple(panels), width=1000, height=380, legend_columns=2)


def marginals() -> Figure:
    """What the latent noise does: densities of x_t for three paths at five times."""
    rho0, rho1 = ends()
    paths: dict[str, BridgePath] = {
        "linear, gamma = 0": Linear(envelope=ZeroEnvelope()),
        "linear, gamma = sqrt(t(1-t))": Linear(),
        "encoder-decoder": EncoderDecoder(),
    }
    times = (0.0, 0.25, 0.5, 0.75, 1.0)
    side = torch.linspace(-EDGE, EDGE, 160, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    bridge, panels = GaussianMixtureBridge(rho0, rho1), []
    for name, path in paths.items():
        for t in times:
            density = bridge.marginal(path, t).log_prob(grid).exp().reshape(160, 160)
            words = {
                "title": "" if panels[4:] else f"t = {t:g}" if panels else "square root of density, t = 0",
                "y": Axis(label="" if t else name),
            }
            panels.append(Panel(series=(shaded(density.sqrt(), EDGE),), **words, equal=True, bare=True))
    return Figure(name="marginals", panels=tuple(panels), columns=5, width=1000, height=620, photo=True)


def toys() -> Figure:
    """Problems that carry their exact density, and samples."""
    panels = []
    for problem in (Checkerboard(), Moons(), Rings(), SwissRoll(), EightGaussians(), Funnel(), Pinwheel()):
        x = problem.sample(3000, generator=torch.Generator().manual_seed(0))
        dots = cloud(x, size=1.5, alpha=0.5)
        panels.append(Panel(series=(dots,), title=type(problem).__name__, bare=True))
    return Figure(name="toys", panels=tuple(panels), width=1100, height=190)


if __name__ == "__main__":
    save([hero(), marginals(), toys()], IMAGES, dpi=120)
