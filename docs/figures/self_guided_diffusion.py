"""Draw ``docs/images/self_guided_diffusion.png`` from a run of its recipe.

::

    interpolants run --config self_guided_diffusion --out runs/demand
    python docs/figures/self_guided_diffusion.py runs/demand
"""

import sys
from pathlib import Path

import pandas
import torch

import interpolants
from interpolants.data import load
from interpolants.framework.figures import Axis, Figure, Panel, Series, curve
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"


def self_guided_diffusion(run: str) -> Figure:
    """A forecast of two days, and a stretch with a day and single hours missing, beside what was seen."""
    model = interpolants.load(run)
    hours = load("electricity_demand", "all", hourly=True).table() / 1000
    origin = hours.index.get_indexer([pandas.Timestamp("2000-08-16")])[0]
    ahead = model.forecast(1000 * hours.iloc[:origin], members=64, steps=48, seed=1).summary() / 1000
    now = Series(mark="rule", arrays={"x": 96.0}, hue="muted", dash=":")
    left = fan("Two days ahead", ahead, hours.iloc[origin - 96 : origin + 48], "what came", now)
    whole = hours.iloc[origin : origin + 168].copy()
    holes = whole.copy()
    holes.iloc[60:84] = float("nan")
    holes.iloc[100::3] = float("nan")
    filled = model.complete(1000 * holes, members=64, seed=1).summary() / 1000
    hidden = whole.where(holes.isna()).to_numpy()[:, 0]
    dots = curve(range(len(hidden)), hidden, "hidden", 1, dash="", symbol=".", size=4)
    right = fan("A day and single hours missing", filled, holes, "seen", dots)
    return Figure(name="self_guided_diffusion", panels=(left, right), width=1035, height=350)


def fan(title: str, table: pandas.DataFrame, around: pandas.DataFrame, name: str, more: Series) -> Panel:
    """Median and central intervals over hours, what was seen, and one series more."""
    x = torch.as_tensor(around.index.get_indexer(table.index))
    days = [k for k, hour in enumerate(around.index.hour) if hour == 0]
    low, lower, middle, upper, high = (table[p].to_numpy() for p in ("0.05", "0.25", "0.5", "0.75", "0.95"))
    series = (
        Series(mark="band", arrays={"x": x, "low": low, "high": high}, name="90 %"),
        Series(mark="band", arrays={"x": x, "low": lower, "high": upper}, name="50 %", alpha=1.75),
        curve(x, middle, "median"),
        curve(range(len(around)), around.to_numpy()[:, 0], name, "muted", size=1.0),
        more,
    )
    axis = Axis(ticks=tuple(days), names=tuple(around.index[days].strftime("%a")))
    y = Axis(label="demand", unit="GW", low=18, high=42)
    return Panel(series=series, title=title, x=axis, y=y, legend="upper right", legend_columns=5)


if __name__ == "__main__":
    save([self_guided_diffusion(sys.argv[1])], IMAGES, dpi=100)
