"""Two moons become three rings.

One bridge is trained once. Whether points travel by an ODE or by an SDE, and the noise level, is chosen
afterwards.
"""

import interpolants as itp
from gallery.common import HUES, draws, figure, main, plain_axes
from interpolants.problems import Moons, Rings

METHOD = "docs/choose.md"


def draw(quick: bool) -> object:
    """Train once, then sample at three noise levels."""
    x0, x1 = draws(Moons(scale=1.6), 20_000), draws(Rings(), 20_000, seed=1)
    bridge = itp.Bridge(
        path={"kind": "linear", "envelope": {"kind": "brownian", "scale": 0.2}},
        coupling="minibatch_ot",
        heads=["velocity", "noise"],
        net={"kind": "mlp", "width": 128, "depth": 4},
        seed=0,
    )
    bridge.fit(x0, x1, steps=40 if quick else 3000, batch_size=256, progress=False)

    start = draws(Moons(scale=1.6), 200 if quick else 3000, seed=2)
    made = figure(760, 540)
    top, bottom = made.subplots(2, 3)
    for above, below, eps in zip(top, bottom, (0.0, 0.1, 1.0), strict=True):
        few = bridge.transport(start[:24], eps=eps, seed=3, n_steps=150, details=True, return_path=True)
        plain_axes(above, 3.8, "ODE" if eps == 0 else f"SDE, eps = {eps}")
        above.plot(few.path[..., 0], few.path[..., 1], color="#8a93a0", linewidth=0.5)
        above.scatter(*few.path[0].T, s=9, color=HUES[1], linewidths=0, zorder=3)
        above.scatter(*few.path[-1].T, s=9, color=HUES[0], linewidths=0, zorder=3)

        arrived = bridge.transport(start, eps=eps, seed=4, n_steps=100)
        plain_axes(below, 3.8)
        below.scatter(*arrived.T, s=1.2, color=HUES[0], linewidths=0)
    top[0].set_ylabel("24 journeys", fontsize=9)
    bottom[0].set_ylabel("3,000 arrivals", fontsize=9)
    return made


if __name__ == "__main__":
    main(draw)
