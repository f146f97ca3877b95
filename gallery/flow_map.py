"""Four jumps instead of a hundred steps.

A flow map predicts the state of the flow at any later time. From noise to a pinwheel it needs four network
evaluations.
"""

import torch
from matplotlib import colormaps

from gallery.common import draws, figure, main, plain_axes
from interpolants.dynamics import sample
from interpolants.methods import FlowMap
from interpolants.problems import Pinwheel

METHOD = "docs/methods/flow_map.md"


def draw(quick: bool) -> object:
    """The states after each jump, beside four and a hundred Euler steps of the same network's ODE."""
    flow = FlowMap(
        path="one_sided_linear",
        directions="forward",
        net={"kind": "mlp", "width": 128, "depth": 4},
        steps=40 if quick else 2200,
        standardize=False,
    ).fit(x1=draws(Pinwheel(), 30_000))

    noise = torch.randn(200 if quick else 3000, 2, generator=torch.Generator().manual_seed(1))
    jumps = [noise]
    for k in range(4):
        jumps.append(flow.jump(jumps[-1], k / 4, (k + 1) / 4))
    turn = torch.atan2(noise[:, 1], noise[:, 0]).abs() / torch.pi
    colours = colormaps["plasma"](0.9 * turn.numpy())
    panels = {f"jump {k}, t = {k / 4}" if k else "noise": jumps[k] for k in (0, 1, 2, 4)}
    panels["4 Euler steps of the ODE"] = sample(flow.fields, noise, method="euler", n_steps=4).x
    panels["100 Euler steps"] = sample(flow.fields, noise, method="euler", n_steps=100).x

    made = figure(760, 540)
    for axes, (title, x) in zip(made.subplots(2, 3).flat, panels.items(), strict=True):
        axes.scatter(*x.T, s=2, c=colours, linewidths=0)
        plain_axes(axes, 4.2, title)
    return made


if __name__ == "__main__":
    main(draw)
