"""Draw ``docs/images/couplings_from_data.png``: ``python docs/figures/couplings_from_data.py``.

In-painting in the plane with its exact velocity: the first coordinate is known, the second is filled in. Nothing is
trained.
"""

from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from interpolants.couplings import InPainting
from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.paths import Linear, ZeroEnvelope

IMAGES = Path(__file__).parents[1] / "images"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"
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
    y, mean = x[:, 1:], MEANS[:, 1]
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
    made = Figure(figsize=(11, 3.6), layout="constrained")
    left, middle, right = made.subplots(1, 3)
    left.scatter(*x1.T, s=4, color=BLUE, linewidths=0, label="x1, whole samples")
    left.scatter(*start.x0.T, s=4, color=GREY, linewidths=0, label="x0, second coordinate replaced by noise")
    left.set(title="The coupling: x0 is made from x1")
    middle.plot(*done.path[:, :70].permute(2, 0, 1), color=GREY, linewidth=0.5, alpha=0.7)
    middle.scatter(*done.x.T, s=4, color=ORANGE, linewidths=0, label="restored")
    middle.set(title="The flow moves what is hidden only")
    for axes in (left, middle):
        axes.set(xlabel="known coordinate", ylabel="hidden coordinate", xlim=(-2.7, 2.7), ylim=(-3.2, 3.6))
        axes.legend(loc="upper center", frameon=False, fontsize=8, markerscale=3)
    one = torch.tensor([[0.5, torch.nan]], dtype=torch.float64).expand(4000, 2)
    answers = sample(fields, coupling.start(one, ~one.isnan(), generator=generator).x0, n_steps=100).x[:, 1]
    grid = torch.linspace(-3, 3, 300, dtype=torch.float64)
    density = weights(torch.full((1, 1), 0.5, dtype=torch.float64)) * torch.exp(
        -0.5 * ((grid[:, None] - MEANS[:, 1]) / SPREAD).square()
    )
    right.hist(answers, bins=60, density=True, color=ORANGE, alpha=0.5, label="4,000 answers of the bridge")
    right.plot(
        grid, density.sum(1) / (SPREAD * (2 * torch.pi) ** 0.5), color=BLUE, label="exact distribution"
    )
    right.axvline(0.0, color=GREY, linestyle="--", label="what regression says")
    right.set(title="Answers for a known 0.5", xlabel="hidden coordinate", ylabel="density")
    right.set_ylim(top=1.9)
    right.legend(frameon=False, fontsize=8, loc="upper center")
    return made


if __name__ == "__main__":
    figure().savefig(IMAGES / "couplings_from_data.png", dpi=90)
