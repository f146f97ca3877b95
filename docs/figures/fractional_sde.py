"""Draw ``docs/images/fractional_sde.png``: ``python docs/figures/fractional_sde.py RUNS``.

RUNS is a folder with the runs of the recipes ``fractional_sde_nile`` and ``fractional_sde_volatility``, whose
fitted models are read; seconds.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

import interpolants
from interpolants.data import load
from interpolants.framework.figures import Axis, Figure, Panel, Series, curve
from interpolants.reports.draw import save
from interpolants.sciml.processes.kernels.fractional_gaussian import sample_increments

IMAGES, RUNS = Path(__file__).parents[1] / "images", Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
BANDS = (0.05, 0.5, 0.95)


def sizes(paths: list[Tensor], lags: Tensor) -> Tensor:
    """Root mean square of what paths move over lags."""
    gaps = [torch.cat([p[k:] - p[:-k] for p in paths]) for k in lags.tolist()]
    return torch.stack([g[g.isfinite()].square().mean().sqrt() for g in gaps])


def rough() -> Panel:
    """Three paths of one length, from rough to persistent."""
    series = []
    for hue, hurst in enumerate((0.2, 0.5, 0.8)):
        path = sample_increments(hurst, 1, 256, generator=torch.Generator().manual_seed(3))[0].cumsum(0)
        series.append(curve(torch.arange(256.0), path / path.std() + 4 * hue, f"H = {hurst}", hue))
    return Panel(
        series=tuple(series), title="fractional Brownian motion", x=Axis(label="step"), y=Axis(label="scaled"),
        legend="below", legend_columns=3
    )  # fmt: skip


def nile() -> Panel:
    """The Nile, and what follows it."""
    model = interpolants.load(RUNS / "fractional_sde_nile")
    ahead = model.forecast(steps=20, members=2000).x[0, :, :, 0]
    past = load("nile", "all").x[:, 0]
    low, middle, high = (ahead.quantile(p, 0) for p in BANDS)
    years, later = torch.arange(1871.0, 1971.0), torch.arange(1971.0, 1991.0)
    series = (
        Series(mark="band", arrays={"x": later, "low": low, "high": high}, name="90 %"),
        curve(later, middle, "median"),
        curve(years, past, "seen", "muted"),
    )
    found = model.parameters
    title = f"Nile, H = {found['hurst']:.2f} ± {found['hurst_error']:.2f}"
    y = Axis(label="volume", unit="10⁸ m³")
    return Panel(series=series, title=title, x=Axis(label="year"), y=y, legend="below", legend_columns=3)


def volatility() -> Panel:
    """Sizes of increments of the log range, of data and model, and of the state without the noise of measurement."""
    model = interpolants.load(RUNS / "fractional_sde_volatility")
    data = load("daily_stocks", "train").x
    lags = torch.logspace(0, 2.3, 14).round().long().unique()
    drawn = [model.sample(64, steps=800, noise=noise, seed=0)[:, 400:, 0] for noise in (True, False)]
    lines = {"data": sizes(list(data.T), lags)}
    lines |= {name: sizes(list(x), lags) for name, x in zip(("model", "its state"), drawn, strict=True)}
    series = []
    for hue, (name, y) in enumerate(lines.items()):
        first = {"hue": "muted", "dash": "", "symbol": "o"} if not hue else {"hue": hue - 1}
        series.append(curve(lags.double(), y, name, **first))
    found = model.parameters
    title = f"log range of stocks, H = {found['hurst']:.2f} ± {found['hurst_error']:.2f}"
    axes = Axis(label="lag", unit="days", scale="log"), Axis(label="root mean square", scale="log")
    return Panel(series=tuple(series), title=title, x=axes[0], y=axes[1], legend="below", legend_columns=3)


if __name__ == "__main__":
    panels = (rough(), nile(), volatility())
    save([Figure(name="fractional_sde", panels=panels, width=1080, height=330)], IMAGES, dpi=80)
