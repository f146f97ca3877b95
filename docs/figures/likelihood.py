"""Draw ``docs/images/likelihood.png`` and print the numbers beside it: ``python docs/figures/likelihood.py``.

Two Gaussian modes to three in the plane; velocity and score are the exact ones with errors put in, so that the
divergence of the model and its bound can both be had. About half a minute of a core.
"""

import math
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from interpolants.fields import LearnedFields
from interpolants.foundations.randomness import generator
from interpolants.likelihood import (
    SquaredErrors,
    cross_entropy,
    held_out_errors,
    kl_bound,
    optimal_eps,
    squared_errors,
)
from interpolants.paths import Linear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

IMAGES = Path(__file__).parents[1] / "images"
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#007d5c", "#777777"
LEVELS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
ROWS, POINTS = 8000, 400


def distributions() -> tuple[GaussianMixture, GaussianMixture]:
    """Two modes, and three."""
    f64 = torch.float64
    rho0 = GaussianMixture(
        torch.full((2,), 0.5, dtype=f64),
        torch.tensor([[-1.5, 0.0], [1.5, 0.0]], dtype=f64),
        torch.full((2,), 0.3, dtype=f64),
    )
    turn = torch.arange(3, dtype=f64) * 2 * math.pi / 3 + math.pi / 2
    rho1 = GaussianMixture(
        torch.full((3,), 1 / 3, dtype=f64),
        2.0 * torch.stack([turn.cos(), turn.sin()], 1),
        torch.full((3,), 0.2, dtype=f64),
    )
    return rho0, rho1


def imperfect() -> tuple[LearnedFields, LearnedFields]:
    """Fields with errors, and the exact ones."""
    exact = GaussianMixtureBridge(*distributions()).fields(Linear())
    turn = torch.tensor([1.0, -1.0], dtype=torch.float64)

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        return exact.velocity(x, t) + 0.6 * (1.2 - t) * torch.tanh(x.flip(1) * turn)

    def score(x: Tensor, t: Tensor) -> Tensor:
        return exact.score(x, t) + 0.8 * (0.3 + t) * torch.tanh(x)

    return LearnedFields(Linear(), velocity=velocity, score=score), exact


def divergences(fields: LearnedFields) -> list[tuple[float, float]]:
    """``KL(rho1 || model)`` and its standard error for the flow and for each noise level."""
    rho0, rho1 = distributions()
    x = rho1.sample(POINTS, generator=generator(1))
    true, found = rho1.log_prob(x), []
    for eps in (0.0, *LEVELS):
        options = {"method": "midpoint", "n_steps": 80} if eps == 0 else {"paths": 32, "n_steps": 80}
        found.append(cross_entropy(fields, x, rho0, eps=eps, seed=0, **options).divergence(true))
    return found


def errors(fields: LearnedFields, exact: LearnedFields) -> tuple[SquaredErrors, SquaredErrors]:
    """Squared errors against the exact fields, and as held-out rows tell them without those."""
    rho0, rho1 = distributions()
    x0, x1 = rho0.sample(ROWS, generator=generator(2)), rho1.sample(ROWS, generator=generator(3))
    true = squared_errors(fields, exact, x0, x1, times=20, generator=generator(4))
    return true, held_out_errors(fields, x0, x1, times=20, repeats=4, generator=generator(5))


def draw(found: list[tuple[float, float]], true: SquaredErrors, seen: SquaredErrors) -> Figure:
    """Divergence and bounds against eps; noise level of least bound against time."""
    figure = Figure(figsize=(10, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    grid = np.geomspace(LEVELS[0], LEVELS[-1], 60)
    for form, style, words in (
        ("drift", "-", "bound"),
        ("velocity_score", "--", "bound without the cross term"),
    ):
        left.plot(
            grid,
            [kl_bound(true, float(eps), form=form).value for eps in grid],
            style,
            color=ORANGE,
            label=words,
        )
    values, spread = (np.array(part) for part in zip(*found, strict=True))
    left.errorbar(
        LEVELS, values[1:], spread[1:], color=BLUE, marker="o", capsize=2, label="divergence of the SDE"
    )
    left.axhline(values[0], color=GREEN, linestyle=":", label="divergence of the ODE")
    left.axvline(optimal_eps(true), color=GREY, linewidth=0.8, label="eps*")
    left.set(xscale="log", xlabel="noise level eps", ylabel="nats", title="KL(rho1 | model)", ylim=(0, None))
    left.set_xticks(LEVELS, [f"{eps:g}" for eps in LEVELS])
    left.minorticks_off()
    left.legend(framealpha=1, edgecolor="white", fontsize=8)
    for part, style, words in ((true, "-", "exact fields known"), (seen, "o", "from held-out rows")):
        right.plot(
            part.t, (part.velocity / part.score).sqrt(), style, color=ORANGE, markersize=4, label=words
        )
    right.set(
        xlabel="t", ylabel="eps(t)", title="Schedule of least bound", ylim=(0, right.get_ylim()[1] * 1.1)
    )
    right.legend(frameon=False, fontsize=8)
    return figure


def main() -> None:
    """Measure, print and draw."""
    fields, exact = imperfect()
    found, (true, seen) = divergences(fields), errors(fields, exact)
    for eps, (value, error) in zip((0.0, *LEVELS), found, strict=True):
        bound = "–" if eps == 0 else f"{kl_bound(true, eps).value:.3f}"
        print(f"| {eps:g} | {value:.3f} ± {error:.3f} | {bound} |")
    print(f"eps*: {optimal_eps(true):.3f} with exact fields, {optimal_eps(seen):.3f} from held-out rows")
    IMAGES.mkdir(exist_ok=True)
    draw(found, true, seen).savefig(IMAGES / "likelihood.png", dpi=90)


if __name__ == "__main__":
    main()
