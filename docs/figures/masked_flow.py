"""Draw ``docs/images/masked_flow.png``, print its table: ``python docs/figures/masked_flow.py``. Nothing is trained."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from interpolants.fields.entry_preconditioned import EntryPreconditioned
from interpolants.fields.learned import LearnedFields
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.guidance.cyclic import Job, RePaint
from interpolants.guidance.masked_flow import MaskedFlow
from interpolants.paths import OneSidedLinear
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"
ROWS, MEAN, STD = 20_000, 0.8, 0.6
RULES: dict[str, MaskedFlow | RePaint] = {
    "masked flow, 100 evaluations": MaskedFlow(n_steps=50),
    "RePaint, 100 evaluations": RePaint(n_steps=100, resamples=1),
    "RePaint, 500 evaluations": RePaint(),
}


class Zero(nn.Module):
    """Network that returns 0: the preconditioned network is then the exact denoiser of a Gaussian."""

    def forward(self, x: Tensor, t: Tensor, cond: object = None) -> Tensor:
        """Return zeros of the shape of the states."""
        return torch.zeros_like(x)


def main() -> None:
    """Print mean and standard deviation of the draws, and draw their histograms."""
    covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]]).double()
    path = OneSidedLinear()
    fields = LearnedFields(path, denoised=EntryPreconditioned(Zero(), path, 1.0, covariance))
    x = torch.tensor([1.0, torch.nan]).double().expand(ROWS, 2)
    print("| rule | mean | standard deviation |\n| --- | ---: | ---: |")
    panels = []
    for name, rule in RULES.items():
        draws = rule.complete(Job(fields, x, (~x.isnan()).double(), seed=1)).x[:, 1]
        print(f"| {name} | {float(draws.mean()):.3f} | {float(draws.std()):.3f} |")
        panels.append(_panel(name, draws))
    print(f"| exact | {MEAN:.3f} | {STD:.3f} |")
    figure = Figure(name="masked_flow", panels=tuple(panels), columns=3, width=1125, height=300)
    save([figure], IMAGES, dpi=100)


def _panel(name: str, draws: Tensor) -> Panel:
    counts, edges = np.histogram(draws.numpy(), bins=50, range=(-2, 3.5))
    grid = np.linspace(-2, 3.5, 200)
    density = np.exp(-(((grid - MEAN) / STD) ** 2) / 2) / (STD * (2 * np.pi) ** 0.5)
    marks = (
        Series(mark="histogram", arrays={"edges": edges, "counts": counts}, name="draws"),
        Series(
            mark="line", arrays={"x": grid, "y": density * ROWS * (edges[1] - edges[0])}, name="exact", hue=1
        ),
    )
    return Panel(
        series=marks, title=name, x=Axis(label="x2 given x1 = 1"), y=Axis(label="count"), legend="below"
    )


if __name__ == "__main__":
    main()
