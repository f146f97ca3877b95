"""Draw ``docs/images/self_guided_diffusion.png`` from a run of its recipe.

::

    interpolants run --config self_guided_diffusion --out runs/demand
    python docs/figures/self_guided_diffusion.py runs/demand
"""

import sys
from pathlib import Path

import pandas
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter, DayLocator
from matplotlib.figure import Figure

import interpolants
from interpolants.data import load

IMAGES = Path(__file__).parents[1] / "images"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#5a6470"


def self_guided_diffusion(run: str) -> Figure:
    """A forecast of two days, and a stretch with a day and single hours missing, beside what was seen."""
    model = interpolants.load(run)
    hours = load("electricity_demand", "all", hourly=True).table() / 1000
    figure = Figure(figsize=(11.5, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    origin = hours.index.get_indexer([pandas.Timestamp("2000-08-16")])[0]
    ahead = model.forecast(1000 * hours.iloc[:origin], members=64, steps=48, seed=1).summary() / 1000
    fan(left, ahead, hours.iloc[origin - 96 : origin + 48])
    left.axvline(hours.index[origin], color=GREY, linewidth=0.8, linestyle=":")
    left.set(title="Two days ahead", ylabel="demand (GW)")
    whole = hours.iloc[origin : origin + 168].copy()
    holes = whole.copy()
    holes.iloc[60:84] = float("nan")
    holes.iloc[100::3] = float("nan")
    filled = model.complete(1000 * holes, members=64, seed=1).summary() / 1000
    fan(right, filled, holes, "seen")
    hidden = whole.where(holes.isna())
    right.plot(hidden, ".", color=ORANGE, markersize=4, label="hidden")
    right.set(title="A day and single hours missing")
    right.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
    left.legend(frameon=False, fontsize=8, loc="upper left", ncols=2)
    return figure


def fan(axes: Axes, table: pandas.DataFrame, around: pandas.DataFrame, name: str = "what came") -> None:
    """Median and central intervals over time, and what was seen."""
    index = table.index
    for low, high, alpha, label in (("0.05", "0.95", 0.18, "90 %"), ("0.25", "0.75", 0.35, "50 %")):
        axes.fill_between(index, table[low], table[high], color=BLUE, alpha=alpha, linewidth=0, label=label)
    axes.plot(index, table["0.5"], color=BLUE, linewidth=1.2, label="median")
    axes.plot(around, color=GREY, linewidth=1.0, label=name)
    axes.xaxis.set_major_locator(DayLocator())
    axes.xaxis.set_major_formatter(DateFormatter("%a"))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylim(18, 42)


if __name__ == "__main__":
    self_guided_diffusion(sys.argv[1]).savefig(IMAGES / "self_guided_diffusion.png", dpi=90)
