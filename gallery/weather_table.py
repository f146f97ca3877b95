"""Four years of weather as a table: dry days, dates and words in one model.

One model of a table with dates, rain, temperatures and words. Its dry days have exactly no rain, and its temperatures
follow the seasons. Rows given the word snow lie in the cold months, where the data have snow, with a few in others.
"""

import numpy as np

import interpolants as itp
from gallery.common import HUES, figure, label, legend, main
from interpolants.foundations.extras import require

METHOD = "docs/methods/table_bridge.md"
KINDS = ("sun", "fog", "drizzle", "rain", "snow")


def draw(quick: bool) -> object:
    """Temperature by date, dry days by month, and the weather given a date."""
    weather = require("vega_datasets", by="gallery.weather_table").data.seattle_weather()
    model = itp.TableBridge(seed=0, steps=30 if quick else 1500).fit(weather, progress=False)
    sets = {"real": weather, "generated": model.sample(len(weather), seed=1)}
    snow = model.sample(150, given={"weather": "snow"}, seed=2)

    canvas = figure(900, 300)
    axes = canvas.subplots(1, 3, gridspec_kw={"width_ratios": [1.5, 1, 1]})
    for (name, table), hue in zip(sets.items(), ("#9aa3ad", HUES[0]), strict=True):
        axes[0].scatter(table["date"], table["temp_max"], s=4, color=hue, label=name, linewidths=0)
        dry = (table["precipitation"] == 0).groupby(table["date"].dt.month).mean()
        axes[1].plot(dry.index, 100 * dry, "o-", color=hue, markersize=4, label=name)
        fraction = table["weather"].value_counts(normalize=True).reindex(KINDS, fill_value=0)
        offset = -0.2 if name == "real" else 0.2
        axes[2].bar(np.arange(len(KINDS)) + offset, 100 * fraction, 0.38, color=hue, label=name)
    axes[0].scatter(
        snow["date"], snow["temp_max"], s=9, color=HUES[1], label="generated, given snow", linewidths=0
    )
    axes[0].set_ylim(-12, 42)
    axes[0].tick_params(axis="x", labelrotation=0)
    axes[0].xaxis.set_major_locator(require("matplotlib.dates", by="gallery").YearLocator())
    axes[1].set(ylim=(0, 100), xticks=(1, 4, 7, 10), xticklabels=("Jan", "Apr", "Jul", "Oct"))
    axes[2].set(xticks=range(len(KINDS)), xticklabels=KINDS)
    label(axes[0], title="highest temperature of a day, °C")
    label(axes[1], title="days without any rain, % of a month")
    label(axes[2], title="weather, % of days")
    legend(axes[0], loc="lower left", ncols=3, handletextpad=0.1, columnspacing=1)
    return canvas


if __name__ == "__main__":
    main(draw)
