"""Draw ``docs/images/likelihood.png`` and print the numbers beside it: ``python docs/figures/likelihood.py``.

Two Gaussian modes to three in the plane; velocity and score are the exact ones with errors put in, so that the
divergence of the model and its bound can both be had. About half a minute of a core.
"""

import math
from pathlib import Path

import torch
from torch import Tensor

from interpolants.fields import LearnedFields
from interpolants.foundations.randomness import generator
from interpolants.framework.figures import Axis, Figure, Panel, Series, across, curve
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
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"
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
        return exact.velocity(x, t) + 0.6 * (1.2 - t[:, None]) * torch.tanh(x.flip(1) * turn)

    def score(x: Tensor, t: Tensor) -> Tensor:
        return exact.score(x, t) + 0.8 * (0.3 + t[:, None]) * torch.tanh(x)

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


def figure(found: list[tuple[float, float]], true: SquaredErrors, seen: SquaredErrors) -> Figure:
    """Divergence and bounds against eps; noise level of least bound against time."""
    grid = torch.logspace(math.log10(LEVELS[0]), math.log10(LEVELS[-1]), 60, dtype=torch.float64)
    forms = (("drift", "bound", "-"), ("velocity_score", "bound without the cross term", "--"))
    series = [
        curve(grid, [kl_bound(true, eps, form=form).value for eps in grid.tolist()], name, 1, dash=dash)
        for form, name, dash in forms
    ]
    (flow, _), *levels = found
    value, error = zip(*levels, strict=True)
    measured = {"x": LEVELS, "y": value, "error": error}
    series += [
        Series(mark="line", arrays=measured, name="divergence of the SDE", symbol="o"),
        across(flow, "divergence of the ODE", 2, ":"),
        Series(mark="rule", arrays={"x": optimal_eps(true)}, name="eps*", hue="muted"),
    ]
    x, y = Axis(label="noise level eps", scale="log", ticks=LEVELS), Axis(label="nats", low=0)
    below = {"legend": "below", "legend_columns": 2}
    left = Panel(series=tuple(series), title="KL(rho1 | model)", x=x, y=y, **below)
    schedules = [(part.velocity / part.score).sqrt() for part in (true, seen)]
    series = (
        curve(true.t, schedules[0], "exact fields known", 1),
        curve(seen.t, schedules[1], "from held-out rows", 1, dash="", symbol="o", size=4),
    )
    x, y = Axis(label="t"), Axis(label="eps(t)", low=0)
    right = Panel(series=series, title="Schedule of least bound", x=x, y=y, **below)
    return Figure(name="likelihood", panels=(left, right), width=900, height=380)


def main() -> None:
    """Measure, print and draw."""
    fields, exact = imperfect()
    found, (true, seen) = divergences(fields), errors(fields, exact)
    for eps, (value, error) in zip((0.0, *LEVELS), found, strict=True):
        bound = "–" if eps == 0 else f"{kl_bound(true, eps).value:.3f}"
        print(f"| {eps:g} | {value:.3f} ± {error:.3f} | {bound} |")
    print(f"eps*: {optimal_eps(true):.3f} with exact fields, {optimal_eps(seen):.3f} from held-out rows")
    save([figure(found, true, seen)], IMAGES, dpi=100)


if __name__ == "__main__":
    main()
