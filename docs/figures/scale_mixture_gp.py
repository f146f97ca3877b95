"""Draw ``docs/images/scale_mixture_gp.png``: ``python docs/figures/scale_mixture_gp.py``.

Fits the monthly returns of ``scale_mixture_gp.toml`` with a random scale and with one scale; seconds.
"""

from pathlib import Path

import torch

from interpolants.data import load
from interpolants.framework.figures import Axis, Figure, Panel, Series, curve
from interpolants.reports.draw import save
from interpolants.sciml import ScaleMixtureGP

IMAGES = Path(__file__).parents[1] / "images"
KNOWN, TEST = load("stock_windows", "train"), load("stock_windows", "test")
FITTED = {
    name: ScaleMixtureGP(kernel="white", shape=shape).fit(KNOWN.x[:, :1], KNOWN.x[:, 1:], group=KNOWN.labels)
    for name, shape in (("random scale", "auto"), ("one scale", "infinite"))
}


def window(k: int, title: str) -> Panel:
    """Returns of one window, and central intervals of 90 % for the months that are not known."""
    months = torch.linspace(6, 11, 2, dtype=torch.float64)
    series = []
    for hue, (name, model) in enumerate(FITTED.items()):
        answer = model.predict(months[:, None], group=torch.full((2,), k))
        for p, told in ((0.05, name), (0.95, "")):
            series.append(curve(months, answer.quantile(p).flatten(), told, hue, dash="--" if hue else "-"))
    for data, name, symbol in ((KNOWN, "known", "o"), (TEST, "not known", "x")):
        own = data.x[data.labels == k]
        arrays = {"x": own[:, 0], "y": own[:, 1]}
        series.append(Series(mark="points", arrays=arrays, name=name, hue="muted", symbol=symbol, size=22))
    axis = Axis(label="log-return", low=-0.6, high=0.6)
    return Panel(
        series=tuple(series), title=title, x=Axis(label="month"), y=axis, legend="below", legend_columns=2
    )


def loss(model: ScaleMixtureGP, k: int) -> torch.Tensor:
    """Nats per value of one window."""
    own = TEST.x[TEST.labels == k]
    answer = model.predict(own[:, :1], group=torch.full((len(own),), k))
    return -answer.log_prob(own[:, 1:]).mean()


def losses() -> Panel:
    """Nats of each window under both."""
    nats = {name: torch.stack([loss(model, k) for k in range(45)]) for name, model in FITTED.items()}
    dots = Series(
        mark="points", arrays={"x": nats["one scale"], "y": nats["random scale"]}, symbol="o", size=18
    )
    line = curve([-1.2, 4.0], [-1.2, 4.0], hue="muted", dash="--")
    axes = (Axis(label="nats, one scale"), Axis(label="nats, random scale"))
    return Panel(series=(line, dots), title="each window", x=axes[0], y=axes[1])


if __name__ == "__main__":
    spread = [float(KNOWN.x[KNOWN.labels == k][:, 1].std()) for k in range(45)]
    quiet, wild = spread.index(min(spread)), spread.index(max(spread))
    panels = (window(quiet, "a quiet window"), window(wild, "a volatile window"), losses())
    save([Figure(name="scale_mixture_gp", panels=panels, width=1000, height=330)], IMAGES, dpi=80)
