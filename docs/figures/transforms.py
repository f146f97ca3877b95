"""Draw ``docs/images/transforms.png``, print its table: ``python docs/figures/transforms.py``; minutes on one core."""

import math
import warnings
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from interpolants import Bridge
from interpolants.data import load_diamonds
from interpolants.methods.rivals.gaussian_fit import GaussianFit

IMAGES = Path(__file__).parents[1] / "images"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#9aa3ad"
TRANSFORMS = {"none": None, "asinh": "asinh", "quantile": "quantile", "log": "log"}
TRAIN, TEST, SEEDS = 3000, 1000, 3
TRAINING = {"net": {"kind": "mlp", "width": 64, "depth": 3}, "steps": 500}


def log_normal(seed: int) -> Tensor:
    """Log-normal sizes, s = 1.5."""
    source = torch.Generator().manual_seed(seed)
    return (1.5 * torch.randn(TRAIN + TEST, 1, dtype=torch.float64, generator=source)).exp()


def diamonds(seed: int) -> Tensor:
    """Carat and price of diamonds, with uniform noise of one step."""
    x = torch.as_tensor(load_diamonds("all").x, dtype=torch.float64)[:, [0, 3]]
    source = torch.Generator().manual_seed(seed)
    rows = x[torch.randperm(len(x), generator=source)[: TRAIN + TEST]]
    steps = torch.tensor([0.01, 1.0], dtype=torch.float64)
    return rows + (torch.rand(rows.shape, dtype=torch.float64, generator=source) - 0.5) * steps


DATA = {"log-normal, s = 1.5": log_normal, "diamonds: carat, price": diamonds}


def scores(x: Tensor, seed: int) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Held-out nats a row of each method, and samples."""
    train, test = x[:TRAIN], x[TRAIN:]
    fit = GaussianFit()
    nats = {
        "Gaussian fit": _mean(fit.fit(x1=train).log_prob(test)),
        "Gaussian fit of logarithms": _mean(fit.fit(x1=train.log()).log_prob(test.log()) - test.log().sum(1)),
    }
    made = {"data": test}
    for name, transform in TRANSFORMS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # heavy tails are the subject
            settings = {"transform": transform, "seed": seed, **TRAINING}
            bridge = Bridge("one_sided_linear", **settings).fit(x1=train, progress=False)
        nats[f"bridge, transform {name}"] = _mean(bridge.log_prob(test, on_failure="keep"))
        made[name] = bridge.sample(5 * TEST, seed=0)
    return nats, made


def _mean(x: Tensor) -> float:
    return float(torch.as_tensor(x).double().mean())


def main() -> None:
    """Table and figure."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    columns: dict[str, list[dict[str, float]]] = {}
    for place, (name, draw) in enumerate(DATA.items()):
        found = [scores(draw(seed), seed) for seed in range(SEEDS)]
        columns[name] = [nats for nats, _ in found]
        _panel(figure.add_subplot(1, 2, place + 1), name, found[0][1])
    figure.savefig(IMAGES / "transforms.png", dpi=120)
    print("| held-out nats a row | " + " | ".join(columns) + " |\n" + "| --- " * (len(columns) + 1) + "|")
    for method in columns[next(iter(columns))][0]:
        cells = [[f"{nats[method]:.2f}" for nats in seeds] for seeds in columns.values()]
        print(f"| {method} | " + " | ".join(", ".join(row) for row in cells) + " |")


def _panel(axes: object, name: str, made: dict[str, Tensor]) -> None:
    """Histograms of the last column, of which negative sizes show on a symmetric logarithmic axis."""
    data = made["data"][:, -1]
    unit = float(data.quantile(0.25))
    edges = (
        torch.linspace(-2, math.asinh(float(data.max()) / unit) * 1.1, 70, dtype=torch.float64).sinh() * unit
    )
    for (label, x), colour in zip(made.items(), (GREY, ORANGE, "#009e73", "#cc79a7", BLUE), strict=True):
        counts = torch.histogram(x[:, -1].double().contiguous(), edges).hist / len(x)
        style = {"color": colour, "label": label if label == "data" else f"transform {label}"}
        if label == "data":
            axes.fill_between(edges[:-1], counts, step="post", alpha=0.5, **style)  # type: ignore[attr-defined]
        else:
            axes.step(edges[:-1], counts, where="post", lw=1.3, **style)  # type: ignore[attr-defined]
    axes.set_xscale("symlog", linthresh=unit)  # type: ignore[attr-defined]
    far = float(data.max())
    ticks = [
        tick for k in range(6) for tick in (10.0**k, -(10.0**k)) if -2 * unit < tick < far and 10.0**k > unit
    ]
    axes.set_xticks([0, *ticks], [f"{tick:g}" for tick in (0, *ticks)])  # type: ignore[attr-defined]
    axes.axvline(0, color="black", lw=0.5)  # type: ignore[attr-defined]
    axes.set(title=name, xlabel="last column", ylabel="share of rows")  # type: ignore[attr-defined]
    axes.legend(frameon=False, fontsize=8)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
