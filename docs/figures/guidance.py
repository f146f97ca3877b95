"""Draw ``docs/images/guidance.png``: ``python docs/figures/guidance.py``.

Classifier-free guidance with the exact fields of a Gaussian mixture. Nothing is trained.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from interpolants.dynamics import sample
from interpolants.fields.protocol import Fields
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.types import Condition
from interpolants.framework.figures import Axis, Figure, Panel, Series, cloud
from interpolants.guidance import ClassifierFree
from interpolants.paths import OneSidedLinear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"
# Two classes of four modes each; they meet in the middle.
MEANS = torch.tensor(
    [[-2, 1.5], [-2, -1.5], [-0.6, 0.8], [-0.6, -0.8], [2, 1.5], [2, -1.5], [0.6, 0.8], [0.6, -0.8]],
    dtype=torch.float64,
)
ROUND = torch.full((8,), 0.45**2, dtype=torch.float64)


class TwoClasses(Fields):
    """Exact fields given the left class (label 0), and of the whole mixture (label -1)."""

    def __init__(self) -> None:
        base = Gaussian(event_shape=(2,))
        self.path = OneSidedLinear(base=base)
        left = GaussianMixture(torch.full((4,), 0.25).double(), MEANS[:4], ROUND[:4])
        both = GaussianMixture(torch.full((8,), 0.125).double(), MEANS, ROUND)
        self._left, self._both = (
            GaussianMixtureBridge(base, distribution).fields(self.path) for distribution in (left, both)
        )

    def provides(self, quantity: str) -> bool:
        """All of them."""
        return self._both.provides(quantity)

    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        """By label."""
        given, without = self._left.evaluate(x, t, want), self._both.evaluate(x, t, want)
        here = (cond == 0)[:, None]
        return {name: torch.where(here, given[name], without[name]) for name in want}


def figure() -> Figure:
    """What w does, and what an interval keeps."""
    start = torch.randn(1500, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    label = torch.zeros(len(start), dtype=torch.long)
    settings = {
        "w = 0: without the label": (0.0, (0.0, 1.0)),
        "w = 1: the class": (1.0, (0.0, 1.0)),
        "w = 4: guided": (4.0, (0.0, 1.0)),
        "w = 4 for t in [0.5, 1]": (4.0, (0.5, 1.0)),
    }
    own, other = (dict(zip("xy", means.T, strict=True)) for means in (MEANS[:4], MEANS[4:]))
    modes = (
        Series(mark="points", arrays=own, name="modes of the class", symbol="x", size=45),
        Series(mark="points", arrays=other, name="other modes", hue="muted", symbol="+", size=45),
    )
    axes = {"x": Axis(label="x", low=-5.2, high=4), "y": Axis(label="y", low=-4, high=4)}
    panels = []
    for name, (w, interval) in settings.items():
        end = sample(ClassifierFree(TwoClasses(), w, interval), start, n_steps=100, cond=label).x
        series = (cloud(end, "samples", 1, size=4, alpha=0.6), *modes)
        panels.append(Panel(series=series, title=name, **axes))
    return Figure(name="guidance", panels=tuple(panels), width=1080, height=320, legend_columns=3)


if __name__ == "__main__":
    save([figure()], IMAGES, dpi=100)
