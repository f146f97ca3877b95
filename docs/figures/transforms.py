"""Draw ``docs/images/transforms.png``, print its table: ``python docs/figures/transforms.py``; minutes on one core."""

import math
import warnings
from pathlib import Path

import torch
from torch import Tensor

from interpolants import Bridge
from interpolants.data import load_diamonds
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.methods.rivals.gaussian_fit import GaussianFit
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"
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
    panels = []
    columns: dict[str, list[dict[str, float]]] = {}
    for name, draw in DATA.items():
        found = [scores(draw(seed), seed) for seed in range(SEEDS)]
        columns[name] = [nats for nats, _ in found]
        panels.append(_panel(name, found[0][1]))
    save([Figure(name="transforms", panels=tuple(panels), width=900, height=370)], IMAGES, dpi=120)
    print("| held-out nats a row | " + " | ".join(columns) + " |\n" + "| --- " * (len(columns) + 1) + "|")
    for method in columns[next(iter(columns))][0]:
        cells = [[f"{nats[method]:.2f}" for nats in seeds] for seeds in columns.values()]
        print(f"| {method} | " + " | ".join(", ".join(row) for row in cells) + " |")


def _panel(name: str, made: dict[str, Tensor]) -> Panel:
    """Histograms of the last column, of which negative sizes show on a symmetric logarithmic axis."""
    data = made["data"][:, -1]
    unit, far = float(data.quantile(0.25)), float(data.max())
    edges = torch.linspace(-2, math.asinh(far / unit) * 1.1, 70, dtype=torch.float64).sinh() * unit
    series = [Series(mark="rule", arrays={"x": 0.0}, hue="muted", alpha=0.5)]
    for (label, x), hue in zip(made.items(), ("muted", 1, 2, 3, 0), strict=True):
        arrays = {
            "edges": edges,
            "counts": torch.histogram(x[:, -1].double().contiguous(), edges).hist / len(x),
        }
        if label == "data":
            arrays_of_band = {"x": edges.repeat_interleave(2)[1:-1], "low": torch.zeros(138)}
            arrays_of_band["high"] = arrays["counts"].repeat_interleave(2)
            series.append(Series(mark="band", arrays=arrays_of_band, name=label, hue=hue, alpha=2.0))
        else:
            series.append(Series(mark="histogram", arrays=arrays, name=f"transform {label}", hue=hue))
    ticks = [
        tick for k in range(6) for tick in (10.0**k, -(10.0**k)) if -2 * unit < tick < far and 10.0**k > unit
    ]
    x = Axis(label="last column", scale="symlog", near_zero=unit, ticks=(0, *ticks))
    y = Axis(label="share of rows", low=0)
    return Panel(series=tuple(series), title=name, x=x, y=y, legend="below", legend_columns=3)


if __name__ == "__main__":
    main()
