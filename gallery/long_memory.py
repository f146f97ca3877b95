"""A river with long memory.

A hundred years of the Nile as increments of fractional Brownian motion: the evidence for each Hurst index,
and a forecast of the next twenty years, next to a forecast with independent years.
"""

import torch

from gallery.common import HUES, figure, label, main
from interpolants.data import load
from interpolants.sciml import FractionalSDE

METHOD = "docs/methods/fractional_sde.md"
AHEAD = 20


def fitted(series: torch.Tensor, hurst: float | str, quick: bool) -> FractionalSDE:
    """The process with a given Hurst index, or with the one that is found."""
    settings = {"values": "increments", "noise": 0.0, "modes": 6 if quick else 12}
    return FractionalSDE(hurst=hurst, iterations=3 if quick else 30, **settings).fit(series)


def draw(quick: bool) -> object:
    """Forecasts with and without memory, and the evidence over Hurst indices."""
    series = load("nile", "all").x
    found = fitted(series, "auto", quick)
    made = figure(820, 300)
    past, profile = made.subplots(1, 2, width_ratios=(1.7, 1))
    past.plot(range(1871, 1971), series, color="#8a93a0", linewidth=1)
    years = range(1971, 1971 + AHEAD)
    models = (("memory", found), ("independent years", fitted(series, 0.5, quick)))
    for hue, (name, model) in enumerate(models):
        ahead = model.forecast(steps=AHEAD, members=2000, seed=1)
        low, middle, high = (ahead.quantile(p)[0, :, 0] for p in (0.1, 0.5, 0.9))
        past.fill_between(years, low, high, color=HUES[hue], alpha=0.2, linewidth=0)
        past.plot(years, middle, color=HUES[hue], linewidth=1.6, label=name)
    label(past, title="flow at Aswan, and 80 % of what may follow", x="year", y="10⁸ m³")
    past.legend(frameon=False, fontsize=8, loc="upper right")
    grid = torch.linspace(0.4, 0.95, 4 if quick else 12).tolist()
    evidence = [float(fitted(series, h, quick).log_prob(series)) for h in grid]
    best = float(found.log_prob(series))
    profile.plot(grid, [e - best for e in evidence], color=HUES[0])
    h, error = (found.parameters[name] for name in ("hurst", "hurst_error"))
    profile.axvspan(h - error, h + error, color=HUES[0], alpha=0.2, linewidth=0)
    profile.axvline(h, color=HUES[0], linewidth=1)
    profile.axvline(0.5, color=HUES[1], linewidth=1, linestyle="--")
    label(profile, title=f"H = {h:.2f} ± {error:.2f}", x="Hurst index", y="log evidence, nats below the best")
    return made


if __name__ == "__main__":
    main(draw)
