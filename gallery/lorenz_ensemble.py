"""A forecast is a distribution.

One state of a kicked Lorenz system, and the distribution of its next states: the learnt ensemble next to
members of the true distribution, over eight steps.
"""

import torch

from gallery.common import HUES, figure, label, legend, main
from interpolants.methods import Forecaster
from interpolants.problems import NoisyLorenz

METHOD = "docs/methods/forecasting.md"


def draw(quick: bool) -> object:
    """Fans of the first coordinate, and clouds after one and two steps."""
    system = NoisyLorenz()
    draws = torch.Generator().manual_seed(0)
    now, later = (x.float() for x in system.pairs(2000 if quick else 40_000, generator=draws))
    forecaster = Forecaster(seed=0, net={"kind": "mlp", "width": 128, "depth": 3})
    forecaster.fit(now, later, steps=60 if quick else 2000, batch_size=256)

    start, members, n_steps = now[5:6], 60 if quick else 300, 8
    rollout = forecaster.forecast(start, members=members, steps=n_steps, seed=1, n_steps=10 if quick else 25)
    learnt = torch.cat([start.expand(1, members, 3), rollout.x[0].transpose(0, 1)])
    true = system.rollout(start.double().expand(members, 3), n_steps, generator=draws)

    made = figure(760, 520)
    axes = made.subplot_mosaic([["true", "learnt"], ["one", "two"]], sharey=False)
    clock = torch.arange(n_steps + 1) * system.lag
    for place, states, hue in (("true", true, HUES[1]), ("learnt", learnt, HUES[0])):
        axes[place].plot(clock, states[:, :120, 0], color=hue, linewidth=0.4, alpha=0.6)
        axes[place].plot(clock, states[..., 0].mean(1), color="black", linewidth=1.6)
        label(axes[place], title=f"{place} distribution: 120 members and their mean", x="time", y="x")
        axes[place].set_ylim(-26, 26)
    for place, step, word in (("one", 1, "one step"), ("two", 3, "three steps")):
        axes[place].scatter(*true[step][:, [0, 2]].T, s=6, color=HUES[1], linewidths=0, label="true")
        axes[place].scatter(
            *learnt[step][:, [0, 2]].T, s=6, color=HUES[0], linewidths=0, label="learnt", alpha=0.7
        )
        label(axes[place], title=f"after {word}", x="x", y="z")
    legend(axes["one"], markerscale=2)
    return made


if __name__ == "__main__":
    main(draw)
