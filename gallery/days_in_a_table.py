"""A table of days, with words, dates, zeros and integers.

Drawn rows have the types of the table: dry days have exactly no rain. The same model draws days of a given
season. Dates are its weakest column: some days do not fit their season.
"""

import numpy as np
import torch

import interpolants as itp
from gallery.common import HUES, figure, label, legend, main
from interpolants.apps.tables.mixed_table import MixedTable

METHOD = "docs/methods/table_bridge.md"


def draw(quick: bool) -> object:
    """Temperatures over the year, real and drawn, and rain by season."""
    table = MixedTable().sample(200 if quick else 3000, torch.Generator().manual_seed(0))
    model = itp.TableBridge(seed=0, steps=20 if quick else 3000).fit(table, progress=False)
    samples = model.sample(len(table), seed=1)
    summer = model.sample(100 if quick else 500, seed=2, given={"season": "summer"})

    picture = figure(760, 330)
    temperature, rain = picture.subplots(1, 2)
    for k, (rows, name) in enumerate(((table, "table"), (samples, "drawn"), (summer, "drawn, given summer"))):
        day = rows["date"].dt.day_of_year
        temperature.scatter(day, rows["temperature"], s=2, color=HUES[k], linewidths=0, label=name)
    seasons = list(table["season"].cat.categories)
    for k, rows in enumerate((table, samples)):
        dry = [(rows["rain"][rows["season"] == season] == 0).mean() for season in seasons]
        rain.bar(np.arange(len(seasons)) + 0.4 * k - 0.2, dry, 0.38, color=HUES[k])
    rain.set_xticks(range(len(seasons)), seasons)
    label(temperature, title="temperature by day of the year", x="day", y="°C")
    label(rain, title="fraction of days with exactly no rain")
    legend(temperature, markerscale=4, loc="lower center")
    return picture


if __name__ == "__main__":
    main(draw)
