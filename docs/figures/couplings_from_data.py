"""Draw ``docs/images/couplings_from_data.png``: ``python docs/figures/couplings_from_data.py``.

In-painting in the plane with its exact velocity: the first coordinate is known, the second is filled in. Nothing is
trained.
"""

from pathlib import Path

import torch
from torch import Tensor

from interpolants.couplings import InPainting
from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.framework.figures import Axis, Figure, Panel, Series, cloud, curve, trails
from interpolants.paths import Linear, ZeroEnvelope
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"
# Two arcs, each of twelve small round modes: for most first coordinates the second has two places to be.
ANGLES = torch.linspace(0.15, torch.pi - 0.15, 12, dtype=torch.float64)
MEANS = torch.cat(
    [torch.stack([2 * ANGLES.cos(), sign * (0.5 + 1.2 * ANGLES.sin())], 1) for sign in (1.0, -1.0)]
)
SPREAD = 0.15


def draw(n: int, generator: torch.Generator) -> Tensor:
    """Samples of the two arcs."""
    pick = torch.randint(len(MEANS), (n,), generator=generator)
    return MEANS[pick] + SPREAD * torch.randn(n, 2, dtype=torch.float64, generator=generator)


def weights(known: Tensor) -> Tensor:
    """Posterior weights of the modes given the first coordinate, ``(B, 1)`` -> ``(B, modes)``."""
    return torch.softmax(-0.5 * ((known - MEANS[:, 0]) / SPREAD).square(), 1)


def velocity(x: Tensor, t: Tensor) -> Tensor:
    """Exact: zero for what is known; for the rest the mixture's flow from N(0, 1), given what is known."""
    y, t, mean = x[:, 1:], t[:, None], MEANS[:, 1]
    variance = (1 - t) ** 2 + t**2 * SPREAD**2
    log = weights(x[:, :1]).log() - 0.5 * (y - t * mean).square() / variance
    each = mean + (t * SPREAD**2 - (1 - t)) / variance * (y - t * mean)
    moving = (torch.softmax(log, 1) * each).sum(1, keepdim=True)
    return torch.cat([torch.zeros_like(moving), moving], 1)


def figure() -> Figure:
    """Starts, ways and ends; and the answers to one question against regression."""
    generator = torch.Generator().manual_seed(0)
    x1 = draw(1500, generator)
    coupling = InPainting(mask="lower", share=0.5)
    start = coupling.degrade(x1, generator=generator)
    fields = LearnedFields(Linear(envelope=ZeroEnvelope()), velocity=velocity)
    done = sample(fields, start.x0, n_steps=100, return_path=True)
    x = Axis(label="known coordinate", low=-2.7, high=2.7)
    y = Axis(label="hidden coordinate", low=-3.2, high=3.6)
    plane = {"x": x, "y": y, "legend": "upper center"}
    whole = (
        cloud(x1, "x1, whole samples"),
        cloud(start.x0, "x0, second coordinate replaced by noise", "muted"),
    )
    left = Panel(series=whole, title="The coupling: x0 is made from x1", **plane)
    ways = (trails(done.path[:, :70]), cloud(done.x, "restored", 1))
    middle = Panel(series=ways, title="The flow moves what is hidden only", **plane)
    one = torch.tensor([[0.5, torch.nan]], dtype=torch.float64).expand(4000, 2)
    answers = sample(fields, coupling.start(one, ~one.isnan(), generator=generator).x0, n_steps=100).x[:, 1]
    grid = torch.linspace(-3, 3, 300, dtype=torch.float64)
    density = weights(torch.full((1, 1), 0.5, dtype=torch.float64)) * torch.exp(
        -0.5 * ((grid[:, None] - MEANS[:, 1]) / SPREAD).square()
    )
    counts, edges = torch.histogram(answers, 60, density=True)
    series = (
        Series(
            mark="histogram",
            arrays={"edges": edges, "counts": counts},
            name="4,000 answers of the bridge",
            hue=1,
        ),
        curve(grid, density.sum(1) / (SPREAD * (2 * torch.pi) ** 0.5), "exact distribution"),
        Series(mark="rule", arrays={"x": 0.0}, name="what regression says", hue="muted", dash="--"),
    )
    x, y = Axis(label="hidden coordinate"), Axis(label="density", low=0, high=1.9)
    right = Panel(series=series, title="Answers for a known 0.5", x=x, y=y, legend="upper center")
    return Figure(name="couplings_from_data", panels=(left, middle, right), width=1000, height=360)


if __name__ == "__main__":
    save([figure()], IMAGES, dpi=100)
