"""Latent noise smooths spurious modes.

Half-way between three modes and three modes, nine modes appear that neither end has. Latent noise, a design
choice of the path, blurs them. Densities are exact, nothing is trained.
"""

import torch

from gallery.common import figure, main, plain_axes
from interpolants.paths import BrownianEnvelope, Linear, ZeroEnvelope
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

METHOD = "studies/spurious_modes/README.md"


def triangle(turn: float) -> GaussianMixture:
    """Three narrow modes on a circle of radius 3, turned by an angle in radians."""
    angle = turn + torch.arange(3, dtype=torch.float64) * 2 * torch.pi / 3
    means = 3 * torch.stack([angle.cos(), angle.sin()], 1)
    return GaussianMixture(torch.full((3,), 1 / 3).double(), means, torch.full((3,), 0.09).double())


def draw(quick: bool) -> object:
    """A row without, a row with little and a row with more latent noise."""
    bridge = GaussianMixtureBridge(triangle(0.3), triangle(2.0))
    side = 60 if quick else 160
    line = torch.linspace(-4.2, 4.2, side, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    envelopes = {
        "no latent noise": ZeroEnvelope(),
        "gamma² = t(1 - t)": BrownianEnvelope(scale=1.0),
        "gamma² = 4 t(1 - t)": BrownianEnvelope(scale=4.0),
    }
    made = figure(760, 500)
    rows = made.subplots(3, 5)
    for row, name, envelope in zip(rows, envelopes, envelopes.values(), strict=True):
        for axes, t in zip(row, (0.0, 0.25, 0.5, 0.75, 1.0), strict=True):
            density = bridge.marginal(Linear(envelope=envelope), t).log_prob(grid).exp().reshape(side, side)
            axes.imshow(density.T.numpy(), origin="lower", extent=(-4.2, 4.2) * 2, cmap="magma", vmin=0)
            plain_axes(axes, 4.2, f"t = {t}" if envelope is envelopes["no latent noise"] else "")
        row[0].set_ylabel(name, fontsize=8)
    return made


if __name__ == "__main__":
    main(draw)
