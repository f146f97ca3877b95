"""Draw ``docs/images/forecasting.png``: ``python docs/figures/forecasting.py``.

One state in, a distribution of states out, at three noise levels of one drift. Everything is in closed form; nothing
is trained.
"""

from pathlib import Path

import torch

from interpolants.dynamics import sample_from_point
from interpolants.framework.figures import Axis, Figure, Panel, cloud, curve, trails
from interpolants.paths import Diffusive
from interpolants.problems import RotatingMixture
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"


def forecasting() -> Figure:
    """Paths from one point under the flow and two SDEs; the true distribution behind."""
    problem, scale = RotatingMixture(), 1.0
    now = torch.tensor([[2.6, -1.4]], dtype=torch.float64)
    fields = problem.fields(Diffusive(scale=scale))
    truth = problem.members(now, 2500, generator=torch.Generator().manual_seed(0))[0]
    levels = {
        "eps = 0: one draw, then the flow": 0.0,
        "eps = eps*: the learnt drift as it is": "reference",
        "Foellmer level": "follmer",
    }
    panels = []
    x, y = (Axis(label=f"{name} coordinate", low=-4.5, high=4.5) for name in ("first", "second"))
    for name, eps in levels.items():
        done = sample_from_point(fields, now.expand(300, 2), eps=eps, n_steps=80, seed=2, return_path=True)
        series = (
            cloud(truth, "true distribution of later", "muted", size=2, alpha=0.25),
            trails(torch.cat([now.expand(1, 300, 2), done.path])[:, :16], hue=0, alpha=0.5),
            cloud(done.x, "members", 1, size=5, alpha=0.8),
            curve(*now.T, "now", 2, dash="", symbol="*", size=11),
        )
        panels.append(Panel(series=series, title=name, x=x, y=y, equal=True))
    return Figure(name="forecasting", panels=tuple(panels), width=920, height=360, legend_columns=3)


if __name__ == "__main__":
    save([forecasting()], IMAGES, dpi=100)
