"""A closure that draws samples.

Rods drive a flow; the fluid model stores their alignment and needs one more moment. A function of the
alignment gives the mean of this moment. A bridge, conditional on the alignment, draws it, including its
large spread where the rods are disordered.
"""

import torch

import interpolants as itp
from gallery.common import HUES, figure, label, main
from interpolants.sciml.closures.pde.active_fluid import complex_moments
from interpolants.sciml.closures.problems.active_fluid_runs import ActiveFluidRuns

METHOD = "docs/methods/moment_closure.md"


def rows(fields: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Order ``(N, 1)`` and the next moment, turned so that the rods lie along x, ``(N, 2)``."""
    c, z = complex_moments(fields.flatten(0, 1))
    order = (z[:, 0].abs() / c).flatten()
    turned = (z[:, 1] / c * torch.polar(torch.ones_like(c), -2 * z[:, 0].angle())).flatten()
    return order[:, None].float(), torch.stack([turned.real, turned.imag], 1).float()


def draw(quick: bool) -> object:
    """Order, moments by the kinetic theory and by the bridge, and their spread."""
    problem = ActiveFluidRuns(
        points=32, translation=0.1, begin=6.0, end=8.0 if quick else 16.0, frames=3 if quick else 11
    )
    fields = problem.sample(4, generator=torch.Generator().manual_seed(0))["fields"]
    order, moment = rows(fields[:3])
    bridge = itp.Bridge("one_sided_linear", net={"kind": "mlp", "width": 96, "depth": 3}, seed=0)
    bridge.fit(x1=moment, cond=order, steps=40 if quick else 2500, batch_size=512, progress=False)
    order, moment = rows(fields[3:])  # another run
    drawn = bridge.sample(len(order), cond=order, seed=1, n_steps=10 if quick else 40)

    made = figure(900, 300)
    left, middle, right = made.subplots(1, 3)
    left.imshow(
        order[-1024:].reshape(32, 32).T.numpy(),
        origin="lower",
        extent=(0, 10, 0, 10),
        cmap="viridis",
        vmin=0,
        vmax=1,
    )
    label(left, title="order of another run")
    for values, hue, name in ((moment, HUES[1], "kinetic theory"), (drawn, HUES[0], "drawn by the bridge")):
        middle.plot(
            values[-1024:, 0].numpy(),
            values[-1024:, 1].numpy(),
            ".",
            color=hue,
            markersize=3,
            alpha=0.6,
            label=name,
        )
        edges = torch.linspace(0.05, 0.95, 10)
        inside = [(order[:, 0] >= low) & (order[:, 0] < low + 0.1) for low in edges]
        spread = torch.stack(
            [values[one].std(0).norm() if one.sum() > 5 else torch.tensor(torch.nan) for one in inside]
        )
        right.plot((edges + 0.05).numpy(), spread.numpy(), "o-", color=hue, markersize=4)
    label(middle, title="the moment beyond", x="along the rods", y="across")
    middle.legend(frameon=False, fontsize=8, loc="upper left")
    right.axhline(0, color="grey", linestyle=":")
    label(right, title="its spread (a function has none)", x="order", y="standard deviation")
    return made


if __name__ == "__main__":
    main(draw)
