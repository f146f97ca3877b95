"""Draw ``docs/images/forecasting.png``: ``python docs/figures/forecasting.py``.

One state in, a distribution of states out, at three noise levels of one drift. Everything is in closed form; nothing
is trained.
"""

from pathlib import Path

import torch
from matplotlib.figure import Figure

from interpolants.dynamics import sample_from_point
from interpolants.paths import Diffusive
from interpolants.problems import RotatingMixture

IMAGES = Path(__file__).parents[1] / "images"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#9aa3ad"


def forecasting() -> Figure:
    """Paths from one point under the flow and two SDEs; the true distribution behind."""
    problem, scale = RotatingMixture(), 1.0
    now = torch.tensor([[2.6, -1.4]], dtype=torch.float64)
    fields = problem.fields(Diffusive(scale=scale))
    truth = problem.members(now, 2500, generator=torch.Generator().manual_seed(0))[0]
    figure = Figure(figsize=(11.5, 4.4), layout="constrained")
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    levels = {
        "eps = 0: one draw, then the flow": 0.0,
        "eps = eps*: the learnt drift as it is": "reference",
        "Foellmer level": "follmer",
    }
    for axes, (name, eps) in zip(panels, levels.items(), strict=True):
        done = sample_from_point(fields, now.expand(300, 2), eps=eps, n_steps=80, seed=2, return_path=True)
        ways = torch.cat([now.expand(1, 300, 2), done.path])[:, :16]
        axes.scatter(*truth.T, s=2, color=GREY, alpha=0.35, linewidths=0, label="true distribution of later")
        axes.plot(ways[..., 0], ways[..., 1], color=BLUE, linewidth=0.4, alpha=0.6)
        axes.scatter(*done.x.T, s=5, color=ORANGE, alpha=0.8, linewidths=0, label="members")
        axes.plot(*now[0], marker="*", markersize=11, color="black", linestyle="none", label="now")
        axes.set(title=name, xlabel="first coordinate", aspect="equal", xlim=(-4.5, 4.5), ylim=(-4.5, 4.5))
    panels[0].set_ylabel("second coordinate")
    panels[0].legend(loc="lower left", frameon=False, fontsize=8, markerscale=1.5)
    return figure


if __name__ == "__main__":
    forecasting().savefig(IMAGES / "forecasting.png", dpi=80)
