"""Draw the figure of ``docs/methods/posterior.md``: ``python docs/figures/posterior.py``."""

from pathlib import Path

import torch

from interpolants.apps.posterior import NearestSimulations, Posterior, TwoMoons
from interpolants.framework.figures import Axis, Figure, Panel, cloud
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"


def figure() -> Figure:
    """Exact draws of two moons, draws of the posterior, and accepted simulations."""
    problem, x_o = TwoMoons(), torch.zeros(2, dtype=torch.float64)
    g = torch.Generator().manual_seed(0)
    pairs = problem.sample(10_000, generator=g)
    posterior = Posterior(problem.prior).fit(pairs["theta"], pairs["x"])
    nearest = NearestSimulations().fit(pairs["theta"], pairs["x"])
    draws = {
        "exact posterior": problem.posterior_sample(x_o, 2000, generator=g),
        "Posterior": posterior.sample(2000, x=x_o, seed=1),
        "rejection ABC, 100 accepted": nearest.sample(2000, x=x_o, seed=1),
    }
    x, y = (Axis(label=f"theta {k}", low=-0.5, high=0.5) for k in (1, 2))
    panels = [
        Panel(series=(cloud(theta, hue=k),), title=name, x=x, y=y, equal=True)
        for k, (name, theta) in enumerate(draws.items())
    ]
    return Figure(name="posterior", panels=tuple(panels), width=860, height=310)


if __name__ == "__main__":
    save([figure()], IMAGES, dpi=110)
