"""Draw ``docs/images/branching.png``: ``python docs/figures/branching.py``; a minute on one core.

Branches of one state of a mixture with known transitions: their distribution, and the largest distance between the
distribution functions of draws and truth against the calls of the model. Nothing is trained.
"""

from pathlib import Path

import torch
from torch import Tensor

from interpolants.dynamics import ReverseNoise, sample, sample_transition
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.guidance import value
from interpolants.paths import OneSidedLinear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"
WEIGHTS = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
MEANS = torch.tensor([-2.0, 0.5, 2.0], dtype=torch.float64)
SD = torch.tensor([0.3, 0.2, 0.5], dtype=torch.float64)
PATH = OneSidedLinear()
FIELDS = GaussianMixtureBridge(
    PATH.base, GaussianMixture(WEIGHTS, MEANS[:, None], SD[:, None, None] ** 2)
).fields(PATH)
CASES = ((0.2, 0.8, 0.4), (0.4, 0.7, 0.3), (0.3, 1.0, 0.0), (0.6, 0.9, 0.8))
CALLS = (2, 4, 6, 12, 24)
DRAWS = 40_000


def exact(x: float, t: float, later: float) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, means and standard deviations of the later state given x at t, for the SDE at ``ReverseNoise()``."""
    a, b = 1 - t, t
    correlation = b * (1 - later) / (later * a)
    precision = 1 / SD**2 + b * b / a**2
    mean = (MEANS / SD**2 + b * x / a**2) / precision
    evidence = torch.distributions.Normal(b * MEANS, (a**2 + (b * SD) ** 2).sqrt()).log_prob(
        torch.tensor(x).double()
    )
    keep = correlation * (1 - later) / a
    signal = later - keep * b
    noise = (1 - later) ** 2 * (1 - correlation**2)
    return (
        (WEIGHTS.log() + evidence).softmax(0),
        keep * x + signal * mean,
        (signal**2 / precision + noise).sqrt(),
    )


def distance(draws: Tensor, mixture: tuple[Tensor, Tensor, Tensor]) -> float:
    """Largest distance of the distribution function of the draws from the exact one."""
    weights, means, sd = mixture
    z = draws.flatten().sort().values
    below = torch.arange(len(z) + 1, dtype=torch.float64) / len(z)
    function = torch.special.ndtr((z[:, None] - means) / sd) @ weights
    return float(torch.maximum((function - below[:-1]).abs(), (function - below[1:]).abs()).max())


def distances(t: float, later: float, x: float) -> dict[str, list[float]]:
    """Distances at every number of calls, of branches and of two solvers of the SDE."""
    mixture, state = exact(x, t, later), torch.full((1, 1), x, dtype=torch.float64)
    states = state.expand(DRAWS, 1).contiguous()
    options = {"start": t, "stop": later, "seed": 1}
    rows: dict[str, list[float]] = {"sample_transition": [], "ancestral steps": [], "SDE, Heun": []}
    for calls in CALLS:
        ours = sample_transition(FIELDS, state, t, later, draws=DRAWS, n_steps=calls // 2)
        ancestral = sample(FIELDS, states, method="ancestral", n_steps=calls, **options).x
        heun = sample(
            FIELDS, states, method="stochastic_heun", eps=ReverseNoise(), n_steps=calls // 2, **options
        ).x
        for row, draws in zip(rows.values(), (ours, ancestral, heun), strict=True):
            row.append(distance(draws, mixture))
    return rows


def plain_sampling() -> dict[str, float]:
    """Distance to the data's distribution after 24 calls from noise: four transitions, or the SDE, or the flow."""
    start = torch.randn(DRAWS, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    drawn_by = {}
    for rho in ("reverse", "renoise"):
        x = start
        for k in range(4):
            x = sample_transition(FIELDS, x, k / 4, (k + 1) / 4, rho=rho, n_steps=3, seed=k)[0]
        drawn_by[f"four transitions, {rho}"] = x
    drawn_by["SDE, Euler"] = sample(
        FIELDS, start, method="euler_maruyama", eps=ReverseNoise(), n_steps=24, seed=1
    ).x
    drawn_by["SDE, Heun"] = sample(
        FIELDS, start, method="stochastic_heun", eps=ReverseNoise(), n_steps=12, seed=1
    ).x
    drawn_by["flow, midpoint"] = sample(FIELDS, start, n_steps=12).x
    return {name: distance(x, (WEIGHTS, MEANS, SD)) for name, x in drawn_by.items()}


def values(x: float = 0.3, t: float = 0.4, strength: float = 1.5, repeats: int = 1000) -> None:
    """Print the value of a state under the reward 1.5 x1 in closed form, at the denoised state, and from few draws."""
    weights, means, sd = exact(x, t, 1.0)
    state = torch.full((repeats, 1), x, dtype=torch.float64)
    print(f"value of the state {x:g} at t = {t:g}: exact", end=" ")
    print(
        f"{float((weights.log() + strength * means + (strength * sd) ** 2 / 2).logsumexp(0)):.3f},", end=" "
    )
    print(f"reward of the denoised state {strength * float(weights @ means):.3f}")
    for draws in (4, 16, 64):
        result = value(FIELDS, state, t, reward=lambda x1: strength * x1[:, 0], draws=draws)
        three = (result.value, result.jackknife, result.error)
        print(
            f"  {draws:3d} draws: mean value {three[0].mean():.3f}, jackknife {three[1].mean():.3f},", end=" "
        )
        print(f"standard deviation {three[0].std():.3f}, mean error {three[2].mean():.3f}")


def curves(t: float, later: float, rows: dict[str, list[float]]) -> Panel:
    """Distances against calls, with the level that perfect draws exceed once in a thousand."""
    series = [
        Series(mark="line", arrays={"x": CALLS, "y": row}, name=name, hue=k, symbol="o")
        for k, (name, row) in enumerate(rows.items())
    ]
    level = [1.95 / DRAWS**0.5] * 2
    series.append(
        Series(
            mark="line",
            arrays={"x": (CALLS[0], CALLS[-1]), "y": level},
            name="99.9 % level of exact draws",
            hue="muted",
            dash=":",
        )
    )
    x = Axis(label="calls of the model", scale="log2", ticks=CALLS, names=tuple(map(str, CALLS)))
    y = Axis(label="distance to the exact distribution", scale="log")
    return Panel(series=tuple(series), title=f"from t = {t:g} to {later:g}", x=x, y=y, legend="below")


def branches(t: float, later: float, x: float) -> Panel:
    """Histogram of the branches of one state at twelve calls, and the exact density."""
    weights, means, sd = exact(x, t, later)
    draws = sample_transition(FIELDS, torch.full((1, 1), x).double(), t, later, draws=DRAWS, n_steps=6)
    z = torch.linspace(-2.2, 2.8, 400, dtype=torch.float64)
    density = torch.distributions.Normal(means, sd).log_prob(z[:, None]).exp() @ weights
    counts, edges = torch.histogram(draws.flatten(), bins=60, range=(-2.2, 2.8), density=True)
    series = (
        Series(mark="histogram", arrays={"edges": edges, "counts": counts}, name="branches, 12 calls"),
        Series(mark="line", arrays={"x": z, "y": density}, name="exact", hue=1),
    )
    title = f"branches of the state {x:g}"
    return Panel(
        series=series,
        title=title,
        x=Axis(label=f"state at t = {later:g}"),
        y=Axis(label="density"),
        legend="below",
    )


if __name__ == "__main__":
    measured = [distances(*case) for case in CASES]
    for (t, later, x), rows in zip(CASES, measured, strict=True):
        print(f"{t:g} -> {later:g}, x = {x:g}; calls {CALLS}")
        for name, row in rows.items():
            print(f"  {name:18s}", " ".join(f"{entry:.3f}" for entry in row))
    print("from noise to data, 24 calls:")
    for name, difference in plain_sampling().items():
        print(f"  {name:26s} {difference:.3f}")
    values()
    case, rows = CASES[0], measured[0]
    panels = (branches(*case), curves(*case[:2], rows))
    save([Figure(name="branching", panels=panels, width=900, height=400)], IMAGES)
